//! Tuners: what they are asked, what they are told, and what they say of themselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::super::Change;
use super::super::handle::Kernel;
use super::super::shared::Shared;
use super::measure::Seen;
use super::numbers::Numbered;
use super::spec::TuneSpec;
use super::waits::{TunerWait, WaitsFor};
use super::{MOST, Tuning, about, every, meant, named, no_answer, shown};
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
    /// What the host's own knobs are set to, as far as it did as it was told.
    pub(super) hosts: Setting,
    /// What was done since the host's last report.
    pub(super) done: VecDeque<TunerAction>,
    /// What went wrong last.
    pub(super) trouble: Option<Error>,
    /// Knobs that somebody has set to what it may not try, as they were seen last: it rests. And when that was so last, or it began.
    pub(super) by_hand: Setting,
    pub(super) rested: Moment,
    /// What it waits for, as far as the log has it.
    pub(super) told_of: BTreeSet<(WaitsFor, String)>,
    /// What is in use, as it is kept.
    pub(super) kept: Setting,
    /// The last trial whose end was told.
    pub(super) told: u64,
    /// The newest point of each series that was taken into account.
    pub(super) seen: Seen,
    pub(super) closed: bool,
}

/// Knobs that could not be set.
pub(super) struct Behind {
    pub(super) setting: Setting,
    pub(super) again: Moment,
    pub(super) pause: Duration,
}

impl State {
    /// What the knobs are set to, as far as it is known.
    fn applied(&self) -> Setting {
        let mut applied = self.tuner.applied().clone();
        applied.extend(self.by_hand.clone());
        applied
    }

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
    /// What it was asked to do, with the policy that it has now.
    pub spec: TuneSpec,
    /// What waits to be approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Proposal>,
    /// What it waits for, before which nothing is tried: figures that nobody measures or reports (any more), and guard-rails that the setting in use breaks.
    /// What lasts is on the log, once: a minute and two windows after it was measured last.
    pub waits_for: Vec<TunerWait>,
    /// What went wrong last when knobs were set or read; `None` where nothing did. Of a knob that somebody has set to what it may not try: which,
    /// and to what. It rests until that is set to something that it may, and `applied` has what the knob is set to.
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
    /// What the tuner has done, asked and suggested since the report before, in order: also between the two, when the kernel looked at it by
    /// itself; the last 64 where there were more. Knobs that the kernel knows are set already.
    pub actions: Vec<TunerAction>,
    /// What the knobs are to be set to now; of one that the kernel knows and somebody has set to what the tuner may not try, what it is set to.
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
    ///
    /// Numbers of its trials go on after those of the tuners before it, of this kernel and of its data directory: an answer
    /// to what another tuner has asked is none to what this one asks.
    pub fn add_tuner(&self, name: &str, spec: TuneSpec) -> Result<()> {
        let change = Change::configuration("tune.add", name);
        let done = self.shared.changes(change, || self.shared.add_tuner(name, spec));
        done.map_err(|error| error.operation("tune.add").with("tuner", shown(name)))
    }

