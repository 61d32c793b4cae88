//! What a scaler is told: [`ScalePolicy`].

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// Bounds of a pool, what its workers cost, and how ready it is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ScalePolicy {
    /// Workers that there always are, up to `max`. Default 1.
    pub min: u32,
    /// Workers that there are at most, 1 to 1,000,000. Default 100.
    pub max: u32,
    /// Milliseconds until a worker that is started takes its first task, up to a day. Default 5,000.
    pub start_up_ms: u64,
    /// The share of tasks that may have to wait, 0.001 to 0.99. Default 0.1.
    pub may_wait: f64,
    /// Milliseconds in which tasks that wait are to be worked off, 1 to a day. Default 30,000.
    pub drain_ms: u64,
    /// Milliseconds for which a size that was needed is held, up to a day. Default 300,000.
    pub hold_ms: u64,
    /// The pool becomes smaller only by this share or more: 0 to 0.9. Default 0.1.
    pub slack: f64,
    /// What a worker costs an hour, in any unit, 0 or more. Default 0.
    pub worker_per_hour: f64,
    /// What the pool may cost an hour, in the same unit; at least what `min` workers cost. Default: whatever it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_per_hour: Option<f64>,
}

impl Default for ScalePolicy {
    fn default() -> Self {
        Self {
            min: 1,
            max: 100,
            start_up_ms: 5_000,
            may_wait: 0.1,
            drain_ms: 30_000,
            hold_ms: 300_000,
            slack: 0.1,
            worker_per_hour: 0.0,
            cost_per_hour: None,
        }
    }
}

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

impl ScalePolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let rules = [
            ("max", (1..=1_000_000).contains(&self.max), "must be 1 to 1,000,000"),
            ("min", self.min <= self.max, "must be at most max"),
            ("start_up_ms", self.start_up_ms <= DAY, "must be at most a day"),
            ("may_wait", (0.001..=0.99).contains(&self.may_wait), "must be 0.001 to 0.99"),
            ("drain_ms", (1..=DAY).contains(&self.drain_ms), "must be 1 to a day"),
            ("hold_ms", self.hold_ms <= DAY, "must be at most a day"),
            ("slack", (0.0..=0.9).contains(&self.slack), "must be 0 to 0.9"),
            ("worker_per_hour", (0.0..=1e12).contains(&self.worker_per_hour), "must be 0 to 10¹²"),
            (
                "cost_per_hour",
                self.cost_per_hour.is_none_or(|c| {
                    c.is_finite() && c >= f64::from(self.min) * self.worker_per_hour
                }),
                "must be finite, and at least what min workers cost",
            ),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            None => Ok(()),
            Some((field, _, rule)) => {
                Err(Error::new(Code::INVALID, "the pool's policy is not valid")
                    .operation("tune.scale")
                    .with("field", field)
                    .with("rule", rule))
            }
        }
    }

    /// The most workers by number and by cost.
    pub(super) fn ceiling(&self) -> u32 {
        match self.cost_per_hour {
            Some(cost) if self.worker_per_hour > 0.0 => {
                let paid = (cost / self.worker_per_hour + 1e-9).floor();
                self.max.min(paid.max(f64::from(self.min)) as u32)
            }
            _ => self.max,
        }
    }
}
