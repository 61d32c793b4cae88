//! What raises a risk, by how much, and for how long.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// What makes somebody, or what they do, look risky.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RiskSignal {
    /// A login from a device that they have not logged in from.
    NewDevice,
    /// A login from a place that they have not logged in from.
    NewPlace,
    /// A login at an hour at which they do not.
    OddHour,
    /// Attempts in their name that failed.
    FailedAttempts,
    /// More calls a minute than they make.
    UnusualRate,
    /// A threat was detected that has to do with them.
    Threat,
    /// The agent that is to act is not healthy.
    AgentHealth,
    /// What they ask for is sensitive.
    DataSensitivity,
}

impl RiskSignal {
    /// Every signal, in order.
    pub const ALL: [Self; 8] = [
        Self::NewDevice,
        Self::NewPlace,
        Self::OddHour,
        Self::FailedAttempts,
        Self::UnusualRate,
        Self::Threat,
        Self::AgentHealth,
        Self::DataSensitivity,
    ];

    /// Its name: `new_device`, …
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewDevice => "new_device",
            Self::NewPlace => "new_place",
            Self::OddHour => "odd_hour",
            Self::FailedAttempts => "failed_attempts",
            Self::UnusualRate => "unusual_rate",
            Self::Threat => "threat",
            Self::AgentHealth => "agent_health",
            Self::DataSensitivity => "data_sensitivity",
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// What a signal counts for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalPolicy {
    /// The score that it alone makes when it is as strong as can be: 0 to 1.
    pub weight: f64,
    /// After how long it counts for half, in milliseconds.
    pub half_life_ms: u64,
}

/// What raises a risk, by how much, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RiskPolicy {
    /// What signals count for, where it is not as below.
    ///
    /// | signal | weight | half-life |
    /// |---|---|---|
    /// | `new_device` | 0.3 | 1 h |
    /// | `new_place` | 0.3 | 1 h |
    /// | `odd_hour` | 0.15 | 1 h |
    /// | `failed_attempts` | 0.4 | 15 min |
    /// | `unusual_rate` | 0.4 | 10 min |
    /// | `threat` | 0.9 | 1 h |
    /// | `agent_health` | 0.3 | 5 min |
    /// | `data_sensitivity` | 0.4 | 1 min |
    pub signals: BTreeMap<RiskSignal, SignalPolicy>,
    /// Failed attempts that are as bad as can be. Default: 10.
    pub failures: u32,
    /// Logins until it is known which hours and places are usual. Default: 10.
    pub learned: u32,
    /// Calls a minute that are never unusual. Default: 60.
    pub calls: u32,
    /// Principals that are kept. Default: 100,000.
    pub principals: usize,
}

impl Default for RiskPolicy {
    fn default() -> Self {
        Self { signals: BTreeMap::new(), failures: 10, learned: 10, calls: 60, principals: 100_000 }
    }
}

impl RiskPolicy {
    pub(in crate::security) fn check(&self) -> Result<()> {
        let invalid =
            |what: &'static str| Error::new(Code::INVALID, what).operation("security.risk");
        for (signal, policy) in &self.signals {
            if !(0.0..=1.0).contains(&policy.weight) {
                return Err(invalid("a signal's weight is 0 to 1")
                    .with("field", format!("signals.{}.weight", signal.name())));
            }
            if policy.half_life_ms == 0 {
                return Err(invalid("a signal's half-life is a millisecond at least")
                    .with("field", format!("signals.{}.half_life_ms", signal.name())));
            }
        }
        if self.failures == 0 || self.principals == 0 {
            let field = if self.failures == 0 { "failures" } else { "principals" };
            return Err(invalid("failures and principals are 1 at least").with("field", field));
        }
        Ok(())
    }

    pub(super) fn of(&self, signal: RiskSignal) -> SignalPolicy {
        const MINUTE: u64 = 60_000;
        self.signals.get(&signal).copied().unwrap_or_else(|| {
            let (weight, half_life_ms) = match signal {
                RiskSignal::NewDevice | RiskSignal::NewPlace => (0.3, 60 * MINUTE),
                RiskSignal::OddHour => (0.15, 60 * MINUTE),
                RiskSignal::FailedAttempts => (0.4, 15 * MINUTE),
                RiskSignal::UnusualRate => (0.4, 10 * MINUTE),
                RiskSignal::Threat => (0.9, 60 * MINUTE),
                RiskSignal::AgentHealth => (0.3, 5 * MINUTE),
                RiskSignal::DataSensitivity => (0.4, MINUTE),
            };
            SignalPolicy { weight, half_life_ms }
        })
    }
}
