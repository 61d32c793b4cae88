//! What an adaptive limit is told: [`LimitPolicy`].

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// The largest limit there is.
const LARGEST: u32 = 1 << 20;
/// What a limit begins with where nobody says.
const USUAL: u32 = 20;

/// Bounds of an adaptive limit, and how it explores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LimitPolicy {
    /// The limit that it begins with, from `min` to `max`. Default 20, or the nearest that these allow.
    pub initial: Option<u32>,
    /// It never goes below, 1 or more: so many calls probe a target that answers nothing. Default 1.
    pub min: u32,
    /// It never goes beyond, `min` to 1,048,576. Default 1,000.
    pub max: u32,
    /// The limit is at least this multiple of the concurrency that is useful (and half its square root more), so
    /// that neither an estimate that is a little low nor a burst leaves the target without work: 1 to 2. Where what is
    /// useful is in doubt, it is the square root of this, and a standard deviation. Default 1.25.
    pub headroom: f64,
    /// The share of the throughput that may be spent on finding out, by lowering the limit for a moment, how long
    /// calls take where none waits: 0.001 to 0.1. Default 0.01.
    pub explore: f64,
    /// How long something is remembered, as a multiple of what a call takes: 16 to 10,000. Default 512.
    pub memory: f64,
}

impl Default for LimitPolicy {
    fn default() -> Self {
        Self { initial: None, min: 1, max: 1_000, headroom: 1.25, explore: 0.01, memory: 512.0 }
    }
}

impl LimitPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        if self.min == 0 {
            return Err(invalid("min", "must be at least 1", self.min));
        }
        if !(self.min..=LARGEST).contains(&self.max) {
            return Err(invalid("max", "must be between min and 1,048,576", self.max));
        }
        if let Some(initial) = self.initial
            && !(self.min..=self.max).contains(&initial)
        {
            return Err(invalid("initial", "must be between min and max", initial)
                .with("min", self.min)
                .with("max", self.max));
        }
        let ranges = [
            ("headroom", self.headroom, 1.0, 2.0, "must be between 1 and 2"),
            ("explore", self.explore, 0.001, 0.1, "must be between 0.001 and 0.1"),
            ("memory", self.memory, 16.0, 10_000.0, "must be between 16 and 10,000"),
        ];
        for (field, value, low, high, rule) in ranges {
            // A NaN is in no range.
            if !(low..=high).contains(&value) {
                return Err(invalid(field, rule, value));
            }
        }
        Ok(())
    }

    /// The limit that it begins with.
    pub(crate) fn begins_with(&self) -> u32 {
        self.initial.unwrap_or(USUAL).min(self.max).max(self.min)
    }

    /// The limit that goes with a useful concurrency whose logarithm is known up to this doubt.
    pub(super) fn with_headroom(&self, useful: f64, doubt: f64) -> f64 {
        let factor = self.headroom.max(self.headroom.sqrt() * doubt.exp());
        self.bounded(useful * factor + useful.sqrt() / 2.0)
    }

    /// Within the bounds.
    pub(super) fn bounded(&self, limit: f64) -> f64 {
        limit.max(f64::from(self.min)).min(f64::from(self.max))
    }
}

fn invalid(field: &'static str, rule: &'static str, value: impl std::fmt::Display) -> Error {
    Error::new(Code::INVALID, "the limit's policy is not valid")
        .operation("tune.limit")
        .with("field", field)
        .with("value", value)
        .with("rule", rule)
}
