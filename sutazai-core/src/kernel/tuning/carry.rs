//! Carrying out what a tuner wants done, and noticing what others have done.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::Change;
use super::super::shared::Shared;
use super::kinds::{allowed, fitted};
use super::knobs::word;
use super::numbers::Numbered;
use super::tuners::{Behind, Proposal, State, Tuned};
use super::{about, shown};
use crate::base::time::Moment;
use crate::observe::Level;
use crate::tune::{Adjust, ApplyCause, KnobValue, Setting, TunerAction};
use crate::{Error, Result};

/// What failed is tried again after so long, and then after twice as long each time, up to the longest.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Shared {
    /// Does what a tuner wants done; answers with what that was. Whoever asks has the tuner's turn.
    pub(super) fn carry(
        self: &Arc<Self>,
        tuned: &Tuned,
        actions: Vec<TunerAction>,
    ) -> Vec<TunerAction> {
        let mut left = VecDeque::from(actions);
        let mut done = Vec::new();
        while let Some(mut action) = left.pop_front() {
            match &mut action {
                TunerAction::Apply { trial, setting, cause } => {
                    let set = match self.apply(tuned, setting, Some((*trial, *cause))) {
                        Ok(set) => set,
                        Err(error) => {
                            self.complain_of_tuner(tuned, &error);
                            let now = self.runtime.now();
                            let mut state = tuned.state.lock();
                            state.failed(setting.clone(), error, now);
                            // The trial is over; what it wants done instead is all that counts now.
                            left = state.tuner.not_applied(now).into();
                            continue;
                        }
                    };
                    tuned.state.lock().set(set);
                    self.publish(
                        "tune.apply",
                        serde_json::json!({
                            "tuner": &*tuned.name, "trial": trial, "setting": setting, "cause": cause,
                        }),
                    );
                }
                TunerAction::Ask { trial, setting, until_nanos, until: told } => {
                    let until = self.clock.wall(Moment::from_nanos(*until_nanos));
                    *told = Some(until);
                    self.gave_number(Numbered::Trials, *trial);
                    let proposal = Proposal { trial: *trial, setting: setting.clone(), until };
                    self.publish(
                        "tune.ask",
                        serde_json::json!({
                            "tuner": &*tuned.name, "trial": trial, "setting": setting, "until": until,
                        }),
                    );
                    tuned.state.lock().waiting = Some(proposal);
                }
                TunerAction::Suggest { trial, setting } => self.publish(
                    "tune.suggest",
                    serde_json::json!({
                        "tuner": &*tuned.name, "trial": trial, "setting": setting,
                    }),
                ),
            }
            tuned.state.lock().did(&action);
            done.push(action);
        }
        let last = tuned.state.lock().tuner.last_trial();
        self.gave_number(Numbered::Trials, last);
        self.tell_of_trials(tuned);
        self.keep_adopted(tuned);
        done
    }

    /// Trials that have ended since the last look. Those that were made are on the record, with what came of them.
    fn tell_of_trials(&self, tuned: &Tuned) {
        let ended: Vec<_> = {
            let mut state = tuned.state.lock();
            state.tuner.date(|moment| self.clock.wall(moment));
            if !state.tuner.is_waiting() {
                state.waiting = None;
            }
            let ended: Vec<_> = state.tuner.ended_after(state.told).cloned().collect();
            state.told = ended.last().map_or(state.told, |trial| trial.id);
            ended
        };
        for trial in ended {
            let verdict = serde_json::to_value(trial.verdict).unwrap_or_default();
            let (id, setting) = (trial.id.to_string(), written(&trial.setting));
            let verdict = verdict.as_str().unwrap_or_default();
            let broken = trial.broken.as_ref().map_or("", |guard| &guard.metric);
            if trial.verdict.was_made() {
                let change = Change::configuration("tune.trial", &tuned.name).by(Change::KERNEL);
                let change = change.with("trial", &id).with("verdict", verdict);
                let change = change.with("setting", &setting);
                self.changed(if broken.is_empty() { change } else { change.with("guard", broken) });
            }
            let fields = [
                ("tuner", tuned.name.to_string()),
                ("trial", id),
                ("verdict", verdict.to_owned()),
                ("setting", setting),
            ];
            self.kept.log().record(Level::Info, "sutazai.tune", "a trial has ended", fields);
            if let Ok(serde_json::Value::Object(mut event)) = serde_json::to_value(&trial) {
                event.insert("tuner".to_owned(), tuned.name.to_string().into());
                self.publish("tune.trial", event.into());
            }
        }
    }

    fn complain_of_tuner(&self, tuned: &Tuned, error: &Error) {
        let fields = [("tuner", tuned.name.to_string()), ("error", format!("{error:#}"))];
        self.kept.log().record(Level::Warn, "sutazai.tune", "knobs could not be set", fields);
    }

    /// Sets the knobs that the kernel knows and that stand otherwise; says how many. Fields of one policy bound each other: those that
    /// cannot be set are tried again after the others. What the host is to set is on the record before it is told.
    fn apply(&self, tuned: &Tuned, setting: &Setting, why: Why) -> Result<u32> {
        self.record_hosts(tuned, setting, why)?;
        let mut set = 0;
        let mut left: Vec<_> = (tuned.knobs.iter())
            .filter_map(|(knob, adjust)| {
                let (adjust, wanted) = (adjust.as_deref()?, setting.get(&knob.name)?);
                let stands =
                    adjust.value().is_ok_and(|value| tuned.stands(&knob.name, &value, wanted));
                (!stands).then_some((&*knob.name, adjust, wanted))
            })
            .collect();
        loop {
            let before = left.len();
            let mut trouble = None;
            left.retain(|(name, adjust, wanted)| {
                match self.set_one(tuned, name, *adjust, wanted, why) {
                    Ok(()) => {
                        set += 1;
                        false
                    }
                    Err(error) => {
                        trouble.get_or_insert(about(error, "knob", shown(name)));
                        true
                    }
                }
            });
            match trouble {
                None => return Ok(set),
                Some(error) if left.len() == before => return Err(error),
                Some(_) => {}
            }
        }
    }

    /// Puts on the record what the host's knobs are to be set to now, where that is another value than before.
    fn record_hosts(&self, tuned: &Tuned, setting: &Setting, why: Why) -> Result<()> {
        for (knob, _) in tuned.knobs.iter().filter(|(_, adjust)| adjust.is_none()) {
            let Some(wanted) = setting.get(&knob.name) else { continue };
            let stands = {
                let state = tuned.state.lock();
                state.hosts.get(&knob.name).is_some_and(|value| same(value, wanted))
            };
            if !stands {
                self.applies(tuned, &knob.name, &word(wanted), why, || Ok(()))?;
                tuned.state.lock().hosts.insert(knob.name.clone(), wanted.clone());
            }
        }
        Ok(())
    }

    /// Sets a knob to this once it is on the record, with the tuner, its trial and why.
    fn applies(
        &self,
        tuned: &Tuned,
        knob: &str,
        value: &str,
        why: Why,
        set: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let change = Change::configuration("tune.apply", knob).by(Change::KERNEL);
        let change = change.with("value", value).with("tuner", &tuned.name);
        let Some((trial, cause)) = why else { return self.changes(change, set) };
        let (trial, cause) = (trial.to_string(), serde_json::to_value(cause).unwrap_or_default());
        let cause = cause.as_str().unwrap_or_default();
        self.changes(change.with("trial", &trial).with("cause", cause), set)
    }

    fn set_one(
        &self,
        tuned: &Tuned,
        name: &str,
        adjust: &dyn Adjust,
        wanted: &KnobValue,
        why: Why,
    ) -> Result<()> {
        let kind = adjust.kind();
        let value = fitted(wanted, &kind);
        allowed(name, &kind, &value)?;
        self.applies(tuned, name, &word(&value), why, || adjust.set(&value))?;
        tuned.hear(adjust, wanted);
        Ok(())
    }

    /// Sees whether somebody else has set the knobs, and tries again what failed; says whether the tuner may go on. It rests
    /// while a knob stands where it may not try: that is what somebody wanted.
    pub(super) fn notice(self: &Arc<Self>, tuned: &Tuned, now: Moment) -> bool {
        if self.catch_up(tuned, now) {
            return true;
        }
        let wanted = tuned.state.lock().tuner.applied().clone();
        let mut moved = Setting::new();
        for (knob, adjust) in &tuned.knobs {
            let (Some(adjust), Some(wanted)) = (adjust, wanted.get(&knob.name)) else { continue };
            match adjust.value() {
                Ok(value) if !tuned.stands(&knob.name, &value, wanted) => {
                    moved.insert(knob.name.clone(), value);
                }
                Ok(_) => {}
                Err(error) => {
                    let error = about(error, "knob", shown(&knob.name));
                    tuned.state.lock().trouble = Some(error);
                    return true;
                }
            }
        }
        if moved.is_empty() {
            let mut state = tuned.state.lock();
            // Who had set it elsewhere has set it back: what was wrong is so no more.
            if !std::mem::take(&mut state.by_hand).is_empty() {
                state.trouble = None;
            }
            return true;
        }
        // All of them were seen just now.
        tuned.state.lock().by_hand.clear();
        self.moved_by_hand(tuned, moved, now)
    }

    /// Tries again what failed, when it is time to; whether anything has.
    pub(super) fn catch_up(&self, tuned: &Tuned, now: Moment) -> bool {
        let setting = {
            let state = tuned.state.lock();
            let Some(behind) = &state.behind else { return false };
            if now < behind.again {
                return true;
            }
            behind.setting.clone()
        };
        let tried = self.apply(tuned, &setting, None);
        let mut state = tuned.state.lock();
        match tried {
            Ok(set) => state.set(set),
            Err(error) => state.failed(setting, error, now),
        }
        true
    }

    /// Somebody has set a knob through the kernel, who has the tuner's turn.
    pub(super) fn set_by_hand(self: &Arc<Self>, tuned: &Tuned, adjust: &dyn Adjust, to: KnobValue) {
        tuned.hear(adjust, &to);
        let in_use = {
            let mut state = tuned.state.lock();
            // Where it stood elsewhere before it may be set back.
            if state.by_hand.remove(adjust.name()).is_some() && state.by_hand.is_empty() {
                state.trouble = None;
            }
            let tuner = &state.tuner;
            tuner.applied() == tuner.incumbent()
                && tuner.applied().get(adjust.name()).is_some_and(|own| same(own, &to))
        };
        if !in_use {
            let moved = Setting::from([(adjust.name().to_owned(), to)]);
            self.moved_by_hand(tuned, moved, self.runtime.now());
        }
    }

    /// Somebody else has set these knobs: with what was in use of the others that is what is in use now, and what a trial had set goes
    /// back. Whether the tuner may go on.
    fn moved_by_hand(self: &Arc<Self>, tuned: &Tuned, mut moved: Setting, now: Moment) -> bool {
        let (goes_on, tried, back) = {
            let mut state = tuned.state.lock();
            // What was set before stays as well.
            for (knob, value) in std::mem::take(&mut state.by_hand) {
                moved.entry(knob).or_insert(value);
            }
            let mut present = state.tuner.incumbent().clone();
            let tried = state.tuner.applied() != &present;
            let mut back = present.clone();
            back.retain(|knob, _| !moved.contains_key(knob));
            present.extend(moved.clone());
            let took = state.tuner.set(&present, now);
            let goes_on = took.is_ok();
            if !goes_on {
                // A trial is over; of what it would do to roll back, what was set by hand is not to be done.
                let autonomy = state.tuner.autonomy();
                drop(state.tuner.set_autonomy(autonomy, now));
                state.waiting = None;
            }
            state.by_hand = if goes_on { Setting::new() } else { moved };
            state.behind = None;
            state.trouble = took.err().map(|error| {
                error.advice(
                    "set the knob to what the tuner may try, or remove the tuner; it rests until then",
                )
            });
            (goes_on, tried, back)
        };
        let (trial, cause) = (tuned.state.lock().tuner.last_trial(), ApplyCause::RollBack);
        if let Err(error) = self.apply(tuned, &back, Some((trial, cause))) {
            self.complain_of_tuner(tuned, &error);
            tuned.state.lock().failed(back, error, now);
        }
        if tried {
            // Whoever sets knobs of the host's sets them back.
            let setting = tuned.state.lock().tuner.applied().clone();
            self.publish(
                "tune.apply",
                serde_json::json!({
                    "tuner": &*tuned.name, "trial": trial, "setting": setting, "cause": cause,
                }),
            );
            tuned.state.lock().did(&TunerAction::Apply { trial, setting, cause });
        }
        self.tell_of_trials(tuned);
        self.keep_adopted(tuned);
        goes_on
    }
}

