//! A trial under way, and a window of measuring.

use std::time::Duration;

use super::evidence::Evidence;
use super::policy::GuardRail;
use super::view::{BrokenGuard, TrialCause, TunerSample};
use crate::base::time::{Moment, Timestamp};
use crate::tune::Setting;

/// A setting that is tried against the one in use, in pairs of windows.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) id: u64,
    /// The optimiser's number; none when it did not suggest this.
    pub(super) suggestion: Option<u64>,
    pub(super) setting: Setting,
    pub(super) cause: TrialCause,
    pub(super) began: Moment,
    /// The same by the wall clock, once that was put in.
    pub(super) began_at: Option<Timestamp>,
    /// Windows that were closed.
    windows: u32,
    /// What the first window of a pair measured.
    half: Option<f64>,
    /// Of the loss, the tried setting's less that of the one in use.
    pub(super) evidence: Evidence,
    /// Mean loss of the setting in use.
    pub(super) baseline: Evidence,
    /// The least margins of the tried setting.
    pub(super) worst: Vec<f64>,
    /// What was missing, where it could not be measured.
    pub(super) missing: Vec<String>,
}

impl Trial {
    pub(super) fn new(
        id: u64,
        suggestion: Option<u64>,
        setting: Setting,
        cause: TrialCause,
        began: Moment,
    ) -> Self {
        Self {
            id,
            suggestion,
            setting,
            cause,
            began,
            began_at: None,
            windows: 0,
            half: None,
            evidence: Evidence::default(),
            baseline: Evidence::default(),
            worst: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Whether the next window is one of the tried setting. Pairs go to and fro (in use, tried; tried, in use), so that a trend favours
    /// neither, and half of the changes are saved.
    pub(super) fn tried_next(&self) -> bool {
        matches!(self.windows % 4, 1 | 2)
    }

    /// A window measured this mean loss; true when that makes a pair.
    pub(super) fn close(&mut self, mean: f64, margins: &[f64]) -> bool {
        let tried = self.tried_next();
        self.windows += 1;
        if tried {
            self.worst.resize(margins.len(), f64::INFINITY);
            for (worst, margin) in self.worst.iter_mut().zip(margins) {
                *worst = worst.min(*margin);
            }
        }
        let Some(other) = self.half.take() else {
            self.half = Some(mean);
            return false;
        };
        let (mine, base) = if tried { (mean, other) } else { (other, mean) };
        self.evidence.add(mine - base);
        self.baseline.add(base);
        true
    }
}

/// A stretch of time in which one setting is measured.
#[derive(Clone, Debug)]
pub(super) struct Window {
    from: Moment,
    until: Moment,
    loss: Evidence,
    /// The least margin of each guard-rail; infinite while it was not measured.
    worst: Vec<f64>,
}

impl Window {
    pub(super) fn new(now: Moment, warm_up: Duration, length: Duration, guards: usize) -> Self {
        let from = now + warm_up;
        Self {
            from,
            until: from + length,
            loss: Evidence::default(),
            worst: vec![f64::INFINITY; guards],
        }
    }

    /// Whether the setting has had time to take effect.
    pub(super) fn warm(&self, now: Moment) -> bool {
        now >= self.from
    }

    /// From when on it counts.
    pub(super) fn from(&self) -> Moment {
        self.from
    }

    /// When it ends.
    pub(super) fn until(&self) -> Moment {
        self.until
    }

    pub(super) fn over(&self, now: Moment) -> bool {
        now >= self.until
    }

    pub(super) fn worst(&self) -> &[f64] {
        &self.worst
    }

    /// Takes a sample; `loss` is its objective as a loss.
    pub(super) fn add(&mut self, sample: &TunerSample, loss: Option<f64>, guards: &[GuardRail]) {
        if let Some(loss) = loss {
            self.loss.add(loss);
        }
        for (worst, guard) in self.worst.iter_mut().zip(guards) {
            if let Some(value) = sample.guards.get(&guard.metric) {
                let margin = guard.margin(*value);
                *worst = if margin.is_nan() { f64::NEG_INFINITY } else { worst.min(margin) };
            }
        }
    }

    /// The mean loss and least margins, when the objective and all guard-rails were measured.
    pub(super) fn measured(&self) -> Option<(f64, &[f64])> {
        let complete = self.loss.pairs() > 0 && self.worst.iter().all(|w| *w < f64::INFINITY);
        complete.then_some((self.loss.mean(), self.worst.as_slice()))
    }

    /// What was not measured in it: `objective`, or metrics.
    pub(super) fn missing(&self, guards: &[GuardRail]) -> Vec<String> {
        let objective = (self.loss.pairs() == 0).then(|| "objective".to_owned());
        let metrics = self.worst.iter().zip(guards).filter(|(worst, _)| **worst == f64::INFINITY);
        objective.into_iter().chain(metrics.map(|(_, guard)| guard.metric.clone())).collect()
    }
}

/// The first guard-rail that a sample breaks.
pub(super) fn broken(sample: &TunerSample, guards: &[GuardRail]) -> Option<BrokenGuard> {
    guards.iter().find_map(|guard| {
        let value = *sample.guards.get(&guard.metric)?;
        let margin = guard.margin(value);
        let breaks = margin < 0.0 || !value.is_finite();
        breaks.then(|| BrokenGuard {
            metric: guard.metric.clone(),
            value: value.is_finite().then_some(value),
            bound: guard.bound,
        })
    })
}
