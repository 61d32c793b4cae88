//! [`Tokens`]: issues, verifies, refreshes and revokes.

mod issue;
mod policy;

use std::sync::Arc;
use std::time::Duration;

pub use policy::{TokenConfig, TokenPurpose, TokenStatus};

use super::cache::{Cache, Digest, Generations};
use super::claims::{ClaimRules, Claims, kid};
use super::keys::TokenKeys;
use super::refresh::Families;
use super::revoke::{Bearer, Revocation, Revocations};
use super::scheme::TokenScheme;
use super::{fault, paseto};
#[cfg(doc)]
use crate::Code;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditTrail, AuditValue, Session};
use crate::security::clock::Clock;
use crate::store::Store;
use crate::{Error, Result};

/// A token that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// The session that it is of; its scheme is `paseto`.
    pub session: Session,
}

/// Access and refresh tokens of one issuer.
///
/// Access tokens are PASETO, version 4, and live for 15 minutes; a login may come with a refresh token besides, which
/// begins a family. Verifying an access token takes a signature, and the second time a look-up.
///
/// ```
/// use std::sync::Arc;
/// use sutazai_core::base::time::Timestamp;
/// use sutazai_core::security::token::{Grant, Revocation, SeedKeys, TokenConfig, Tokens};
/// use sutazai_core::security::{Clock, ClockPolicy};
/// use sutazai_core::store::Store;
///
/// let store = Store::memory(&[])?;
/// let clock = Arc::new(Clock::open(store.clone(), ClockPolicy::default())?);
/// let config = TokenConfig::new("https://issuer.example", "kernel");
/// let tokens = Tokens::open(config, Arc::new(SeedKeys::new(&[7; 32])?), store, clock)?;
///
/// let now = Timestamp::now();
/// let issued = tokens.login(&Grant::new("alice").scope(["read"]), now)?;
/// assert_eq!(tokens.verify(&issued.access, now)?.session.principal(), "alice");
/// let next = tokens.refresh(issued.refresh.as_deref().unwrap(), now)?;
/// tokens.revoke(&Revocation::Subject { subject: "alice".into(), before: now }, "root", now)?;
/// assert!(tokens.verify(&next.access, now).is_err());
/// # Ok::<(), sutazai_core::Error>(())
/// ```
pub struct Tokens {
    config: TokenConfig,
    rules: ClaimRules,
    keys: Arc<dyn TokenKeys>,
    clock: Arc<Clock>,
    revocations: Arc<Revocations>,
    families: Families,
    cache: Cache<Verified>,
    trail: Option<Arc<dyn AuditTrail>>,
}

impl Tokens {
    /// Tokens signed with these keys, whose families and revocations are in this store.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a configuration out of range; what the store answers; [`Code::STORE_CORRUPT`]
    /// for what cannot be read in it.
    pub fn open(
        config: TokenConfig,
        keys: Arc<dyn TokenKeys>,
        store: Store,
        clock: Arc<Clock>,
    ) -> Result<Self> {
        config.check()?;
        let revocations = Arc::new(Revocations::open(store.clone(), config.revocations())?);
        Ok(Self {
            rules: config.rules(),
            keys,
            clock,
            revocations,
            families: Families::open(store, config.refresh)?,
            cache: Cache::new(config.cache),
            trail: None,
            config,
        })
    }

    /// With an audit trail: what is issued, refreshed and revoked is on it before it is acknowledged.
    #[must_use]
    pub fn with_audit(mut self, trail: Arc<dyn AuditTrail>) -> Self {
        self.trail = Some(trail);
        self
    }

