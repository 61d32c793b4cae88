//! Actions that somebody has to approve.

use std::sync::Arc;
use std::time::Duration;

use super::bounds::leave;
use super::{Effects, Engine, When, end};
use crate::recovery::playbook::record::{EntryState, RefusedWhy};
use crate::{Code, Error, Result};

impl Engine {
    /// Somebody says yes: what waits begins.
    pub(in crate::recovery::playbook) fn approve(
        &mut self,
        id: u64,
        by: &str,
        when: When,
    ) -> Result<Effects> {
        let mut effects = Effects::default();
        self.expire(when, &mut effects);
        let index = self.pending(id)?;
        leave(&mut self.starts, Duration::from_millis(self.policy.window_ms), when.now);
        let state = self.states.get(index);
        let refused = if state.is_some_and(|state| state.under_way.is_some()) {
            Some(RefusedWhy::UnderWay)
        } else if self.starts.len() >= self.policy.max_actions as usize {
            Some(RefusedWhy::OverallLimit)
        } else {
            (self.running >= self.policy.concurrency).then_some(RefusedWhy::Busy)
        };
        if let Some(why) = refused {
            return Err(not_taken("the action cannot be taken now; it still waits", id)
                .with("reason", why.name())
                .advice("approve it again later"));
        }
        let Some(kept) = self.record.get_mut(id) else { return Err(no_entry(id)) };
        kept.entry.state = EntryState::Running;
        kept.entry.by = Some(by.to_owned());
        let entry = kept.entry.clone();
        effects.notes.push(entry.clone());
        if let Some(state) = self.states.get_mut(index) {
            state.pending = None;
        }
        self.begin(index, &entry, when, &mut effects);
        Ok(effects)
    }

    /// Somebody says no.
    pub(in crate::recovery::playbook) fn deny(
        &mut self,
        id: u64,
        by: &str,
        when: When,
    ) -> Result<Effects> {
        let mut effects = Effects::default();
        self.expire(when, &mut effects);
        let index = self.pending(id)?;
        if let Some(kept) = self.record.get_mut(id) {
            kept.entry.by = Some(by.to_owned());
            end(kept, EntryState::Denied, when, &mut effects);
        }
        if let Some(state) = self.states.get_mut(index) {
            state.pending = None;
            state.rests_until = when.now + Duration::from_millis(state.book.cooldown_ms);
        }
        Ok(effects)
    }

    /// The playbook of an entry that waits for approval.
    fn pending(&mut self, id: u64) -> Result<usize> {
        let Some(kept) = self.record.get_mut(id) else { return Err(no_entry(id)) };
        if !matches!(kept.entry.state, EntryState::Pending { .. }) {
            return Err(not_taken("the entry does not wait for approval", id)
                .with("state", kept.entry.state.name()));
        }
        let name = Arc::clone(&kept.entry.playbook);
        self.position(&name).ok_or_else(|| no_entry(id))
    }

    pub(super) fn expire(&mut self, when: When, effects: &mut Effects) {
        for kept in self.record.iter_mut() {
            let pending = matches!(kept.entry.state, EntryState::Pending { .. });
            if !pending || when.now < kept.expires {
                continue;
            }
            end(kept, EntryState::Expired, when, effects);
            let id = kept.entry.id;
            if let Some(state) = self.states.iter_mut().find(|s| s.pending == Some(id)) {
                state.pending = None;
                state.rests_until = when.now + Duration::from_millis(state.book.cooldown_ms);
            }
        }
    }
}

fn no_entry(id: u64) -> Error {
    Error::new(Code::NOT_FOUND, "the record has no entry of this number, or no longer")
        .operation("recovery.playbook")
        .with("entry", id)
}

fn not_taken(message: &'static str, id: u64) -> Error {
    Error::new(Code::ACTION_REFUSED, message).operation("recovery.playbook").with("entry", id)
}
