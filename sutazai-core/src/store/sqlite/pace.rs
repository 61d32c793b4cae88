//! How much the writer does in one go, which may be changed while it runs.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::Store;
use crate::store::Options;

/// What of the [`Options`] may be changed.
pub(super) struct Pace {
    batch: AtomicUsize,
    sync_every_ms: AtomicU64,
}

impl Pace {
    /// As the options say, which are within their ranges.
    pub(super) fn new(options: &Options) -> Self {
        let millis = options.sync_every.as_millis();
        Self {
            batch: AtomicUsize::new(options.batch),
            sync_every_ms: AtomicU64::new(u64::try_from(millis).unwrap_or(u64::MAX).max(1)),
        }
    }

    pub(super) fn batch(&self) -> usize {
        self.batch.load(Ordering::Relaxed)
    }

    pub(super) fn sync_every(&self) -> Duration {
        Duration::from_millis(self.sync_every_ms.load(Ordering::Relaxed))
    }
}

impl Store {
    /// How many writes one transaction may hold.
    pub fn batch(&self) -> usize {
        self.0.pace.batch()
    }

    /// Sets how many writes one transaction may hold, within [the range](Options::batch) that it has.
    pub fn set_batch(&self, batch: usize) {
        let options = Options { batch, ..Options::default() }.clamped();
        self.0.pace.batch.store(options.batch, Ordering::Relaxed);
    }

    /// How long after its commit a write of [`Durability::Interval`](crate::store::Durability::Interval) is on the disk.
    pub fn sync_every(&self) -> Duration {
        self.0.pace.sync_every()
    }

    /// Sets that, within [the range](Options::sync_every) that it has, in whole milliseconds. It holds from the next interval on.
    pub fn set_sync_every(&self, sync_every: Duration) {
        let options = Options { sync_every, ..Options::default() }.clamped();
        let pace = Pace::new(&options).sync_every_ms.into_inner();
        self.0.pace.sync_every_ms.store(pace, Ordering::Relaxed);
    }
}
