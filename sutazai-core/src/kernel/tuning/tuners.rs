//! Tuners: what they are asked, what they are told, and what they say of themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::super::Change;
use super::super::handle::Kernel;
use super::super::shared::Shared;
use super::kinds::{around, is_within};
use super::measure::Seen;
use super::spec::{TuneSpec, TunedKnob};
use super::{MOST, Tuning, every, named, shown};
use crate::base::time::{Moment, Timestamp};
use crate::tune::{
    Adjust, Autonomy, Knob, KnobValue, Setting, Space, Tuner, TunerAction, TunerSample, TunerView,
};
use crate::{Code, Error, Result};

/// One tuner.
pub(super) struct Tuned {
    pub(super) name: Arc<str>,
    pub(super) spec: TuneSpec,
    pub(super) every: Duration,
    /// The knobs, and those that the kernel sets itself.
    pub(super) knobs: Vec<(Knob, Option<Arc<dyn Adjust>>)>,
    /// Held by who changes knobs, while it does.
    pub(super) turn: Mutex<()>,
    /// Held for moments only.
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    pub(super) tuner: Tuner,
    /// What waits to be approved.
    pub(super) waiting: Option<Proposal>,
    /// When it will be looked at.
    next: Moment,
    /// What knobs should be set to and are not, and when that is tried again.
    pub(super) behind: Option<Behind>,
    /// What knobs that round say of themselves when they were set: the value that was wanted, and the one that they gave.
    pub(super) echo: BTreeMap<String, (KnobValue, KnobValue)>,
    /// What went wrong last.
    pub(super) trouble: Option<Error>,
    /// A knob stands where it may not try.
    pub(super) rests: bool,
    /// What is in use, as it is kept.
    pub(super) kept: Setting,
    /// The last trial whose end was told.
    pub(super) told: u64,
    /// The newest point of each series that was taken into account.
    pub(super) seen: Seen,
    closed: bool,
}

/// Knobs that could not be set.
pub(super) struct Behind {
    pub(super) setting: Setting,
    pub(super) again: Moment,
    pub(super) pause: Duration,
}

impl State {
    /// Knobs stand as they should, of which so many were set now: what went wrong is told until then.
    pub(super) fn set(&mut self, knobs: u32) {
        self.behind = None;
        if knobs > 0 {
            self.trouble = None;
        }
    }
}

/// A change that waits to be approved.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Proposal {
    /// The trial.
    pub trial: u64,
    /// What it would set the knobs to.
    pub setting: Setting,
    /// Until when an approval counts.
    pub until: Timestamp,
}

/// A tuner as hosts see it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TunerStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Its knobs: their types, and what they were set to when it began.
    pub knobs: Vec<Knob>,
    /// What it was asked to do.
    pub spec: TuneSpec,
    /// What waits to be approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Proposal>,
    /// What went wrong last when knobs were set or read; `None` where nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub trouble: Option<Error>,
    /// What it does, has done, and why.
    #[serde(flatten)]
    pub view: TunerView,
}

/// What comes of a report.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TunerReport {
    /// What the tuner wanted done, in order. Knobs that the kernel knows are set already.
    pub actions: Vec<TunerAction>,
    /// What the knobs are to be set to now.
    pub applied: Setting,
}

impl Kernel {
    /// Has knobs tuned from here on. With [`Autonomy::Act`] it tries settings, adopts what is better and rolls back what is
    /// not or breaks a guard-rail; with less it asks, or only says what it would try. Events of the bus tell of it: `tune.suggest`, `tune.ask`,
    /// `tune.apply`, `tune.trial`. Where there is a data directory, a tuner of this name begins with a trial of what the last one had in use
    /// when its process ended; what else it had learned is gone.
    ///
    /// # Errors
    /// [`Code::INVALID`] for what makes no sense, naming it; [`Code::NOT_FOUND`] for a knob that the kernel does not know and of
    /// which nothing is said; [`Code::ALREADY_EXISTS`] where there is a tuner of this name or another one has a knob;
    /// [`Code::OVERLOADED`] beyond a hundred; [`Code::NOT_RUNNING`] and [`Code::DRAINING`].
    pub fn add_tuner(&self, name: &str, spec: TuneSpec) -> Result<()> {
        let change = Change::configuration("tune.add", name);
        let done = self.shared.changes(change, || self.shared.add_tuner(name, spec));
        done.map_err(|error| error.operation("tune.add").with("tuner", shown(name)))
    }

