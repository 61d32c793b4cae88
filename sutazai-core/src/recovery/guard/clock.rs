//! Where a guard has the time from, and where it waits.

use std::sync::Arc;
use std::time::Duration;

use crate::Result;
use crate::base::runtime::{self, Runtime};
use crate::base::time::{Moment, Timestamp};

/// The system's clocks, or a runtime's.
#[derive(Clone)]
pub(super) enum Clock {
    System,
    Of(Arc<dyn Runtime>),
}

impl Clock {
    #[inline]
    pub(super) fn now(&self) -> Moment {
        match self {
            Self::System => Moment::now(),
            Self::Of(runtime) => runtime.now(),
        }
    }

    /// As of the last tick, where that is cheaper.
    #[inline]
    pub(super) fn coarse(&self) -> Moment {
        match self {
            Self::System => Moment::coarse(),
            Self::Of(runtime) => match runtime.virtual_time() {
                Some(manual) => manual.now(),
                None => Moment::coarse(),
            },
        }
    }

    /// How long it was at most between two looks at the cheap clock that saw the same: a tick, and a little
    /// for one that is late.
    #[inline]
    pub(super) fn at_most() -> Duration {
        Moment::tick() * 5 / 4
    }

    pub(super) fn timestamp(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Of(runtime) => runtime.timestamp(),
        }
    }

    pub(super) fn runtime(&self) -> Option<&Arc<dyn Runtime>> {
        match self {
            Self::System => None,
            Self::Of(runtime) => Some(runtime),
        }
    }

    /// Blocks this thread; under virtual time it moves the clock instead, as a test would.
    pub(super) fn pause(&self, time: Duration) -> Result<()> {
        if let Self::Of(runtime) = self
            && let Some(manual) = runtime.virtual_time()
        {
            manual.advance(time);
            return Ok(());
        }
        runtime::block(|| std::thread::sleep(time))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Of(runtime) => runtime.name(),
        })
    }
}
