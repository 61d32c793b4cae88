//! The moments at which something is to be looked at again.

use std::collections::BTreeMap;

use super::node::Place;
use crate::base::time::Moment;
use crate::port::Generation;

/// A timer: its moment, and its number, so that of two at one moment the older comes first.
pub(super) type Key = (Moment, u64);

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// What the supervisor is at should be over.
    Job(Generation),
    /// The pause of a child is over.
    Pause(Generation, Place),
    /// The root should be gone.
    Root,
}

#[derive(Default)]
pub(super) struct Timers {
    pending: BTreeMap<Key, Due>,
    next: u64,
}

impl Timers {
    /// None for [`Moment::FAR`], which never comes.
    pub(super) fn set(&mut self, at: Moment, due: Due) -> Option<Key> {
        if at == Moment::FAR {
            return None;
        }
        let key = (at, self.next);
        self.next += 1;
        self.pending.insert(key, due);
        Some(key)
    }

    pub(super) fn clear(&mut self, key: Option<Key>) {
        if let Some(key) = key {
            self.pending.remove(&key);
        }
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.pending.keys().next().map(|(at, _)| *at)
    }

    /// The oldest that is due by `now`.
    pub(super) fn take(&mut self, now: Moment) -> Option<(Key, Due)> {
        let entry = self.pending.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        Some(entry.remove_entry())
    }
}
