//! Making room when the budget is used up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::history::{History, Series};
use super::status::count;

/// Blocks between two looks for times that nobody has any more.
const SWEEP_EVERY: usize = 32;

impl History {
    /// While the budget is used up, the series that takes most loses its oldest block, until a sixteenth is free.
    /// One thread does; others go on meanwhile.
    #[inline]
    pub(super) fn make_room(&self) {
        if self.figures.bytes() > self.policy.budget_bytes {
            self.evict();
        }
    }

    #[cold]
    fn evict(&self) {
        let Some(_alone) = self.evicting.try_lock() else { return };
        let target = self.policy.budget_bytes - self.policy.budget_bytes / 16;
        let sized = |series: Arc<Series>| {
            let bytes = series.track.lock().bytes();
            (bytes, series)
        };
        let place = |(bytes, series): (usize, Arc<Series>)| (bytes, Reverse(Place(series)));
        let mut largest: BinaryHeap<_> = self.all().into_iter().map(sized).map(place).collect();
        let mut evicted = 0;
        while self.figures.bytes() > target {
            let Some((_, Reverse(Place(series)))) = largest.pop() else { break };
            let (dropped, bytes) =
                self.change(&series, |track| (track.drop_oldest(), track.bytes()));
            let Some((step, first, rows)) = dropped else { continue };
            count(&self.figures.evicted_blocks);
            self.figures.evicted_rows.fetch_add(rows as u64, Ordering::Relaxed);
            self.forget(&series.name, vec![(step, first)]);
            evicted += 1;
            if evicted % SWEEP_EVERY == 0 {
                self.times.lock().sweep(&self.figures);
            }
            largest.push(place((bytes, series)));
        }
        self.times.lock().sweep(&self.figures);
    }
}

/// Of series that take as much, the one whose name comes first.
struct Place(Arc<Series>);

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.name.cmp(&other.0.name)
    }
}
