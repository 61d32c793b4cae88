//! How it is watched whether an agent lives: [`LivenessPolicy`], and what it says itself: [`Beat`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// What an agent that is asked whether it lives says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Beat {
    /// It lives: it was asked, and this is its answer.
    Alive,
    /// It lives: it was heard of since it was asked last, and was not asked.
    Heard,
    /// It cannot be reached: nobody listens where it should be. It may come back by itself.
    Unreachable(Error),
    /// It has ended, and does not come back by itself.
    Dead(Error),
}

/// When an agent is asked whether it lives, and what its silence means.
///
/// An agent is *slow* when its answer to that question takes longer than its answers mostly do, or when it
/// has work and nothing has come of it for long; it is *dead* when its answer is later by a pause as well.
/// How much later is said by φ: at 8 it is as unlikely as 1 in 10⁸ that the answer still comes, if answers take
/// as long as before.
///
/// ```
/// use sutazai_core::port::LivenessPolicy;
///
/// let policy: LivenessPolicy = serde_json::from_str(r#"{"interval_ms": 1000, "pause_ms": 3000}"#)?;
/// assert!(policy.check().is_ok());
/// assert_eq!(policy.dead_phi, 8.0);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LivenessPolicy {
    /// Milliseconds between the questions whether it lives, 10 or more. What is heard of it otherwise saves
    /// the next one. Default 5,000.
    pub interval_ms: u64,
    /// From this φ on it is slow, above 0. Default 4.
    pub slow_phi: f64,
    /// From this φ on, a pause later, it is dead; not less than `slow_phi`. Default 8.
    pub dead_phi: f64,
    /// The pause, in milliseconds: silence of this length is nothing unusual. Default 10,000.
    pub pause_ms: u64,
    /// The pause of one that has work, in milliseconds: many do not listen while they work. Default 300,000;
    /// nothing (`null`) for one that may be silent for as long as it works.
    pub busy_pause_ms: Option<u64>,
    /// How long the first answers are expected to take, in milliseconds, 1 or more. Default 500.
    pub first_ms: u64,
    /// The least deviation of the answers' times, in milliseconds, 1 or more. Default 100.
    pub deviation_ms: u64,
    /// How long an agent may have work without that anything comes of it before it is slow, in milliseconds;
    /// where its calls take long, three times what 99 of 100 take. Default 10,000.
    pub stall_ms: u64,
}

impl Default for LivenessPolicy {
    fn default() -> Self {
        Self {
            interval_ms: 5_000,
            slow_phi: 4.0,
            dead_phi: 8.0,
            pause_ms: 10_000,
            busy_pause_ms: Some(300_000),
            first_ms: 500,
            deviation_ms: 100,
            stall_ms: 10_000,
        }
    }
}

impl LivenessPolicy {
    /// Sets the time between questions; whole milliseconds.
    #[must_use]
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval_ms: millis(interval), ..self }
    }

    /// Sets the pause, and that of one that has work.
    #[must_use]
    pub fn pauses(self, idle: Duration, busy: Option<Duration>) -> Self {
        Self { pause_ms: millis(idle), busy_pause_ms: busy.map(millis), ..self }
    }

    /// Sets from which φ on it is slow, and from which on dead.
    #[must_use]
    pub fn thresholds(self, slow_phi: f64, dead_phi: f64) -> Self {
        Self { slow_phi, dead_phi, ..self }
    }

    /// Sets how long there may be work without that anything comes of it.
    #[must_use]
    pub fn stall(self, stall: Duration) -> Self {
        Self { stall_ms: millis(stall), ..self }
    }

    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let least = [
            ("interval_ms", self.interval_ms, 10),
            ("first_ms", self.first_ms, 1),
            ("deviation_ms", self.deviation_ms, 1),
        ];
        for (field, value, least) in least {
            if value < least {
                return Err(invalid(field, value, format!("must be at least {least}")));
            }
        }
        if !(self.slow_phi > 0.0 && self.slow_phi.is_finite()) {
            return Err(invalid("slow_phi", self.slow_phi, "must be above 0".to_owned()));
        }
        if !(self.dead_phi >= self.slow_phi && self.dead_phi.is_finite()) {
            let rule = "must not be less than slow_phi".to_owned();
            return Err(invalid("dead_phi", self.dead_phi, rule));
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn invalid(field: &'static str, value: impl std::fmt::Display, rule: String) -> Error {
    Error::new(Code::INVALID, "the liveness policy is not valid")
        .operation("agent.liveness")
        .with("field", field)
        .with("value", value)
        .with("rule", rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_make_no_sense_are_named() {
        let bad = |json: &str| {
            let policy: LivenessPolicy = serde_json::from_str(json).unwrap();
            let error = policy.check().unwrap_err();
            error.context().find(|(key, _)| *key == "field").unwrap().1.to_owned()
        };
        assert_eq!(bad(r#"{"interval_ms": 9}"#), "interval_ms");
        assert_eq!(bad(r#"{"slow_phi": 0}"#), "slow_phi");
        assert_eq!(bad(r#"{"slow_phi": 9}"#), "dead_phi");
        assert_eq!(bad(r#"{"deviation_ms": 0}"#), "deviation_ms");
        assert!(LivenessPolicy::default().check().is_ok());
    }
}
