//! What a tuner is told: [`TunerPolicy`] and its [`GuardRail`]s.

use serde::{Deserialize, Serialize};

use crate::tune::Direction;
use crate::{Code, Error, Result};

/// How far a tuner may go by itself.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Autonomy {
    /// It records what it would try, and says nothing.
    Observe,
    /// It says what it would try.
    #[default]
    Suggest,
    /// It tries what is approved in time.
    Approve,
    /// It tries, adopts and rolls back by itself.
    Act,
}

/// The side of a guard-rail's bound on which its metric must stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardSide {
    /// The bound, or less.
    AtMost,
    /// The bound, or more.
    AtLeast,
}

/// A metric that must stay on one side of a bound, whatever the objective says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardRail {
    /// The metric's name, as in [`TunerSample::guards`](crate::tune::TunerSample::guards).
    pub metric: String,
    /// The side on which it must stay.
    pub side: GuardSide,
    /// The bound, in the metric's unit.
    pub bound: f64,
}

impl GuardRail {
    /// How far within the bound a value is, in the metric's unit; negative beyond, not a number for one that is not.
    pub(super) fn margin(&self, value: f64) -> f64 {
        match self.side {
            GuardSide::AtMost => self.bound - value,
            GuardSide::AtLeast => value - self.bound,
        }
    }
}

/// How a tuner tries settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TunerPolicy {
    /// How far it may go by itself. Default: it suggests.
    pub autonomy: Autonomy,
    /// Whether less or more of the objective is better. Default: less.
    pub direction: Direction,
    /// Metrics that must stay within bounds, 16 at most.
    pub guards: Vec<GuardRail>,
    /// Milliseconds after a change of the knobs in which the objective is not measured (guard-rails are), up to a day. Default 5,000.
    #[schemars(range(max = 86_400_000))]
    pub warm_up_ms: u64,
    /// Milliseconds of measuring in one go, 1 to a day. Default 30,000.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub window_ms: u64,
    /// Pairs of windows, one of the setting that is tried and one of the setting in use, after which a trial ends undecided:
    /// 4 to 1,000. Default 20.
    #[schemars(range(min = 4, max = 1_000))]
    pub max_pairs: u32,
    /// The probability that a setting that makes no difference is taken for a better one: 0.0001 to 0.5. Default 0.05.
    pub error: f64,
    /// The least gain for which the setting is changed, as a share of the objective's present value: 0 to 1. Default 0.02.
    pub min_gain: f64,
    /// Milliseconds between a trial and the next, up to a year. Default 60,000; ten times that after a broken guard-rail. At least the warm-up
    /// where the knobs went back, and after a broken guard-rail a window more.
    #[schemars(range(max = 31_622_400_000_u64))]
    pub cool_down_ms: u64,
    /// Milliseconds in which a trial must be approved, 1 to a year. Default an hour.
    #[schemars(range(min = 1, max = 31_622_400_000_u64))]
    pub approval_ms: u64,
    /// After so many trials, or times that there was nothing new to try, a setting that was in use before is tried again, as the world may have
    /// changed: 1 to 10,000. Default 10.
    #[schemars(range(min = 1, max = 10_000))]
    pub recheck: u32,
    /// The share by which the objective of the setting in use may move, from what it was when it was adopted, before the tuner
    /// forgets what it learned and rechecks at once: 0.01 to 100. Default 0.5.
    pub drift: f64,
    /// Trials that stay on record, 1 to 10,000. Default 256.
    #[schemars(range(min = 1, max = 10_000))]
    pub history: u32,
    /// Where the search begins; equal seeds and equal samples give equal trials. Default 0.
    pub seed: u64,
}

impl Default for TunerPolicy {
    fn default() -> Self {
        Self {
            autonomy: Autonomy::Suggest,
            direction: Direction::Minimise,
            guards: Vec::new(),
            warm_up_ms: 5_000,
            window_ms: 30_000,
            max_pairs: 20,
            error: 0.05,
            min_gain: 0.02,
            cool_down_ms: 60_000,
            approval_ms: 3_600_000,
            recheck: 10,
            drift: 0.5,
            history: 256,
            seed: 0,
        }
    }
}

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

impl TunerPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let invalid = |field: &'static str, rule: &'static str| {
            Err(Error::new(Code::INVALID, "the tuner's policy is not valid")
                .operation("tune.tuner")
                .with("field", field)
                .with("rule", rule))
        };
        let same =
            |i: usize, g: &GuardRail| self.guards.iter().take(i).any(|o| o.metric == g.metric);
        if self.guards.len() > 16
            || self.guards.iter().enumerate().any(|(i, g)| !g.bound.is_finite() || same(i, g))
        {
            return invalid("guards", "16 at most, of finite bounds, one a metric");
        }
        let odd = |g: &GuardRail| {
            !(1..=256).contains(&g.metric.len()) || g.metric.contains(char::is_control)
        };
        if self.guards.iter().any(odd) {
            return invalid("guards", "a metric has 1 to 256 bytes without control characters");
        }
        let whole = [
            ("warm_up_ms", self.warm_up_ms, 0, DAY, "must be at most a day"),
            ("window_ms", self.window_ms, 1, DAY, "must be 1 to a day"),
            ("max_pairs", u64::from(self.max_pairs), 4, 1_000, "must be 4 to 1,000"),
            ("cool_down_ms", self.cool_down_ms, 0, 366 * DAY, "must be at most a year"),
            ("approval_ms", self.approval_ms, 1, 366 * DAY, "must be 1 to a year"),
            ("recheck", u64::from(self.recheck), 1, 10_000, "must be 1 to 10,000"),
            ("history", u64::from(self.history), 1, 10_000, "must be 1 to 10,000"),
        ];
        for (field, value, low, high, rule) in whole {
            if !(low..=high).contains(&value) {
                return invalid(field, rule);
            }
        }
        let shares = [
            ("error", self.error, 0.0001, 0.5, "must be 0.0001 to 0.5"),
            ("min_gain", self.min_gain, 0.0, 1.0, "must be 0 to 1"),
            ("drift", self.drift, 0.01, 100.0, "must be 0.01 to 100"),
        ];
        for (field, value, low, high, rule) in shares {
            // A NaN is in no range.
            if !(low..=high).contains(&value) {
                return invalid(field, rule);
            }
        }
        Ok(())
    }
}
