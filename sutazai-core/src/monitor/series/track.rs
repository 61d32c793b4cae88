//! One series: its points, and the coarser levels that follow from them. No clock, no I/O.

use super::Appended;
use super::bucket::{Bucket, COLUMNS, Open};
use super::gorilla::Row;
use super::level::Level;
use super::policy::HistoryPolicy;

/// What a full head waits for late points once its time is over, in seconds.
const GRACE_S: u32 = 60;
/// What a bucket waits, in seconds: who feeds in batches may come only so often. A quarter of the time that points are kept at most, as a bucket
/// that waits is made anew from them after a restart.
const WAIT_S: u32 = 900;

/// A series.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) raw: Level<1>,
    pub(super) coarse: Vec<Coarse>,
    /// Whether falling means being reset.
    counter: bool,
    /// The newest point's value.
    previous: Option<f64>,
    /// Times before this one are in buckets that have ended.
    floor: i64,
    late: Late,
    set_back_after: u32,
    grace: i64,
    wait: i64,
    /// The longest that any level keeps its rows.
    keep: i64,
    /// When it was first looked at after its newest point had come.
    quiet_since: Option<i64>,
    /// It is no longer in the table: nothing may be added.
    pub(super) gone: bool,
}

/// A coarser level.
#[derive(Debug)]
pub(super) struct Coarse {
    pub(super) level: Level<COLUMNS>,
    open: Option<Open>,
}

/// Points in a row whose times were before the newest, and ascend.
#[derive(Clone, Copy, Debug, Default)]
struct Late {
    count: u32,
    first: i64,
    second: i64,
    last: i64,
}

/// Blocks that are no more, by their level's step and first time.
pub(super) type Gone = Vec<(i64, i64)>;

impl Track {
    pub(super) fn new(policy: &HistoryPolicy, counter: bool) -> Self {
        let coarse = policy.levels.iter().map(|level| {
            let step = policy.ticks(level.step_s);
            let span = step.saturating_mul(i64::from(policy.block_buckets));
            Coarse { level: Level::new(step, span, policy.ticks(level.keep_s)), open: None }
        });
        let (span, keep) = (policy.ticks(policy.raw_block_s), policy.ticks(policy.raw_keep_s));
        Self {
            raw: Level::new(0, span, keep),
            coarse: coarse.collect(),
            counter,
            previous: None,
            floor: i64::MIN,
            late: Late::default(),
            set_back_after: policy.set_back_after,
            grace: policy.ticks(GRACE_S),
            wait: policy.ticks(WAIT_S.min(policy.raw_keep_s / 4)),
            keep: policy.levels.iter().map(|level| policy.ticks(level.keep_s)).fold(keep, i64::max),
            quiet_since: None,
            gone: false,
        }
    }

    /// Adds a point with a finite value; `gone` learns which blocks are no more. Where the time is not that of `clock`, but was
    /// told, it says nothing of a clock that was set back.
    #[inline]
    pub(super) fn append(
        &mut self,
        time: i64,
        value: f64,
        clock: bool,
        gone: &mut Gone,
    ) -> Appended {
        let late = self.raw.last().is_some_and(|last| time <= last) || time < self.floor;
        if late {
            if !clock || !self.was_set_back(time) {
                return Appended::Late;
            }
            self.set_back(self.late.first, gone);
        }
        self.late.count = 0;
        self.quiet_since = None;
        let carry = self.carry(value);
        self.previous = Some(value);
        self.raw.push(time, [value]);
        self.feed(0, time, Bucket::point(value, carry));
        if late { Appended::SetBack } else { Appended::Kept }
    }

    /// What the counter had counted if it was reset.
    #[inline]
    fn carry(&self, value: f64) -> f64 {
        match self.previous {
            Some(previous) if self.counter && value < previous => previous,
            _ => 0.0,
        }
    }

    /// Adds what a finer level has to the level `index`, and what ends by that to the ones above.
    #[inline]
    fn feed(&mut self, index: usize, mut time: i64, mut bucket: Bucket) {
        for coarse in self.coarse.iter_mut().skip(index) {
            match coarse.take(time, &bucket) {
                Some((start, ended)) => (time, bucket) = (start, ended),
                None => return,
            }
        }
    }

