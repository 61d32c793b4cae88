//! The state machine: [`Tuner`].

use std::collections::VecDeque;
use std::time::Duration;

use super::evidence::Evidence;
use super::figures::{Figures, patience};
use super::policy::{Autonomy, TunerPolicy};
use super::trial::{Trial, Window, broken};
use super::view::{
    ApplyCause, Suggested, TrialCause, TrialRecord, TrialVerdict, TunerAction, TunerLack,
    TunerPhase, TunerSample, TunerView,
};
use crate::base::time::Moment;
use crate::tune::optimise::Envelope;
use crate::tune::{Direction, Optimiser, Setting, Space, SuggestionCause, TrialResult};
use crate::{Code, Error, Result};

/// Settings that were in use before and may be tried again.
pub(super) const FORMER: usize = 8;

/// Tunes knobs by trials, within a safety envelope. See the [module](crate::tune) for how.
#[derive(Clone, Debug)]
pub struct Tuner {
    pub(super) policy: TunerPolicy,
    pub(super) space: Space,
    pub(super) optimiser: Optimiser,
    pub(super) envelope: Envelope,
    pub(super) original: Setting,
    pub(super) incumbent: Setting,
    pub(super) applied: Setting,
    pub(super) former: VecDeque<Setting>,
    pub(super) phase: Phase,
    /// Margins of the guard-rails when they were first measured: the unit in which the envelope sees them.
    pub(super) units: Option<Vec<f64>>,
    /// Loss of the setting in use over the one that the optimiser began with.
    pub(super) offset: f64,
    /// Loss of the setting in use when it came into use, and as measured last.
    pub(super) reference: Option<f64>,
    pub(super) level: Option<f64>,
    /// Means of windows of the setting in use since it came into use, and how many in a row are far from `reference`.
    pub(super) usual: Evidence,
    pub(super) strange: u32,
    pub(super) until_recheck: u32,
    /// Settings that could not be applied since the search began.
    unapplied: u32,
    pub(super) figures: Figures,
    /// The number before the first trial's.
    numbered: u64,
    pub(super) trials: u64,
    pub(super) adopted: u64,
    pub(super) broken: u64,
    pub(super) drifts: u64,
    pub(super) history: VecDeque<TrialRecord>,
    /// What was suggested, or noted where it only watches, since all was learned anew; the newest last.
    pub(super) said: VecDeque<Suggested>,
}

/// Suggestions that are not made again, at most.
const SAID: usize = 64;

/// Windows in a row, far from what they should be, that show that the world is another one.
pub(super) const STRANGE: u32 = 2;

/// Settings that could not be applied, after which nothing is held against settings.
const UNAPPLIED: u32 = 5;

#[derive(Clone, Debug)]
pub(super) enum Phase {
    Learning(Window),
    Resting(Moment, Window),
    Waiting(Box<Trial>, Moment),
    Trying(Box<Trial>, Window),
}

impl Tuner {
    /// A tuner of knobs that are set as the space says.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the policy is not valid.
    pub fn new(space: Space, policy: TunerPolicy, now: Moment) -> Result<Self> {
        policy.check()?;
        let current = space.current();
        Ok(Self {
            optimiser: Optimiser::new(space.clone(), Direction::Minimise, policy.seed),
            envelope: Envelope::new(space.clone(), policy.guards.len()),
            original: current.clone(),
            incumbent: current.clone(),
            applied: current,
            former: VecDeque::new(),
            phase: Phase::Learning(window(&policy, now, false)),
            units: None,
            offset: 0.0,
            reference: None,
            level: None,
            usual: Evidence::default(),
            strange: 0,
            until_recheck: policy.recheck,
            unapplied: 0,
            figures: Figures::new(&policy, now),
            numbered: 0,
            trials: 0,
            adopted: 0,
            broken: 0,
            drifts: 0,
            history: VecDeque::new(),
            said: VecDeque::new(),
            policy,
            space,
        })
    }

    /// Its trials are numbered from the one after this, so that no answer to what another tuner of its name has asked is taken for one to what
    /// this one asks.
    #[must_use]
    pub fn numbered_after(mut self, last: u64) -> Self {
        self.numbered = last;
        self
    }

