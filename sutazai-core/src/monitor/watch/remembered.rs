//! Anomalies and changes of level over restarts: the newest are kept beside the history, written when it is.
//!
//! Numbers never come twice: what was found after the last writing, before the process was killed, had numbers that nobody knows any
//! more. So each opening leaves a gap, and writes that down at once, for the next one.

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::found::Numbered;
use super::latest::{Latest, News};
use crate::base::time::Timestamp;
use crate::monitor::series::History;
use crate::{Code, Error, Result};

/// How many of each are kept over a restart.
const MOST: usize = 1_000;
/// Bytes that they may take.
const BYTES_MAX: usize = 400 * 1024;
/// The form in which they are written.
const VERSION: u32 = 1;
/// Numbers that are left out at an opening: more than are given between two writings.
const GAP: u64 = 1_000;

#[derive(Serialize)]
struct Kept<T> {
    version: u32,
    /// The number of the last one.
    number: u64,
    /// How many were found.
    count: u64,
    found: Vec<T>,
}

/// As [`Kept`], of which each part is read by itself.
#[derive(Deserialize)]
struct Found {
    version: u32,
    number: u64,
    count: Option<u64>,
    #[serde(default)]
    found: Vec<Value>,
}

/// Writes what is new. One at a time: who comes later must not write what is older.
///
/// # Errors
/// Those of the shelf; it is tried again the next time.
pub(super) fn write<T: Numbered + Serialize>(
    history: &History,
    what: &'static str,
    latest: &Mutex<Latest<T>>,
) -> Result<()> {
    if !history.is_kept() {
        return Ok(());
    }
    let Some(news) = latest.lock().news(MOST) else { return Ok(()) };
    let News { number, count, found, changed } = news;
    let mut kept = Kept { version: VERSION, number, count, found };
    let bytes = loop {
        let bytes = serde_json::to_vec(&kept).map_err(|error| {
            Error::new(Code::INTERNAL, "what was found could not be written down")
                .operation("monitor.flush")
                .because(error)
        })?;
        if bytes.len() <= BYTES_MAX || kept.found.is_empty() {
            break bytes;
        }
        let half = kept.found.len().div_ceil(2);
        kept.found.drain(..half);
    };
    history.note(what, &bytes)?;
    latest.lock().kept(changed);
    Ok(())
}