    fn was_set_back(&mut self, time: i64) -> bool {
        let late = &mut self.late;
        if late.count == 0 || time <= late.last {
            *late = Late { count: 0, first: time, second: time, last: time };
        }
        late.count += 1;
        late.last = time;
        if late.count == 2 {
            late.second = time;
        }
        if late.count < self.set_back_after {
            return false;
        }
        // One that was merely late may have come before: it says nothing of where the clock was set to.
        let far = late.second.saturating_sub(late.first) > late.last.saturating_sub(late.second);
        if far && late.count > 2 {
            (late.first, late.count) = (late.second, late.count - 1);
            return false;
        }
        true
    }

    /// Lets go of everything from `time` on, and makes the open buckets anew.
    fn set_back(&mut self, time: i64, gone: &mut Gone) {
        gone.extend(self.raw.truncate(time).iter().map(|block| (0, block.first)));
        for coarse in &mut self.coarse {
            let step = coarse.level.step;
            let start = floor(time, step);
            gone.extend(coarse.level.truncate(start).iter().map(|block| (step, block.first)));
        }
        self.rebuild();
    }

    /// Makes the open buckets from the finer levels: what these have beyond what a level has.
    pub(super) fn rebuild(&mut self) {
        self.floor = i64::MIN;
        self.previous = None;
        for index in 0..self.coarse.len() {
            let Some(coarse) = self.coarse.get_mut(index) else { return };
            coarse.open = None;
            let end = coarse.end();
            self.floor = self.floor.max(end);
            let finer: Vec<(i64, Bucket)> = match index.checked_sub(1) {
                None => self.points_since(end),
                Some(finer) => self.buckets_since(finer, end),
            };
            if let Some(coarse) = self.coarse.get_mut(index) {
                for (time, bucket) in finer {
                    coarse.take(time, &bucket);
                }
            }
        }
        let mut last = None;
        self.raw.snapshot(self.raw.last().unwrap_or(i64::MAX), i64::MAX, false).rows(|row| {
            last = Some(row.1[0]);
        });
        self.previous = last.or_else(|| self.coarse.first().and_then(Coarse::last_value));
    }

    fn points_since(&self, from: i64) -> Vec<(i64, Bucket)> {
        let mut points = Vec::new();
        let mut previous = None;
        self.raw.snapshot(from, i64::MAX, true).rows(|(time, [value])| {
            let reset = previous.filter(|&p| self.counter && value < p);
            previous = Some(value);
            if time >= from {
                points.push((time, Bucket::point(value, reset.unwrap_or(0.0))));
            }
        });
        points
    }

    fn buckets_since(&self, index: usize, from: i64) -> Vec<(i64, Bucket)> {
        let mut buckets = Vec::new();
        if let Some(coarse) = self.coarse.get(index) {
            coarse.level.snapshot(from, i64::MAX, false).rows(|(time, row)| {
                if time >= from {
                    buckets.push((time, Bucket::of(row)));
                }
            });
        }
        buckets
    }

    /// Ends the buckets whose time was over some time ago by the series' own time, which is behind where its points come late; and
    /// the heads that are full by now.
    pub(super) fn end_old(&mut self, now: i64) {
        let since = self.quiet_since.map_or(now, |since| since.min(now));
        self.quiet_since = Some(since);
        let own =
            self.raw.last().map_or(now, |last| last.saturating_add(now.saturating_sub(since)));
        // What is about to be let go of waits for nothing.
        let over = own.min(now).max(now.saturating_sub(self.keep));
        for index in 0..self.coarse.len() {
            let Some(coarse) = self.coarse.get_mut(index) else { return };
            let Some(open) = coarse.open else { continue };
            let end = open.start.saturating_add(coarse.level.step);
            if end.saturating_add(self.wait) < over {
                coarse.open = None;
                let bucket = open.bucket();
                coarse.level.push(open.start, bucket.row());
                self.floor = self.floor.max(end);
                self.feed(index + 1, open.start, bucket);
            }
        }
        let before = now.saturating_sub(self.grace);
        self.raw.freeze_old(before);
        self.coarse.iter_mut().for_each(|coarse| coarse.level.freeze_old(before));
    }

    /// Lets go of one block of each level that is too old.
    pub(super) fn expire(&mut self, now: i64, gone: &mut Gone) -> u64 {
        let before = gone.len();
        gone.extend(self.raw.expire(now).map(|block| (0, block.first)));
        for Coarse { level, .. } in &mut self.coarse {
            gone.extend(level.expire(now).map(|block| (level.step, block.first)));
        }
        (gone.len() - before) as u64
    }

