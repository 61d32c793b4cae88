//! [`History`]: the table of series.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::bucket::Bucket;
use super::keep::Keeper;
use super::level::Level;
use super::name::{NAME_MAX, is_name};
use super::policy::{HistoryPolicy, LEVEL_BYTES, SERIES_BYTES};
use super::query::{Aggregate, Answer, Query, Windows};
use super::room::{Refused, Room};
use super::shelf::Shelf;
use super::status::{Figures, HistoryStatus, LevelView, SeriesView, count};
use super::times::Times;
use super::track::{Coarse, Gone, Track};
use crate::Result;
use crate::base::time::Timestamp;

/// Bytes of a series' entry in the table, and of the counts of its `Arc`s.
const ENTRY_BYTES: usize = 96;
/// Losses that are remembered.
const LOSSES_MAX: usize = 16;
/// Keys that are remembered to be deleted.
const GONE_MAX: usize = 8_192;

const _: () = assert!(
    size_of::<Series>() + NAME_MAX + ENTRY_BYTES <= SERIES_BYTES
        && size_of::<Coarse>() <= LEVEL_BYTES
);

/// What became of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It was taken.
    Kept,
    /// It was taken, and the clock is taken to have been set back.
    SetBack,
    /// It was refused: its time is not after the newest.
    Late,
    /// It was refused: it is not a number, or not finite.
    NotFinite,
    /// It was refused: a new series, and there are as many as there may be.
    NoRoom,
    /// It was refused: a series' name has 1 to [`NAME_MAX`] bytes, no control characters, and no `*` at its end.
    BadName,
}

/// What was measured. All methods may be called from any thread at once; see the [module](super).
pub struct History {
    pub(super) policy: HistoryPolicy,
    pub(super) table: RwLock<Table>,
    pub(super) figures: Figures,
    pub(super) times: Mutex<Times>,
    pub(super) shelf: Option<Box<dyn Shelf>>,
    pub(super) keeper: Mutex<Keeper>,
    /// Held by whom makes room.
    pub(super) evicting: Mutex<()>,
    /// Keys that are to be deleted from the shelf.
    pub(super) gone: Mutex<VecDeque<String>>,
    losses: Mutex<VecDeque<(String, String)>>,
    pub(super) refused: Mutex<Refused>,
}

/// The series by name.
pub(super) type Table = HashMap<Arc<str>, Arc<Series>>;

/// A series of a [`History`], for [`History::record`]. One of another history records to nobody's use.
#[derive(Debug)]
pub struct Handle(Arc<Series>);

/// A series of the table.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: Arc<str>,
    pub(super) counter: bool,
    /// The kernel measures it: it makes no room for others'. Not known of what was read until it is measured again.
    pub(super) own: AtomicBool,
    pub(super) track: Mutex<Track>,
}

/// Whether a series of this name is a counter: without labels, it ends in `_total`.
pub(in crate::monitor) fn is_counter(series: &str) -> bool {
    series.split_once('{').map_or(series, |(bare, _)| bare).ends_with("_total")
}

impl History {
    /// One in memory alone.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a policy that makes no sense, naming the field.
    pub fn new(policy: HistoryPolicy) -> Result<Self> {
        Self::with(policy, None)
    }