/// The trial that knobs are set for, and why; none for what is tried again.
type Why = Option<(u64, ApplyCause)>;

/// Actions that the host is told of with its next report, at most.
const ACTIONS: usize = 64;

fn written(setting: &Setting) -> String {
    serde_json::to_string(setting).unwrap_or_default()
}

impl State {
    /// This was done, and the next report says so.
    fn did(&mut self, action: &TunerAction) {
        while self.done.len() >= ACTIONS {
            self.done.pop_front();
        }
        self.done.push_back(action.clone());
    }

    /// Knobs could not be set to this.
    fn failed(&mut self, setting: Setting, error: Error, now: Moment) {
        let pause =
            self.behind.take().map_or(PAUSE, |behind| (behind.pause * 2).min(LONGEST_PAUSE));
        self.behind = Some(Behind { setting, again: now + pause, pause });
        self.trouble = Some(error);
    }
}

impl Tuned {
    /// Whether a knob that gives this value stands where it is wanted to. One that rounds gives what it gave when it was set.
    fn stands(&self, knob: &str, value: &KnobValue, wanted: &KnobValue) -> bool {
        same(value, wanted)
            || self
                .state
                .lock()
                .echo
                .get(knob)
                .is_some_and(|(own, given)| same(own, wanted) && same(given, value))
    }

    /// Remembers what a knob gives that was just set.
    fn hear(&self, adjust: &dyn Adjust, wanted: &KnobValue) {
        let given = adjust.value().ok().filter(|given| !same(given, wanted));
        let mut state = self.state.lock();
        match given {
            Some(given) => state.echo.insert(adjust.name().to_owned(), (wanted.clone(), given)),
            None => state.echo.remove(adjust.name()),
        };
    }
}

/// Whether two values of a knob are the same; a whole number is one of a float's.
fn same(a: &KnobValue, b: &KnobValue) -> bool {
    match (a, b) {
        (KnobValue::Integer(i), KnobValue::Number(x))
        | (KnobValue::Number(x), KnobValue::Integer(i)) => *i as f64 == *x,
        _ => a == b,
    }
}
