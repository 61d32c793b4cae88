//! Carrying out what a tuner wants done, and noticing what others have done.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::Change;
use super::super::shared::Shared;
use super::knobs::word;
use super::tuners::{Proposal, Tuned};
use crate::base::time::Moment;
use crate::observe::Level;
use crate::tune::{KnobValue, Setting, TunerAction};
use crate::{Error, Result};

impl Shared {
    /// Does what a tuner wants done; answers with what that was. Whoever asks has the tuner's turn.
    pub(super) fn carry(
        self: &Arc<Self>,
        tuned: &Tuned,
        actions: Vec<TunerAction>,
    ) -> Vec<TunerAction> {
        let mut left = VecDeque::from(actions);
        let mut done = Vec::new();
        while let Some(action) = left.pop_front() {
            match &action {
                TunerAction::Apply { trial, setting, cause } => {
                    let set = match self.apply(tuned, setting) {
                        Ok(set) => set,
                        Err(error) => {
                            self.complain_of_tuner(tuned, &error);
                            let mut state = tuned.state.lock();
                            (state.trouble, state.behind) = (Some(error), true);
                            // The trial is over; what it wants done instead is all that counts now.
                            left = state.tuner.not_applied(self.runtime.now()).into();
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
                TunerAction::Ask { trial, setting, until_nanos } => {
                    let until = self.clock.wall(Moment::from_nanos(*until_nanos));
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
            done.push(action);
        }
        self.tell_of_trials(tuned);
        self.keep_adopted(tuned);
        done
    }

    /// Trials that have ended since the last look.
    fn tell_of_trials(&self, tuned: &Tuned) {
        let ended: Vec<_> = {
            let mut state = tuned.state.lock();
            if !state.tuner.is_waiting() {
                state.waiting = None;
            }
            let ended: Vec<_> = state.tuner.ended_after(state.told).cloned().collect();
            state.told = ended.last().map_or(state.told, |trial| trial.id);
            ended
        };
        for trial in ended {
            let verdict = serde_json::to_value(trial.verdict).unwrap_or_default();
            let fields = [
                ("tuner", tuned.name.to_string()),
                ("trial", trial.id.to_string()),
                ("verdict", verdict.as_str().unwrap_or_default().to_owned()),
                ("setting", serde_json::to_string(&trial.setting).unwrap_or_default()),
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

    /// Sets the knobs that the kernel knows and that stand otherwise; says how many.
    fn apply(&self, tuned: &Tuned, setting: &Setting) -> Result<u32> {
        let mut set = 0;
        for (knob, adjust) in &tuned.knobs {
            let (Some(adjust), Some(wanted)) = (adjust, setting.get(&knob.name)) else { continue };
            if same(&adjust.value()?, wanted) {
                continue;
            }
            let word = word(wanted);
            let change = Change::configuration("tune.apply", &knob.name).by(Change::KERNEL);
            self.changes(change.with("value", &word), || adjust.set(wanted))
                .map_err(|error| error.with("knob", &knob.name))?;
            set += 1;
        }
        Ok(set)
    }

    /// Sees whether somebody else has set the knobs, and tries again what failed; says whether the tuner may go on. It rests
    /// while a knob stands where it may not try: that is what somebody wanted.
    pub(super) fn notice(self: &Arc<Self>, tuned: &Tuned, now: Moment) -> bool {
        let (mut present, behind) = {
            let state = tuned.state.lock();
            (state.tuner.applied().clone(), state.behind)
        };
        let wanted = present.clone();
        if behind {
            let tried = self.apply(tuned, &wanted);
            let mut state = tuned.state.lock();
            match tried {
                Ok(set) => state.set(set),
                Err(error) => state.trouble = Some(error),
            }
            return true;
        }
        let mut moved = false;
        for (knob, adjust) in &tuned.knobs {
            let Some(adjust) = adjust else { continue };
            match adjust.value() {
                Ok(value) if !wanted.get(&knob.name).is_some_and(|own| same(own, &value)) => {
                    moved = true;
                    present.insert(knob.name.clone(), value);
                }
                Ok(_) => {}
                Err(error) => {
                    tuned.state.lock().trouble = Some(error);
                    return true;
                }
            }
        }
        let mut state = tuned.state.lock();
        if !moved {
            // Who had set it elsewhere has set it back: what was wrong is so no more.
            if std::mem::take(&mut state.rests) {
                state.trouble = None;
            }
            return true;
        }
        let took = state.tuner.set(&present, now);
        let goes_on = took.is_ok();
        state.rests = !goes_on;
        if !goes_on {
            // A trial is over, and what it would do to roll back is not to be done.
            let autonomy = state.tuner.autonomy();
            drop(state.tuner.set_autonomy(autonomy, now));
            state.waiting = None;
        }
        state.trouble = took.err().map(|error| {
            error.advice(
                "set the knob to what the tuner may try, or remove the tuner; it rests until then",
            )
        });
        goes_on
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