    /// Ends a tuner. A trial under way is rolled back first: the setting in use stays.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; what its knobs answer where they cannot be rolled back: that is tried again and again, and the tuner is
    /// gone when it is done.
    pub fn remove_tuner(&self, name: &str) -> Result<()> {
        let change = Change::configuration("tune.remove", name);
        let remove = || {
            let tuned = self.shared.tuning.get(name)?;
            self.shared.end_tuner(&tuned).map_err(|error| {
                error.advice("the tuner tries nothing any more, and is gone when its knobs stand as they did")
            })?;
            self.shared.remove(&tuned);
            Ok(())
        };
        let done = self.shared.changes(change, remove);
        done.map_err(|error: Error| error.operation("tune.remove"))
    }

    /// The tuners, sorted by name.
    pub fn tuners(&self) -> Vec<TunerStatus> {
        let all: Vec<_> = self.shared.tuning.tuners.lock().values().cloned().collect();
        all.iter().map(|tuned| tuned.status()).collect()
    }

    /// One tuner.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`].
    pub fn tuner(&self, name: &str) -> Result<TunerStatus> {
        self.shared.tuning.get(name).map(|tuned| tuned.status())
    }

    /// Tells a tuner what the host has measured: the objective, and guard-rails' metrics that the kernel does not measure. Knobs
    /// that the kernel knows are set before it returns; the host's it sets itself, as the answer says. May block.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::INVALID`] for a metric that no guard-rail is of.
    pub fn report(&self, name: &str, sample: &TunerSample) -> Result<TunerReport> {
        let shared = &self.shared;
        let tuned = shared.tuning.get(name).map_err(|error| error.operation("tune.report"))?;
        let rails = &tuned.spec.policy.guards;
        if let Some(odd) = sample.guards.keys().find(|one| rails.iter().all(|r| r.metric != **one))
        {
            return Err(Error::new(Code::INVALID, "no guard-rail is of this metric")
                .operation("tune.report")
                .with("metric", shown(odd)));
        }
        let _turn = tuned.turn.lock();
        let now = shared.runtime.now();
        let actions = match shared.notice(&tuned, now) {
            true => tuned.state.lock().tuner.report(sample, now),
            false => Vec::new(),
        };
        let actions = shared.carry(&tuned, actions);
        let applied = tuned.state.lock().tuner.applied().clone();
        Ok(TunerReport { actions, applied })
    }

    /// Answers what a tuner has asked: whether a trial may be made. `by` says who does, for the record.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`], and [`Code::INVALID`] when that trial does not wait for an answer (any more).
    pub fn answer_tuner(&self, name: &str, trial: u64, approved: bool, by: &str) -> Result<()> {
        let word = if approved { "approved" } else { "denied" };
        let change = Change::forced("tune.answer", name).by(by).with("answer", word);
        let answer = || {
            let shared = &self.shared;
            let tuned = shared.tuning.get(name)?;
            let _turn = tuned.turn.lock();
            let now = shared.runtime.now();
            let actions = {
                let mut state = tuned.state.lock();
                let actions = state.tuner.answer(trial, approved, now)?;
                state.waiting = None;
                actions
            };
            shared.carry(&tuned, actions);
            Ok(())
        };
        let done = self.shared.changes(change, answer);
        done.map_err(|error: Error| error.operation("tune.answer"))
    }

    /// Sets how far a tuner may go by itself. A trial under way is rolled back.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`].
    pub fn set_autonomy(&self, name: &str, autonomy: Autonomy, by: &str) -> Result<()> {
        let word = serde_json::to_value(autonomy).unwrap_or_default();
        let word = word.as_str().unwrap_or_default();
        let change = Change::configuration("tune.autonomy", name).by(by).with("autonomy", word);
        let set = || {
            let shared = &self.shared;
            let tuned = shared.tuning.get(name)?;
            let _turn = tuned.turn.lock();
            let now = shared.runtime.now();
            let actions = {
                let mut state = tuned.state.lock();
                state.waiting = None;
                state.tuner.set_autonomy(autonomy, now)
            };
            shared.carry(&tuned, actions);
            Ok(())
        };
        let done = self.shared.changes(change, set);
        done.map_err(|error: Error| error.operation("tune.autonomy"))
    }
}