    /// Ends a tuner. A trial under way is rolled back first: the setting in use stays.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::NOT_RUNNING`] of a kernel that does not run; what its knobs answer where they cannot be rolled back: that is tried again and again, and the tuner is
    /// gone when it is done.
    pub fn remove_tuner(&self, name: &str) -> Result<()> {
        let change = Change::configuration("tune.remove", name);
        let remove = || {
            let tuned = self.shared.tuned(name)?;
            self.shared.end_tuner(&tuned).map_err(|error| {
                about(error, "tuner", shown(name))
                    .advice("the tuner tries nothing any more, and is gone when its knobs stand as they did")
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
        all.iter().map(|tuned| self.shared.status_of(tuned)).collect()
    }

    /// One tuner.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`], and [`Code::NOT_RUNNING`] of a kernel that does not run, where there are none.
    pub fn tuner(&self, name: &str) -> Result<TunerStatus> {
        let tuned = self.shared.tuned(name).map_err(|error| error.operation("tune.get"))?;
        Ok(self.shared.status_of(&tuned))
    }

    /// Tells a tuner what the host has measured: the objective, and guard-rails' metrics that the kernel does not measure. Knobs
    /// that the kernel knows are set before it returns; the host's it sets itself, as the answer says. May block.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::NOT_RUNNING`] of a kernel that does not run; [`Code::INVALID`] for a metric that no guard-rail is of.
    pub fn report(&self, name: &str, sample: &TunerSample) -> Result<TunerReport> {
        let shared = &self.shared;
        let tuned = shared.tuned(name).map_err(|error| error.operation("tune.report"))?;
        let rails = &tuned.spec.policy.guards;
        if let Some(odd) = sample.guards.keys().find(|one| rails.iter().all(|r| r.metric != **one))
        {
            let error = Error::new(Code::INVALID, "no guard-rail is of this metric")
                .operation("tune.report")
                .with("metric", shown(odd))
                .with("tuner", shown(name))
                .advice("report those that the policy's guards name, and no others");
            return Err(meant(error, odd, rails.iter().map(|rail| &*rail.metric)));
        }
        let _turn = tuned.turn.lock();
        tuned.is_there().map_err(|error| error.operation("tune.report"))?;
        let now = shared.runtime.now();
        let actions = match shared.notice(&tuned, now) {
            true => tuned.state.lock().tuner.report(sample, now),
            false => Vec::new(),
        };
        shared.carry(&tuned, actions);
        let mut state = tuned.state.lock();
        let actions = std::mem::take(&mut state.done).into();
        Ok(TunerReport { actions, applied: state.applied() })
    }

    /// Answers what a tuner has asked: whether a trial may be made. `by` says who does, for the record.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`], [`Code::NOT_RUNNING`] of a kernel that does not run, and [`Code::INVALID`] when that trial does not wait for an answer (any more).
    pub fn answer_tuner(&self, name: &str, trial: u64, approved: bool, by: &str) -> Result<()> {
        let word = if approved { "approved" } else { "denied" };
        let change = Change::forced("tune.answer", name).by(by).with("answer", word);
        let answer = || {
            let shared = &self.shared;
            let tuned = shared.tuned(name)?;
            let _turn = tuned.turn.lock();
            tuned.is_there()?;
            let now = shared.runtime.now();
            let actions = {
                let mut state = tuned.state.lock();
                let Ok(actions) = state.tuner.answer(trial, approved, now) else {
                    let waits = state.waiting.as_ref().map(|waiting| waiting.trial);
                    return Err(no_answer("the trial", waits)
                        .with("tuner", shown(name))
                        .with("trial", trial));
                };
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
    /// [`Code::NOT_FOUND`], and [`Code::NOT_RUNNING`] of a kernel that does not run.
    pub fn set_autonomy(&self, name: &str, autonomy: Autonomy, by: &str) -> Result<()> {
        let word = serde_json::to_value(autonomy).unwrap_or_default();
        let word = word.as_str().unwrap_or_default();
        let change = Change::configuration("tune.autonomy", name).by(by).with("autonomy", word);
        let set = || {
            let shared = &self.shared;
            let tuned = shared.tuned(name)?;
            let _turn = tuned.turn.lock();
            tuned.is_there()?;
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
        let tuners = self.tuners.lock();
        tuners
            .get(name)
            .cloned()
            .ok_or_else(|| meant(none(name), name, tuners.keys().map(|one| &**one)))
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
    /// Who has the turn: whether it was removed while that was waited for, or is about to be gone.
    fn is_there(&self) -> Result<()> {
        if self.state.lock().closed { Err(none(&self.name)) } else { Ok(()) }
    }
}

impl Shared {
    /// The tuner of this name.
    fn tuned(&self, name: &str) -> Result<Arc<Tuned>> {
        // Of a kernel that does not run there are none, whatever they were called.
        self.tuning.get(name).map_err(|none| self.none_or_stopped(none))
    }

    fn status_of(&self, tuned: &Tuned) -> TunerStatus {
        let now = self.runtime.now();
        let (waiting, trouble, view, lacks) = {
            let mut state = tuned.state.lock();
            state.tuner.date(|moment| self.clock.wall(moment));
            // What it rests for is its trouble: nobody looks at figures meanwhile.
            let lacks = if state.by_hand.is_empty() { state.tuner.lacks(now) } else { Vec::new() };
            let view = TunerView { applied: state.applied(), ..state.tuner.view() };
            (state.waiting.clone(), state.trouble.clone(), view, lacks)
        };
        let mut spec = tuned.spec.clone();
        spec.policy = view.policy.clone();
        TunerStatus {
            name: Arc::clone(&tuned.name),
            knobs: tuned.knobs.iter().map(|(knob, _)| knob.clone()).collect(),
            spec,
            waiting,
            waits_for: self.waits_of(tuned, lacks),
            trouble,
            view,
        }
    }

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
            hosts: kept.clone(),
            done: VecDeque::new(),
            trouble: None,
            by_hand: Setting::new(),
            rested: now,
            told_of: BTreeSet::new(),
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
        let shared = knobs.iter().find_map(|(knob, _)| {
            Some((knob, shares.iter().find(|(_, divided)| divided.has(&knob.name))?.0))
        });
        if let Some((knob, by)) = shared {
            return Err(Error::new(Code::ALREADY_EXISTS, "the knob is set to a share")
                .with("knob", shown(&knob.name))
                .with("shares", shown(by))
                .advice("a knob is a tuner's or a share's: divide without it first (tune.share, tune.unshare)"));
        }
        drop(shares);
        let tuned =
            Tuned { name: Arc::clone(&name), spec, every, knobs, turn: Mutex::new(()), state };
        {
            let mut tuners = self.tuning.tuners.lock();
            if tuners.contains_key(&name) {
                return Err(Error::new(Code::ALREADY_EXISTS, "there is a tuner of this name")
                    .advice("remove it first (tune.remove), or take another name"));
            }
            let taken = tuned.knobs.iter().find_map(|(knob, _)| {
                let has =
                    |other: &&Arc<Tuned>| other.knobs.iter().any(|(own, _)| own.name == knob.name);
                tuners.values().find(has).map(|other| (knob.name.clone(), Arc::clone(&other.name)))
            });
            if let Some((knob, other)) = taken {
                return Err(Error::new(Code::ALREADY_EXISTS, "another tuner has the knob")
                    .with("knob", shown(&knob))
                    .with("other", shown(&other))
                    .advice("a knob has one tuner: have that one tune both, or remove it first"));
            }
            if tuners.len() >= MOST {
                return Err(Error::new(
                    Code::OVERLOADED,
                    "there are as many tuners as there may be",
                )
                .with("most", MOST)
                .advice("remove another one first (tune.remove)"));
            }
            // Now that the last one of its name is gone, and gives none any more.
            let last = self.last_number(Numbered::Trials);
            {
                let mut state = tuned.state.lock();
                (state.tuner, state.told) = (state.tuner.clone().numbered_after(last), last);
            }
            tuners.insert(name, Arc::new(tuned));
        }
        drop(claims);
        self.tune_later();
        Ok(())
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
            tuned.state.lock().rested = now;
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
        self.tell_of_waits(tuned, now);
    }
}
