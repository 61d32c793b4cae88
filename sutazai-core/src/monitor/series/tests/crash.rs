use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{Code, Error, Result};

/// Takes so many writes, and fails from then on.
#[derive(Clone)]
struct Failing {
    shelf: MemoryShelf,
    left: Arc<AtomicU64>,
}

impl Failing {
    fn write(&self) -> Result<()> {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.map(drop).map_err(|_| Error::new(Code::IO, "the shelf is gone"))
    }
}

impl Shelf for Failing {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.write()?;
        self.shelf.put(key, bytes)
    }
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.shelf.get(key)
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.shelf.list(prefix, after, limit)
    }
    fn delete(&self, key: &str) -> Result<()> {
        self.write()?;
        self.shelf.delete(key)
    }
}

fn policy() -> HistoryPolicy {
    HistoryPolicy {
        raw_keep_s: 300,
        raw_block_s: 40,
        levels: vec![
            LevelPolicy { step_s: 5, keep_s: 1_000 },
            LevelPolicy { step_s: 20, keep_s: 100_000 },
        ],
        block_buckets: 8,
        ..HistoryPolicy::default()
    }
}

const NAMES: [&str; 2] = ["cpu", "work_total"];

fn value(name: &str, second: i64) -> f64 {
    if name == "cpu" { (second * 37 % 1_000) as f64 / 100.0 } else { (second % 97 * 3) as f64 }
}

/// All that a history says, in each resolution.
fn told(history: &History) -> Vec<Vec<(i64, f64)>> {
    let mut told = Vec::new();
    for name in NAMES {
        let points = history.points(name, usize::MAX);
        told.push(points.iter().map(|r| (r.at.as_nanos() / SECOND, r.value)).collect());
        for aggregate in [Aggregate::Sum, Aggregate::Max, Aggregate::Count, Aggregate::Rate] {
            told.extend([5, 20].map(|step| all(history, name, aggregate, step)));
        }
    }
    told
}

fn fill(history: &History, seconds: std::ops::Range<i64>) {
    for second in seconds {
        for name in NAMES {
            history.append(name, at(second), value(name, second));
        }
    }
}

#[test]
fn what_was_flushed_is_there_again() {
    for end in [1, 4, 5, 39, 40, 41, 100, 517, 2_000] {
        let shelf = MemoryShelf::default();
        let history = History::open(policy(), Box::new(shelf.clone())).unwrap();
        for second in 0..end {
            fill(&history, second..second + 1);
            if second % 7 == 0 || second + 1 == end {
                history.flush(at(second)).unwrap();
            }
        }
        let before = told(&history);
        let again = History::open(policy(), Box::new(shelf.clone())).unwrap();
        assert_eq!(told(&again), before, "{end}");
        // And it goes on as if nothing had been.
        fill(&history, end..end + 333);
        fill(&again, end..end + 333);
        history.flush(at(end + 333)).unwrap();
        again.flush(at(end + 333)).unwrap();
        assert_eq!(told(&again), told(&history), "{end}");
        assert_eq!(again.status().damaged + again.status().foreign, 0);
    }
}

#[test]
fn a_crash_between_any_two_writes_loses_the_last_flush_at_most() {
    const FLUSH: i64 = 10;
    let long = std::env::var_os("SUTAZAI_LONG").is_some();
    let mut writes = 0;
    loop {
        let shelf = MemoryShelf::default();
        let failing = Failing { shelf: shelf.clone(), left: Arc::new(AtomicU64::new(writes)) };
        let history = History::open(policy(), Box::new(failing)).unwrap();
        let (mut flushed, mut crashed) = (0, false);
        for second in 1..=600 {
            fill(&history, second..second + 1);
            if second % FLUSH == 0 {
                crashed = history.flush(at(second)).is_err();
                if crashed {
                    assert_eq!(history.status().failed_flushes, 1);
                    break;
                }
                flushed = second;
            }
        }
        let again = History::open(policy(), Box::new(shelf)).unwrap();
        assert_eq!(again.status().damaged, 0);
        let newest = again.series("", 9).iter().filter_map(|view| view.newest).min();
        assert!(newest.unwrap_or(at(0)) >= at(flushed), "{writes} {newest:?} {flushed}");
        // Each resolution has what it would have had without the crash, as far as it goes.
        let reference = History::new(policy()).unwrap();
        for second in 1..=flushed {
            fill(&reference, second..second + 1);
            if second % FLUSH == 0 {
                reference.flush(at(second)).unwrap();
            }
        }
        for (index, (again, wanted)) in told(&again).iter().zip(told(&reference)).enumerate() {
            // Rates are of the finest resolution, and which that is depends on what was let go of.
            if index % 9 >= 7 {
                continue;
            }
            let Some(&(end, _)) = wanted.last() else { continue };
            // The last bucket goes on in the flush that did not come to its end.
            // Sums of buckets and of points may differ in the last bit.
            let same = |a: &(i64, f64), b: &(i64, f64)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-9;
            let has = |row: &(i64, f64)| again.iter().any(|other| same(other, row));
            let missing = wanted.iter().filter(|row| row.0 + 20 < end && !has(row));
            // What the failed flush let go of is old.
            let young = missing.filter(|row| row.0 > flushed - 250).collect::<Vec<_>>();
            assert!(young.is_empty(), "{writes} {young:?}");
        }
        if !crashed {
            break;
        }
        writes += if long { 1 } else { 1 + writes / 12 };
    }
    assert!(writes > 100);
}

