//! Who somebody is: the [`AuthProvider`] port, and the authenticate step of the guarded call.

use std::collections::BTreeMap;

use super::session::Session;
use crate::Result;
use crate::base::time::Timestamp;

/// Checks one kind of credential, in one or several steps.
///
/// It is asked on threads that it may block, and for several logins at once; one that hangs keeps the logins that
/// ask it, and no other. Who is accepted is the credential's principal, where it names one: a session of somebody else
/// is a refusal.
pub trait AuthProvider: Send + Sync + 'static {
    /// The scheme it checks, as a short name: `password`, `totp`, `api-key`, …: 1 to 64 letters, digits, dashes,
    /// dots and underscores. It is asked for it when it is added, and once.
    fn scheme(&self) -> &str;

    /// Checks a credential. May block.
    ///
    /// # Errors
    /// When it cannot tell (a store that does not answer), as
    /// [`Code::PROVIDER_FAILED`](crate::Code::PROVIDER_FAILED) for example: the login is not refused, and not
    /// accepted; a wrong credential is [`AuthStep::Refused`].
    fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<AuthStep>;

    /// What this principal needs to answer with this factor: a challenge to sign, a hint. `None`
    /// where they cannot: they have not enrolled it. `login` names the login it is for, and comes
    /// back in the credential. May block.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate).
    fn challenge(
        &self,
        _principal: &str,
        _login: &str,
        _now: Timestamp,
    ) -> Result<Option<BTreeMap<String, String>>> {
        Ok(Some(BTreeMap::new()))
    }
}

/// What somebody offers to prove who they are.
#[derive(Clone)]
#[non_exhaustive]
pub struct Credential {
    /// The scheme it is for.
    pub scheme: String,
    /// Who they say they are, if the scheme wants to be told.
    pub principal: Option<String>,
    /// The secret part. Never shown.
    pub secret: Vec<u8>,
    /// The login it belongs to, where it answers a challenge.
    pub login: Option<String>,
}

impl Credential {
    /// A credential of this scheme.
    pub fn new(scheme: impl Into<String>, principal: Option<String>, secret: Vec<u8>) -> Self {
        Self { scheme: scheme.into(), principal, secret, login: None }
    }

    /// As the answer to a challenge of this login.
    #[must_use]
    pub fn for_login(mut self, login: impl Into<String>) -> Self {
        self.login = Some(login.into());
        self
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("scheme", &self.scheme)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

/// What comes of checking a credential.
#[derive(Clone, Debug)]
pub enum AuthStep {
    /// It is them.
    Accepted(Session),
    /// So far so good; another factor is wanted.
    Challenge {
        /// The scheme of the next factor.
        scheme: String,
        /// What the caller needs to answer it.
        parameters: BTreeMap<String, String>,
    },
    /// It is not them, and why (for the audit trail; tell the caller less).
    Refused(String),
}

/// Turns what a call carries into a session: the authenticate step of the guarded call.
pub trait Authenticator: Send + Sync + 'static {
    /// The session of this token; `None` is a call from inside the process that carries none.
    /// Must be quick and must not block.
    ///
    /// # Errors
    /// [`Code::UNAUTHENTICATED`](crate::Code::UNAUTHENTICATED) when the token is none or no longer
    /// good.
    fn authenticate(&self, token: Option<&str>, now: Timestamp) -> Result<Session>;

    /// Whether a session that it gave before is still good for a call within a call that was made with it: that
    /// its token has not been revoked, though it may have ended since. As quick.
    ///
    /// # Errors
    /// [`Code::UNAUTHENTICATED`](crate::Code::UNAUTHENTICATED) when it is not. Default: it is.
    fn still_good(&self, _session: &Session, _now: Timestamp) -> Result<()> {
        Ok(())
    }
}