    /// What a token says and whose session it is, if it is good. `v4.public` and `v4.local` alike; the key is
    /// the one that the footer names.
    ///
    /// # Errors
    /// [`Code::TOKEN_MALFORMED`], [`Code::TOKEN_KEY`], [`Code::TOKEN_SIGNATURE`], [`Code::TOKEN_CLAIMS`],
    /// [`Code::TOKEN_EARLY`], [`Code::TOKEN_EXPIRED`], [`Code::TOKEN_REVOKED`]; none allocates.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Verified>> {
        let now = self.clock.observe(now);
        // Before anything is looked up: see the cache.
        let generations = Generations {
            revocations: self.revocations.generation(),
            keys: self.keys.generation(),
        };
        if self.cache.is_off() || token.len() > super::MAX_TOKEN {
            return self.verify_anew(token, now).map(Arc::new);
        }
        let digest = Digest::of(token);
        if let Some(verified) =
            self.cache.get(&digest, now, generations, |verified| self.is_revoked(&verified.claims))
        {
            return Ok(verified);
        }
        let verified = Arc::new(self.verify_anew(token, now)?);
        let until = verified.claims.exp + self.config.leeway;
        self.cache.put(digest, Arc::clone(&verified), until, generations);
        Ok(verified)
    }

    fn verify_anew(&self, token: &str, now: Timestamp) -> Result<Verified> {
        let opened = if token.starts_with(paseto::PUBLIC) {
            let kid = kid(&paseto::untrusted_footer(token)?)?;
            let key = self.keys.verifier(&kid).ok_or_else(fault::key)?;
            paseto::verify(&key, token, b"")?
        } else if token.starts_with(paseto::LOCAL) {
            let kid = kid(&paseto::untrusted_footer(token)?)?;
            let key = self.keys.local(&kid).ok_or_else(fault::key)?;
            paseto::decrypt(&key, token, b"")?
        } else {
            return Err(fault::malformed());
        };
        let claims = Claims::from_json(&opened.message)?;
        self.rules.check(&claims, now)?;
        if self.is_revoked(&claims) {
            return Err(fault::revoked());
        }
        Ok(Verified { session: claims.session("paseto"), claims })
    }

    fn is_revoked(&self, claims: &Claims) -> bool {
        self.revocations.is_revoked(&Bearer {
            id: &claims.jti,
            family: claims.fam.as_deref(),
            subject: &claims.sub,
            issued: claims.iat,
        })
    }

    /// Revokes, on behalf of `by`. It holds at once, and is on the disk and on the record when this returns `Ok`.
    ///
    /// # Errors
    /// As [`Revocations::revoke`], and what the audit trail answers; in both cases the revocation
    /// holds in memory, and may be tried again.
    pub fn revoke(&self, what: &Revocation, by: &str, now: Timestamp) -> Result<()> {
        let now = self.clock.observe(now);
        self.revocations.revoke(what, now)?;
        let (kind, object) = match what {
            Revocation::Token { id, .. } => ("token", id.as_str()),
            Revocation::Family { id, .. } => ("family", id.as_str()),
            Revocation::Subject { subject, .. } => ("subject", subject.as_str()),
            Revocation::Everything { .. } => ("everything", ""),
        };
        self.record(
            &AuditEvent::new(AuditClass::Revocation, "token.revoke", by, now)
                .object(object)
                .details(&[("kind", AuditValue::Text(kind))]),
        )?;
        match what {
            Revocation::Token { .. } => Ok(()),
            Revocation::Family { id, .. } => self.families.end(id),
            Revocation::Subject { .. } | Revocation::Everything { .. } => {
                self.end_families(now).map(drop)
            }
        }
    }

    /// Revokes one token by its text, as a logout does; one that has expired needs no more. With a refresh token goes
    /// the session that it keeps alive, as RFC 7009 (section 2.1) has it.
    ///
    /// # Errors
    /// As [`verify`](Self::verify) for what is no token that is good here,
    /// [`Code::REFRESH_INVALID`](crate::Code::REFRESH_INVALID) for a refresh token that is not, and as
    /// [`revoke`](Self::revoke).
    pub fn revoke_token(&self, token: &str, by: &str, now: Timestamp) -> Result<()> {
        if let Some(family) = self.family_of_refresh(token)? {
            return self.revoke(&family, by, now);
        }
        let claims = match self.verify(token, now) {
            Ok(verified) => verified.claims.clone(),
            Err(error) if error.code() == crate::Code::TOKEN_EXPIRED => return Ok(()),
            Err(error) => return Err(error),
        };
        let (id, subject, expires) = (claims.jti, Some(claims.sub), claims.exp);
        self.revoke(&Revocation::Token { id, subject, expires }, by, now)
    }

    /// Revokes the session that a token is of, as a logout does: its refresh token, and every access token of that.
    /// A token that came of none is revoked by itself.
    ///
    /// # Errors
    /// As [`revoke_token`](Self::revoke_token), but [`Code::TOKEN_EXPIRED`](crate::Code::TOKEN_EXPIRED) as well: what it
    /// came of may be good still, and an expired token does not show that it may end that.
    pub fn revoke_family_of(&self, token: &str, by: &str, now: Timestamp) -> Result<()> {
        if let Some(family) = self.family_of_refresh(token)? {
            return self.revoke(&family, by, now);
        }
        let claims = self.verify(token, now)?.claims.clone();
        let subject = Some(claims.sub);
        let revocation = match claims.fam {
            Some(id) => Revocation::Family { id, subject },
            None => Revocation::Token { id: claims.jti, subject, expires: claims.exp },
        };
        self.revoke(&revocation, by, now)
    }

    /// What ends the family of a refresh token; nothing where it is none.
    fn family_of_refresh(&self, token: &str) -> Result<Option<Revocation>> {
        let family = self.families.of(token)?;
        Ok(family.map(|(id, subject)| Revocation::Family { id, subject: Some(subject) }))
    }

    fn end_families(&self, now: Timestamp) -> Result<usize> {
        self.families.sweep(now, |family, subject, created| {
            let family = Some(family);
            self.revocations.is_revoked(&Bearer { id: "", family, subject, issued: created })
        })
    }

    /// Drops what has expired: families, and revocations that cover nothing any more. To be called now and then;
    /// answers how many were dropped.
    ///
    /// # Errors
    /// What the store answers.
    pub fn sweep(&self, now: Timestamp) -> Result<usize> {
        let now = self.clock.observe(now);
        let families = self.end_families(now)?;
        Ok(families + self.revocations.sweep(now, self.config.leeway + Duration::from_secs(60)))
    }

    /// Takes the clock back after a leap ([`Clock::reset`]) and revokes everything that was issued until
    /// then, because revocations that seemed to be over were forgotten meanwhile. Tokens issued under the
    /// wrong clock are not valid yet under the right one; to have them never be, rotate the keys.
    ///
    /// # Errors
    /// As [`Clock::reset`], [`Revocations::revoke`] and the audit trail.
    pub fn reset_clock(&self, to: Timestamp, by: &str) -> Result<()> {
        self.clock.reset(to)?;
        self.cache.clear();
        self.revocations.revoke(&Revocation::Everything { before: to }, to)?;
        let text = to.to_string();
        self.record(
            &AuditEvent::new(AuditClass::Override, "clock.reset", by, to)
                .details(&[("to", AuditValue::Text(&text))]),
        )
    }

    /// What is revoked, for other schemes to share.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// The figures.
    pub fn status(&self) -> TokenStatus {
        TokenStatus {
            cache: self.cache.status(),
            refresh: self.families.status(),
            revocations: self.revocations.status(),
        }
    }

    /// For the end of the process: writes down the time that was seen.
    ///
    /// # Errors
    /// What the store answers.
    pub fn close(&self) -> Result<()> {
        self.clock.persist()
    }

    fn record(&self, event: &AuditEvent<'_>) -> Result<()> {
        match &self.trail {
            Some(trail) => trail.record(event).map_err(|e| {
                Error::new(e.code(), "it cannot be put on the record, so it is not done")
                    .operation("security.token")
                    .because(e)
            }),
            None => Ok(()),
        }
    }
}

impl TokenScheme for Tokens {
    fn name(&self) -> &str {
        "paseto"
    }

    fn is_mine(&self, token: &str) -> bool {
        token.starts_with(paseto::PUBLIC) || token.starts_with(paseto::LOCAL)
    }

    fn session(&self, token: &str, now: Timestamp) -> Result<Session> {
        self.verify(token, now).map(|verified| verified.session.clone())
    }

    fn still_good(&self, session: &Session, _now: Timestamp) -> Result<()> {
        self.revocations.still_good(session)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("config", &self.config).finish_non_exhaustive()
    }
}
