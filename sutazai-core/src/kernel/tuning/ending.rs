//! How tuners end, and all that is tuned when the kernel stops.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::super::shared::Shared;
use super::tuners::Tuned;
use super::{LOOK, STUCK};
use crate::Result;
use crate::observe::Level;
use crate::tune::Autonomy;

impl Shared {
    /// Rolls back what a tuner tries, after which it tries nothing.
    pub(super) fn end_tuner(self: &Arc<Self>, tuned: &Tuned) -> Result<()> {
        let _turn = tuned.turn.lock();
        self.ended_in_turn(tuned)
    }

    /// Who has the tuner's turn ends it.
    fn ended_in_turn(self: &Arc<Self>, tuned: &Tuned) -> Result<()> {
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

    pub(super) fn remove(&self, tuned: &Arc<Tuned>) {
        let mut tuners = self.tuning.tuners.lock();
        // Another one may have its name by now; and one that a stop has ended is not there, and what it has found is kept.
        if tuners.get(&tuned.name).is_some_and(|one| Arc::ptr_eq(one, tuned)) {
            tuners.remove(&tuned.name);
            drop(tuners);
            self.forget_adopted(&tuned.name);
        }
    }

    /// Whether a tuner has ended within that time: it does so aside, as knobs that it sets back may hang.
    fn ended_within(self: &Arc<Self>, tuned: &Arc<Tuned>, patience: Duration) -> bool {
        let (ended, wait) = channel();
        let (shared, aside) = (Arc::clone(self), Arc::clone(tuned));
        let end = move || {
            if let Some(_turn) = aside.turn.try_lock_for(patience) {
                // What could not be rolled back is on the log.
                drop(shared.ended_in_turn(&aside));
                // Nobody may wait any more.
                let _ = ended.send(());
            }
        };
        let thread = std::thread::Builder::new().name("sutazai-tune-end".to_owned()).spawn(end);
        thread.is_ok() && wait.recv_timeout(patience).is_ok()
    }

    /// The kernel stops: what was tried is rolled back.
    pub(in crate::kernel) fn stop_tuning(self: &Arc<Self>) {
        let all = std::mem::take(&mut *self.tuning.tuners.lock());
        let mut patience = STUCK;
        for tuned in all.values() {
            // Who sets a knob that hangs does not hold up the stop.
            if !self.ended_within(tuned, patience) {
                patience = LOOK;
                tuned.state.lock().closed = true;
                let fields = [("tuner", tuned.name.to_string())];
                let what = "a trial is not rolled back: a knob of the tuner's is being set, and that hangs";
                self.kept.log().record(Level::Warn, "sutazai.tune", what, fields);
            }
        }
        self.keep_numbers();
        #[cfg(feature = "agent")]
        self.tuning.pools.lock().clear();
        let divided = std::mem::take(&mut *self.tuning.divided.lock());
        divided.values().for_each(|divided| divided.close_within(patience));
    }
}
