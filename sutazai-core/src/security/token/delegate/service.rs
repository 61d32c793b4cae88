//! [`Delegations`]: mints, verifies and permits.

use std::sync::Arc;
use std::time::Duration;

use biscuit_auth::builder::{Fact, Term};
use biscuit_auth::{Biscuit, BiscuitBuilder};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;
use zeroize::Zeroizing;

use super::super::cache::{Cache, CacheStatus, Digest, Generations};
use super::super::claims::{
    ATTRIBUTE_ACTOR, ATTRIBUTE_ACTORS, ATTRIBUTE_DELEGATION, ClaimRules, Claims,
};
use super::super::revoke::{Bearer, Revocations};
use super::super::scheme::TokenScheme;
use super::super::{Grant, fault, text};
use super::attenuate::{Attenuation, Context, attenuate};
use super::datalog::{ids, open, run};
use super::types::{Delegated, DelegationConfig, Minted};
use super::{BISCUIT, DelegationKeys, bytes_of, facts, text_of};
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditTrail, AuditValue, Session};
use crate::security::clock::Clock;
use crate::{Code, Error, Result};

/// Delegated tokens of one issuer. See the [module's documentation](super).
pub struct Delegations {
    config: DelegationConfig,
    rules: ClaimRules,
    keys: Arc<dyn DelegationKeys>,
    revocations: Arc<Revocations>,
    clock: Arc<Clock>,
    cache: Cache<Delegated>,
    trail: Option<Arc<dyn AuditTrail>>,
}

impl Delegations {
    /// Delegated tokens under these keys.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a configuration out of range.
    pub fn new(
        config: DelegationConfig,
        keys: Arc<dyn DelegationKeys>,
        revocations: Arc<Revocations>,
        clock: Arc<Clock>,
    ) -> Result<Self> {
        config.check()?;
        let rules = ClaimRules {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway: config.leeway,
            longest: config.longest,
        };
        let cache = Cache::new(config.cache);
        Ok(Self { config, rules, keys, revocations, clock, cache, trail: None })
    }

    /// With an audit trail: what is minted and attenuated here is on it before it is acknowledged.
    #[must_use]
    pub fn with_audit(mut self, trail: Arc<dyn AuditTrail>) -> Self {
        self.trail = Some(trail);
        self
    }

