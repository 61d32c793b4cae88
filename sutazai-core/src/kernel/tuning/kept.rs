//! What tuners have adopted, kept in the store over the ends of processes.

use super::super::shared::Shared;
use super::tuners::Tuned;
use crate::Error;
use crate::base::payload::Payload;
use crate::observe::Level;
use crate::store::Durability;
use crate::tune::Setting;

/// Where it is in the store: by tuner.
const NAMESPACE: &str = "tune.adopted";

impl Shared {
    /// What a tuner of this name had in use when the last process ended.
    pub(super) fn recall_adopted(&self, tuner: &str) -> Option<Setting> {
        self.data_dir.as_ref()?;
        match self.store.get(NAMESPACE, tuner) {
            // What cannot be read was kept by another version: it is found out anew.
            Ok(kept) => serde_json::from_value((*kept?.value.value().ok()?).clone()).ok(),
            Err(error) => {
                self.complain_of_kept(tuner, "what a tuner had adopted could not be read", &error);
                None
            }
        }
    }

    /// Keeps what is in use where that has changed. Whoever asks has the tuner's turn.
    pub(super) fn keep_adopted(&self, tuned: &Tuned) {
        if self.data_dir.is_none() {
            return;
        }
        let setting = {
            let mut state = tuned.state.lock();
            let incumbent = state.tuner.incumbent();
            if state.kept == *incumbent {
                return;
            }
            state.kept = incumbent.clone();
            state.kept.clone()
        };
        let kept = serde_json::to_value(&setting).unwrap_or_default();
        let now = self.runtime.timestamp();
        let durable = Durability::Process;
        self.store.put(NAMESPACE, &tuned.name, &Payload::from(kept), now, durable).detach();
    }

    /// The tuner is gone, and what it has found with it.
    pub(super) fn forget_adopted(&self, tuner: &str) {
        if self.data_dir.is_some() {
            self.store.delete(NAMESPACE, tuner, Durability::Process).detach();
        }
    }

    fn complain_of_kept(&self, tuner: &str, what: &'static str, error: &Error) {
        let fields = [("tuner", tuner.to_owned()), ("error", format!("{error:#}"))];
        self.kept.log().record(Level::Warn, "sutazai.tune", what, fields);
    }
}
