//! How a trial ends.

use super::machine::{FORMER, Phase, Tuner, window};
use super::trial::Trial;
use super::view::{ApplyCause, BrokenGuard, TrialRecord, TrialVerdict, TunerAction};
use crate::base::time::{Moment, Timestamp};
use crate::tune::TrialResult;

impl Tuner {
    pub(super) fn verdict(&self, trial: &Trial) -> Option<TrialVerdict> {
        let gain = -trial.evidence.mean();
        let least = self.policy.min_gain * trial.baseline.mean().abs();
        if trial.evidence.against_none() >= 1.0 / self.policy.error {
            // The difference is there; is it one that is worth a change?
            return Some(if gain > 0.0 && gain >= least {
                TrialVerdict::Adopted
            } else {
                TrialVerdict::NoGain
            });
        }
        let pairs = trial.evidence.pairs();
        // There is little hope left: even the upper end of what the gain may be is too small.
        let hope = gain + 2.0 * trial.evidence.error();
        if pairs >= 3 && (hope < least || hope <= 0.0) {
            return Some(TrialVerdict::NoGain);
        }
        (pairs >= self.policy.max_pairs).then_some(TrialVerdict::Undecided)
    }

    /// Ends a trial: the optimiser learns of it, it goes on record, and the knobs go where they belong.
    pub(super) fn end(
        &mut self,
        trial: Trial,
        verdict: TrialVerdict,
        guard: Option<BrokenGuard>,
        now: Moment,
        actions: &mut Vec<TunerAction>,
    ) {
        let result = match verdict {
            TrialVerdict::Adopted | TrialVerdict::NoGain | TrialVerdict::Undecided => {
                let worst = trial.worst.clone();
                self.remember_margins(&trial.setting, &worst);
                Some(TrialResult::Measured(self.offset + trial.evidence.mean()))
            }
            TrialVerdict::GuardBroken | TrialVerdict::NotApplied => Some(TrialResult::Failed),
            _ => None,
        };
        match (result, trial.suggestion) {
            // It fails only when 64 later suggestions wait, which there are never.
            (Some(result), Some(id)) => drop(self.optimiser.tell(id, result)),
            (Some(result), None) => drop(self.optimiser.observe(&trial.setting, result)),
            (None, Some(id)) => self.optimiser.abandon(id),
            (None, None) => {}
        }
        self.record(&trial, verdict, guard, now);
        let moved = if verdict == TrialVerdict::Adopted {
            self.adopted += 1;
            self.offset += trial.evidence.mean();
            let level = trial.baseline.mean() + trial.evidence.mean();
            self.refer(level);
            self.former.retain(|f| *f != trial.setting && *f != self.incumbent);
            let former = std::mem::replace(&mut self.incumbent, trial.setting);
            self.former.push_back(former);
            if self.former.len() > FORMER {
                self.former.pop_front();
            }
            self.apply(trial.id, self.incumbent.clone(), ApplyCause::Adopt, actions)
        } else {
            self.apply(trial.id, self.incumbent.clone(), ApplyCause::RollBack, actions)
        };
        let broken = matches!(verdict, TrialVerdict::GuardBroken | TrialVerdict::BaselineBroken);
        self.rest(now, moved, broken);
    }

    pub(super) fn guard_broken(
        &mut self,
        guard: BrokenGuard,
        foreign: bool,
        now: Moment,
        actions: &mut Vec<TunerAction>,
    ) {
        if let Phase::Trying(trial, window) = &self.phase {
            let trial = (**trial).clone();
            if foreign {
                // A break is known to be at least so far beyond the bound as to be kept away from.
                let worst = window.worst().iter().map(|w| if *w < 0.0 { -1.0 } else { 1.0 });
                let mut margins: Vec<f64> = worst.collect();
                for (margin, rail) in margins.iter_mut().zip(&self.policy.guards) {
                    if rail.metric == guard.metric {
                        *margin = -1.0;
                    }
                }
                self.envelope.observe(&trial.setting, margins);
                self.broken += 1;
                self.end(trial, TrialVerdict::GuardBroken, Some(guard), now, actions);
                return;
            }
            self.end(trial, TrialVerdict::BaselineBroken, Some(guard), now, actions);
        } else if let Phase::Waiting(trial, _) = &self.phase {
            let trial = (**trial).clone();
            self.end(trial, TrialVerdict::BaselineBroken, Some(guard), now, actions);
        }
        if self.incumbent != self.original {
            // The setting in use was safe when it was adopted; the world is another one.
            self.incumbent = self.original.clone();
            self.apply(self.last_trial(), self.original.clone(), ApplyCause::Restore, actions);
            self.restart(now);
        } else if matches!(self.phase, Phase::Resting(..)) {
            // Nothing is tried until the setting in use is within its guard-rails again.
            self.phase = Phase::Learning(window(&self.policy, now, false));
        }
    }

    pub(super) fn cancel(&mut self, now: Moment) -> Vec<TunerAction> {
        let mut actions = Vec::new();
        if let Phase::Trying(trial, _) | Phase::Waiting(trial, _) = &self.phase {
            let trial = (**trial).clone();
            self.end(trial, TrialVerdict::Cancelled, None, now, &mut actions);
        }
        actions
    }

    /// Puts the wall clock's times in where they are not yet: soon after, so that they stay when that clock is set to another time.
    pub fn date(&mut self, wall: impl Fn(Moment) -> Timestamp) {
        if let Phase::Trying(trial, _) | Phase::Waiting(trial, _) = &mut self.phase {
            let began = trial.began;
            trial.began_at.get_or_insert_with(|| wall(began));
        }
        for trial in &mut self.history {
            let [began, ended] = [trial.began_nanos, trial.ended_nanos].map(Moment::from_nanos);
            trial.began.get_or_insert_with(|| wall(began));
            trial.ended.get_or_insert_with(|| wall(ended));
        }
    }

    pub(super) fn record(
        &mut self,
        trial: &Trial,
        verdict: TrialVerdict,
        broken: Option<BrokenGuard>,
        now: Moment,
    ) {
        let pairs = trial.evidence.pairs();
        let some = |v: f64| (pairs > 0 && v.is_finite()).then_some(v);
        self.history.push_back(TrialRecord {
            id: trial.id,
            setting: trial.setting.clone(),
            against: self.incumbent.clone(),
            cause: trial.cause,
            began_nanos: trial.began.as_nanos(),
            ended_nanos: now.as_nanos(),
            began: trial.began_at,
            ended: None,
            pairs,
            baseline: some(self.policy.direction.loss(trial.baseline.mean())),
            gain: some(-trial.evidence.mean()),
            gain_error: some(trial.evidence.error()),
            evidence: trial.evidence.against_none(),
            verdict,
            broken,
            missing: trial.missing.clone(),
        });
        while self.history.len() > self.policy.history as usize {
            self.history.pop_front();
        }
    }
}
