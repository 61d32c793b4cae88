//! A shelf in the store: [`StoreShelf`].

use super::shelf::Shelf;
use crate::Result;
use crate::store::{Migrations, Step, Store};

/// The room's table in the database, for [`Store::open`].
pub const MIGRATIONS: Migrations = Migrations {
    room: "monitor",
    steps: &[Step {
        version: 1,
        oldest_reader: 1,
        sql: "CREATE TABLE monitor_series (key TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;",
    }],
};

/// Keeps a history's blocks in a [`Store`] that was opened with [`MIGRATIONS`]. What it answered survives the
/// process's end, `kill -9` included, if the store has a data directory.
#[derive(Clone)]
pub struct StoreShelf(Store);

impl StoreShelf {
    /// A shelf in this store.
    pub fn new(store: Store) -> Self {
        Self(store)
    }
}

#[cfg(feature = "store")]
impl Shelf for StoreShelf {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let (key, bytes) = (key.to_owned(), bytes.to_vec());
        self.0
            .write("monitor", DURABILITY, move |tx| {
                tx.prepare_cached(
                    "INSERT OR REPLACE INTO monitor_series (key, bytes) VALUES (?, ?)",
                )?
                .execute((key, bytes))?;
                Ok(())
            })
            .wait()
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        use crate::store::sql::OptionalExtension as _;
        self.0.read(|conn| {
            let mut select =
                conn.prepare_cached("SELECT bytes FROM monitor_series WHERE key = ?")?;
            Ok(select.query_row([key], |row| row.get(0)).optional()?)
        })
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let from = after.unwrap_or_default().max(prefix);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.0.read(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT key FROM monitor_series
                 WHERE key >= ?1 AND key IS NOT ?2 AND substr(key, 1, length(?3)) = ?3
                 ORDER BY key LIMIT ?4",
            )?;
            let keys = select.query_map((from, after, prefix, limit), |row| row.get(0))?;
            Ok(keys.collect::<std::result::Result<_, _>>()?)
        })
    }

    fn delete(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.0
            .write("monitor", DURABILITY, move |tx| {
                tx.prepare_cached("DELETE FROM monitor_series WHERE key = ?")?.execute([key])?;
                Ok(())
            })
            .wait()
    }
}

#[cfg(feature = "store")]
const DURABILITY: crate::store::Durability = crate::store::Durability::Process;

#[cfg(not(feature = "store"))]
impl Shelf for StoreShelf {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        use crate::base::payload::Payload;
        use crate::base::time::Timestamp;
        let value = Payload::bytes(bytes);
        self.0.put(NAMESPACE, key, &value, Timestamp::EPOCH, DURABILITY).wait()
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        use base64::Engine as _;
        let Some(entry) = self.0.get(NAMESPACE, key)? else { return Ok(None) };
        let value = entry.value.value()?;
        let text = value.get("base64").and_then(serde_json::Value::as_str).unwrap_or_default();
        // What is not of that form is damaged, which the checksum says.
        Ok(Some(base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()))
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let entries = self.0.list(NAMESPACE, prefix, after, limit)?;
        Ok(entries.into_iter().map(|entry| entry.key).collect())
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.0.delete(NAMESPACE, key, DURABILITY).wait().map(drop)
    }
}

#[cfg(not(feature = "store"))]
const NAMESPACE: &str = "monitor.series";
#[cfg(not(feature = "store"))]
const DURABILITY: crate::store::Durability = crate::store::Durability::Memory;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_in_the_store_keeps_bytes() {
        let store = Store::memory(&[MIGRATIONS]).unwrap();
        let shelf = StoreShelf::new(store);
        for key in ["a/1", "b/é", "b/1", "b/2"] {
            shelf.put(key, &[1, 0, 255]).unwrap();
        }
        shelf.put("b/2", b"two").unwrap();
        assert_eq!(shelf.get("b/2").unwrap().unwrap(), b"two");
        assert_eq!(shelf.get("a/1").unwrap().unwrap(), [1, 0, 255]);
        assert_eq!(shelf.get("c").unwrap(), None);
        assert_eq!(shelf.list("b/", None, 2).unwrap(), ["b/1", "b/2"]);
        assert_eq!(shelf.list("b/", Some("b/2"), 9).unwrap(), ["b/é"]);
        shelf.delete("b/1").unwrap();
        shelf.delete("b/1").unwrap();
        assert_eq!(shelf.list("", None, 9).unwrap(), ["a/1", "b/2", "b/é"]);
    }

    #[cfg(feature = "store")]
    #[test]
    fn a_history_in_a_data_directory_is_there_again() {
        use std::time::Duration;

        use crate::base::time::Timestamp;
        use crate::monitor::series::{Appended, History, HistoryPolicy};
        use crate::store::DataDir;

        let folder = tempfile::tempdir().unwrap();
        let policy = HistoryPolicy { raw_block_s: 60, ..HistoryPolicy::default() };
        let mut before = Vec::new();
        for run in 0..4 {
            let dir = DataDir::open(folder.path().join("data")).unwrap();
            let store = Store::open(&dir, &[MIGRATIONS]).unwrap();
            let shelf = StoreShelf::new(store.clone());
            let history = History::open(policy.clone(), Box::new(shelf)).unwrap();
            assert_eq!(history.points("s_total", usize::MAX), before, "run {run}");
            assert_eq!(history.status().damaged + history.status().foreign, 0);
            for second in run * 150..run * 150 + 150 {
                let now = Timestamp::from_nanos(second * 1_000_000_000 + second % 13);
                assert_eq!(history.append("s_total", now, second as f64), Appended::Kept);
                if second % 10 == 9 {
                    history.flush(now).unwrap();
                }
            }
            before = history.points("s_total", usize::MAX);
            assert_eq!(before.len(), (run as usize + 1) * 150);
            store.close(Duration::from_secs(20)).unwrap();
        }
    }
}