    /// Mints a root token for a session: all that its user may do. `family` is the family of refresh tokens that
    /// it is to end with.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a grant that is not well-formed, or a life beyond the longest;
    /// [`Code::TOKEN_KEY`] when there is no key; what the audit trail answers.
    pub fn mint(
        &self,
        grant: &Grant,
        family: Option<&str>,
        lives: Duration,
        now: Timestamp,
    ) -> Result<Minted> {
        grant.check()?;
        let invalid = |message: &'static str| {
            Error::new(Code::INVALID, message).operation("security.delegate.mint")
        };
        if lives > self.config.longest || lives.as_secs() == 0 {
            return Err(invalid(
                "a root token lives for a second at least, and no longer than it may",
            ));
        }
        let mut now = self.clock.observe(now);
        if let Some(until) =
            self.revocations.revoked_until(&grant.subject).filter(|until| *until >= now)
        {
            now = until + Duration::from_nanos(1);
        }
        let mut id = [0; 16];
        SystemRandom::new()
            .fill(&mut id)
            .map_err(|_| Error::new(Code::INTERNAL, "the system has no randomness to give"))?;
        let claims = Claims {
            iss: self.config.issuer.clone(),
            sub: grant.subject.clone(),
            aud: self.config.audience.clone(),
            exp: now + lives,
            nbf: now,
            iat: now,
            jti: text::encode(id),
            fam: family.map(str::to_owned),
            scope: grant.scope.clone(),
            amr: grant.amr.clone(),
            auth_time: grant.auth_time.map(Timestamp::from_nanos),
            att: grant.attributes.clone(),
        };
        let token = self.sign(&claims)?;
        self.record("token.delegate", &claims.sub, &claims, "", now)?;
        Ok(Minted { token, claims })
    }

    fn sign(&self, claims: &Claims) -> Result<Zeroizing<String>> {
        let json = String::from_utf8(claims.to_json()?)
            .map_err(|e| Error::new(Code::INTERNAL, "claims are no text").because(e))?;
        let text = |text: &str| Term::Str(text.to_owned());
        let mut facts = vec![
            Fact::new("user".to_owned(), vec![text(&claims.sub)]),
            Fact::new("audience".to_owned(), vec![text(&claims.aud)]),
        ];
        facts.extend(
            claims.scope.iter().map(|scope| Fact::new("scope".to_owned(), vec![text(scope)])),
        );
        let key = self.keys.current()?;
        let builder = BiscuitBuilder::new().context(json).root_key_id(key.id());
        let bytes = facts
            .into_iter()
            .try_fold(builder, BiscuitBuilder::fact)
            .and_then(|builder| builder.build(&key.pair))
            .and_then(|biscuit| biscuit.to_vec())
            .map_err(|e| Error::new(Code::INTERNAL, "the root token cannot be made").because(e))?;
        text_of(&Zeroizing::new(bytes))
    }

    /// Attenuates a token that is good, on the record. [`attenuate`] does the same unseen.
    ///
    /// # Errors
    /// As [`verify`](Self::verify) and [`attenuate`]; what the audit trail answers.
    pub fn attenuate(
        &self,
        token: &str,
        less: &Attenuation,
        now: Timestamp,
    ) -> Result<Zeroizing<String>> {
        let now = self.clock.observe(now);
        let held = self.verify(token, now)?;
        let token = attenuate(token, less)?;
        let by = held.actors.last().unwrap_or(&held.claims.sub);
        self.record("token.attenuate", by, &held.claims, less.agent(), now)?;
        Ok(token)
    }

    /// Whose a token is and who acts with it, if its signatures are good, its times have not ended, and it is not
    /// revoked. What it allows is not asked here.
    ///
    /// # Errors
    /// As [`Tokens::verify`](super::super::Tokens::verify).
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Delegated>> {
        let now = self.clock.observe(now);
        let generations = self.generations();
        let bytes = bytes_of(token)?;
        let digest = Digest::of(token);
        if let Some(held) = self.cache.get(&digest, now, generations, |held| self.is_revoked(held))
        {
            return Ok(held);
        }
        let biscuit = open(&bytes, |id| self.keys.verifier(id))?;
        let held = Arc::new(self.read(biscuit, &digest, now)?);
        if self.is_revoked(&held) {
            return Err(fault::revoked());
        }
        self.cache.put(digest, Arc::clone(&held), held.expires, generations);
        Ok(held)
    }

    fn generations(&self) -> Generations {
        Generations { revocations: self.revocations.generation(), keys: self.keys.generation() }
    }

    fn read(&self, biscuit: Biscuit, digest: &Digest, now: Timestamp) -> Result<Delegated> {
        let mut contexts = biscuit.context().into_iter();
        let json = contexts.next().flatten().ok_or_else(fault::claims_form)?;
        let claims = Claims::from_json(json.as_bytes())?;
        self.rules.check(&claims, now)?;
        let mut expires = claims.exp + self.config.leeway;
        let mut actors = Vec::new();
        let depth = biscuit.block_count().saturating_sub(1);
        // A block without a context that is ours was added by other means: its checks count all the same.
        for context in
            contexts.flatten().filter_map(|json| serde_json::from_str::<Context>(&json).ok())
        {
            if let Some(until) = context.until {
                expires = expires.min(Timestamp::from_nanos(until));
            }
            if context.depth.is_some_and(|most| depth > most) {
                return Err(Error::new(
                    Code::TOKEN_CLAIMS,
                    "the token was handed on more often than it may be",
                ));
            }
            // A name of several words would look like several names.
            let one_word =
                !context.agent.is_empty() && !context.agent.contains(char::is_whitespace);
            actors.push(if one_word { context.agent } else { "?".to_owned() });
        }
        if now >= expires {
            return Err(fault::expired());
        }
        let mut attributes = claims.session("biscuit").attributes().clone();
        attributes.insert(ATTRIBUTE_DELEGATION.to_owned(), text::encode(digest.bytes()));
        if let Some(actor) = actors.last() {
            attributes.insert(ATTRIBUTE_ACTOR.to_owned(), actor.clone());
            attributes.insert(ATTRIBUTE_ACTORS.to_owned(), actors.join(" "));
        }
        let session = Session::new(claims.sub.as_str(), "biscuit").with_attributes(attributes);
        let revocation_ids = ids(&biscuit);
        Ok(Delegated { claims, session, actors, revocation_ids, expires, biscuit })
    }

    fn is_revoked(&self, held: &Delegated) -> bool {
        let bearer = Bearer {
            id: &held.claims.jti,
            family: held.claims.fam.as_deref(),
            subject: &held.claims.sub,
            issued: held.claims.iat,
        };
        self.revocations.is_revoked(&bearer)
            || held
                .revocation_ids
                .iter()
                .any(|id| self.revocations.is_revoked(&Bearer { id, ..bearer }))
    }

    /// Whether a session may make this call, as far as its token goes. A session that is of no delegated token
    /// may; what its principal may do besides is for the policy to say.
    ///
    /// # Errors
    /// [`Code::DELEGATION_DENIED`] when a check of the token fails, and when the token is no longer known here, has
    /// expired or was revoked since it was verified.
    pub fn permit(
        &self,
        session: &Session,
        skill: &str,
        arguments: &Value,
        now: Timestamp,
    ) -> Result<()> {
        let digest = session.attributes().get(ATTRIBUTE_DELEGATION);
        if session.scheme() != "biscuit" && digest.is_none() {
            return Ok(());
        }
        let now = self.clock.observe(now);
        let gone = || {
            Error::new(Code::DELEGATION_DENIED, "the delegated token is not known here any more")
                .operation("security.delegate.permit")
                .advice("authenticate the token again, and make the call then")
        };
        let digest = digest.and_then(text::decode).and_then(|bytes| Digest::from_bytes(&bytes));
        let held = self
            .cache
            .get(&digest.ok_or_else(gone)?, now, self.generations(), |held| self.is_revoked(held))
            .ok_or_else(gone)?;
        let depth = held.biscuit.block_count().saturating_sub(1);
        let authorizer = facts::authorizer(skill, arguments, depth, now)?;
        run(authorizer, &held.biscuit, self.config.limits).map(drop)
    }

    /// What is revoked.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The figures of the cache.
    pub fn status(&self) -> CacheStatus {
        self.cache.status()
    }

    fn record(
        &self,
        action: &str,
        by: &str,
        claims: &Claims,
        agent: &str,
        now: Timestamp,
    ) -> Result<()> {
        let Some(trail) = &self.trail else { return Ok(()) };
        let expires = claims.exp.to_string();
        trail.record(
            &AuditEvent::new(AuditClass::Token, action, by, now).object(&claims.jti).details(&[
                ("agent", AuditValue::Text(agent)),
                ("expires", AuditValue::Text(&expires)),
            ]),
        )
    }
}

impl TokenScheme for Delegations {
    fn name(&self) -> &str {
        "biscuit"
    }

    fn is_mine(&self, token: &str) -> bool {
        token.starts_with(BISCUIT)
    }

    fn session(&self, token: &str, now: Timestamp) -> Result<Session> {
        self.verify(token, now).map(|held| held.session.clone())
    }

    fn still_good(&self, session: &Session, _now: Timestamp) -> Result<()> {
        self.revocations.still_good(session)
    }
}

impl std::fmt::Debug for Delegations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delegations").field("config", &self.config).finish_non_exhaustive()
    }
}
