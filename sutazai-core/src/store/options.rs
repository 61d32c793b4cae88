//! [`Options`]: the bounds of a store.

use std::time::Duration;

/// Bounds of a [`Store`](super::Store). The defaults fit one kernel on one machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to wait for a lock that another user of the database holds, and for a free
    /// connection; 0 to 1 h, default 5 s.
    pub busy_timeout: Duration,
    /// How many writes may wait; 1 to 1,000,000, default 4,096. Beyond it they are refused.
    pub queue: usize,
    /// How many writes one transaction may hold; 1 to 65,536, default 256.
    pub batch: usize,
    /// How many reads may run at a time; 1 to 64, default 4. In memory there is one connection for
    /// all, whatever this says.
    pub readers: usize,
    /// How long after its commit a write of [`Durability::Interval`](super::Durability::Interval)
    /// is on the disk; 1 ms to 1 h, default 1 s.
    pub sync_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            queue: 4096,
            batch: 256,
            readers: 4,
            sync_every: Duration::from_secs(1),
        }
    }
}

impl Options {
    pub(super) const HOUR: Duration = Duration::from_secs(3600);

    /// The same, with every value inside its range.
    #[cfg_attr(not(feature = "store"), expect(dead_code, reason = "the map has no bounds to set"))]
    pub(super) fn clamped(self) -> Self {
        Self {
            busy_timeout: self.busy_timeout.min(Self::HOUR),
            queue: self.queue.clamp(1, 1_000_000),
            batch: self.batch.clamp(1, 65_536),
            readers: self.readers.clamp(1, 64),
            sync_every: self.sync_every.clamp(Duration::from_millis(1), Self::HOUR),
        }
    }
}
