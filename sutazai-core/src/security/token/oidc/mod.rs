//! ID tokens of OpenID Connect: who somebody is, as another party says
//! (OpenID Connect Core 1.0, §3.1.3.7).
//!
//! The host supplies the issuer's keys and does the rest of the protocol; nothing here goes to the network.

mod refusal;

pub use refusal::IdTokenRefusal;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ring::digest;
use serde_json::{Map, Value};

use super::jwt::{Jwks, Jwt, JwtAlgorithm};
use super::text;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditTrail, AuditValue};
use crate::{Code, Error, Result};

/// What an ID token is accepted for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IdTokenPolicy {
    /// The issuer, exactly as its metadata has it.
    pub issuer: String,
    /// This client's identifier.
    pub client: String,
    /// Other audiences that a token may name besides; any other is not trusted.
    pub trusted_audiences: BTreeSet<String>,
    /// The algorithms that are accepted. Default EdDSA, ES256, RS256 and PS256; never HS256.
    pub algorithms: BTreeSet<JwtAlgorithm>,
    /// How far the issuer's clock and this machine's may be apart; up to 10 min, default 1 min.
    pub leeway: Duration,
    /// How old a token may be, by its `iat`; 1 s to 24 h, default 10 min.
    pub oldest: Duration,
}

impl IdTokenPolicy {
    /// The defaults, for this issuer and client.
    pub fn new(issuer: impl Into<String>, client: impl Into<String>) -> Self {
        use JwtAlgorithm::{EdDsa, Es256, Ps256, Rs256};
        Self {
            issuer: issuer.into(),
            client: client.into(),
            trusted_audiences: BTreeSet::new(),
            algorithms: BTreeSet::from([EdDsa, Es256, Rs256, Ps256]),
            leeway: Duration::from_secs(60),
            oldest: Duration::from_secs(600),
        }
    }
}

/// What the host knows of the login that a token comes from.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct IdTokenRequest<'a> {
    /// The nonce that was sent. With one the token must have it; without one it must have none.
    pub nonce: Option<&'a str>,
    /// The access token that came with it; its hash is held against `at_hash` when the token has that.
    pub access_token: Option<&'a str>,
    /// The most seconds that may have gone by since the person proved who they are (`max_age`).
    pub max_age: Option<Duration>,
}

impl<'a> IdTokenRequest<'a> {
    /// A login to which this nonce was sent.
    pub fn new(nonce: &'a str) -> Self {
        Self { nonce: Some(nonce), ..Self::default() }
    }

    /// With the access token that came with the ID token.
    #[must_use]
    pub fn access_token(mut self, token: &'a str) -> Self {
        self.access_token = Some(token);
        self
    }

    /// With the time within which they must have proved who they are.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }
}

/// An ID token that is good.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct IdToken {
    /// Whom the issuer means: unique within it, and only there.
    pub subject: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// All its claims.
    pub claims: Map<String, Value>,
}

/// Verifies ID tokens of one issuer.
///
/// Whatever is wrong with a token, the caller gets the same [`Code::ID_TOKEN_REFUSED`]; the reason goes to the
/// audit trail, and to who asks with [`check`](Self::check).
///
/// ```
/// use std::time::Duration;
/// use sutazai_core::base::time::Timestamp;
/// use sutazai_core::security::token::jwt::{Jwks, JwtSigner};
/// use sutazai_core::security::token::oidc::{IdTokenPolicy, IdTokenRefusal, IdTokenRequest, IdTokenVerifier};
///
/// let issuer = JwtSigner::ed25519(&[1; 32], Some("k"))?;
/// let policy = IdTokenPolicy::new("https://id.example", "client-1");
/// let verifier = IdTokenVerifier::new(policy, Jwks::new([issuer.key()?]))?;
/// let token = issuer.sign(&serde_json::json!({
///     "iss": "https://id.example", "aud": "client-1", "sub": "248289761001",
///     "iat": 1_700_000_000, "exp": 1_700_000_300, "nonce": "n-0S6",
/// }))?;
/// let now = Timestamp::from_nanos(1_700_000_010_000_000_000);
/// let id = verifier.verify(&token, &IdTokenRequest::new("n-0S6"), now)?;
/// assert_eq!(id.subject, "248289761001");
/// let other = verifier.check(&token, &IdTokenRequest::new("other"), now);
/// assert_eq!(other.unwrap_err(), IdTokenRefusal::Nonce);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
pub struct IdTokenVerifier {
    policy: IdTokenPolicy,
    keys: ArcSwap<Jwks>,
    trail: Option<Arc<dyn AuditTrail>>,
}

impl IdTokenVerifier {
    /// A verifier with these keys.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid.
    pub fn new(policy: IdTokenPolicy, keys: Jwks) -> Result<Self> {
        let problem = if policy.issuer.is_empty() || policy.client.is_empty() {
            "an ID token has an issuer and is for a client"
        } else if policy.algorithms.is_empty() || policy.algorithms.contains(&JwtAlgorithm::Hs256) {
            "ID tokens are accepted with public keys only: name an algorithm, and not HS256"
        } else if policy.leeway > Duration::from_secs(600) {
            "leeway must be at most 10 min"
        } else if !(1..=86_400).contains(&policy.oldest.as_secs()) {
            "oldest must be from 1 s to 24 h"
        } else {
            return Ok(Self { policy, keys: ArcSwap::from_pointee(keys), trail: None });
        };
        Err(Error::new(Code::INVALID, problem).operation("security.oidc"))
    }

