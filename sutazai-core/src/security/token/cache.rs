//! What was verified, by the digest of its token.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use ring::digest;

use crate::base::time::Timestamp;

const SHARDS: usize = 16;

/// SHA-256 of a token: where it stands in the cache. The token itself is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in
            bytes.iter_mut().zip(digest::digest(&digest::SHA256, token.as_bytes()).as_ref())
        {
            *to = *from;
        }
        Self(bytes)
    }

    /// One that was written down.
    #[cfg(feature = "biscuit")]
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    #[cfg(feature = "biscuit")]
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What must be as it was for an entry to be good without a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generations {
    /// Of the revocations: when it moves, the entry is looked up among them again.
    pub revocations: u64,
    /// Of the keys: when it moves, the entry is gone.
    pub keys: u64,
}

struct Entry<V> {
    value: Arc<V>,
    until: Timestamp,
    keys: u64,
    revocations: AtomicU64,
}

/// The younger and the older half; what is used in the older moves to the younger, and when that is full it becomes
/// the older, whose rest is dropped. It approximates "least recently used" without a list.
struct Shard<V> {
    young: HashMap<Digest, Arc<Entry<V>>>,
    old: HashMap<Digest, Arc<Entry<V>>>,
}

/// A bounded cache of verified tokens. Nothing about tokens that failed is kept.
///
/// An entry is never answered at or after its end, nor once it is revoked: the generation of the revocations is
/// read before they are asked, so that one that comes in between moves the generation beyond what is kept.
pub(super) struct Cache<V> {
    shards: Vec<Mutex<Shard<V>>>,
    /// The most entries of half a shard; none when the cache is off.
    half: usize,
    hits: AtomicU64,
    misses: AtomicU64,
    evicted: AtomicU64,
}

/// The figures of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct CacheStatus {
    /// Tokens in it.
    pub entries: u64,
    /// Times that a token was found.
    pub hits: u64,
    /// Times that one was not, or was no longer good.
    pub misses: u64,
    /// Entries dropped for want of room.
    pub evicted: u64,
}

impl<V> Cache<V> {
    /// A cache of about this many tokens; 0 is none.
    pub(super) fn new(entries: usize) -> Self {
        let shard = || Mutex::new(Shard { young: HashMap::new(), old: HashMap::new() });
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            half: entries.div_ceil(2 * SHARDS),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    pub(super) fn is_off(&self) -> bool {
        self.half == 0
    }

    fn shard(&self, digest: &Digest) -> Option<&Mutex<Shard<V>>> {
        let [first, ..] = digest.0;
        self.shards.get(usize::from(first) % SHARDS)
    }

    /// What was verified of this token, if it is good now. `revoked` is asked only when something was revoked
    /// since it was asked last.
    pub(super) fn get(
        &self,
        digest: &Digest,
        now: Timestamp,
        generations: Generations,
        revoked: impl FnOnce(&V) -> bool,
    ) -> Option<Arc<V>> {
        let shard = self.shard(digest)?;
        let entry = {
            let mut shard = shard.lock();
            match shard.young.get(digest) {
                Some(entry) => Some(Arc::clone(entry)),
                None => match shard.old.remove(digest) {
                    Some(entry) => {
                        self.insert(&mut shard, *digest, Arc::clone(&entry));
                        Some(entry)
                    }
                    None => None,
                },
            }
        };
        let good = entry.as_ref().filter(|entry| {
            now < entry.until
                && entry.keys == generations.keys
                && (entry.revocations.load(Ordering::Acquire) == generations.revocations || {
                    let good = !revoked(&entry.value);
                    if good {
                        entry.revocations.fetch_max(generations.revocations, Ordering::AcqRel);
                    }
                    good
                })
        });
        match good {
            Some(entry) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                Some(Arc::clone(&entry.value))
            }
            None => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                if entry.is_some() {
                    let mut shard = shard.lock();
                    shard.young.remove(digest);
                    shard.old.remove(digest);
                }
                None
            }
        }
    }

    /// Keeps what was verified. The generations are those read before it was.
    pub(super) fn put(
        &self,
        digest: Digest,
        value: Arc<V>,
        until: Timestamp,
        generations: Generations,
    ) {
        if self.is_off() {
            return;
        }
        let entry = Arc::new(Entry {
            value,
            until,
            keys: generations.keys,
            revocations: AtomicU64::new(generations.revocations),
        });
        if let Some(shard) = self.shard(&digest) {
            self.insert(&mut shard.lock(), digest, entry);
        }
    }

    fn insert(&self, shard: &mut Shard<V>, digest: Digest, entry: Arc<Entry<V>>) {
        if shard.young.len() >= self.half && !shard.young.contains_key(&digest) {
            self.evicted.fetch_add(shard.old.len() as u64, Ordering::Relaxed);
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(digest, entry);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.young = HashMap::new();
            shard.old = HashMap::new();
        }
    }

    pub(super) fn status(&self) -> CacheStatus {
        let entries = |shard: &Mutex<Shard<V>>| {
            let shard = shard.lock();
            (shard.young.len() + shard.old.len()) as u64
        };
        CacheStatus {
            entries: self.shards.iter().map(entries).sum(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    const NONE: Generations = Generations { revocations: 0, keys: 0 };

    #[test]
    fn it_is_bounded() {
        let cache = Cache::new(320);
        for n in 0..10_000 {
            cache.put(Digest::of(&n.to_string()), Arc::new(n), at(9), NONE);
        }
        let status = cache.status();
        assert!(status.entries <= 320, "{status:?}");
        assert!(status.evicted + status.entries == 10_000);
        assert!(cache.get(&Digest::of("9999"), at(0), NONE, |_| false).is_some());
        let off = Cache::new(0);
        off.put(Digest::of("a"), Arc::new(1), at(9), NONE);
        assert!(off.get(&Digest::of("a"), at(0), NONE, |_| false).is_none());
    }

    #[test]
    fn an_entry_ends() {
        let cache = Cache::new(64);
        let digest = Digest::of("a");
        cache.put(digest, Arc::new(()), at(9), NONE);
        assert!(cache.get(&digest, at(8), NONE, |_| true).is_some(), "nothing was revoked");
        let moved = Generations { revocations: 1, keys: 0 };
        assert!(cache.get(&digest, at(8), moved, |_| false).is_some());
        assert!(cache.get(&digest, at(8), moved, |_| true).is_some(), "asked before");
        assert!(cache.get(&digest, at(9), moved, |_| false).is_none(), "expired");
        cache.put(digest, Arc::new(()), at(9), NONE);
        assert!(cache.get(&digest, at(8), moved, |_| true).is_none(), "revoked");
        cache.put(digest, Arc::new(()), at(9), NONE);
        assert!(
            cache.get(&digest, at(8), Generations { revocations: 0, keys: 1 }, |_| false).is_none()
        );
        assert_eq!(cache.status().entries, 0);
    }
}
