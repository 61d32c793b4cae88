//! The entries in memory, in shards.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::base::time::Timestamp;

const SHARDS: usize = 16;

/// What an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Token,
    Family,
    Subject,
    Everything,
}

impl Kind {
    pub(super) fn letter(self) -> char {
        match self {
            Self::Token => 't',
            Self::Family => 'f',
            Self::Subject => 's',
            Self::Everything => 'e',
        }
    }
}

#[derive(Clone, Copy)]
struct Entry {
    before: i64,
    until: i64,
}

#[derive(Default)]
struct Part {
    count: AtomicUsize,
    shards: [RwLock<HashMap<Box<str>, Entry>>; SHARDS],
}

/// Tokens, families and subjects.
#[derive(Default)]
pub(super) struct Table {
    tokens: Part,
    families: Part,
    subjects: Part,
    hasher: RandomState,
}

impl Table {
    /// Subjects, and the kind that has no entries, which nobody asks for.
    fn part(&self, kind: Kind) -> &Part {
        match kind {
            Kind::Token => &self.tokens,
            Kind::Family => &self.families,
            Kind::Subject | Kind::Everything => &self.subjects,
        }
    }

    fn shard<'t>(&self, part: &'t Part, id: &str) -> &'t RwLock<HashMap<Box<str>, Entry>> {
        let [first, rest @ ..] = &part.shards;
        let at = (self.hasher.hash_one(id) % SHARDS as u64) as usize;
        at.checked_sub(1).and_then(|at| rest.get(at)).unwrap_or(first)
    }

    /// Adds an entry, or makes the one that is there reach as far.
    pub(super) fn put(&self, kind: Kind, id: &str, before: i64, until: i64) {
        let part = self.part(kind);
        let mut shard = self.shard(part, id).write();
        if let Some(entry) = shard.get_mut(id) {
            entry.before = entry.before.max(before);
            entry.until = entry.until.max(until);
        } else {
            shard.insert(id.into(), Entry { before, until });
            // Under the lock: whoever then finds the count at zero began before this entry was there.
            part.count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Up to when it is revoked.
    pub(super) fn get(&self, kind: Kind, id: &str) -> Option<i64> {
        let part = self.part(kind);
        if part.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.shard(part, id).read().get(id).map(|entry| entry.before)
    }

    pub(super) fn count(&self, kind: Kind) -> usize {
        self.part(kind).count.load(Ordering::SeqCst)
    }

    /// The entries that are over.
    pub(super) fn over(&self, kind: Kind, now: Timestamp, leeway: Duration) -> Vec<Box<str>> {
        let mut over = Vec::new();
        for shard in &self.part(kind).shards {
            let shard = shard.read();
            over.extend(
                shard.iter().filter(|(_, e)| e.is_over(now, leeway)).map(|(id, _)| id.clone()),
            );
        }
        over
    }

    /// Drops an entry if it is over.
    pub(super) fn drop_over(&self, kind: Kind, id: &str, now: Timestamp, leeway: Duration) -> bool {
        let part = self.part(kind);
        let mut shard = self.shard(part, id).write();
        let over = shard.get(id).is_some_and(|entry| entry.is_over(now, leeway));
        if over {
            shard.remove(id);
            part.count.fetch_sub(1, Ordering::SeqCst);
        }
        over
    }
}

impl Entry {
    fn is_over(self, now: Timestamp, leeway: Duration) -> bool {
        Timestamp::from_nanos(self.until) + leeway < now
    }
}