    /// With an audit trail, which learns of each token, and why it was refused.
    #[must_use]
    pub fn with_audit(mut self, trail: Arc<dyn AuditTrail>) -> Self {
        self.trail = Some(trail);
        self
    }

    /// Takes other keys from here on: the issuer has rotated them.
    pub fn set_keys(&self, keys: Jwks) {
        self.keys.store(Arc::new(keys));
    }

    /// Who somebody is, if the token is good and belongs to this login.
    ///
    /// # Errors
    /// [`Code::ID_TOKEN_REFUSED`], which is the same whatever the reason; what the audit trail answers.
    pub fn verify(
        &self,
        token: &str,
        request: &IdTokenRequest<'_>,
        now: Timestamp,
    ) -> Result<IdToken> {
        let checked = self.check(token, request, now);
        if let Some(trail) = &self.trail {
            let (principal, outcome, reason) = match &checked {
                Ok(id) => (id.subject.as_str(), AuditOutcome::Success, ""),
                Err(refusal) => ("", AuditOutcome::Denied, refusal.name()),
            };
            trail.record(
                &AuditEvent::new(AuditClass::Authentication, "oidc.verify", principal, now)
                    .object(&self.policy.issuer)
                    .outcome(outcome)
                    .details(&[("reason", AuditValue::Text(reason))]),
            )?;
        }
        checked.map_err(|_| {
            Error::new(Code::ID_TOKEN_REFUSED, "the ID token is refused")
                .operation("security.oidc")
                .advice("log in again; the audit trail has the reason")
        })
    }

    /// As [`verify`](Self::verify), with the reason, and without the audit trail: not for who sent the token.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(
        &self,
        token: &str,
        request: &IdTokenRequest<'_>,
        now: Timestamp,
    ) -> Result<IdToken, IdTokenRefusal> {
        let jwt = self.keys.load().check(token).map_err(IdTokenRefusal::of)?;
        let claims = &jwt.claims;
        let string = |name: &str| claims.get(name).and_then(Value::as_str);
        let ensure = |good: bool, refusal| if good { Ok(()) } else { Err(refusal) };
        ensure(self.policy.algorithms.contains(&jwt.algorithm), IdTokenRefusal::Algorithm)?;
        ensure(string("iss") == Some(&self.policy.issuer), IdTokenRefusal::Issuer)?;
        self.audience(claims)?;
        let subject = string("sub").filter(|sub| !sub.is_empty() && sub.len() <= 255);
        let subject = subject.ok_or(IdTokenRefusal::Subject)?.to_owned();
        let issued = time(claims, "iat")?.ok_or(IdTokenRefusal::Times)?;
        let expires = time(claims, "exp")?.ok_or(IdTokenRefusal::Times)?;
        let leeway = self.policy.leeway;
        ensure(now < expires + leeway, IdTokenRefusal::Expired)?;
        let starts = time(claims, "nbf")?.unwrap_or(issued).max(issued);
        ensure(starts <= now + leeway, IdTokenRefusal::Early)?;
        ensure(now < issued + self.policy.oldest + leeway, IdTokenRefusal::Old)?;
        ensure(claims.contains_key("nonce") == request.nonce.is_some(), IdTokenRefusal::Nonce)?;
        ensure(string("nonce") == request.nonce, IdTokenRefusal::Nonce)?;
        if let Some(age) = request.max_age {
            let proved = time(claims, "auth_time")?.ok_or(IdTokenRefusal::AuthTime)?;
            ensure(now <= proved + age + leeway, IdTokenRefusal::AuthTime)?;
        }
        self.access_hash(&jwt, request)?;
        Ok(IdToken { subject, issued, expires, claims: jwt.claims })
    }

    fn audience(&self, claims: &Map<String, Value>) -> Result<(), IdTokenRefusal> {
        let client = self.policy.client.as_str();
        let all: Vec<&str> = match claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => {
                let texts: Option<_> = several.iter().map(Value::as_str).collect();
                texts.ok_or(IdTokenRefusal::Audience)?
            }
            _ => return Err(IdTokenRefusal::Audience),
        };
        let trusted = |aud: &&str| *aud == client || self.policy.trusted_audiences.contains(*aud);
        if !all.contains(&client) || !all.iter().all(trusted) {
            return Err(IdTokenRefusal::Audience);
        }
        match claims.get("azp") {
            None if all.len() == 1 => Ok(()),
            Some(Value::String(party)) if party == client => Ok(()),
            _ => Err(IdTokenRefusal::AuthorizedParty),
        }
    }

    /// The left half of the access token's hash (§3.1.3.6).
    fn access_hash(&self, jwt: &Jwt, request: &IdTokenRequest<'_>) -> Result<(), IdTokenRefusal> {
        let Some(token) = request.access_token else { return Ok(()) };
        let Some(said) = jwt.claims.get("at_hash") else { return Ok(()) };
        let hash = digest::digest(jwt.algorithm.hash(), token.as_bytes());
        let left = hash.as_ref().split_at(hash.as_ref().len() / 2).0;
        if said.as_str() == Some(&text::encode(left)) {
            Ok(())
        } else {
            Err(IdTokenRefusal::AccessHash)
        }
    }
}

/// Seconds since the epoch, of a claim that need not be there; fractions are taken, and what is no time is not.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, IdTokenRefusal> {
    const MOST: f64 = 9_000_000_000.0;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds =
        value.as_f64().filter(|n| (0.0..MOST).contains(n)).ok_or(IdTokenRefusal::Times)?;
    Ok(Some(Timestamp::EPOCH + Duration::from_secs_f64(seconds)))
}

impl std::fmt::Debug for IdTokenVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdTokenVerifier").field("policy", &self.policy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