impl Tuning {
    fn get(&self, name: &str) -> Result<Arc<Tuned>> {
        self.tuners.lock().get(name).cloned().ok_or_else(|| none(name))
    }

    /// The name of the tuner that has a knob.
    pub(super) fn tuner_of(&self, knob: &str) -> Option<Arc<str>> {
        self.tuner_with(knob).map(|tuned| Arc::clone(&tuned.name))
    }

    /// The tuner that has a knob.
    pub(super) fn tuner_with(&self, knob: &str) -> Option<Arc<Tuned>> {
        let tuners = self.tuners.lock();
        let has = |tuned: &&Arc<Tuned>| tuned.knobs.iter().any(|(own, _)| own.name == knob);
        tuners.values().find(has).cloned()
    }
}

fn none(name: &str) -> Error {
    Error::new(Code::NOT_FOUND, "there is no tuner of this name").with("tuner", shown(name))
}

impl Tuned {
    fn status(&self) -> TunerStatus {
        let state = self.state.lock();
        TunerStatus {
            name: Arc::clone(&self.name),
            knobs: self.knobs.iter().map(|(knob, _)| knob.clone()).collect(),
            spec: self.spec.clone(),
            waiting: state.waiting.clone(),
            trouble: state.trouble.clone(),
            view: state.tuner.view(),
        }
    }
}

impl Shared {
    pub(super) fn add_tuner(self: &Arc<Self>, name: &str, spec: TuneSpec) -> Result<()> {
        self.tunes()?;
        named(name, "not a name for a tuner")?;
        spec.check().map_err(|(_, error)| error)?;
        let every = every(spec.every_ms)?;
        let knobs: Vec<_> =
            spec.knobs.iter().map(|wanted| self.bind(wanted)).collect::<Result<_>>()?;
        let now = self.runtime.now();
        let space = Space::new(knobs.iter().map(|(knob, _)| knob.clone()).collect())?;
        let mut tuner = Tuner::new(space, spec.policy.clone(), now)?;
        if let Some(adopted) = self.recall_adopted(name) {
            // One that these knobs do not have any more is of no use.
            let _ = tuner.recall(&adopted);
        }
        let kept = tuner.incumbent().clone();
        let name: Arc<str> = name.into();
        let state = Mutex::new(State {
            tuner,
            waiting: None,
            next: now + every,
            behind: None,
            echo: BTreeMap::new(),
            trouble: None,
            rests: false,
            kept,
            told: 0,
            #[cfg(feature = "monitor")]
            seen: self.seen_of(spec.objective.iter().chain(spec.measures.values())),
            #[cfg(not(feature = "monitor"))]
            seen: Seen::default(),
            closed: false,
        });
        let claims = self.tuning.claims.lock();
        let shares = self.tuning.divided.lock();
        if let Some((knob, _)) =
            knobs.iter().find(|(knob, _)| shares.values().any(|divided| divided.has(&knob.name)))
        {
            return Err(Error::new(Code::ALREADY_EXISTS, "the knob is set to a share")
                .with("knob", &knob.name));
        }
        drop(shares);
        let tuned =
            Tuned { name: Arc::clone(&name), spec, every, knobs, turn: Mutex::new(()), state };
        {
            let mut tuners = self.tuning.tuners.lock();
            if tuners.contains_key(&name) {
                return Err(Error::new(Code::ALREADY_EXISTS, "there is a tuner of this name"));
            }
            let taken = tuned.knobs.iter().find_map(|(knob, _)| {
                let has =
                    |other: &&Arc<Tuned>| other.knobs.iter().any(|(own, _)| own.name == knob.name);
                tuners.values().find(has).map(|other| (knob.name.clone(), Arc::clone(&other.name)))
            });
            if let Some((knob, other)) = taken {
                return Err(Error::new(Code::ALREADY_EXISTS, "another tuner has the knob")
                    .with("knob", knob)
                    .with("other", other));
            }
            if tuners.len() >= MOST {
                return Err(Error::new(
                    Code::OVERLOADED,
                    "there are as many tuners as there may be",
                ));
            }
            tuners.insert(name, Arc::new(tuned));
        }
        drop(claims);
        self.tune_later();
        Ok(())
    }