    /// Takes what was measured, and says what is to be done, in this order. A guard-rail that it breaks ends the trial at once.
    pub fn report(&mut self, sample: &TunerSample, now: Moment) -> Vec<TunerAction> {
        let mut actions = Vec::new();
        let guard = broken(sample, &self.policy.guards);
        let loss = sample.objective.map(|v| self.policy.direction.loss(v));
        // What is measured just after the knobs went back is still the trial's doing.
        let just_back = matches!(&self.phase, Phase::Trying(_, window) if !window.warm(now));
        let foreign = self.applied != self.incumbent || just_back;
        // Nor is it what is in use before that has taken effect.
        let warm = self.phase.window().is_none_or(|window| window.warm(now));
        self.figures.take(sample, !foreign && warm, &self.policy, now);
        if let Some(window) = self.phase.window() {
            let counts = guard.is_some() && (foreign || window.warm(now));
            if window.warm(now) {
                window.add(sample, loss, &self.policy.guards);
            }
            if let (true, Some(guard)) = (counts, guard) {
                self.guard_broken(guard, foreign, now, &mut actions);
            }
        } else if let Some(guard) = guard {
            // What is in use is held to its guard-rails while a trial waits to be approved as well.
            self.guard_broken(guard, foreign, now, &mut actions);
        }
        // It was measured before what is done now.
        actions.extend(self.poll(now));
        actions
    }

    /// Says what is to be done now that nothing was measured: ask at least as often as windows and deadlines end.
    pub fn poll(&mut self, now: Moment) -> Vec<TunerAction> {
        let mut actions = Vec::new();
        match std::mem::replace(&mut self.phase, Phase::Learning(window(&self.policy, now, false)))
        {
            Phase::Learning(window) if window.over(now) => self.learned(&window, now),
            Phase::Resting(until, window) => self.rested(until, window, now, &mut actions),
            Phase::Waiting(trial, until) if now >= until => {
                self.end(*trial, TrialVerdict::TimedOut, None, now, &mut actions);
            }
            Phase::Trying(trial, window) if window.over(now) => {
                self.tried(trial, &window, now, &mut actions);
            }
            phase => self.phase = phase,
        }
        actions
    }

    /// The answer to [`TunerAction::Ask`].
    ///
    /// # Errors
    /// [`Code::INVALID`] when that trial does not wait for one (any more).
    pub fn answer(&mut self, trial: u64, approved: bool, now: Moment) -> Result<Vec<TunerAction>> {
        let mut actions = Vec::new();
        match &self.phase {
            Phase::Waiting(waiting, until) if waiting.id == trial && now < *until => {
                let waiting = (**waiting).clone();
                if approved {
                    self.begin(waiting, now);
                } else {
                    self.end(waiting, TrialVerdict::Denied, None, now, &mut actions);
                }
                Ok(actions)
            }
            _ => Err(Error::new(Code::INVALID, "the trial does not wait for an approval")
                .operation("tune.answer")
                .with("trial", trial)),
        }
    }

    /// The last setting could not be applied. The trial ends, and the setting in use is to be applied again.
    pub fn not_applied(&mut self, now: Moment) -> Vec<TunerAction> {
        let mut actions = Vec::new();
        if let Phase::Trying(trial, _) = &self.phase {
            let trial = (**trial).clone();
            self.unapplied += 1;
            self.end(trial, TrialVerdict::NotApplied, None, now, &mut actions);
        }
        actions
    }

    /// Somebody else has set the knobs: a trial ends, and this is the setting in use from now on, which is learned anew.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the setting is not one of the space's; nothing changes then.
    pub fn set(&mut self, setting: &Setting, now: Moment) -> Result<()> {
        self.space.check(setting)?;
        // What it would do to roll back is not to be done.
        self.cancel(now);
        self.original = setting.clone();
        self.incumbent = setting.clone();
        self.applied = setting.clone();
        self.former.clear();
        self.restart(now);
        Ok(())
    }

    /// A setting that was in use before this tuner began, in an earlier process: its first trial is one of it, or of what one step
    /// comes to on the way there.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the setting is not one of the space's; nothing changes then.
    pub fn recall(&mut self, setting: &Setting) -> Result<()> {
        self.space.check(setting)?;
        if *setting != self.incumbent {
            self.former.push_back(setting.clone());
            self.until_recheck = 1;
        }
        Ok(())
    }

    /// The number of the last trial; before the first that of the one [before](Self::numbered_after), or 0.
    pub fn last_trial(&self) -> u64 {
        self.numbered.saturating_add(self.trials)
    }

    /// What it lacks to try anything: figures that nobody has measured for two windows and a warm-up, or ever, and guard-rails that the
    /// setting in use breaks.
    pub fn lacks(&self, now: Moment) -> Vec<TunerLack> {
        self.figures.lacks(&self.policy, now)
    }

