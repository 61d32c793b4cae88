//! Flushing: what is full is compressed, what is old let go of, what is new written to the shelf.
//!
//! The shelf has each sealed block under a key of its own, and a journal of the rows that are in none: a record a
//! flush and level, deleted when the blocks have all that it has. Rows of a series ascend, so reading a record
//! again adds nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::block::{Body, ROWS_MAX};
use super::bucket::COLUMNS;
use super::format::{self, Heading};
use super::history::{History, Series};
use super::level::{Level, News};
use super::shelf::Shelf;
use super::status::count;
use super::track::{Gone, Track};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// Bytes of a record of the journal after which another one begins.
const RECORD_BYTES: usize = 256 * 1024;

/// Where keys of blocks begin.
pub(super) const BLOCKS: &str = "block/";
/// Where keys of the journal begin.
pub(super) const JOURNAL: &str = "journal/";

/// Where keys of what others want kept begin.
const NOTES: &str = "note/";

/// The journal's numbers by level, that of the points first.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) numbers: Vec<Numbers>,
}

/// The records of a level: from `first` on, before `next`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    pub(super) first: u64,
    pub(super) next: u64,
}

impl Numbers {
    /// That of the next record: whether it is written or not, what failed may have been in part.
    pub(super) fn take(&mut self) -> Result<u64> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or_else(|| {
            Error::new(Code::STORE_CORRUPT, "the journal has no more numbers")
                .operation("monitor.flush")
        })?;
        Ok(number)
    }
}

impl Keeper {
    pub(super) fn new(levels: usize) -> Self {
        Self { numbers: vec![Numbers::default(); levels] }
    }
}

/// Finds a coarser level of a series.
type PickCoarse = dyn Fn(&mut Track) -> Option<&mut Level<COLUMNS>>;
/// Finds a level of a series.
type Pick<'a, const N: usize> = &'a dyn Fn(&mut Track) -> Option<&mut Level<N>>;

impl History {
    /// Compresses full blocks, lets go of old ones, and writes to the shelf, if there is one, what it has not.
    /// Call it every few seconds, from one thread and not the one that measures: compressing a block takes some
    /// tenths of a millisecond, and the shelf may block.
    ///
    /// # Errors
    /// The first one of the shelf. Memory has everything nevertheless, and the next flush tries again.
    pub fn flush(&self, now: Timestamp) -> Result<()> {
        let mut keeper = self.keeper.lock();
        self.tidy(self.ticks(now));
        let all = self.all();
        for series in &all {
            self.seal(series, &raw);
            for index in 0..self.policy.levels.len() {
                self.seal(series, coarse(index).as_ref());
            }
        }
        self.times.lock().sweep(&self.figures);
        self.make_room();
        let Some(shelf) = self.shelf.as_deref() else { return Ok(()) };
        let written = self.write(shelf, &all, &mut keeper);
        if written.is_err() {
            count(&self.figures.failed_flushes);
        }
        written
    }

    /// Whether there is a shelf.
    pub(in crate::monitor) fn is_kept(&self) -> bool {
        self.shelf.is_some()
    }

    /// Puts what others want kept on the shelf, beside the rows.
    ///
    /// # Errors
    /// Those of the shelf.
    pub(in crate::monitor) fn note(&self, what: &str, bytes: &[u8]) -> Result<()> {
        self.shelf.as_deref().map_or(Ok(()), |shelf| shelf.put(&format!("{NOTES}{what}"), bytes))
    }

    /// What [`note`](Self::note) put there.
    ///
    /// # Errors
    /// Those of the shelf.
    pub(in crate::monitor) fn noted(&self, what: &str) -> Result<Option<Vec<u8>>> {
        self.shelf.as_deref().map_or(Ok(None), |shelf| shelf.get(&format!("{NOTES}{what}")))
    }

    /// Ends what its time is over for, and lets go of what is old.
    fn tidy(&self, now: i64) {
        for series in self.all() {
            let mut gone = Gone::new();
            let (expired, empty) = self.change(&series, |track| {
                track.end_old(now);
                (track.expire(now, &mut gone), track.is_empty())
            });
            self.figures.expired_blocks.fetch_add(expired, Ordering::Relaxed);
            self.forget(&series.name, gone);
            if empty {
                let mut table = self.table.write();
                // Unless a point has come since.
                let same = table.get(&series.name).is_some_and(|s| Arc::ptr_eq(s, &series));
                if same && series.track.lock().is_empty() {
                    table.remove(&series.name);
                    self.removed(&series);
                }
            }
        }
    }

    fn seal<const N: usize>(&self, series: &Series, pick: Pick<'_, N>) {
        let frozen: Vec<_> = pick(&mut series.track.lock())
            .map_or_else(Vec::new, |level| level.frozen().cloned().collect());
        for old in frozen {
            let Some(mut new) = old.sealed() else { continue };
            if let Body::Sealed(sealed) = &mut new.body {
                let times = Arc::clone(&sealed.times);
                sealed.times = self.times.lock().share(times, &self.figures);
            }
            self.change(series, |track| {
                if let Some(level) = pick(track) {
                    level.replace(&old, new);
                }
            });
        }
    }