    /// The knob that is wanted: one that the kernel knows, or the host's as it describes it.
    fn bind(self: &Arc<Self>, wanted: &TunedKnob) -> Result<(Knob, Option<Arc<dyn Adjust>>)> {
        let TunedKnob { name, kind, value, max_step } = wanted;
        let invalid = |problem| Err(Error::new(Code::INVALID, problem).with("knob", shown(name)));
        let (knob, adjust) = match (self.knob(name), kind, value) {
            (Ok(_), _, Some(_)) => {
                return invalid("the kernel knows what this knob is set to: no value may be said");
            }
            (Ok(adjust), kind, None) => {
                let (present, most) = (adjust.value()?, adjust.kind());
                let kind = kind.clone().unwrap_or_else(|| around(&most, &present));
                if !is_within(&kind, &most) {
                    return invalid("the knob may not take all of these values");
                }
                (Knob::new(name.clone(), kind, present), Some(adjust))
            }
            (Err(_), Some(kind), Some(value)) => {
                (Knob::new(name.clone(), kind.clone(), value.clone()), None)
            }
            (Err(unknown), ..) => {
                return Err(unknown.with("knob", shown(name)).advice(
                    "tune.knobs lists those that the kernel knows; one of the host's needs a kind and a value",
                ));
            }
        };
        let knob = knob.max_step(*max_step);
        knob.check()?;
        Ok((knob, adjust))
    }

    pub(super) fn look_at_tuner(self: &Arc<Self>, tuned: &Arc<Tuned>) {
        // Who has the turn looks at it just now.
        let Some(_turn) = tuned.turn.try_lock() else { return };
        let now = self.runtime.now();
        let closed = tuned.state.lock().closed;
        if closed {
            self.catch_up(tuned, now);
            if tuned.state.lock().behind.is_none() {
                self.remove(tuned);
            }
            return;
        }
        let due = {
            let mut state = tuned.state.lock();
            let due = now >= state.next;
            if due {
                state.next = now + tuned.every;
            }
            due
        };
        if !self.notice(tuned, now) {
            return;
        }
        let measured = (due && tuned.spec.measures()).then(|| {
            let mut seen = std::mem::take(&mut tuned.state.lock().seen);
            let sample = self.measured_for(&tuned.spec, &mut seen);
            tuned.state.lock().seen = seen;
            sample
        });
        let actions = {
            let mut state = tuned.state.lock();
            match measured {
                Some(sample) => state.tuner.report(&sample, now),
                None => state.tuner.poll(now),
            }
        };
        self.carry(tuned, actions);
    }

    /// Rolls back what a tuner tries, after which it tries nothing.
    fn end_tuner(self: &Arc<Self>, tuned: &Tuned) -> Result<()> {
        let _turn = tuned.turn.lock();
        let now = self.runtime.now();
        let actions = {
            let mut state = tuned.state.lock();
            state.closed = true;
            state.waiting = None;
            if let Some(behind) = &mut state.behind {
                behind.again = now;
            }
            state.tuner.set_autonomy(Autonomy::Observe, now)
        };
        if actions.is_empty() {
            self.catch_up(tuned, now);
        }
        self.carry(tuned, actions);
        let state = tuned.state.lock();
        match (&state.behind, &state.trouble) {
            (Some(_), Some(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn remove(&self, tuned: &Arc<Tuned>) {
        let mut tuners = self.tuning.tuners.lock();
        // Another one may have its name by now; and one that a stop has ended is not there, and what it has found is kept.
        if tuners.get(&tuned.name).is_some_and(|one| Arc::ptr_eq(one, tuned)) {
            tuners.remove(&tuned.name);
            drop(tuners);
            self.forget_adopted(&tuned.name);
        }
    }

    /// The kernel stops: what was tried is rolled back.
    pub(in crate::kernel) fn stop_tuning(self: &Arc<Self>) {
        let all = std::mem::take(&mut *self.tuning.tuners.lock());
        // What could not be rolled back is on the log.
        all.values().for_each(|tuned| drop(self.end_tuner(tuned)));
        #[cfg(feature = "agent")]
        self.tuning.pools.lock().clear();
        let divided = std::mem::take(&mut *self.tuning.divided.lock());
        divided.values().for_each(|divided| divided.close());
    }
}
