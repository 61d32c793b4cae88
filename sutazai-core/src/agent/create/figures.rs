//! How what was made from a template did: counts that fade, and what they say of the next.

use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::base::time::Moment;

/// After this long what happened counts half as much.
pub const HALF_LIFE: Duration = Duration::from_secs(3_600);

/// What is expected of a template of which nothing is known: as if of so many tries so many had succeeded.
const BEFORE: (f64, f64) = (4.0, 3.0);

/// How much of the doubt about an estimate counts in its favour, in standard deviations. What has hardly been
/// tried is so worth a try where the others do badly, and not where they do well: with [`BEFORE`], one that is new
/// goes before one that succeeds in less than about five of six.
const OPTIMISM: f64 = 0.5;

/// So many calls say more of cost and latency than the template does.
const ENOUGH: f64 = 3.0;

/// How the agents of a template did of late, and how making them went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TemplateFigures {
    /// Agents that were made and passed their probes.
    pub made: f64,
    /// Agents that could not be made, or did not pass.
    pub not_made: f64,
    /// Calls of its agents.
    pub calls: f64,
    /// Those of them that failed by the agent's fault.
    pub failed: f64,
    /// What a call cost on the average, in the host's unit of account; `None` where no agent said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// How long a call took on the average, in milliseconds; `None` without calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Its agents that there are.
    pub living: u32,
}

impl TemplateFigures {
    /// The probability that an agent is made and a call of it succeeds, with the benefit of some doubt: two
    /// Beta distributions, one of the making and one of the calls.
    pub(super) fn success(&self) -> f64 {
        estimate(self.made, self.not_made) * estimate(self.calls - self.failed, self.failed)
    }

    /// What calls have cost, where there were enough of them.
    pub(super) fn known_cost(&self) -> Option<f64> {
        self.cost.filter(|_| self.calls >= ENOUGH)
    }

    /// How long calls have taken, where there were enough of them.
    pub(super) fn known_latency(&self) -> Option<f64> {
        self.latency_ms.filter(|_| self.calls >= ENOUGH)
    }
}

/// The mean of a Beta distribution, and [`OPTIMISM`] standard deviations more.
fn estimate(succeeded: f64, failed: f64) -> f64 {
    let a = BEFORE.1 + succeeded.max(0.0);
    let b = BEFORE.0 - BEFORE.1 + failed.max(0.0);
    let n = a + b;
    let deviation = (a * b / (n * n * (n + 1.0))).sqrt();
    (a / n + OPTIMISM * deviation).min(1.0)
}

/// What is counted of one template.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Counts>);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    at: Moment,
    made: f64,
    not_made: f64,
    calls: f64,
    failed: f64,
    took_ms: f64,
    told: f64,
    cost: f64,
}

impl Record {
    /// An agent of it was made, or not.
    pub(crate) fn tried(&self, made: bool, now: Moment) {
        let mut counts = self.0.lock();
        counts.age(now);
        if made {
            counts.made += 1.0;
        } else {
            counts.not_made += 1.0;
        }
    }

    /// A call of one of its agents has ended. `cost` where the agent said so.
    pub(crate) fn called(&self, failed: bool, took: Duration, cost: Option<f64>, now: Moment) {
        let mut counts = self.0.lock();
        counts.age(now);
        counts.calls += 1.0;
        counts.failed += if failed { 1.0 } else { 0.0 };
        counts.took_ms += took.as_secs_f64() * 1e3;
        if let Some(cost) = cost.filter(|cost| cost.is_finite()) {
            counts.told += 1.0;
            counts.cost += cost;
        }
    }

    /// What is known by now; whoever knows its agents says how many live.
    pub(crate) fn figures(&self, now: Moment) -> TemplateFigures {
        let mut counts = *self.0.lock();
        counts.age(now);
        let mean = |sum: f64, of: f64| (of > 1e-6).then(|| sum / of);
        TemplateFigures {
            made: counts.made,
            not_made: counts.not_made,
            calls: counts.calls,
            failed: counts.failed,
            cost: mean(counts.cost, counts.told),
            latency_ms: mean(counts.took_ms, counts.calls),
            living: 0,
        }
    }
}

impl Counts {
    fn age(&mut self, now: Moment) {
        let passed = now.since(self.at);
        // All sums age alike, so that means do not change by it: once a second is soon enough.
        if passed < Duration::from_secs(1) {
            return;
        }
        self.at = now;
        let left = (-passed.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        for sum in [
            &mut self.made,
            &mut self.not_made,
            &mut self.calls,
            &mut self.failed,
            &mut self.took_ms,
            &mut self.told,
            &mut self.cost,
        ] {
            *sum *= left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(succeeded: f64, failed: f64) -> f64 {
        let calls = succeeded + failed;
        TemplateFigures { calls, failed, ..TemplateFigures::default() }.success()
    }

    #[test]
    fn what_is_new_is_worth_a_try_where_the_others_do_badly() {
        let new = calls(0.0, 0.0);
        assert!(calls(9.0, 1.0) > new && calls(90.0, 10.0) > new && calls(900.0, 100.0) > new);
        assert!(calls(80.0, 20.0) < new && calls(5.0, 5.0) < new && calls(0.0, 1.0) < new);
        assert!(calls(1.0, 0.0) > new);
        let crashed = |not_made| TemplateFigures { not_made, ..TemplateFigures::default() };
        assert!(crashed(1.0).success() > crashed(2.0).success(), "each failure tells");
    }

    #[test]
    fn what_happened_fades() {
        let at = |seconds| Moment::ZERO + Duration::from_secs(seconds);
        let record = Record::default();
        record.tried(false, at(10));
        record.called(false, Duration::from_millis(30), Some(2.0), at(10));
        record.called(true, Duration::from_millis(10), None, at(10));
        let now = record.figures(at(10));
        assert_eq!((now.not_made, now.calls, now.failed), (1.0, 2.0, 1.0));
        assert_eq!((now.cost, now.latency_ms), (Some(2.0), Some(20.0)));
        assert_eq!((now.known_cost(), now.known_latency()), (None, None), "two calls are few");
        let later = record.figures(at(10 + 3_600));
        assert!((later.not_made - 0.5).abs() < 1e-9 && (later.calls - 1.0).abs() < 1e-9);
        assert_eq!(later.latency_ms, Some(20.0), "a mean does not fade");
        let forgiven = record.figures(at(1_000_000));
        assert!((forgiven.success() - TemplateFigures::default().success()).abs() < 1e-6);
        assert_eq!((forgiven.cost, forgiven.latency_ms), (None, None));
    }
}
