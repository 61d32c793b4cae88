//! The factors that there are, by their schemes. More may come while logins are under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::names::check_scheme;
use super::{ApiKeys, Certificates, Oidc, Passwords, RecoveryCodes, Totp};
use crate::base::contain;
use crate::port::AuthProvider;
use crate::{Code, Error, Result};

type ByScheme = BTreeMap<String, Arc<dyn AuthProvider>>;

/// No lock is held while a provider is asked, or let go of.
pub(super) struct Providers(RwLock<Option<ByScheme>>);

impl Default for Providers {
    fn default() -> Self {
        Self(RwLock::new(Some(ByScheme::new())))
    }
}

impl Providers {
    /// Adds a factor.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a scheme that is no name, [`Code::ALREADY_EXISTS`] where there is one of its
    /// scheme, [`Code::NOT_RUNNING`] after [`close`](Self::close).
    pub(super) fn add(&self, provider: Arc<dyn AuthProvider>) -> Result<()> {
        let scheme = scheme_of(&*provider)?;
        let mut there = self.0.write();
        let there = there.as_mut().ok_or_else(|| {
            Error::new(Code::NOT_RUNNING, "logins have ended")
                .operation("security.provider")
                .with("scheme", &scheme)
        })?;
        if there.contains_key(&scheme) {
            return Err(taken(&scheme));
        }
        there.insert(scheme, provider);
        Ok(())
    }

    /// The factor of this scheme.
    pub(super) fn of(&self, scheme: &str) -> Option<Arc<dyn AuthProvider>> {
        self.0.read().as_ref()?.get(scheme).cloned()
    }

    /// The schemes, sorted.
    pub(super) fn schemes(&self) -> Vec<String> {
        self.0.read().iter().flat_map(BTreeMap::keys).cloned().collect()
    }

    /// Lets go of all; from here on there is none.
    pub(super) fn close(&self) {
        let all = self.0.write().take();
        drop(all);
    }
}

/// What a provider says that it checks, where it can be a scheme.
pub(in crate::security) fn scheme_of(provider: &dyn AuthProvider) -> Result<String> {
    let scheme = contain::run("the provider panicked", || provider.scheme().to_owned())?;
    check_scheme(&scheme)?;
    Ok(scheme)
}

/// As [`scheme_of`], of a provider that a host has written: none of a scheme that is always there.
pub(crate) fn scheme_of_host(provider: &dyn AuthProvider) -> Result<String> {
    let scheme = scheme_of(provider)?;
    let own = [
        ApiKeys::SCHEME,
        Certificates::SCHEME,
        Oidc::SCHEME,
        // Also where there are none in this build: what is called so is enough for a login.
        "passkey",
        "webauthn",
        Passwords::SCHEME,
        RecoveryCodes::SCHEME,
        Totp::SCHEME,
    ];
    if own.contains(&&*scheme) { Err(taken(&scheme)) } else { Ok(scheme) }
}

/// The error for a second provider of a scheme.
pub(crate) fn taken(scheme: &str) -> Error {
    Error::new(Code::ALREADY_EXISTS, "there is a provider of this scheme")
        .operation("security.provider")
        .with("scheme", scheme)
        .advice(
            "two providers of one scheme would be two answers to one question: name it otherwise",
        )
}
