//! What the library asks of the thing that runs it: the time, a place for futures, a place for
//! blocking work, and timers.
//!
//! [`Threads`] is the default and needs nothing; [`Manual`] is virtual time for tests and
//! simulations; `Tokio` (feature `tokio`) puts a kernel on the host's runtime. Anything else
//! implements [`Runtime`].

mod manual;
mod place;
mod threads;
#[cfg(feature = "tokio")]
mod tokio;

pub use manual::Manual;
pub use place::may_block_here;
pub(crate) use place::{block, forbidden};
pub use threads::{Threads, ThreadsConfig};
#[cfg(feature = "tokio")]
pub use tokio::Tokio;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::id::TimerId;
use super::time::{Moment, Timestamp};
use crate::{Error, Result};

/// A piece of work that runs once.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// A future that a runtime drives to its end.
pub type BoxFuture<T = ()> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Work that a runtime had no room for, given back.
pub struct Refused<W> {
    /// Why: [`Code::OVERLOADED`](crate::Code::OVERLOADED) when full,
    /// [`Code::NOT_RUNNING`](crate::Code::NOT_RUNNING) before start and after stop.
    pub error: Error,
    /// The work, undone.
    pub work: W,
}

impl<W> std::fmt::Debug for Refused<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

/// The thing that runs the library. Object-safe; a kernel holds an `Arc<dyn Runtime>`.
pub trait Runtime: Send + Sync + 'static {
    /// A short name for status and logs: `threads`, `manual`, `tokio`.
    fn name(&self) -> &'static str;

    /// The monotonic time; virtual under [`Manual`].
    fn now(&self) -> Moment;

    /// The wall-clock time; virtual under [`Manual`].
    fn timestamp(&self) -> Timestamp;

    /// Drives a future to its end. May refuse when full.
    fn spawn(&self, future: BoxFuture) -> Result<(), Refused<BoxFuture>>;

    /// Runs a job where blocking is allowed, on a bounded pool. May refuse when full.
    fn spawn_blocking(&self, job: Job) -> Result<(), Refused<Job>>;

    /// Runs a job at a moment, or soon after it, on the timer's thread: the job must be short and
    /// must not block.
    fn spawn_at(&self, at: Moment, job: Job) -> TimerId;

    /// Takes a timer back; false when it ran already or is unknown.
    fn cancel(&self, timer: TimerId) -> bool;

    /// Whether the current thread may block while it waits for this runtime.
    fn may_block(&self) -> bool {
        may_block_here()
    }

    /// Starts what the runtime needs (threads). Called by the kernel; idempotent.
    fn start(&self) -> Result<()> {
        Ok(())
    }

    /// Stops it: refuses new work, finishes what is queued within `grace`, ends its threads. Never
    /// joins the calling thread.
    fn stop(&self, grace: Duration) {
        let _ = grace;
    }

    /// The virtual clock behind it, if it has one.
    fn virtual_time(&self) -> Option<&Manual> {
        None
    }

    /// Current sizes, for status.
    fn stats(&self) -> RuntimeStats {
        RuntimeStats::default()
    }
}

/// What a runtime is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct RuntimeStats {
    /// Threads of the runtime that are alive.
    pub threads: usize,
    /// Blocking jobs that wait for a thread.
    pub queued: usize,
    /// Blocking jobs that run.
    pub running: usize,
    /// Timers that wait for their moment.
    pub timers: usize,
    /// Pieces of work refused since the start.
    pub refused: u64,
}
