//! How many calls a kernel has, its bound, and waiting for them to finish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::base::error::Fixed;
use crate::{Code, Result};

/// Counts unfinished calls. A call is unfinished until its agent lets go of the reply.
pub(super) struct Load {
    most: usize,
    now: AtomicUsize,
    watched: AtomicBool,
    gate: Mutex<()>,
    idle: Condvar,
}

/// One unfinished call; dropped when it is finished.
pub(super) struct Place(Arc<Load>);

impl Load {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            now: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
            gate: Mutex::new(()),
            idle: Condvar::new(),
        })
    }

    /// A place for one call.
    #[inline]
    pub(super) fn enter(self: &Arc<Self>) -> Result<Place> {
        static FULL: Fixed = Fixed {
            code: Code::OVERLOADED,
            message: "the kernel has as many calls in flight as its limits allow",
        };
        if self.now.fetch_add(1, Ordering::SeqCst) >= self.most {
            self.leave();
            return Err((&FULL).into());
        }
        Ok(Place(Arc::clone(self)))
    }

    pub(super) fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    #[inline]
    fn leave(&self) {
        if self.now.fetch_sub(1, Ordering::SeqCst) == 1 && self.watched.load(Ordering::SeqCst) {
            let _gate = self.gate.lock();
            self.idle.notify_all();
        }
    }

    /// Blocks until no call is unfinished, for at most `timeout`; says whether that was reached.
    pub(super) fn wait_idle(&self, timeout: Duration) -> bool {
        self.watched.store(true, Ordering::SeqCst);
        let end = std::time::Instant::now().checked_add(timeout);
        let mut gate = self.gate.lock();
        while self.now() > 0 {
            let timed_out = match end {
                Some(end) => self.idle.wait_until(&mut gate, end).timed_out(),
                None => {
                    self.idle.wait(&mut gate);
                    false
                }
            };
            if timed_out {
                break;
            }
        }
        self.now() == 0
    }
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_places_come_back() {
        let load = Load::new(1);
        let place = load.enter().unwrap();
        assert_eq!(load.enter().err().map(|e| e.code()), Some(Code::OVERLOADED));
        drop(place);
        assert!(load.enter().is_ok());
        assert_eq!(load.now(), 0);
    }

    #[test]
    fn waiting_ends_with_the_last_call() {
        let load = Load::new(10);
        let place = load.enter().unwrap();
        assert!(!load.wait_idle(Duration::from_millis(1)));
        let waiter = std::thread::spawn({
            let load = Arc::clone(&load);
            move || load.wait_idle(Duration::from_secs(60))
        });
        drop(place);
        assert!(waiter.join().unwrap());
    }
}
