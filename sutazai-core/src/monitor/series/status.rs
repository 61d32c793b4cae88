//! A history's figures.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde::Serialize;

use crate::base::time::Timestamp;

/// A history as a whole. What is counted is counted since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct HistoryStatus {
    /// Series that there are.
    pub series: usize,
    /// Series that there may be.
    pub most: usize,
    /// How many there may be before new ones of hosts are refused: the rest is left to the kernel's own figures.
    pub others_most: usize,
    /// Bytes of memory that they take.
    pub bytes: u64,
    /// Bytes that they may take.
    pub budget_bytes: u64,
    /// Points that were taken since the start.
    pub points: u64,
    /// Points that are in memory now, those from before a restart too; not the buckets of coarser levels.
    pub held: u64,
    /// Points that were refused: their times were not after the newest.
    pub late: u64,
    /// Points that were refused: not a number, or not finite.
    pub not_finite: u64,
    /// Points that were refused: a new series beyond the bound.
    pub no_room: u64,
    /// Points that were refused: the series' name is not one.
    pub bad_names: u64,
    /// Series that were refused for want of room, those of late, at most 16.
    pub refused: Vec<String>,
    /// What series there are most of, at most 5: names without labels, and digits as `#`.
    pub families: Vec<SeriesFamily>,
    /// Series that made room for others, or had nothing left.
    pub series_dropped: u64,
    /// How often the clock was taken to have been set back.
    pub set_back: u64,
    /// Blocks that were let go of as they were old.
    pub expired_blocks: u64,
    /// Blocks that were let go of as the budget was used up.
    pub evicted_blocks: u64,
    /// Rows that they had.
    pub evicted_rows: u64,
    /// Blocks and records of the journal that were damaged, and are let go of.
    pub damaged: u64,
    /// Of other levels or another unit of time than the policy's, and let go of.
    pub foreign: u64,
    /// What was damaged or foreign last, at most 16: key and reason.
    pub losses: Vec<(String, String)>,
    /// Flushes that could not write everything.
    pub failed_flushes: u64,
}

/// Series whose names differ in labels and digits alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SeriesFamily {
    /// What is the same: the name without labels, digits as `#`.
    pub family: String,
    /// How many there are.
    pub series: usize,
}

/// One series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SeriesView {
    /// Its name.
    pub name: String,
    /// Whether it is a counter: its name, without labels, ends in `_total`.
    pub counter: bool,
    /// Bytes of memory that it takes, without the times that it shares.
    pub bytes: usize,
    /// The time of its newest point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// The points themselves, then the coarser levels.
    pub levels: Vec<LevelView>,
}

/// One resolution of a series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct LevelView {
    /// Seconds of a bucket; 0 for the points themselves.
    pub step_s: u32,
    /// Points or buckets that have ended.
    pub rows: usize,
    /// Blocks, without the one that is being filled.
    pub blocks: usize,
    /// Bytes of memory, without the times that it shares.
    pub bytes: usize,
    /// The oldest time there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// May be below zero for a moment, while two threads account for the same.
    bytes: AtomicI64,
    pub(super) points: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) not_finite: AtomicU64,
    pub(super) no_room: AtomicU64,
    pub(super) bad_names: AtomicU64,
    pub(super) series_dropped: AtomicU64,
    pub(super) set_back: AtomicU64,
    pub(super) expired_blocks: AtomicU64,
    pub(super) evicted_blocks: AtomicU64,
    pub(super) evicted_rows: AtomicU64,
    pub(super) damaged: AtomicU64,
    pub(super) foreign: AtomicU64,
    pub(super) failed_flushes: AtomicU64,
}

impl Figures {
    /// What took `before` bytes takes `after`.
    #[inline]
    pub(super) fn resized(&self, before: usize, after: usize) {
        if before != after {
            self.bytes.fetch_add(after as i64 - before as i64, Ordering::Relaxed);
        }
    }

    /// Bytes that everything takes.
    #[inline]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed).max(0).unsigned_abs()
    }

    /// What was counted, without what is not.
    pub(super) fn status(&self) -> HistoryStatus {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        HistoryStatus {
            bytes: self.bytes(),
            points: read(&self.points),
            late: read(&self.late),
            not_finite: read(&self.not_finite),
            no_room: read(&self.no_room),
            bad_names: read(&self.bad_names),
            series_dropped: read(&self.series_dropped),
            set_back: read(&self.set_back),
            expired_blocks: read(&self.expired_blocks),
            evicted_blocks: read(&self.evicted_blocks),
            evicted_rows: read(&self.evicted_rows),
            damaged: read(&self.damaged),
            foreign: read(&self.foreign),
            failed_flushes: read(&self.failed_flushes),
            ..HistoryStatus::default()
        }
    }
}

/// Counts one.
#[inline]
pub(super) fn count(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}
