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
    /// Since when it has been in no window with the rest.
    apart: Option<Moment>,
    /// In the order of the policy's guard-rails.
    guards: Vec<Guard>,
}

#[derive(Clone, Debug, Default)]
struct Guard {
    measured: Option<Moment>,
    apart: Option<Moment>,
    /// Since when the setting in use has been beyond the bound, and by what last: until a window closed in which it was not.
    broken: Option<(Moment, Option<f64>)>,
}

impl Figures {
    pub(super) fn new(policy: &TunerPolicy, now: Moment) -> Self {
        let guards = vec![Guard::default(); policy.guards.len()];
        Self { began: now, objective: None, apart: None, guards }
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
            let holds = value.is_finite() && rail.margin(*value) >= 0.0;
            if in_use && !holds {
                let value = value.is_finite().then_some(*value);
                let since = guard.broken.map_or(now, |(since, _)| since);
                guard.broken = Some((since, value));
            }
        }
    }

    /// A window of the setting in use closed in which all was measured, with these least margins.
    pub(super) fn whole(&mut self, margins: &[f64]) {
        self.apart = None;
        for (guard, margin) in self.guards.iter_mut().zip(margins) {
            guard.apart = None;
            if *margin >= 0.0 {
                guard.broken = None;
            }
        }
    }

    /// A window closed in which these were not measured, as [`super::trial::Window::missing`] names them.
    pub(super) fn short(&mut self, missing: &[String], policy: &TunerPolicy, now: Moment) {
        if missing.iter().any(|one| one == "objective") {
            self.apart.get_or_insert(now);
        }
        for (guard, rail) in self.guards.iter_mut().zip(&policy.guards) {
            if missing.contains(&rail.metric) {
                guard.apart.get_or_insert(now);
            }
        }
    }

    /// Another setting is in use, of which it is not known whether it breaks a guard-rail.
    pub(super) fn another_in_use(&mut self) {
        self.guards.iter_mut().for_each(|guard| guard.broken = None);
    }

    /// What keeps it from trying anything: figures that nobody measures (any more) or that are in no window with the rest, and guard-rails
    /// that the setting in use breaks.
    pub(super) fn lacks(&self, policy: &TunerPolicy, now: Moment) -> Vec<TunerLack> {
        let within = patience(policy);
        let missing = |at: Option<Moment>| match at {
            None => Some(self.began),
            Some(at) => (now.since(at) > within).then_some(at),
        };
        let lack = |metric: Option<&String>, measured: Option<Moment>, apart: Option<Moment>| {
            let (missing, metric) = (missing(measured), metric.cloned());
            let apart = apart.filter(|_| missing.is_none());
            let since = missing.or(apart)?;
            Some(TunerLack { metric, since, broken: None, apart: apart.is_some() })
        };
        let objective = lack(None, self.objective, self.apart);
        let guards = self.guards.iter().zip(&policy.guards).filter_map(|(guard, rail)| {
            let broken = guard.broken.filter(|_| missing(guard.measured).is_none());
            let Some((since, value)) = broken else {
                return lack(Some(&rail.metric), guard.measured, guard.apart);
            };
            let (metric, bound) = (rail.metric.clone(), rail.bound);
            let broken = Some(BrokenGuard { metric: metric.clone(), value, bound });
            Some(TunerLack { metric: Some(metric), since, broken, apart: false })
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
