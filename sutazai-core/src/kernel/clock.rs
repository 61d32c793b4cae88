//! The wall clock of the hot path: the monotonic time of a call plus an offset that is measured now
//! and then, so that a call reads the clock twice and not four times.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::base::runtime::Runtime;
use crate::base::time::{Moment, Timestamp};

pub(super) struct Clock {
    /// Wall minus monotonic, in nanoseconds.
    offset: AtomicI64,
}

impl Clock {
    pub(super) fn new(runtime: &dyn Runtime) -> Self {
        let clock = Self { offset: AtomicI64::new(0) };
        clock.measure(runtime);
        clock
    }

    /// Measures the offset anew: at start, and with every sweep, so that steps of the wall clock
    /// are followed.
    pub(super) fn measure(&self, runtime: &dyn Runtime) {
        let wall = runtime.timestamp().as_nanos();
        let mono = i64::try_from(runtime.now().as_nanos()).unwrap_or(i64::MAX);
        self.offset.store(wall.saturating_sub(mono), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn wall(&self, moment: Moment) -> Timestamp {
        let mono = i64::try_from(moment.as_nanos()).unwrap_or(i64::MAX);
        Timestamp::from_nanos(mono.saturating_add(self.offset.load(Ordering::Relaxed)))
    }
}
