//! Retry: which failures are tried again, when, and who pays for it.

mod backoff;
mod budget;

pub(crate) use backoff::Backoff;
pub use backoff::Jitter;
pub use budget::{Budget, BudgetPolicy, BudgetStatus};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// How failures are tried again. Only those that are [transient](crate::Class::Transient) are, within
/// the deadline, and only as far as the budget pays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Tries in all, the first one included, 1 to 1,000. Default 5: with the default waits that
    /// outlasts a disturbance of 750 ms.
    pub attempts: u32,
    /// Milliseconds of the first step of the backoff; each further one is twice as long. Default 100.
    pub base_ms: u64,
    /// Milliseconds of the longest step. Default 10,000.
    pub max_ms: u64,
    /// How chance spreads the waits. Default equal.
    pub jitter: Jitter,
    /// Waits that the target has asked for (`Retry-After`) and that do not use up a try, where there is
    /// a deadline. 0 to 1,000. Default 10.
    pub hinted: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 5, base_ms: 100, max_ms: 10_000, jitter: Jitter::Equal, hinted: 10 }
    }
}

impl RetryPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let invalid = |field: &'static str, value: u64, rule: &'static str| {
            Err(Error::new(Code::INVALID, "the retry policy is not valid")
                .operation("recovery.retry")
                .with("field", field)
                .with("value", value)
                .with("rule", rule))
        };
        if !(1..=1_000).contains(&self.attempts) {
            return invalid("attempts", self.attempts.into(), "must be between 1 and 1,000");
        }
        if self.hinted > 1_000 {
            return invalid("hinted", self.hinted.into(), "must be at most 1,000");
        }
        if self.max_ms < self.base_ms {
            return invalid("max_ms", self.max_ms, "must not be less than base_ms");
        }
        Ok(())
    }

    pub(crate) fn backoff(&self) -> Backoff {
        let ms = Duration::from_millis;
        Backoff::new(ms(self.base_ms), ms(self.max_ms), self.jitter)
    }
}
