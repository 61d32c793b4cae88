//! What the kernel's router has learned, kept in the store over the ends of processes.

use super::shared::Shared;
use crate::base::payload::Payload;
use crate::store::{Durability, Entry};
use crate::{Error, Result};

/// Where it is in the store: by skill.
const NAMESPACE: &str = "agent.route";
/// Skills that are read at once.
const PAGE: usize = 100;
/// Bytes that are kept of one skill, at most: what is longer has very many agents and features, and is learned anew.
const LONGEST: usize = 4 << 20;

impl Shared {
    /// Takes in what earlier processes have learned. Reads the store.
    pub(super) fn recall_routes(&self) {
        if self.data_dir.is_none() {
            return;
        }
        let Some(router) = &self.adaptive else { return };
        let read = self.each_kept(|kept| {
            // What cannot be read was kept by another version: it is learned anew.
            if let Ok(value) = kept.value.value() {
                let _ = router.recall(&value);
            }
        });
        if let Err(error) = read {
            self.complain_of_routes("what the router had learned could not be read", &error);
        }
    }

    /// Keeps what has been learned since the last time.
    pub(super) fn keep_routes(&self) {
        if self.data_dir.is_none() {
            return;
        }
        let Some(router) = &self.adaptive else { return };
        let now = self.runtime.timestamp();
        for (skill, learned) in router.learned() {
            let value = Payload::from(learned);
            if value.to_string().len() <= LONGEST {
                self.store.put(NAMESPACE, &skill, &value, now, Durability::Process).detach();
            }
        }
    }

    /// The router begins anew: nothing of what was kept is to come back.
    pub(super) fn forget_routes(&self) {
        if self.data_dir.is_none() {
            return;
        }
        let forgotten = self.each_kept(|kept| {
            self.store.delete(NAMESPACE, &kept.key, Durability::Process).detach();
        });
        if let Err(error) = forgotten {
            self.complain_of_routes("what the router had learned could not be forgotten", &error);
        }
    }

    fn each_kept(&self, f: impl Fn(&Entry)) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(NAMESPACE, "", after.as_deref(), PAGE)?;
            page.iter().for_each(&f);
            match page.into_iter().next_back() {
                Some(last) => after = Some(last.key),
                None => return Ok(()),
            }
        }
    }

    fn complain_of_routes(&self, what: &'static str, error: &Error) {
        let fields = [("error", error.to_string())];
        self.kept.log().record(crate::observe::Level::Warn, "sutazai.agent", what, fields);
    }
}
