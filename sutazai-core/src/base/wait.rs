//! A lock and a condition in which a thread may wait for long.
//!
//! The standard library's: each waiter is known to the kernel only. `parking_lot` keeps its waiters in a
//! table of the process, which a forked child inherits with threads in it that it does not have; a
//! kernel that the child makes would come upon them. Who waits for moments only may use that.

use std::sync::{self, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A lock without poison.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

/// A condition of a [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Condvar(sync::Condvar);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    /// Waits until it is notified, or for no reason.
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`wait`](Self::wait), for so long at most; says whether time ran out.
    pub(crate) fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let (guard, waited) =
            self.0.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner);
        (guard, waited.timed_out())
    }

    /// As [`wait`](Self::wait), until then at most (`None`: without an end); says whether that has come.
    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        end: Option<Instant>,
    ) -> (MutexGuard<'a, T>, bool) {
        match end.map(|end| end.saturating_duration_since(Instant::now())) {
            None => (self.wait(guard), false),
            Some(Duration::ZERO) => (guard, true),
            Some(left) => self.wait_for(guard, left),
        }
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