    /// # Errors
    /// The first one of the shelf, after which nothing more is written.
    fn write(&self, shelf: &dyn Shelf, all: &[Arc<Series>], keeper: &mut Keeper) -> Result<()> {
        self.delete_gone(shelf)?;
        for series in all {
            self.write_blocks(shelf, series, 0, number(keeper, 0), &raw)?;
            for (index, level) in self.policy.levels.iter().enumerate() {
                let (step, number) = (self.policy.ticks(level.step_s), number(keeper, index + 1));
                self.write_blocks(shelf, series, step, number, coarse(index).as_ref())?;
            }
        }
        self.write_journal::<1>(shelf, all, 0, 0, keeper, &raw)?;
        for (index, level) in self.policy.levels.iter().enumerate() {
            let (step, pick) = (self.policy.ticks(level.step_s), coarse(index));
            self.write_journal::<COLUMNS>(shelf, all, index + 1, step, keeper, pick.as_ref())?;
        }
        Ok(())
    }

    pub(super) fn delete_gone(&self, shelf: &dyn Shelf) -> Result<()> {
        loop {
            let Some(key) = self.gone.lock().pop_front() else { return Ok(()) };
            if let Err(error) = shelf.delete(&key) {
                self.gone.lock().push_front(key);
                return Err(error);
            }
        }
    }

    fn write_blocks<const N: usize>(
        &self,
        shelf: &dyn Shelf,
        series: &Series,
        step: i64,
        number: u64,
        pick: Pick<'_, N>,
    ) -> Result<()> {
        let unstored: Vec<_> = pick(&mut series.track.lock())
            .map_or_else(Vec::new, |level| level.unstored().cloned().collect());
        for block in unstored {
            let heading = self.heading(series, step);
            if let Some(bytes) = format::write_block(&heading, &block, number) {
                shelf.put(&block_key(&series.name, step, block.first), &bytes)?;
                block.set_stored();
            }
        }
        Ok(())
    }

    fn write_journal<const N: usize>(
        &self,
        shelf: &dyn Shelf,
        all: &[Arc<Series>],
        place: usize,
        step: i64,
        keeper: &mut Keeper,
        pick: Pick<'_, N>,
    ) -> Result<()> {
        let Some(numbers) = keeper.numbers.get_mut(place) else { return Ok(()) };
        let mut record = format::begin_record();
        let mut told: Vec<(&Series, News<N>)> = Vec::new();
        for series in all {
            let news = pick(&mut series.track.lock()).and_then(|level| level.news());
            if let Some(news) = news {
                format::add_entry(&mut record, &self.heading(series, step), &news);
                told.push((series, news));
            }
            if record.len() >= RECORD_BYTES {
                put_record(shelf, step, numbers, &mut record, &mut told, pick)?;
            }
        }
        put_record(shelf, step, numbers, &mut record, &mut told, pick)?;
        let oldest =
            all.iter().filter_map(|series| pick(&mut series.track.lock())?.oldest_record());
        let oldest = oldest.min().unwrap_or(numbers.next);
        while numbers.first < oldest.min(numbers.next) {
            shelf.delete(&record_key(step, numbers.first))?;
            numbers.first += 1;
        }
        Ok(())
    }

    pub(super) fn heading(&self, series: &Series, step: i64) -> Heading {
        Heading { name: series.name.to_string(), tick_ns: self.policy.tick_ns, step }
    }
}

fn put_record<const N: usize>(
    shelf: &dyn Shelf,
    step: i64,
    numbers: &mut Numbers,
    record: &mut Vec<u8>,
    told: &mut Vec<(&Series, News<N>)>,
    pick: Pick<'_, N>,
) -> Result<()> {
    if told.is_empty() {
        return Ok(());
    }
    let mut bytes = std::mem::replace(record, format::begin_record());
    format::end_record(&mut bytes);
    let number = numbers.take()?;
    shelf.put(&record_key(step, number), &bytes)?;
    for (series, news) in told.drain(..) {
        if let Some(level) = pick(&mut series.track.lock()) {
            level.journalled(&news, number);
        }
    }
    Ok(())
}

/// Finds the points.
fn raw(track: &mut Track) -> Option<&mut Level<1>> {
    Some(&mut track.raw)
}

/// Finds the coarser level `index`.
fn coarse(index: usize) -> Box<PickCoarse> {
    Box::new(move |track| track.coarse.get_mut(index).map(|coarse| &mut coarse.level))
}

fn number(keeper: &Keeper, place: usize) -> u64 {
    keeper.numbers.get(place).map_or(0, |numbers| numbers.next)
}

/// The key of a block: keys of a series' level are in order of time.
pub(super) fn block_key(name: &str, step: i64, first: i64) -> String {
    // The sign bit the other way round, so that times before 1970 come first.
    let first = first as u64 ^ (1 << 63);
    format!("{BLOCKS}{name}/{step:016x}/{first:016x}")
}

/// The key of a record of the journal.
pub(super) fn record_key(step: i64, number: u64) -> String {
    format!("{JOURNAL}{step:016x}/{number:016x}")
}

/// The longest block as it is written stays below what a shelf takes: six plain columns and the times.
const _: () = assert!(ROWS_MAX * (COLUMNS + 1) * 9 < 512 * 1024);
