//! What delegated tokens are: how they are configured, minted and held.

use std::time::Duration;

use biscuit_auth::Biscuit;
use zeroize::Zeroizing;

use super::super::claims::Claims;
#[cfg(doc)]
use super::Delegations;
use super::datalog::DelegationLimits;
use crate::base::time::Timestamp;
use crate::port::Session;
use crate::{Code, Error, Result};

/// How delegated tokens are minted and accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DelegationConfig {
    /// Who mints them.
    pub issuer: String,
    /// Who accepts them.
    pub audience: String,
    /// The longest life of a root token; up to 30 days, default 24 h. The revocations must be kept as long.
    pub longest: Duration,
    /// How far clocks may be apart; up to 2 min, default 5 s.
    pub leeway: Duration,
    /// How much Datalog may run.
    pub limits: DelegationLimits,
    /// About how many verified tokens are kept; 1 to 1,000,000, default 4,096. A token must be among them
    /// while a call is permitted, which follows on its verification.
    pub cache: usize,
}

impl DelegationConfig {
    /// The defaults, for this issuer and audience.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            longest: Duration::from_secs(86_400),
            leeway: Duration::from_secs(5),
            limits: DelegationLimits::default(),
            cache: 4096,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let problem = if self.issuer.is_empty() || self.audience.is_empty() {
            "delegated tokens have an issuer and an audience"
        } else if self.longest > Duration::from_secs(30 * 86_400) {
            "longest must be at most 30 days"
        } else if self.leeway > Duration::from_secs(120) {
            "leeway must be at most 2 min"
        } else if !(1..=1_000_000).contains(&self.cache) {
            "cache must be from 1 to 1,000,000"
        } else {
            return Ok(());
        };
        Err(Error::new(Code::INVALID, problem).operation("security.delegate"))
    }
}

/// A root token that was minted.
#[non_exhaustive]
pub struct Minted {
    /// The token. Secret.
    pub token: Zeroizing<String>,
    /// What it says.
    pub claims: Claims,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted").field("claims", &self.claims).finish_non_exhaustive()
    }
}

/// A delegated token whose signatures were verified. Whether it allows a call is for
/// [`Delegations::permit`] to say.
#[non_exhaustive]
pub struct Delegated {
    /// What its root says.
    pub claims: Claims,
    /// The session that it is of; its scheme is `biscuit`.
    pub session: Session,
    /// The agents that it was handed to, the first one first.
    pub actors: Vec<String>,
    /// By what it can be revoked beside its root's `jti`: an identifier a block; with one of them go all tokens
    /// that were attenuated further.
    pub revocation_ids: Vec<String>,
    /// When the first of its times ends.
    pub expires: Timestamp,
    pub(super) biscuit: Biscuit,
}

impl std::fmt::Debug for Delegated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delegated")
            .field("claims", &self.claims)
            .field("actors", &self.actors)
            .finish_non_exhaustive()
    }
}
