//! [`TokenAuthenticator`]: from what a call carries to a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fault;
use crate::base::time::Timestamp;
use crate::port::{Authenticator, Session};
use crate::{Code, Result};

/// One kind of token. Must be quick, and must not block.
pub trait TokenScheme: Send + Sync + 'static {
    /// Its name, as sessions have it.
    fn name(&self) -> &str;

    /// Whether a token is of this kind, by how it begins; it need not be a good one.
    fn is_mine(&self, token: &str) -> bool;

    /// The session of a token of this kind.
    ///
    /// # Errors
    /// When it is not good, with the reason; the caller of the kernel is told less.
    fn session(&self, token: &str, now: Timestamp) -> Result<Session>;

    /// Whether a session of this scheme is still good for a call within a call that was made with it: that its
    /// token has not been revoked, though it may have ended since. Default: it is.
    ///
    /// # Errors
    /// When it is not.
    fn still_good(&self, _session: &Session, _now: Timestamp) -> Result<()> {
        Ok(())
    }
}

/// Tells kinds of tokens apart by how they begin, and lets their scheme judge them.
///
/// The schemes are asked in the order in which they were added; the first that says that a token is its own
/// decides, and no other is asked. Whatever is wrong with a token, the answer is
/// [`Code::UNAUTHENTICATED`]; only of one that was good and has expired it is said, so that its bearer knows to
/// refresh it. Why tokens were refused is counted.
///
/// ```
/// use std::sync::Arc;
/// use sutazai_core::base::time::Timestamp;
/// use sutazai_core::port::{Authenticator as _, Session};
/// use sutazai_core::security::token::{TokenAuthenticator, TokenScheme};
///
/// struct Fixed;
/// impl TokenScheme for Fixed {
///     fn name(&self) -> &str { "fixed" }
///     fn is_mine(&self, token: &str) -> bool { token.starts_with("fixed.") }
///     fn session(&self, token: &str, _: Timestamp) -> sutazai_core::Result<Session> {
///         Ok(Session::new(&token[6..], "fixed"))
///     }
/// }
/// let authenticator = TokenAuthenticator::new().with(Arc::new(Fixed));
/// let now = Timestamp::now();
/// assert_eq!(authenticator.authenticate(Some("fixed.alice"), now)?.principal(), "alice");
/// assert!(authenticator.authenticate(Some("other"), now).is_err());
/// assert!(authenticator.authenticate(None, now).is_err());
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Default)]
pub struct TokenAuthenticator {
    schemes: Vec<Arc<dyn TokenScheme>>,
    inside: Option<Session>,
    refused: [AtomicU64; REASONS.len() + 1],
}

/// The reasons that are counted; everything else is the last count.
const REASONS: [Code; 7] = [
    Code::TOKEN_MALFORMED,
    Code::TOKEN_SIGNATURE,
    Code::TOKEN_KEY,
    Code::TOKEN_EXPIRED,
    Code::TOKEN_EARLY,
    Code::TOKEN_CLAIMS,
    Code::TOKEN_REVOKED,
];

impl TokenAuthenticator {
    /// One that knows no scheme.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a scheme more.
    #[must_use]
    pub fn with(mut self, scheme: Arc<dyn TokenScheme>) -> Self {
        self.schemes.push(scheme);
        self
    }

    /// With a session for calls that carry no token, which come from inside the process. Without it they
    /// are refused.
    #[must_use]
    pub fn with_inside(mut self, session: Session) -> Self {
        self.inside = Some(session);
        self
    }

    /// What callers are told of a token that is not good.
    pub fn refusal() -> crate::Error {
        fault::unauthenticated()
    }

    /// How many tokens were refused, by the name of the reason's [`Code`].
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = REASONS.iter().map(|code| code.name()).chain(["other"]);
        names.zip(self.refused.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    fn count(&self, code: Code) {
        let at = REASONS.iter().position(|reason| *reason == code).unwrap_or(REASONS.len());
        if let Some(count) = self.refused.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Authenticator for TokenAuthenticator {
    fn authenticate(&self, token: Option<&str>, now: Timestamp) -> Result<Session> {
        let Some(token) = token else {
            return self.inside.clone().ok_or_else(fault::unauthenticated);
        };
        let Some(scheme) = self.schemes.iter().find(|scheme| scheme.is_mine(token)) else {
            self.count(Code::TOKEN_MALFORMED);
            return Err(fault::unauthenticated());
        };
        scheme.session(token, now).map_err(|error| {
            self.count(error.code());
            if error.code() == Code::TOKEN_EXPIRED {
                fault::stale()
            } else {
                fault::unauthenticated()
            }
        })
    }

    fn still_good(&self, session: &Session, now: Timestamp) -> Result<()> {
        let Some(scheme) = self.schemes.iter().find(|scheme| scheme.name() == session.scheme())
        else {
            return Ok(());
        };
        scheme.still_good(session, now).map_err(|error| {
            self.count(error.code());
            fault::unauthenticated()
        })
    }
}

impl std::fmt::Debug for TokenAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.schemes.iter().map(|scheme| scheme.name()).collect();
        f.debug_struct("TokenAuthenticator").field("schemes", &names).finish_non_exhaustive()
    }
}
