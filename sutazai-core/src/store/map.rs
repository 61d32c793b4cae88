//! [`Store`] without SQLite: the key-value table as a map in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::{DataDir, Durability, Entry, LIST_MAX, Migrations, Options, Status, entry, migration};
use crate::base::payload::Payload;
use crate::base::ticket::{self, Ticket};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// The key-value store of a build without the feature `store`: everything is kept in memory, and
/// every write is [`Durability::Memory`].
#[derive(Clone)]
pub struct Store(Arc<Inner>);

/// Values by namespace and key, each with when it was put.
type Entries = BTreeMap<(String, String), (Arc<str>, Timestamp)>;

struct Inner {
    /// Holds the directory's lock, so that two kernels do not share it in this build either.
    _dir: Option<DataDir>,
    entries: Mutex<Entries>,
    writes: AtomicU64,
    closed: AtomicBool,
}

impl Store {
    /// A store in memory; the directory is held, but nothing is written to it.
    ///
    /// # Errors
    /// [`Code::INVALID`] for migrations that are not well-formed.
    pub fn open(dir: &DataDir, rooms: &[Migrations]) -> Result<Self> {
        Self::new(Some(dir.clone()), rooms)
    }

    /// As [`Store::open`]; the map has no bounds to set.
    pub fn open_with(dir: &DataDir, rooms: &[Migrations], _options: Options) -> Result<Self> {
        Self::open(dir, rooms)
    }

    /// A store in memory.
    ///
    /// # Errors
    /// [`Code::INVALID`] for migrations that are not well-formed.
    pub fn memory(rooms: &[Migrations]) -> Result<Self> {
        Self::new(None, rooms)
    }

    /// As [`Store::memory`]; the map has no bounds to set.
    pub fn memory_with(rooms: &[Migrations], _options: Options) -> Result<Self> {
        Self::memory(rooms)
    }

    fn new(dir: Option<DataDir>, rooms: &[Migrations]) -> Result<Self> {
        migration::check(rooms)?;
        Ok(Self(Arc::new(Inner {
            _dir: dir,
            entries: Mutex::default(),
            writes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        })))
    }

    /// Nothing to start.
    pub fn start(&self) -> Result<()> {
        self.running()
    }

    /// Puts a value under a key.
    pub fn put(
        &self,
        namespace: &str,
        key: &str,
        value: &Payload,
        now: Timestamp,
        _durability: Durability,
    ) -> Ticket<()> {
        ticket::ready((|| {
            self.running()?;
            entry::check_names(namespace, key)?;
            let text = entry::check_value(value)?;
            self.0.entries.lock().insert((namespace.to_owned(), key.to_owned()), (text, now));
            self.0.writes.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })())
    }

    /// The entry of a key, if there is one.
    pub fn get(&self, namespace: &str, key: &str) -> Result<Option<Entry>> {
        self.running()?;
        entry::check_names(namespace, key)?;
        let found = self.0.entries.lock().get(&(namespace.to_owned(), key.to_owned())).cloned();
        found
            .map(|(text, updated)| {
                Ok(Entry { key: key.to_owned(), value: Payload::json_text(text)?, updated })
            })
            .transpose()
    }

    /// Deletes a key; answers whether it was there.
    pub fn delete(&self, namespace: &str, key: &str, _durability: Durability) -> Ticket<bool> {
        ticket::ready((|| {
            self.running()?;
            entry::check_names(namespace, key)?;
            let removed = self.0.entries.lock().remove(&(namespace.to_owned(), key.to_owned()));
            self.0.writes.fetch_add(1, Ordering::Relaxed);
            Ok(removed.is_some())
        })())
    }

    /// The first `limit` entries (at most [`LIST_MAX`]) whose keys begin with `prefix` and come
    /// after `after`, in order of key.
    pub fn list(
        &self,
        namespace: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        self.running()?;
        entry::check_listing(namespace, prefix)?;
        let from = (namespace.to_owned(), after.unwrap_or_default().max(prefix).to_owned());
        let found: Vec<_> = self
            .0
            .entries
            .lock()
            .range(from..)
            .take_while(|((ns, key), _)| ns == namespace && key.starts_with(prefix))
            .filter(|((_, key), _)| after.is_none_or(|after| key.as_str() > after))
            .take(limit.min(LIST_MAX))
            .map(|((_, key), (text, updated))| (key.clone(), Arc::clone(text), *updated))
            .collect();
        found
            .into_iter()
            .map(|(key, text, updated)| {
                Ok(Entry { key, value: Payload::json_text(text)?, updated })
            })
            .collect()
    }

    /// The figures.
    pub fn status(&self) -> Status {
        let entries = self.0.entries.lock();
        let bytes =
            entries.iter().map(|((ns, k), (v, _))| ns.len() + k.len() + v.len()).sum::<usize>();
        Status {
            place: "memory".to_owned(),
            engine: "map".to_owned(),
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            writes: self.0.writes.load(Ordering::Relaxed),
            ..Status::default()
        }
    }

    /// Ends the store: later operations answer [`Code::NOT_RUNNING`].
    ///
    /// # Errors
    /// None: nothing is under way that could hang.
    pub fn close(&self, _patience: Duration) -> Result<()> {
        self.0.closed.store(true, Ordering::Release);
        Ok(())
    }

    fn running(&self) -> Result<()> {
        if self.0.closed.load(Ordering::Acquire) {
            return Err(Error::new(Code::NOT_RUNNING, "the store is closed").operation("store"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_ends_it() {
        let store = Store::memory(&[]).unwrap();
        store
            .put("n", "k", &Payload::from("v"), Timestamp::EPOCH, Durability::Fsync)
            .wait()
            .unwrap();
        assert_eq!(store.status().engine, "map");
        store.close(Duration::ZERO).unwrap();
        assert_eq!(store.get("n", "k").unwrap_err().code(), Code::NOT_RUNNING);
    }
}
