//! How tokens are issued.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::super::token::{RefreshPolicy, TokenConfig, TokenPurpose};

/// How tokens are issued and accepted, as [`TokenConfig`] has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TokenSpec {
    /// Who issues them. Default: the room's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Who accepts them. Default: the room's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How long an access token lives, in milliseconds: 10 s to 24 h. Default: 15 minutes.
    pub access_ms: u64,
    /// How far the clocks of issuer and verifier may be apart, in milliseconds: up to 2 minutes. Default: 5 s.
    pub leeway_ms: u64,
    /// Signed, so that whoever has the public key can verify and read them, or encrypted for the issuer alone.
    /// Default: signed.
    pub purpose: TokenPurpose,
    /// Refresh tokens.
    pub refresh: RefreshSpec,
    /// About how many verified tokens are kept, up to 1,000,000; 0 is none. Default: 8,192.
    pub cache: usize,
    /// The most revocations of each kind. Default: 100,000.
    pub revocations: usize,
    /// The longest that anything lives that shares the revocations with these tokens, in milliseconds: up to 400 days.
    /// Default: no longer than these.
    pub longest_other_ms: u64,
}

/// How long refresh tokens live, and how many there are, as [`RefreshPolicy`] has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RefreshSpec {
    /// The longest life of what came of one login, in milliseconds: 1 minute to 400 days. Default: 30 days.
    pub absolute_ms: u64,
    /// The longest time between two uses, in milliseconds: from 1 minute. Default: 7 days.
    pub idle_ms: u64,
    /// The most logins of one subject that live at once; with one more the oldest ends. 1 to 1,000. Default: 16.
    pub per_subject: usize,
    /// The most logins that live at once; beyond it they are refused. 1 to 10,000,000. Default: 100,000.
    pub families: usize,
    /// For so long after a token was used the same one is answered once more, for clients that lost the answer,
    /// in milliseconds: up to 60 s. Default: not at all.
    pub grace_ms: u64,
}

impl Default for TokenSpec {
    fn default() -> Self {
        let config = TokenConfig::new("", "");
        Self {
            issuer: None,
            audience: None,
            access_ms: in_ms(config.access),
            leeway_ms: in_ms(config.leeway),
            purpose: config.purpose,
            refresh: RefreshSpec::default(),
            cache: config.cache,
            revocations: config.revocations,
            longest_other_ms: in_ms(config.longest_other),
        }
    }
}

impl Default for RefreshSpec {
    fn default() -> Self {
        let policy = RefreshPolicy::default();
        Self {
            absolute_ms: in_ms(policy.absolute),
            idle_ms: in_ms(policy.idle),
            per_subject: policy.per_subject,
            families: policy.families,
            grace_ms: in_ms(policy.grace),
        }
    }
}

impl TokenSpec {
    /// Of a room of this name.
    pub(super) fn config(&self, name: &str) -> TokenConfig {
        let or_name = |given: &Option<String>| given.as_deref().unwrap_or(name).to_owned();
        let mut config = TokenConfig::new(or_name(&self.issuer), or_name(&self.audience));
        config.access = Duration::from_millis(self.access_ms);
        config.leeway = Duration::from_millis(self.leeway_ms);
        config.purpose = self.purpose;
        config.refresh = RefreshPolicy {
            absolute: Duration::from_millis(self.refresh.absolute_ms),
            idle: Duration::from_millis(self.refresh.idle_ms),
            per_subject: self.refresh.per_subject,
            families: self.refresh.families,
            grace: Duration::from_millis(self.refresh.grace_ms),
        };
        config.cache = self.cache;
        config.revocations = self.revocations;
        config.longest_other = Duration::from_millis(self.longest_other_ms);
        config
    }
}

fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
