//! Opening: what the shelf has comes back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::block::{Block, Sealed};
use super::bucket::COLUMNS;
use super::format::{self, Entry, Heading, Loaded};
use super::gorilla::Gorilla;
use super::history::{History, Series};
use super::keep::{BLOCKS, JOURNAL, record_key};
use super::level::Level;
use super::name::is_name;
use super::policy::HistoryPolicy;
use super::shelf::Shelf;
use super::status::count;
use crate::Result;

/// Keys that are asked for at once.
const PAGE: usize = 100;

/// From which times on rows do not count, by series and step: the journal's number that says so, and the time.
type Voids = HashMap<(String, i64), Vec<(u64, i64)>>;

impl History {
    /// One that is kept on a shelf, with what is there. What is damaged is let go of alone, counted, and named in
    /// the [status](History::status).
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a policy that makes no sense; those of the shelf when it cannot
    /// tell what it has, or cannot delete what is damaged.
    pub fn open(policy: HistoryPolicy, shelf: Box<dyn Shelf>) -> Result<Self> {
        let history = Self::with(policy, Some(shelf))?;
        if let Some(shelf) = history.shelf.as_deref() {
            let journal = history.read_journal(shelf)?;
            let voids = voids(&journal);
            history.load_blocks(shelf, &voids)?;
            for ((_, number), entries) in journal {
                entries.into_iter().for_each(|entry| history.replay(number, entry, &voids));
            }
        }
        for series in history.all() {
            history.change(&series, |track| {
                track.raw.replayed();
                track.coarse.iter_mut().for_each(|coarse| coarse.level.replayed());
                track.rebuild();
            });
        }
        history.trim();
        history.make_room();
        Ok(history)
    }

