//! What a guard is told: [`GuardPolicy`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::recovery::{BreakerPolicy, BudgetPolicy, BulkheadPolicy, RatePolicy, RetryPolicy};
use crate::{Code, Error, Result};

/// What stands between a call and trouble. Everything is off unless it is given; what is given without
/// figures has those of its default.
///
/// ```
/// use sutazai_core::recovery::GuardPolicy;
///
/// let policy: GuardPolicy = serde_json::from_str(
///     r#"{"timeout_ms": 30000, "retry": {"attempts": 4}, "breaker": {}, "bulkhead": {"concurrency": 8}}"#,
/// )?;
/// assert_eq!(policy.retry.unwrap().attempts, 4);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct GuardPolicy {
    /// Milliseconds for the whole call, its retries and waits included; 1 or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Milliseconds for each try; 1 or more. Ends tries that are awaited; one that blocks its thread is
    /// told by its [`Attempt::deadline`](super::Attempt) only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_timeout_ms: Option<u64>,
    /// Whether and how failures are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// What retries are paid from. Without it they have a budget of the default policy to themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetPolicy>,
    /// Stops calling what keeps failing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerPolicy>,
    /// How many run at once and wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<BulkheadPolicy>,
    /// How many are made in which time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<RatePolicy>,
    /// A second try beside a first one that is slow: of calls that are awaited, and of those of a kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<HedgePolicy>,
    /// Names under which parts are shared with other guards.
    #[serde(skip_serializing_if = "Share::is_empty")]
    pub share: Share,
}

/// The names of parts that several guards share. Guards that give the same name have the same part;
/// the one that is made first says how it is, and the policies of the others must agree with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Share {
    /// Retries of all of them are paid from one budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// One breaker watches what all of them call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<String>,
    /// All of them together run so many at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<String>,
    /// All of them together make so many calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
}

impl Share {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// When a call is made a second time before the first one has answered; the first answer counts, and
/// the other call is cancelled (J. Dean and L. A. Barroso, "The Tail at Scale", CACM 56(2), 2013). For
/// calls that may be made twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct HedgePolicy {
    /// The second call is made when the first has taken longer than this share of recent calls, above
    /// 0 and below 1. Default 0.95.
    pub quantile: f64,
    /// Milliseconds that it waits at least, and until enough calls were seen. Default 20.
    pub min_ms: u64,
    /// Second calls as a share of all, above 0 and up to 1. Default 0.05.
    pub budget: f64,
}

impl Default for HedgePolicy {
    fn default() -> Self {
        Self { quantile: 0.95, min_ms: 20, budget: 0.05 }
    }
}

impl GuardPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        for (field, ms) in
            [("timeout_ms", self.timeout_ms), ("attempt_timeout_ms", self.attempt_timeout_ms)]
        {
            if ms == Some(0) {
                return Err(invalid(field, 0, "must be at least 1; leave it out for no bound"));
            }
        }
        let names = [
            ("share.budget", &self.share.budget),
            ("share.breaker", &self.share.breaker),
            ("share.bulkhead", &self.share.bulkhead),
            ("share.rate", &self.share.rate),
        ];
        if let Some((field, _)) = names.iter().find(|(_, name)| name.as_deref() == Some("")) {
            return Err(invalid(field, "", "must be a name; leave it out to share nothing"));
        }
        let parts = [
            ("retry", self.retry.as_ref().map(RetryPolicy::check)),
            ("budget", self.budget.as_ref().map(BudgetPolicy::check)),
            ("breaker", self.breaker.as_ref().map(BreakerPolicy::check)),
            ("bulkhead", self.bulkhead.as_ref().map(BulkheadPolicy::check)),
            ("rate", self.rate.as_ref().map(RatePolicy::check)),
        ];
        for (part, checked) in parts {
            checked.unwrap_or(Ok(())).map_err(|error| error.with("part", part))?;
        }
        if let Some(hedge) = &self.hedge {
            if !(hedge.quantile > 0.0 && hedge.quantile < 1.0) {
                return Err(invalid(
                    "hedge.quantile",
                    hedge.quantile,
                    "must be above 0 and below 1",
                ));
            }
            if !(hedge.budget > 0.0 && hedge.budget <= 1.0) {
                return Err(invalid("hedge.budget", hedge.budget, "must be above 0 and up to 1"));
            }
        }
        Ok(())
    }

    /// As [`check`](Self::check), for one that somebody puts in force.
    ///
    /// # Errors
    /// As there.
    pub fn check_anew(&self) -> Result<()> {
        self.check()?;
        let bulkhead = self.bulkhead.as_ref().map_or(Ok(()), BulkheadPolicy::check_anew);
        bulkhead.map_err(|error| error.with("part", "bulkhead"))
    }

    pub(super) fn has_breaker(&self) -> bool {
        self.breaker.is_some() || self.share.breaker.is_some()
    }

    pub(super) fn has_bulkhead(&self) -> bool {
        self.bulkhead.is_some() || self.share.bulkhead.is_some()
    }

    pub(super) fn has_rate(&self) -> bool {
        self.rate.is_some() || self.share.rate.is_some()
    }

    /// A retry without a budget could be a storm, so there is always one.
    pub(super) fn has_budget(&self) -> bool {
        self.budget.is_some() || self.share.budget.is_some() || self.retry.is_some()
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }

    pub(super) fn attempt_timeout(&self) -> Option<Duration> {
        self.attempt_timeout_ms.map(Duration::from_millis)
    }
}

fn invalid(field: &'static str, value: impl std::fmt::Display, rule: &'static str) -> Error {
    Error::new(Code::INVALID, "the guard's policy is not valid")
        .operation("recovery.guard")
        .with("field", field)
        .with("value", value)
        .with("rule", rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_has_a_name() {
        for part in ["budget", "breaker", "bulkhead", "rate"] {
            let policy = |name: &str| -> GuardPolicy {
                serde_json::from_str(&format!(r#"{{"share": {{"{part}": "{name}"}}}}"#)).unwrap()
            };
            assert!(policy("db").check().is_ok());
            let error = policy("").check().unwrap_err();
            assert!(error.to_string().contains(&format!("field=share.{part}")), "{error}");
        }
    }
}
