//! Answers that were given before.

use parking_lot::Mutex;

use super::answer::Answer;
use super::request::Request;

/// How many answers may stand in one place of the table.
const WAYS: usize = 4;

/// Answers by request. An answer is one only for the state of policies and entities that gave it: its
/// generation is a part of the key, and what an older one said is never found again.
pub(super) struct Cache {
    buckets: Box<[Mutex<Bucket>]>,
}

#[derive(Default)]
struct Bucket {
    kept: [Option<Kept>; WAYS],
    next: usize,
    hits: u64,
    misses: u64,
    evicted: u64,
}

struct Kept {
    hash: u64,
    request: Request,
    answer: Answer,
}

/// What a cache has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct CacheStatus {
    /// How many answers it can keep.
    pub capacity: u64,
    /// How many requests had their answer in it.
    pub hits: u64,
    /// How many had not.
    pub misses: u64,
    /// How many answers gave way to others.
    pub evicted: u64,
}

impl Cache {
    /// One that keeps about so many answers.
    pub(super) fn new(capacity: usize) -> Self {
        let buckets = (capacity.div_ceil(WAYS)).next_power_of_two();
        Self { buckets: (0..buckets).map(|_| Mutex::default()).collect() }
    }

    fn bucket(&self, hash: u64) -> Option<&Mutex<Bucket>> {
        // The upper bits are the ones that multiplication has mixed.
        let at = (hash >> 24) as usize & (self.buckets.len() - 1);
        self.buckets.get(at)
    }

    /// The answer of this generation to this request.
    #[inline]
    pub(super) fn get(&self, hash: u64, generation: u64, request: &Request) -> Option<Answer> {
        let mut bucket = self.bucket(hash)?.lock();
        let found = bucket.kept.iter().flatten().find(|kept| {
            kept.hash == hash && kept.answer.generation() == generation && kept.request == *request
        });
        let found = found.map(|kept| kept.answer.clone());
        match found {
            Some(_) => bucket.hits += 1,
            None => bucket.misses += 1,
        }
        found
    }

    /// Keeps an answer.
    pub(super) fn put(&self, hash: u64, request: Request, answer: Answer) {
        let Some(bucket) = self.bucket(hash) else { return };
        let generation = answer.generation();
        let new = Kept { hash, request, answer };
        let mut bucket = bucket.lock();
        let stale = bucket.kept.iter().position(|kept| {
            kept.as_ref().is_none_or(|kept| {
                kept.answer.generation() < generation
                    || (kept.hash == hash && kept.request == new.request)
            })
        });
        let at = stale.unwrap_or_else(|| {
            bucket.evicted += 1;
            bucket.next = (bucket.next + 1) % WAYS;
            bucket.next
        });
        let old = bucket.kept.get_mut(at).and_then(|slot| slot.replace(new));
        drop(bucket);
        drop(old);
    }

    pub(super) fn status(&self) -> CacheStatus {
        let mut status =
            CacheStatus { capacity: (self.buckets.len() * WAYS) as u64, ..CacheStatus::default() };
        for bucket in &self.buckets {
            let bucket = bucket.lock();
            status.hits += bucket.hits;
            status.misses += bucket.misses;
            status.evicted += bucket.evicted;
        }
        status
    }
}
