//! Typed records in the store, changed one at a time.

use std::marker::PhantomData;

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::payload::Payload;
use crate::base::ticket::Ticket;
use crate::base::time::Timestamp;
use crate::store::{Durability, LIST_MAX, Store};
use crate::{Code, Error, Result};

/// How many records can be changed at once.
const STRIPES: usize = 64;

/// Waits for a write, in virtual time too: the thread that writes is a real one.
pub(in crate::security) fn written<T: Send + 'static>(ticket: Ticket<T>) -> Result<T> {
    let (done, answer) = crossbeam_channel::bounded(1);
    ticket.on_done(move |written| drop(done.send(written)));
    answer.recv().unwrap_or_else(|_| Err(crate::base::ticket::cancelled()))
}

/// The records of one kind, by key. What is changed is on the disk when the change answers.
pub(super) struct Records<T> {
    store: Store,
    namespace: &'static str,
    locks: Box<[Mutex<()>]>,
    kind: PhantomData<fn() -> T>,
}

/// What comes of looking at a record.
pub(super) enum Fate<T> {
    /// It stays as it is.
    Keep,
    /// It becomes this.
    Put(T),
    /// It goes.
    Delete,
}

impl<T: Serialize + DeserializeOwned> Records<T> {
    pub(super) fn new(store: Store, namespace: &'static str) -> Self {
        let locks = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Self { store, namespace, locks, kind: PhantomData }
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<T>> {
        let Some(entry) = self.store.get(self.namespace, key)? else { return Ok(None) };
        let record = entry.value.to().map_err(|error| {
            Error::new(Code::STORE_CORRUPT, "a record of the store is not what was put there")
                .with("namespace", self.namespace)
                .with("key", key)
                .because(error)
        })?;
        Ok(Some(record))
    }

    /// Looks at a record and changes it, alone.
    pub(super) fn change<R>(
        &self,
        key: &str,
        now: Timestamp,
        f: impl FnOnce(Option<T>) -> Result<(Fate<T>, R)>,
    ) -> Result<R> {
        let _alone = self.lock(key);
        let (fate, answer) = f(self.get(key)?)?;
        match fate {
            Fate::Keep => {}
            Fate::Put(record) => {
                let value = Payload::json(&record)?;
                written(self.store.put(self.namespace, key, &value, now, Durability::Fsync))?;
            }
            Fate::Delete => {
                written(self.store.delete(self.namespace, key, Durability::Fsync))?;
            }
        }
        Ok(answer)
    }

    /// Changes a record without waiting for the disk: for what may be lost. Nothing where there is none.
    pub(super) fn touch(&self, key: &str, now: Timestamp, f: impl FnOnce(&mut T)) -> Result<bool> {
        let _alone = self.lock(key);
        let Some(mut record) = self.get(key)? else { return Ok(false) };
        f(&mut record);
        let value = Payload::json(&record)?;
        self.store.put(self.namespace, key, &value, now, Durability::Process).detach();
        Ok(true)
    }

    /// The keys of the records after `after`, in order, `limit` at most.
    pub(super) fn keys(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let mut keys: Vec<String> = Vec::new();
        while keys.len() < limit {
            let after = keys.last().map(String::as_str).or(after);
            let page =
                self.store.list(self.namespace, "", after, LIST_MAX.min(limit - keys.len()))?;
            if page.is_empty() {
                break;
            }
            keys.extend(page.into_iter().map(|entry| entry.key));
        }
        Ok(keys)
    }

    /// What `wanted` makes of the records after `after`, in order of their keys, `limit` at most.
    pub(super) fn find<U>(
        &self,
        after: Option<&str>,
        limit: usize,
        wanted: impl Fn(T) -> Option<U>,
    ) -> Result<Vec<U>> {
        let mut found = Vec::new();
        let mut after = after.map(str::to_owned);
        while found.len() < limit {
            let page = self.store.list(self.namespace, "", after.as_deref(), LIST_MAX)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for entry in page {
                found.extend(wanted(entry.value.to()?));
                if found.len() == limit {
                    break;
                }
            }
        }
        Ok(found)
    }

    fn lock(&self, key: &str) -> MutexGuard<'_, ()> {
        use std::hash::{BuildHasher as _, BuildHasherDefault};
        // Any hash does: it only spreads the keys over the locks.
        let hash = BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(key);
        let index = usize::try_from(hash % STRIPES as u64).unwrap_or(0);
        match self.locks.get(index) {
            Some(lock) => lock.lock(),
            None => unreachable!("there are as many locks as stripes"),
        }
    }
}