#[test]
fn what_could_not_be_forgotten_can_be_forgotten_again() {
    let labels = std::collections::BTreeMap::new();
    let wanted = Forget { series: "cpu", labels: &labels };
    let mut writes = 0;
    loop {
        let shelf = MemoryShelf::default();
        let left = Arc::new(AtomicU64::new(u64::MAX));
        let failing = Failing { shelf: shelf.clone(), left: Arc::clone(&left) };
        let history = History::open(policy(), Box::new(failing)).unwrap();
        for second in (0..200).step_by(10) {
            fill(&history, second..second + 10);
            history.flush(at(second)).unwrap();
        }
        let there = |history: &History| history.points("cpu", usize::MAX).len();
        let points = there(&history);
        left.store(writes, Ordering::Relaxed);
        let first = history.forget_series(&wanted);
        if let Ok(forgotten) = first {
            assert_eq!(forgotten.len(), 1);
            break;
        }
        // Three records of the journal say so; then there are blocks to be deleted.
        assert_eq!(there(&history), if writes < 3 { points } else { 0 }, "{writes}");
        assert!(
            history.forget_series(&wanted).is_err(),
            "no answer is yes while some of it is there"
        );
        let again = History::open(policy(), Box::new(shelf.clone())).unwrap();
        assert_eq!(there(&again) > 0, writes < 1, "{writes}");
        left.store(u64::MAX, Ordering::Relaxed);
        let forgotten = history.forget_series(&wanted).unwrap().len();
        assert_eq!(forgotten, usize::from(writes < 3));
        drop(history);
        assert!(shelf.list("block/cpu/", None, 9).unwrap().is_empty());
        let again = History::open(policy(), Box::new(shelf)).unwrap();
        assert_eq!((again.series("", 9).len(), there(&again)), (1, 0), "{writes}");
        assert_eq!(again.status().damaged + again.status().foreign, 0);
        writes += 1;
    }
    assert!(writes > 5, "{writes}");
}

#[test]
fn the_clock_set_back_is_remembered_across_a_crash() {
    let shelf = MemoryShelf::default();
    let history = History::open(policy(), Box::new(shelf.clone())).unwrap();
    let mut seconds: Vec<i64> = (0..500).collect();
    seconds.extend(333..420);
    for (index, second) in seconds.into_iter().enumerate() {
        fill(&history, second..second + 1);
        if index % 10 == 0 {
            history.flush(at(second)).unwrap();
        }
    }
    history.flush(at(420)).unwrap();
    let again = History::open(policy(), Box::new(shelf)).unwrap();
    assert_eq!(told(&again), told(&history));
    assert_eq!(again.points("cpu", 1)[0].at, at(419));
    fill(&again, 420..430);
    assert_eq!(again.status().late, 0);
}

#[test]
fn what_is_damaged_goes_alone() {
    let shelf = MemoryShelf::default();
    let history = History::open(policy(), Box::new(shelf.clone())).unwrap();
    fill(&history, 0..200);
    history.flush(at(200)).unwrap();
    fill(&history, 200..230);
    history.flush(at(230)).unwrap();
    let before = told(&history);
    let keys = shelf.list("", None, usize::MAX).unwrap();
    assert!(keys.len() > 15 && keys.iter().any(|key| key.starts_with("journal/")));
    let entries: Vec<_> =
        keys.into_iter().map(|key| (shelf.get(&key).unwrap().unwrap(), key)).collect();
    let mut random = Random(6);
    for (bytes, key) in &entries {
        let shelf = MemoryShelf::default();
        entries.iter().for_each(|(bytes, key)| shelf.put(key, bytes).unwrap());
        let mut bad = bytes.clone();
        let place = random.below(bad.len() as u64) as usize;
        bad[place] ^= 1 << random.below(8);
        shelf.put(key, &bad).unwrap();
        let again = History::open(policy(), Box::new(shelf.clone())).unwrap();
        let status = again.status();
        assert_eq!((status.damaged, status.losses.len()), (1, 1), "{key}");
        assert_eq!(&status.losses[0].0, key);
        assert_eq!(shelf.get(key).unwrap(), None, "it is let go of");
        // Of every other level of every other series there is everything.
        let damaged = NAMES.iter().position(|name| key.starts_with(&format!("block/{name}/")));
        if let Some(damaged) = damaged {
            let other = 1 - damaged;
            assert_eq!(told(&again)[other * 9..other * 9 + 9], before[other * 9..other * 9 + 9]);
        }
        let rows = |history: &History| history.points("cpu", usize::MAX).len();
        assert!(rows(&again) + 40 >= rows(&history));
        assert_eq!(again.append("cpu", at(231), 1.0), Appended::Kept);
        again.flush(at(240)).unwrap();
    }
}

#[test]
fn what_another_policy_wrote_is_let_go_of() {
    let shelf = MemoryShelf::default();
    let history = History::open(policy(), Box::new(shelf.clone())).unwrap();
    fill(&history, 0..200);
    history.flush(at(200)).unwrap();
    shelf.put("block/garbage", b"garbage").unwrap();
    let mut other = policy();
    other.levels[1].step_s = 40;
    let again = History::open(other, Box::new(shelf.clone())).unwrap();
    assert!(again.status().foreign > 0 && again.status().damaged == 1);
    assert_eq!(again.points("cpu", usize::MAX), history.points("cpu", usize::MAX));
    assert_eq!(all(&again, "cpu", Aggregate::Sum, 40), all(&history, "cpu", Aggregate::Sum, 40));
    let coarser = HistoryPolicy { tick_ns: 1_000, ..policy() };
    let again = History::open(coarser, Box::new(shelf.clone())).unwrap();
    assert!(
        again.points("cpu", usize::MAX).is_empty()
            && shelf.list("block/", None, 9).unwrap().is_empty()
    );
}