    /// After so long a figure that nobody measures is missing.
    pub fn patience(&self) -> Duration {
        patience(&self.policy)
    }

    /// The setting in use.
    pub fn incumbent(&self) -> &Setting {
        &self.incumbent
    }

    /// How far it may go by itself.
    pub fn autonomy(&self) -> Autonomy {
        self.policy.autonomy
    }

    /// Sets how far it may go by itself. A trial under way ends.
    pub fn set_autonomy(&mut self, autonomy: Autonomy, now: Moment) -> Vec<TunerAction> {
        self.policy.autonomy = autonomy;
        // Who watched before has told nobody.
        self.said.clear();
        self.cancel(now)
    }

    /// The tuner's figures.
    pub fn view(&self) -> TunerView {
        TunerView {
            phase: match self.phase {
                Phase::Learning(_) => TunerPhase::Learning,
                Phase::Resting(..) => TunerPhase::Resting,
                Phase::Waiting(..) => TunerPhase::Waiting,
                Phase::Trying(..) => TunerPhase::Trying,
            },
            incumbent: self.incumbent.clone(),
            applied: self.applied.clone(),
            original: self.original.clone(),
            level: self.level.map(|l| self.policy.direction.loss(l)),
            trials: self.trials,
            adopted: self.adopted,
            broken: self.broken,
            drifts: self.drifts,
            suggested: self.said.back().cloned(),
            history: self.history.iter().cloned().collect(),
            policy: self.policy.clone(),
        }
    }

    /// Trials on record that have ended after this one, the oldest first.
    pub fn ended_after(&self, trial: u64) -> impl Iterator<Item = &TrialRecord> {
        self.history.iter().filter(move |record| record.id > trial)
    }