/// Reads what was written. What of it cannot be read is as if it had not been; where the number cannot, `now` gives one that was not
/// reached: its milliseconds.
pub(super) fn read<T: Numbered + DeserializeOwned>(
    history: &History,
    what: &'static str,
    most: usize,
    now: Timestamp,
) -> Latest<T> {
    let noted = match history.noted(what) {
        Ok(None) => return Latest::new(0, 0, Vec::new(), most),
        Ok(Some(bytes)) => serde_json::from_slice::<Found>(&bytes).ok(),
        Err(_) => None,
    };
    match noted {
        Some(kept) => {
            let found = kept.found.into_iter().filter(|_| kept.version == VERSION);
            let found = found.filter_map(|one| serde_json::from_value(one).ok()).collect();
            let count = kept.count.unwrap_or(kept.number);
            Latest::new(kept.number.saturating_add(GAP), count, found, most)
        }
        None => {
            let number = u64::try_from(now.as_nanos() / 1_000_000).unwrap_or_default();
            Latest::new(number, 0, Vec::new(), most)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::monitor::series::{MemoryShelf, Shelf};
    use crate::monitor::{Anomaly, Watch, WatchPolicy};

    fn at(s: i64) -> Timestamp {
        Timestamp::from_nanos(s * 1_000_000_000)
    }

    fn odd(series: &str) -> Anomaly {
        Anomaly {
            number: 0,
            series: series.to_owned(),
            at: at(1),
            value: 1.0,
            usual: 0.0,
            deviation: 0.0,
            score: 1.0,
            kind: None,
        }
    }

    fn open(shelf: impl Shelf + 'static) -> Watch {
        Watch::new(WatchPolicy::default(), Some(Box::new(shelf))).unwrap()
    }

    fn find(watch: &Watch, series: &str) -> u64 {
        watch.remember(vec![odd(series)])[0].number
    }

    #[test]
    fn no_number_comes_twice_though_the_process_is_killed() {
        let shelf = MemoryShelf::default();
        let (mut last, mut written) = (0, 0);
        for run in 0..4 {
            let watch = open(shelf.clone());
            assert_eq!(watch.anomalies(0, 99).len(), written);
            let first = find(&watch, "a");
            assert!(first > last && (run > 0 || first == 1), "{run}: {first}");
            if run == 2 {
                watch.flush(at(1)).unwrap();
                written = 1;
            }
            last = find(&watch, "b");
            assert_eq!(last, first + 1);
            // What is newer is found by number, over the gap.
            let newer = watch.anomalies(first, 99);
            assert_eq!(newer.iter().map(|one| one.number).collect::<Vec<_>>(), [last]);
            assert_eq!(watch.anomalies(first - 1, 99).len(), 2);
            assert_eq!(watch.status().anomalies, written as u64 + if run == 2 { 1 } else { 2 });
        }
    }

    #[test]
    fn what_cannot_be_read_takes_nothing_else_away() {
        let shelf = MemoryShelf::default();
        let watch = open(shelf.clone());
        for series in ["a", "b", "c"] {
            find(&watch, series);
        }
        watch.flush(at(1)).unwrap();
        drop(watch);
        let note = String::from_utf8(shelf.get("note/anomalies").unwrap().unwrap()).unwrap();
        let bad = note.replacen("\"series\":\"b\",", "", 1);
        assert_ne!(bad, note);
        shelf.put("note/anomalies", bad.as_bytes()).unwrap();
        let watch = open(shelf.clone());
        let there: Vec<String> = watch.anomalies(0, 9).into_iter().map(|one| one.series).collect();
        assert_eq!(there, ["a", "c"]);
        assert_eq!(find(&watch, "d"), 3 + GAP + 1);
        drop(watch);
        // Where nothing is left, numbers go on above what they can have been.
        shelf.put("note/anomalies", b"{").unwrap();
        let watch = open(shelf.clone());
        assert!(watch.anomalies(0, 9).is_empty());
        let number = find(&watch, "e");
        assert!(number > 1_700_000_000_000, "{number}");
        drop(watch);
        assert_eq!(find(&open(shelf), "f"), number - 1 + GAP + 1);
    }

    /// Takes no notes for as long as it is told to.
    #[derive(Clone, Default)]
    struct Refusing(MemoryShelf, Arc<AtomicBool>);

    impl Shelf for Refusing {
        fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
            match key.starts_with("note/") && self.1.load(Ordering::Relaxed) {
                true => Err(Error::new(Code::IO, "the shelf is gone")),
                false => self.0.put(key, bytes),
            }
        }
        fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
            self.0.get(key)
        }
        fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
            self.0.list(prefix, after, limit)
        }
        fn delete(&self, key: &str) -> Result<()> {
            self.0.delete(key)
        }
    }

    #[test]
    fn what_was_found_in_a_series_that_is_forgotten_is_forgotten_too() {
        let shelf = Refusing::default();
        let watch = open(shelf.clone());
        for series in ["a", "b", "a", "c"] {
            let number = i64::try_from(find(&watch, series)).unwrap();
            watch.record_now(series, at(number), 1.0).unwrap();
        }
        watch.flush(at(9)).unwrap();
        let labels = std::collections::BTreeMap::new();
        let wanted = crate::monitor::series::Forget { series: "a", labels: &labels };
        shelf.1.store(true, Ordering::Relaxed);
        assert_eq!(watch.forget(&wanted).unwrap_err().code(), Code::IO);
        shelf.1.store(false, Ordering::Relaxed);
        watch.forget(&wanted).unwrap();
        let numbers = |watch: &Watch, after| -> Vec<u64> {
            watch.anomalies(after, 9).into_iter().map(|one| one.number).collect()
        };
        assert_eq!((numbers(&watch, 0), numbers(&watch, 2)), (vec![2, 4], vec![4]));
        assert_eq!(numbers(&watch, 3), [4]);
        // As if the process had been killed.
        drop(watch);
        assert_eq!(numbers(&open(shelf), 0), [2, 4]);
    }
}