    /// Lets go of the series that have had no point for longest, where there are more than there may be. Not before all was read: until
    /// then nothing tells which these are.
    fn trim(&self) {
        let mut table = self.table.write();
        let Some(over) = table.len().checked_sub(self.policy.series as usize) else { return };
        let newest = |series: &Arc<Series>| (series.track.lock().newest(), Arc::clone(series));
        let mut all: Vec<_> = table.values().map(newest).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.name.cmp(&b.1.name)));
        for (_, idle) in all.into_iter().take(over) {
            table.remove(&idle.name);
            self.removed(&idle);
        }
    }

    /// The records by step and number.
    fn read_journal(&self, shelf: &dyn Shelf) -> Result<BTreeMap<(i64, u64), Vec<Entry>>> {
        let mut records = BTreeMap::new();
        let steps = std::iter::once(0).chain(self.policy.levels.iter().map(|l| l.step_s));
        let steps: Vec<i64> = steps.map(|step| self.policy.ticks(step)).collect();
        let mut keeper = self.keeper.lock();
        for key in keys(shelf, JOURNAL)? {
            let place = parse_record_key(&key).and_then(|(step, number)| {
                Some((step, number, steps.iter().position(|known| *known == step)?))
            });
            let Some((step, number, place)) = place else {
                self.foreign(shelf, &key, "of another level")?;
                continue;
            };
            if let Some(numbers) = keeper.numbers.get_mut(place) {
                // The keys ascend.
                if numbers.next == 0 {
                    numbers.first = number;
                }
                numbers.next = number.saturating_add(1);
            }
            match shelf.get(&key).map(|bytes| bytes.map(|bytes| format::read_record(&bytes))) {
                Ok(Some(Ok(entries))) => {
                    records.insert((step, number), entries);
                }
                Ok(Some(Err(why))) => self.damaged(shelf, &key, why)?,
                Ok(None) => {}
                // It may be the one thing that cannot be read.
                Err(error) => self.unreadable(&key, &error),
            }
        }
        Ok(records)
    }

    fn load_blocks(&self, shelf: &dyn Shelf, voids: &Voids) -> Result<()> {
        for key in keys(shelf, BLOCKS)? {
            match shelf.get(&key).map(|bytes| bytes.map(|bytes| format::read_block(&bytes))) {
                Ok(Some(Ok(loaded))) => self.load_block(shelf, &key, loaded, voids)?,
                Ok(Some(Err(why))) => self.damaged(shelf, &key, why)?,
                Ok(None) => {}
                Err(error) => self.unreadable(&key, &error),
            }
        }
        Ok(())
    }

    fn load_block(
        &self,
        shelf: &dyn Shelf,
        key: &str,
        loaded: Loaded,
        voids: &Voids,
    ) -> Result<()> {
        let heading = loaded.heading.clone();
        let cut = void_after(voids, &heading, |number| number > loaded.number);
        if cut == Some(i64::MIN) {
            // Its series was forgotten.
            self.number_after(heading.step, loaded.number);
            return shelf.delete(key);
        }
        let Some(series) = self.series_here(&heading) else {
            return self.foreign(shelf, key, "of another level or tick");
        };
        self.number_after(heading.step, loaded.number);
        let taken = match self.place(heading.step) {
            Some(0) => {
                let block = self.block::<1>(loaded, cut);
                self.change(&series, |track| take(&mut track.raw, block))
            }
            Some(place) => {
                let block = self.block::<COLUMNS>(loaded, cut);
                self.change(&series, |track| match track.coarse.get_mut(place - 1) {
                    Some(coarse) => take(&mut coarse.level, block),
                    None => Taken::Void,
                })
            }
            None => Taken::Void,
        };
        match taken {
            Taken::Yes => Ok(()),
            Taken::Void => shelf.delete(key),
            Taken::Damaged => self.damaged(shelf, key, "the rows are not what the block says"),
        }
    }

    /// The journal's records that are to come are later than this block.
    fn number_after(&self, step: i64, number: u64) {
        let mut keeper = self.keeper.lock();
        let place = self.place(step);
        if let Some(numbers) = place.and_then(|place| keeper.numbers.get_mut(place)) {
            let next = numbers.next.max(number);
            if numbers.first == numbers.next {
                numbers.first = next;
            }
            numbers.next = next;
        }
    }

    /// The block of what was read, without rows from `cut` on; an error when it is not what it says it is.
    fn block<const N: usize>(
        &self,
        loaded: Loaded,
        cut: Option<i64>,
    ) -> Result<Option<Block<N>>, ()> {
        let times: Arc<[u8]> = Arc::clone(&loaded.sealed.times);
        let times = self.times.lock().share(times, &self.figures);
        let sealed = Sealed { times, values: loaded.sealed.values };
        let block = Block::<N>::loaded(loaded.first, loaded.last, loaded.count, sealed);
        let rows = block.rows().ok_or(())?;
        let ascends = rows.is_sorted_by(|a, b| a.0 < b.0);
        let ends = rows.first().map(|row| row.0) == Some(block.first)
            && rows.last().map(|row| row.0) == Some(block.last);
        let finite = rows.iter().flat_map(|row| &row.1).all(|value| value.is_finite());
        if !(ascends && ends && finite) {
            return Err(());
        }
        let Some(cut) = cut.filter(|cut| block.last >= *cut) else { return Ok(Some(block)) };
        let mut kept = Gorilla::default();
        let rows = rows.into_iter().take_while(|row| row.0 < cut);
        rows.for_each(|(time, values)| kept.push(time, values));
        Ok(Block::frozen(kept, None))
    }

    fn replay(&self, number: u64, entry: Entry, voids: &Voids) {
        let heading = entry.heading.clone();
        let cut = void_after(voids, &heading, |later| later > number).unwrap_or(i64::MAX);
        if cut == i64::MIN || entry.count == 0 {
            // It was forgotten since, or says that it was.
            return;
        }
        let Some(series) = self.series_here(&heading) else {
            // The record stays for the others that it has.
            count(&self.figures.foreign);
            return;
        };
        match self.place(heading.step) {
            Some(0) => {
                let rows = entry.rows::<1>();
                self.change(&series, |track| replay(&mut track.raw, &rows, cut, number));
            }
            Some(place) => {
                let rows = entry.rows::<COLUMNS>();
                self.change(&series, |track| {
                    if let Some(coarse) = track.coarse.get_mut(place - 1) {
                        replay(&mut coarse.level, &rows, cut, number);
                    }
                });
            }
            None => count(&self.figures.foreign),
        }
    }

    /// The series that this is of, if it fits the policy.
    fn series_here(&self, heading: &Heading) -> Option<Arc<Series>> {
        let fits = heading.tick_ns == self.policy.tick_ns && self.place(heading.step).is_some();
        if !fits || !is_name(&heading.name) {
            return None;
        }
        let mut table = self.table.write();
        let known = table.get(&*heading.name).cloned();
        Some(known.unwrap_or_else(|| self.insert(&mut table, &heading.name)))
    }

    /// Which level a step is of: 0 for the points.
    fn place(&self, step: i64) -> Option<usize> {
        if step == 0 {
            return Some(0);
        }
        let mut levels = self.policy.levels.iter();
        levels.position(|level| self.policy.ticks(level.step_s) == step).map(|index| index + 1)
    }

    fn damaged(&self, shelf: &dyn Shelf, key: &str, why: &str) -> Result<()> {
        count(&self.figures.damaged);
        self.lost(key, why);
        shelf.delete(key)
    }

    fn foreign(&self, shelf: &dyn Shelf, key: &str, why: &str) -> Result<()> {
        count(&self.figures.foreign);
        self.lost(key, why);
        shelf.delete(key)
    }

    fn unreadable(&self, key: &str, error: &crate::Error) {
        count(&self.figures.damaged);
        self.lost(key, &error.to_string());
    }
}