    /// Whether a trial waits to be approved.
    pub fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting(..))
    }

    /// What the knobs are to be set to now.
    pub fn applied(&self) -> &Setting {
        &self.applied
    }

    fn learned(&mut self, seen: &Window, now: Moment) {
        // Nothing is tried before all was measured, nor while the setting in use breaks a guard-rail.
        let Some((loss, margins)) = seen.measured() else {
            self.figures.short(&seen.missing(&self.policy.guards), &self.policy, now);
            return;
        };
        self.figures.whole(margins);
        if margins.iter().any(|m| *m < 0.0) {
            return;
        }
        self.refer(loss);
        self.units.get_or_insert_with(|| margins.to_vec());
        self.remember_margins(&self.incumbent.clone(), margins);
        // The setting is one of the space's: `set` checked it, or it was decoded.
        let known = self.optimiser.observe(&self.incumbent, TrialResult::Measured(self.offset));
        debug_assert!(known.is_ok());
        self.phase = Phase::Resting(now, window(&self.policy, now, false));
    }

    fn rested(
        &mut self,
        until: Moment,
        mut seen: Window,
        now: Moment,
        actions: &mut Vec<TunerAction>,
    ) {
        if seen.over(now) {
            if let Some((loss, margins)) = seen.measured() {
                let margins = margins.to_vec();
                self.figures.whole(&margins);
                self.follow(loss);
                self.remember_margins(&self.incumbent.clone(), &margins);
            }
            seen = window(&self.policy, now, false);
        }
        if self.drifted(now) {
            return;
        }
        // Of what cannot be measured no trial could be judged.
        if now < until || !self.figures.are_there(&self.policy, now) {
            self.phase = Phase::Resting(until, seen);
        } else {
            self.propose(now, actions);
        }
    }

    fn propose(&mut self, now: Moment, actions: &mut Vec<TunerAction>) {
        if self.unapplied >= UNAPPLIED {
            // It may not have been the settings' fault: what could not be applied is tried again.
            self.unapplied = 0;
            self.restart_search();
            self.phase = Phase::Learning(window(&self.policy, now, false));
            return;
        }
        let Some((suggestion, setting, cause)) = self.candidate() else {
            self.rest(now, false, false);
            return;
        };
        let says = matches!(self.policy.autonomy, Autonomy::Observe | Autonomy::Suggest);
        if says && self.said.iter().any(|said| said.setting == setting) {
            // Nothing was tried, so nothing more is known of it: who was told is not told again.
            suggestion.into_iter().for_each(|id| self.optimiser.abandon(id));
            self.rest(now, false, false);
            return;
        }
        self.trials += 1;
        let trial = Trial::new(self.last_trial(), suggestion, setting.clone(), cause, now);
        if says {
            if self.said.len() >= SAID {
                self.said.pop_front();
            }
            self.said.push_back(Suggested { trial: trial.id, setting: setting.clone() });
        }
        match self.policy.autonomy {
            Autonomy::Observe => self.end(trial, TrialVerdict::NotTried, None, now, actions),
            Autonomy::Suggest => {
                actions.push(TunerAction::Suggest { trial: trial.id, setting });
                self.end(trial, TrialVerdict::NotTried, None, now, actions);
            }
            Autonomy::Approve => {
                let until = now + Duration::from_millis(self.policy.approval_ms);
                let until_nanos = until.as_nanos();
                let ask = TunerAction::Ask { trial: trial.id, setting, until_nanos, until: None };
                actions.push(ask);
                self.phase = Phase::Waiting(Box::new(trial), until);
            }
            Autonomy::Act => self.begin(trial, now),
        }
    }

    /// What to try next; none when nothing is safe and new.
    fn candidate(&mut self) -> Option<(Option<u64>, Setting, TrialCause)> {
        let bounds = self.envelope.reach(&self.incumbent);
        self.until_recheck = self.until_recheck.saturating_sub(1);
        if self.until_recheck == 0 {
            self.until_recheck = self.policy.recheck;
            if let Some(former) = self.former.pop_back() {
                // As far towards it as one step goes.
                let mut x = self.space.encode(&former);
                x.iter_mut().enumerate().for_each(|(i, v)| *v = bounds.clamp(i, *v));
                self.space.snap(&mut x);
                let setting = self.space.decode(&x);
                self.former.push_front(former);
                if setting != self.incumbent && self.envelope.admits(&self.incumbent, &setting) {
                    return Some((None, setting, TrialCause::Recheck));
                }
            }
        }
        let envelope = &self.envelope;
        let found = self.optimiser.ask_within(&bounds, &|x| envelope.safe(x));
        let cause = match found.cause {
            SuggestionCause::Spread => TrialCause::Spread,
            SuggestionCause::Improvement => TrialCause::Improvement,
            SuggestionCause::Best | SuggestionCause::Current => {
                self.optimiser.abandon(found.id);
                return None;
            }
        };
        if found.setting == self.incumbent || !envelope.admits(&self.incumbent, &found.setting) {
            self.optimiser.abandon(found.id);
            return None;
        }
        Some((Some(found.id), found.setting, cause))
    }

    fn begin(&mut self, trial: Trial, now: Moment) {
        // The setting in use is measured first.
        self.phase = Phase::Trying(Box::new(trial), window(&self.policy, now, false));
    }

    fn tried(
        &mut self,
        mut trial: Box<Trial>,
        seen: &Window,
        now: Moment,
        actions: &mut Vec<TunerAction>,
    ) {
        let was = trial.tried_next();
        let Some((loss, margins)) = seen.measured() else {
            trial.missing = seen.missing(&self.policy.guards);
            self.end(*trial, TrialVerdict::Unmeasured, None, now, actions);
            return;
        };
        if !was {
            self.follow(loss);
            if self.strange >= STRANGE {
                // The world became another one in the middle of it.
                self.end(*trial, TrialVerdict::Drifted, None, now, actions);
                return;
            }
        }
        if trial.close(loss, margins)
            && let Some(verdict) = self.verdict(&trial)
        {
            self.end(*trial, verdict, None, now, actions);
            return;
        }
        let next = trial.tried_next();
        if next != was {
            let (setting, cause) = if next {
                (trial.setting.clone(), ApplyCause::Trial)
            } else {
                (self.incumbent.clone(), ApplyCause::Baseline)
            };
            self.apply(trial.id, setting, cause, actions);
        }
        self.phase = Phase::Trying(trial, window(&self.policy, now, next != was));
    }

    pub(super) fn apply(
        &mut self,
        trial: u64,
        setting: Setting,
        cause: ApplyCause,
        actions: &mut Vec<TunerAction>,
    ) -> bool {
        if self.applied == setting {
            return false;
        }
        self.applied = setting.clone();
        actions.push(TunerAction::Apply { trial, setting, cause });
        true
    }
}

impl Phase {
    fn window(&mut self) -> Option<&mut Window> {
        match self {
            Self::Learning(w) | Self::Resting(_, w) | Self::Trying(_, w) => Some(w),
            Self::Waiting(..) => None,
        }
    }
}

pub(super) fn window(policy: &TunerPolicy, now: Moment, moved: bool) -> Window {
    let warm_up = if moved { policy.warm_up_ms } else { 0 };
    let length = Duration::from_millis(policy.window_ms);
    Window::new(now, Duration::from_millis(warm_up), length, policy.guards.len())
}