    pub(super) fn with(policy: HistoryPolicy, shelf: Option<Box<dyn Shelf>>) -> Result<Self> {
        policy.check()?;
        let keeper = Keeper::new(policy.levels.len() + 1);
        Ok(Self {
            policy,
            table: RwLock::default(),
            figures: Figures::default(),
            times: Mutex::default(),
            shelf,
            keeper: Mutex::new(keeper),
            evicting: Mutex::default(),
            gone: Mutex::default(),
            losses: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    /// The policy.
    pub fn policy(&self) -> &HistoryPolicy {
        &self.policy
    }

    /// Adds a point of now to a series, which the first one makes. A series whose name, without labels in braces, ends
    /// in `_total` is a counter.
    #[inline]
    pub fn append(&self, series: &str, now: Timestamp, value: f64) -> Appended {
        self.append_within(series, now, value, true, Room::ALL)
    }

    /// As [`append`](Self::append), for a point whose time somebody has told: one that is not after the series' newest is refused,
    /// however many of them come, and no clock is taken to have been set back.
    #[inline]
    pub fn append_at(&self, series: &str, at: Timestamp, value: f64) -> Appended {
        self.append_within(series, at, value, false, Room::ALL)
    }

    /// `clock`: the time is that of a clock. A new series is refused where there is no `room`.
    #[inline]
    pub(in crate::monitor) fn append_within(
        &self,
        series: &str,
        now: Timestamp,
        value: f64,
        clock: bool,
        room: Room,
    ) -> Appended {
        if !value.is_finite() {
            count(&self.figures.not_finite);
            return Appended::NotFinite;
        }
        let table = self.table.read();
        let known = table.get(series).and_then(|series| {
            if room.own {
                series.own.store(true, Ordering::Relaxed);
            }
            self.add(series, now, value, clock)
        });
        drop(table);
        match known {
            Some((appended, grown)) => {
                if grown {
                    self.make_room();
                }
                appended
            }
            None => self.append_new(series, now, value, clock, room),
        }
    }

    /// A series to [record](Self::record) into without looking for its name each time, made if there is none;
    /// nothing when there is no room, or its name is not one.
    pub fn handle(&self, series: &str) -> Option<Handle> {
        if !is_name(series) {
            return None;
        }
        self.series_of(series, Room::ALL).map(Handle)
    }

    /// As [`append`](Self::append), to the series of a handle of this history.
    #[inline]
    pub fn record(&self, handle: &mut Handle, now: Timestamp, value: f64) -> Appended {
        if !value.is_finite() {
            count(&self.figures.not_finite);
            return Appended::NotFinite;
        }
        match self.add(&handle.0, now, value, true) {
            Some((appended, grown)) => {
                if grown {
                    self.make_room();
                }
                appended
            }
            None => {
                // It made room for others, or had nothing left.
                let name = Arc::clone(&handle.0.name);
                let appended = self.append_new(&name, now, value, true, Room::ALL);
                if let Some(series) = self.table.read().get(&name) {
                    handle.0 = Arc::clone(series);
                }
                appended
            }
        }
    }

    #[cold]
    fn append_new(
        &self,
        name: &str,
        now: Timestamp,
        value: f64,
        clock: bool,
        room: Room,
    ) -> Appended {
        if !is_name(name) {
            count(&self.figures.bad_names);
            return Appended::BadName;
        }
        // Again only when the series went away in between.
        loop {
            let Some(series) = self.series_of(name, room) else {
                count(&self.figures.no_room);
                self.refused.lock().add(name);
                return Appended::NoRoom;
            };
            if let Some((appended, _)) = self.add(&series, now, value, clock) {
                self.make_room();
                return appended;
            }
        }
    }

    /// What became of the point, and whether it takes more memory; nothing when the series is no longer in the
    /// table.
    #[inline]
    fn add(
        &self,
        series: &Series,
        now: Timestamp,
        value: f64,
        clock: bool,
    ) -> Option<(Appended, bool)> {
        let time = self.ticks(now);
        let mut gone = Gone::new();
        let mut track = series.track.lock();
        if track.gone {
            return None;
        }
        let before = track.bytes();
        let appended = track.append(time, value, clock, &mut gone);
        let after = track.bytes();
        drop(track);
        match appended {
            Appended::Late => count(&self.figures.late),
            _ => count(&self.figures.points),
        }
        if appended == Appended::SetBack {
            count(&self.figures.set_back);
            self.forget(&series.name, gone);
        }
        self.figures.resized(before, after);
        Some((appended, before < after))
    }

    /// A new series.
    pub(super) fn insert(&self, table: &mut Table, name: &str) -> Arc<Series> {
        let name: Arc<str> = name.into();
        let counter = is_counter(&name);
        let track = Mutex::new(Track::new(&self.policy, counter));
        let own = AtomicBool::new(false);
        let series = Arc::new(Series { name: Arc::clone(&name), counter, own, track });
        self.figures.resized(0, self.overhead(&name));
        table.insert(name, Arc::clone(&series));
        series
    }

    /// A series was taken out of the table.
    pub(super) fn removed(&self, series: &Series) {
        let mut track = series.track.lock();
        track.gone = true;
        self.figures.resized(track.bytes() + self.overhead(&series.name), 0);
        let mut gone = Gone::new();
        while let Some((step, first, _)) = track.drop_oldest() {
            gone.push((step, first));
        }
        drop(track);
        count(&self.figures.series_dropped);
        self.forget(&series.name, gone);
    }

    /// Bytes of a series without points.
    fn overhead(&self, name: &str) -> usize {
        let levels = self.policy.levels.len() * size_of::<Coarse>();
        size_of::<Series>() + levels + name.len() + ENTRY_BYTES
    }

    /// Blocks that are no more are to be deleted from the shelf.
    pub(super) fn forget(&self, name: &str, gone: Gone) {
        if self.shelf.is_none() || gone.is_empty() {
            return;
        }
        let mut keys = self.gone.lock();
        for (step, first) in gone {
            // One that is not remembered is found too old when the history is opened.
            if keys.len() >= GONE_MAX {
                keys.pop_front();
            }
            keys.push_back(super::keep::block_key(name, step, first));
        }
    }

    /// Asks for a series in windows. The finest resolution answers that still has all that there is from the
    /// beginning on; of quantiles, the points themselves. A bucket counts where it begins. Windows without
    /// points are left out.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a query that makes no sense, naming the field; [`Code::NOT_FOUND`](crate::Code::NOT_FOUND) when there is no
    /// such series.
    pub fn query(&self, query: &Query) -> Result<Answer> {
        query.check()?;
        let series = self.table.read().get(&*query.series).cloned();
        let series =
            series.ok_or_else(|| self.missing(&query.series).operation("monitor.query"))?;
        let (from, to) = (self.ticks(query.from), self.ticks_up(query.to));
        let rate = query.aggregate == Aggregate::Rate;
        let mut windows = Windows::new(query);
        let track = series.track.lock();
        let chosen = match query.aggregate {
            Aggregate::Quantile(_) => None,
            _ => track.finest(from),
        };
        let mut each = |time, bucket: &Bucket| windows.add(self.nanos(time), bucket);
        let (resolution_s, since, damaged) = match chosen {
            None => {
                let (rows, since) = (track.raw.snapshot(from, to, rate), track.raw.oldest());
                drop(track);
                let damaged = rows.rows(|(time, [value])| each(time, &Bucket::point(value, 0.0)));
                (0, since, damaged)
            }
            Some(index) => {
                let since = track.oldest_bucket(index);
                let rows = track.coarse.get(index).map(|c| c.level.snapshot(from, to, rate));
                let open = track.open_rows(index);
                drop(track);
                let mut each = |row: (i64, _)| each(row.0, &Bucket::of(row.1));
                let damaged = rows.map_or(0, |rows| rows.rows(&mut each));
                open.into_iter().for_each(each);
                let step_s = self.policy.levels.get(index).map_or(0, |level| level.step_s);
                (step_s, since, damaged)
            }
        };
        let since = since.map(|time| Timestamp::from_nanos(self.nanos(time)));
        Ok(Answer { resolution_s, since, windows: windows.finish(), damaged })
    }

    /// The newest `most` points of a series, oldest first, as they came; nothing when there is no such series.
    pub fn points(&self, series: &str, most: usize) -> Vec<super::Reading> {
        let Some(series) = self.table.read().get(series).cloned() else { return Vec::new() };
        let rows = series.track.lock().raw.snapshot(i64::MIN, i64::MAX, false);
        let mut points = VecDeque::new();
        rows.rows(|(time, [value])| {
            if points.len() >= most {
                points.pop_front();
            }
            if most > 0 {
                let at = Timestamp::from_nanos(self.nanos(time));
                points.push_back(super::Reading { at, value });
            }
        });
        points.into()
    }

    /// The series whose names begin with `prefix`, in order of name; at most `most`.
    pub fn series(&self, prefix: &str, most: usize) -> Vec<SeriesView> {
        let table = self.table.read();
        let mut found: Vec<_> =
            table.values().filter(|series| series.name.starts_with(prefix)).cloned().collect();
        drop(table);
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        found.truncate(most);
        found.iter().map(|series| self.view(series)).collect()
    }

    fn view(&self, series: &Series) -> SeriesView {
        let track = series.track.lock();
        let at = |time| Timestamp::from_nanos(self.nanos(time));
        let mut levels = vec![view(&track.raw, 0, track.raw.oldest().map(at))];
        for (index, policy) in self.policy.levels.iter().enumerate() {
            if let Some(coarse) = track.coarse.get(index) {
                let oldest = track.oldest_bucket(index).map(at);
                levels.push(view(&coarse.level, policy.step_s, oldest));
            }
        }
        SeriesView {
            name: series.name.to_string(),
            counter: series.counter,
            bytes: track.bytes() + self.overhead(&series.name),
            newest: track.raw.last().map(at),
            levels,
        }
    }

    /// The figures.
    pub fn status(&self) -> HistoryStatus {
        let families = self.families().to_vec();
        let refused = self.refused.lock().names();
        let losses = self.losses.lock().iter().cloned().collect();
        let all: Vec<_> = self.table.read().values().cloned().collect();
        let held = all.iter().map(|series| series.track.lock().raw.counts().1 as u64).sum();
        HistoryStatus {
            series: all.len(),
            held,
            budget_bytes: self.policy.budget_bytes,
            most: self.policy.series as usize,
            others_most: self.policy.series as usize,
            refused,
            families,
            losses,
            ..self.figures.status()
        }
    }

    /// Remembers what was let go of, and why.
    pub(super) fn lost(&self, key: &str, why: &str) {
        let mut losses = self.losses.lock();
        if losses.len() >= LOSSES_MAX {
            losses.pop_front();
        }
        losses.push_back((key.to_owned(), why.to_owned()));
    }

    /// All series, in order of name.
    pub(super) fn all(&self) -> Vec<Arc<Series>> {
        let mut all: Vec<_> = self.table.read().values().cloned().collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Does something with a series' rows, and accounts for what they take afterwards.
    pub(super) fn change<T>(&self, series: &Series, change: impl FnOnce(&mut Track) -> T) -> T {
        let mut track = series.track.lock();
        let before = track.bytes();
        let result = change(&mut track);
        // What is gone was accounted for when it went.
        if !track.gone {
            self.figures.resized(before, track.bytes());
        }
        result
    }

    /// A time in ticks, rounded down.
    #[inline]
    pub(super) fn ticks(&self, time: Timestamp) -> i64 {
        match i64::from(self.policy.tick_ns) {
            // The usual one; a division would cost a tenth of what appending does.
            1 => time.as_nanos(),
            tick => time.as_nanos().div_euclid(tick.max(1)),
        }
    }

    /// A time in ticks, rounded up.
    fn ticks_up(&self, time: Timestamp) -> i64 {
        let tick = i64::from(self.policy.tick_ns.max(1));
        let ticks = time.as_nanos().div_euclid(tick);
        ticks + i64::from(time.as_nanos().rem_euclid(tick) > 0)
    }

    pub(super) fn nanos(&self, ticks: i64) -> i64 {
        ticks.saturating_mul(i64::from(self.policy.tick_ns))
    }
}

fn view<const N: usize>(level: &Level<N>, step_s: u32, oldest: Option<Timestamp>) -> LevelView {
    let (blocks, rows) = level.counts();
    LevelView { step_s, rows, blocks, bytes: level.bytes(), oldest }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("series", &self.table.read().len())
            .field("bytes", &self.figures.bytes())
            .field("points", &self.figures.points.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}
