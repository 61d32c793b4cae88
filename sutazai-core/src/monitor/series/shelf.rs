//! Where a history keeps its blocks: [`Shelf`].

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Result;

/// Keeps bytes under keys. Keys are at most 512 bytes long; values at most 512 KiB.
pub trait Shelf: Send + Sync {
    /// Puts bytes under a key, in place of what was there; the process's end must not undo what was answered.
    ///
    /// # Errors
    /// When it cannot; what was there stays.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()>;

    /// The bytes under a key.
    ///
    /// # Errors
    /// When it cannot be told whether there are any.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;

    /// The first `limit` keys that begin with `prefix` and come after `after`, in order of their bytes.
    ///
    /// # Errors
    /// When they cannot be told.
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>>;

    /// Deletes a key, if it is there.
    ///
    /// # Errors
    /// When it cannot.
    fn delete(&self, key: &str) -> Result<()>;
}

/// A shelf in memory. Clones are the same shelf.
#[derive(Clone, Debug, Default)]
pub struct MemoryShelf(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Shelf for MemoryShelf {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.0.lock().insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.lock().get(key).cloned())
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let from = after.unwrap_or_default().max(prefix);
        let map = self.0.lock();
        let keys = map.range(from.to_owned()..).map(|(key, _)| key);
        let keys = keys.take_while(|key| key.starts_with(prefix));
        Ok(keys.filter(|key| Some(key.as_str()) != after).take(limit).cloned().collect())
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.0.lock().remove(key);
        Ok(())
    }
}