/// What became of a block.
enum Taken {
    Yes,
    /// None of its rows counts.
    Void,
    Damaged,
}

fn take<const N: usize>(level: &mut Level<N>, block: Result<Option<Block<N>>, ()>) -> Taken {
    match block {
        Ok(Some(block)) => {
            if level.load(block) {
                Taken::Yes
            } else {
                Taken::Void
            }
        }
        Ok(None) => Taken::Void,
        Err(()) => Taken::Damaged,
    }
}

fn replay<const N: usize>(level: &mut Level<N>, rows: &Gorilla<N>, cut: i64, number: u64) {
    for (time, values) in rows.rows().take_while(|row| row.0 < cut) {
        if values.iter().all(|value| value.is_finite()) {
            level.replay(time, values, number);
        }
    }
}

fn voids(journal: &BTreeMap<(i64, u64), Vec<Entry>>) -> Voids {
    let mut voids = Voids::new();
    for ((_, number), entries) in journal {
        for entry in entries {
            if let Some(void) = entry.void {
                let key = (entry.heading.name.clone(), entry.heading.step);
                voids.entry(key).or_default().push((*number, void));
            }
        }
    }
    voids
}

/// The earliest time that is void by records whose numbers are later.
fn void_after(voids: &Voids, heading: &Heading, later: impl Fn(u64) -> bool) -> Option<i64> {
    let voids = voids.get(&(heading.name.clone(), heading.step))?;
    voids.iter().filter(|(number, _)| later(*number)).map(|(_, void)| *void).min()
}

/// All keys that begin with a prefix.
fn keys(shelf: &dyn Shelf, prefix: &str) -> Result<Vec<String>> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let page = shelf.list(prefix, keys.last().map(String::as_str), PAGE)?;
        // A shelf that goes in circles is at its end.
        if page.first().is_none_or(|first| keys.last().is_some_and(|last| first <= last)) {
            return Ok(keys);
        }
        keys.extend(page);
    }
}

fn parse_record_key(key: &str) -> Option<(i64, u64)> {
    let (step, number) = key.strip_prefix(JOURNAL)?.split_once('/')?;
    let parsed = (i64::from_str_radix(step, 16).ok()?, u64::from_str_radix(number, 16).ok()?);
    (record_key(parsed.0, parsed.1) == key).then_some(parsed)
}
