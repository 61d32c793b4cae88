//! The factors that there are, by their schemes. More may come while logins are under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::names::check_scheme;
use super::{ApiKeys, Certificates, Oidc, Passwords, RecoveryCodes, Totp};
use crate::base::contain;
use crate::port::AuthProvider;
use crate::{Code, Error, Result};

type ByScheme = BTreeMap<String, Arc<dyn AuthProvider>>;

/// Logins that ask one provider of a host's at once, at most: one that hangs is not to keep every thread of the pool.
const AT_ONCE: usize = 16;

/// No lock is held while a provider is asked, or let go of.
pub(super) struct Providers {
    there: RwLock<Option<ByScheme>>,
    /// How many ask each of those that a host has written.
    asked: Mutex<BTreeMap<String, usize>>,
}

impl Default for Providers {
    fn default() -> Self {
        Self { there: RwLock::new(Some(ByScheme::new())), asked: Mutex::default() }
    }
}

/// A place among those who ask a provider.
pub(super) struct Asking<'a> {
    providers: &'a Providers,
    scheme: &'a str,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asked = self.providers.asked.lock();
        if let Some(count) = asked.get_mut(self.scheme) {
            *count -= 1;
            if *count == 0 {
                asked.remove(self.scheme);
            }
        }
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
        let mut there = self.there.write();
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
        self.there.read().as_ref()?.get(scheme).cloned()
    }

    /// A place among those who ask the provider of this scheme; none is needed for those that are always there.
    ///
    /// # Errors
    /// [`Code::OVERLOADED`] where too many ask it already.
    pub(super) fn ask<'a>(&'a self, scheme: &'a str) -> Result<Option<Asking<'a>>> {
        if is_own(scheme) {
            return Ok(None);
        }
        let mut asked = self.asked.lock();
        let count = asked.entry(scheme.to_owned()).or_default();
        if *count >= AT_ONCE {
            return Err(Error::new(Code::OVERLOADED, "too many logins ask this provider at once")
                .operation("security.login")
                .with("scheme", scheme)
                .with("most", AT_ONCE)
                .advice("try again; if it goes on, the provider hangs"));
        }
        *count += 1;
        Ok(Some(Asking { providers: self, scheme }))
    }

    /// The schemes, sorted.
    pub(super) fn schemes(&self) -> Vec<String> {
        self.there.read().iter().flat_map(BTreeMap::keys).cloned().collect()
    }

    /// Lets go of all; from here on there is none.
    pub(super) fn close(&self) {
        let all = self.there.write().take();
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
    if is_own(&scheme) { Err(taken(&scheme)) } else { Ok(scheme) }
}

/// Whether it is the scheme of a factor that is always there.
fn is_own(scheme: &str) -> bool {
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
    own.contains(&scheme)
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
