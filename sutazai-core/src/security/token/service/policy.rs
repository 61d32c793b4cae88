//! What is configured of tokens, and their figures.

use std::time::Duration;

use crate::security::token::cache::CacheStatus;
use crate::security::token::claims::ClaimRules;
use crate::security::token::refresh::{RefreshPolicy, RefreshStatus};
use crate::security::token::revoke::{RevocationPolicy, RevocationStatus};
use crate::{Code, Error, Result};

/// How access tokens are made.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TokenPurpose {
    /// `v4.public`: signed, and whoever has the public key can verify and read it.
    #[default]
    Public,
    /// `v4.local`: encrypted, for the issuer alone.
    Local,
}

/// How tokens are issued and accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenConfig {
    /// Who issues them: `iss`.
    pub issuer: String,
    /// Who accepts them: `aud`.
    pub audience: String,
    /// How long an access token lives; 10 s to 24 h, default 15 min.
    pub access: Duration,
    /// How far the clocks of issuer and verifier may be apart; 0 to 2 min, default 5 s.
    pub leeway: Duration,
    /// Signed or encrypted.
    pub purpose: TokenPurpose,
    /// Refresh tokens.
    pub refresh: RefreshPolicy,
    /// About how many verified tokens are kept; 0 is none, up to 1,000,000, default 8,192.
    pub cache: usize,
    /// The most revocations of each kind; see [`RevocationPolicy::entries`]. Default 100,000.
    pub revocations: usize,
    /// The longest that anything lives that shares the revocations with these tokens; up to 400 days, default 0,
    /// which is no longer than these.
    pub longest_other: Duration,
}

impl TokenConfig {
    /// With revocations that are kept as long as something that lives so long and shares them.
    #[must_use]
    pub fn outlasting(mut self, other: Duration) -> Self {
        self.longest_other = self.longest_other.max(other);
        self
    }

    /// The defaults, for this issuer and audience.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            access: Duration::from_secs(15 * 60),
            leeway: Duration::from_secs(5),
            purpose: TokenPurpose::Public,
            refresh: RefreshPolicy::default(),
            cache: 8192,
            revocations: 100_000,
            longest_other: Duration::ZERO,
        }
    }

    pub(in crate::security) fn check(&self) -> Result<()> {
        let second = Duration::from_secs;
        let (field, problem) = if self.issuer.is_empty() {
            ("issuer", "tokens have an issuer")
        } else if self.audience.is_empty() {
            ("audience", "tokens have an audience")
        } else if !(second(10)..=second(86_400)).contains(&self.access) {
            ("access", "access must be from 10 s to 24 h")
        } else if self.leeway > second(120) {
            ("leeway", "leeway must be at most 2 min")
        } else if self.cache > 1_000_000 {
            ("cache", "cache must be at most 1,000,000")
        } else if self.longest_other > second(400 * 86_400) {
            ("longest_other", "longest_other must be at most 400 days")
        } else {
            return self.refresh.check().map(drop);
        };
        Err(Error::new(Code::INVALID, problem)
            .operation("security.token.open")
            .with("field", field))
    }

    pub(super) fn rules(&self) -> ClaimRules {
        ClaimRules {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            leeway: self.leeway,
            longest: self.access,
        }
    }

    pub(super) fn revocations(&self) -> RevocationPolicy {
        let longest = self.refresh.absolute.max(self.longest_other) + self.access;
        RevocationPolicy { entries: self.revocations, longest }
    }
}

/// The figures of the tokens.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TokenStatus {
    /// Of the cache of verified tokens.
    pub cache: CacheStatus,
    /// Of the refresh tokens.
    pub refresh: RefreshStatus,
    /// Of the revocations.
    pub revocations: RevocationStatus,
}