    /// Lets go of the block that ends first; answers with its step and first time, and its rows.
    pub(super) fn drop_oldest(&mut self) -> Option<(i64, i64, usize)> {
        let raw = self.raw.oldest_end();
        let coarse = self.coarse.iter_mut().filter_map(|c| Some((c.level.oldest_end()?, c)));
        match coarse.min_by_key(|(end, _)| *end) {
            Some((end, coarse)) if raw.is_none_or(|raw| end < raw) => {
                let block = coarse.level.drop_oldest()?;
                Some((coarse.level.step, block.first, block.count))
            }
            _ => self.raw.drop_oldest().map(|block| (0, block.first, block.count)),
        }
    }

    /// The rows of the coarser level `index` that have not ended: its open bucket, and what finer levels have
    /// open.
    pub(super) fn open_rows(&self, index: usize) -> Vec<Row<COLUMNS>> {
        let mut rows: Vec<Row<COLUMNS>> = Vec::new();
        for coarse in self.coarse.iter().take(index + 1) {
            let mut open = coarse.open;
            let mut ended = Vec::new();
            for (time, row) in rows {
                let (start, bucket) = (floor(time, coarse.level.step), Bucket::of(row));
                match &mut open {
                    Some(open) if open.start == start => open.add(&bucket),
                    open => ended.extend(open.replace(Open::new(start, &bucket))),
                }
            }
            let all = ended.into_iter().chain(open);
            rows = all.map(|open| (open.start, open.bucket().row())).collect();
        }
        rows
    }

    /// The time of the newest row; of a bucket, its beginning.
    pub(super) fn newest(&self) -> Option<i64> {
        let coarse = self.coarse.iter().filter_map(|coarse| coarse.level.last());
        self.raw.last().into_iter().chain(coarse).max()
    }

    /// Bytes of memory of its rows.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.raw.bytes() + self.coarse.iter().map(|coarse| coarse.level.bytes()).sum::<usize>()
    }

    /// The finest coarser level, if not the points, that has all there is from `from` on.
    pub(super) fn finest(&self, from: i64) -> Option<usize> {
        let levels = self.coarse.len();
        let has_all = |oldest: Option<i64>, next: usize| {
            oldest.is_some_and(|oldest| {
                (next..levels).all(|coarser| {
                    let Some(step) = self.coarse.get(coarser).map(|c| c.level.step) else {
                        return true;
                    };
                    let known = self.oldest_bucket(coarser).unwrap_or(i64::MAX);
                    floor(oldest, step) <= known.max(floor(from, step))
                })
            })
        };
        if has_all(self.raw.oldest(), 0) {
            return None;
        }
        let found = (0..levels).find(|&index| has_all(self.oldest_bucket(index), index + 1));
        // The last one has all there is, unless it was damaged.
        found.or_else(|| (0..levels).rev().find(|&index| self.oldest_bucket(index).is_some()))
    }

    /// The oldest bucket of a coarser level, which may not have ended.
    pub(super) fn oldest_bucket(&self, index: usize) -> Option<i64> {
        let ended = self.coarse.get(index).and_then(|coarse| coarse.level.oldest());
        ended.or_else(|| self.open_rows(index).first().map(|row| row.0))
    }

    /// Whether it has no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.coarse.iter().all(|c| c.level.is_empty() && c.open.is_none())
    }
}

impl Coarse {
    /// Adds what a finer level has; answers with the bucket that ended by that.
    #[inline]
    fn take(&mut self, time: i64, bucket: &Bucket) -> Option<(i64, Bucket)> {
        let step = self.level.step;
        match &mut self.open {
            // Without a division.
            Some(open) if time >= open.start && time.abs_diff(open.start) < step.unsigned_abs() => {
                open.add(bucket);
                None
            }
            open => {
                let start = floor(time, step);
                let ended = open.replace(Open::new(start, bucket))?;
                let bucket = ended.bucket();
                // Always, but after damage.
                if self.level.last().is_none_or(|last| ended.start > last) {
                    self.level.push(ended.start, bucket.row());
                }
                Some((ended.start, bucket))
            }
        }
    }

    /// Where its ended buckets end.
    fn end(&self) -> i64 {
        self.level.last().map_or(i64::MIN, |last| last.saturating_add(self.level.step))
    }

    fn last_value(&self) -> Option<f64> {
        let mut last = None;
        let newest = self.level.last()?;
        self.level
            .snapshot(newest, i64::MAX, false)
            .rows(|row| last = Some(Bucket::of(row.1).last));
        last
    }
}

/// The start of the step that a time is in.
#[inline]
pub(super) fn floor(time: i64, step: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(step.max(1)))
}
