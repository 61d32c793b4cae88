//! [`ThreadWaker`]: a waker that lets the thread that made it go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::Thread;

use crate::base::time::Moment;

/// Made where a thread is about to sleep, and used there only.
pub(super) struct ThreadWaker {
    signal: Arc<Signal>,
    waker: Waker,
}

struct Signal {
    thread: Thread,
    /// Set by a wake-up, so that a stray unpark of the same thread is not taken for one.
    woken: AtomicBool,
}

impl ThreadWaker {
    pub(super) fn new() -> Self {
        let signal =
            Arc::new(Signal { thread: std::thread::current(), woken: AtomicBool::new(false) });
        Self { waker: Waker::from(Arc::clone(&signal)), signal }
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Sleeps until woken (true) or until the deadline (false).
    pub(super) fn sleep_until(&self, deadline: Moment) -> bool {
        loop {
            if self.signal.woken.swap(false, Ordering::Acquire) {
                return true;
            }
            let left = deadline.since(Moment::now());
            if left.is_zero() {
                return false;
            }
            std::thread::park_timeout(left);
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
