//! How calls went of late: each counts half as much after [`HALF_LIFE`].

use std::time::Duration;

use serde::Serialize;

use super::Went;
use crate::base::time::Moment;

/// After this long a call counts half as much.
pub const HALF_LIFE: Duration = Duration::from_secs(600);

/// How calls went of late; a call counts half as much after ten minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct RecentStats {
    /// Calls.
    pub calls: f64,
    /// The share of them that failed, from 0 to 1.
    pub failed: f64,
    /// How long callers waited on the average, in nanoseconds.
    pub mean_ns: f64,
    /// What a call cost on the average, in the host's unit of account; `None` where no agent said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// How good answers were on the average, from 0 to 1; `None` where nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent {
    at: Moment,
    calls: f64,
    failed: f64,
    took: f64,
    used: f64,
    cost: f64,
    scores: f64,
    score: f64,
}

/// Less than this of a call is nothing.
const NOTHING: f64 = 1e-6;

impl Recent {
    #[inline]
    pub(super) fn record(&mut self, went: &Went<'_>, nanos: u64, now: Moment) {
        self.age(now);
        self.calls += 1.0;
        self.failed += if went.failure.is_some() { 1.0 } else { 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "a mean of nanoseconds")]
        let took = nanos as f64;
        self.took += took;
        if let Some(usage) = went.usage.filter(|usage| usage.cost.is_finite()) {
            self.used += 1.0;
            self.cost += usage.cost;
        }
    }

    pub(super) fn score(&mut self, score: f64, now: Moment) {
        self.age(now);
        self.scores += 1.0;
        self.score += score;
    }

    pub(super) fn stats(mut self, now: Moment) -> Option<RecentStats> {
        self.age(now);
        (self.calls > NOTHING).then(|| RecentStats {
            calls: self.calls,
            failed: self.failed / self.calls,
            mean_ns: self.took / self.calls,
            cost: (self.used > NOTHING).then(|| self.cost / self.used),
            quality: (self.scores > NOTHING).then(|| self.score / self.scores),
        })
    }

    pub(super) fn mean_cost(mut self, now: Moment) -> Option<f64> {
        self.age(now);
        (self.used > NOTHING).then(|| self.cost / self.used)
    }

    #[inline]
    fn age(&mut self, now: Moment) {
        let passed = now.since(self.at);
        // All sums age alike, so that means do not change by it: once a second is soon enough.
        if passed < Duration::from_secs(1) {
            return;
        }
        self.at = now;
        let left = (-passed.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        for sum in [
            &mut self.calls,
            &mut self.failed,
            &mut self.took,
            &mut self.used,
            &mut self.cost,
            &mut self.scores,
            &mut self.score,
        ] {
            *sum *= left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Error};

    #[test]
    fn what_was_long_ago_counts_little() {
        let mut recent = Recent::default();
        let error = Error::new(Code::TIMEOUT, "slow");
        let went = |failure| Went { skill: None, took: Duration::ZERO, failure, usage: None };
        let at = |seconds| Moment::ZERO + Duration::from_secs(seconds);
        assert!(recent.stats(at(0)).is_none());
        recent.record(&went(Some(&error)), 100, at(0));
        recent.record(&went(None), 400, at(600));
        let stats = recent.stats(at(600)).unwrap();
        assert!((stats.calls - 1.5).abs() < 1e-9, "{stats:?}");
        assert!((stats.failed - 1.0 / 3.0).abs() < 1e-9, "{stats:?}");
        assert!((stats.mean_ns - 300.0).abs() < 1e-6, "{stats:?}");
        let later = recent.stats(at(1_200)).unwrap();
        assert!((later.calls - 0.75).abs() < 1e-9 && later.failed == stats.failed);
        assert!(recent.stats(at(100_000)).is_none(), "nothing is left of it");
    }
}
