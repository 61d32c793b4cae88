//! What a tuner goes by, when it was measured last, and what it waits for.

use std::time::Duration;

use super::policy::TunerPolicy;
use super::view::{BrokenGuard, TunerLack, TunerSample};
use crate::base::time::Moment;

/// The objective and the guard-rails' metrics.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    began: Moment,
    objective: Option<Moment>,
    /// In the order of the policy's guard-rails.
    guards: Vec<Guard>,
}

#[derive(Clone, Debug, Default)]
struct Guard {
    measured: Option<Moment>,
    /// Since when the setting in use has been beyond the bound, and by what.
    broken: Option<(Moment, Option<f64>)>,
}

impl Figures {
    pub(super) fn new(policy: &TunerPolicy, now: Moment) -> Self {
        Self { began: now, objective: None, guards: vec![Guard::default(); policy.guards.len()] }
    }

    /// Takes what was measured; `in_use` of the setting in use.
    pub(super) fn take(
        &mut self,
        sample: &TunerSample,
        in_use: bool,
        policy: &TunerPolicy,
        now: Moment,
    ) {
        if sample.objective.is_some_and(f64::is_finite) {
            self.objective = Some(now);
        }
        for (guard, rail) in self.guards.iter_mut().zip(&policy.guards) {
            let Some(value) = sample.guards.get(&rail.metric) else { continue };
            guard.measured = Some(now);
            if in_use {
                let holds = value.is_finite() && rail.margin(*value) >= 0.0;
                let value = value.is_finite().then_some(*value);
                let since = guard.broken.map_or(now, |(since, _)| since);
                guard.broken = (!holds).then_some((since, value));
            }
        }
    }

    /// What keeps it from trying anything: figures that nobody measures (any more), and guard-rails that the setting in use breaks.
    pub(super) fn lacks(&self, policy: &TunerPolicy, now: Moment) -> Vec<TunerLack> {
        let within = patience(policy);
        let missing = |at: Option<Moment>| match at {
            None => Some(self.began),
            Some(at) => (now.since(at) > within).then_some(at),
        };
        let objective =
            missing(self.objective).map(|since| TunerLack { metric: None, since, broken: None });
        let guards = self.guards.iter().zip(&policy.guards).filter_map(|(guard, rail)| {
            let metric = Some(rail.metric.clone());
            if let Some(since) = missing(guard.measured) {
                return Some(TunerLack { metric, since, broken: None });
            }
            let (since, value) = guard.broken?;
            let (metric_of, bound) = (rail.metric.clone(), rail.bound);
            let broken = Some(BrokenGuard { metric: metric_of, value, bound });
            Some(TunerLack { metric, since, broken })
        });
        objective.into_iter().chain(guards).collect()
    }

    /// Whether all was measured of late.
    pub(super) fn are_there(&self, policy: &TunerPolicy, now: Moment) -> bool {
        let late = patience(policy);
        let there = |at: Option<Moment>| at.is_some_and(|at| now.since(at) <= late);
        there(self.objective) && self.guards.iter().all(|guard| there(guard.measured))
    }
}

/// What was not measured for so long is missing: two windows, and a warm-up.
pub(super) fn patience(policy: &TunerPolicy) -> Duration {
    let windows = policy.window_ms.saturating_mul(2);
    Duration::from_millis(windows.saturating_add(policy.warm_up_ms))
}
