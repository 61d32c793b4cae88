//! Waiting for a ticket on a thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::Ticket;
use crate::Result;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    static WAKER: Waker = Waker::from(Arc::new(Unpark(std::thread::current())));
}

/// A waker of the current thread; made once a thread. While the thread's locals are being
/// destroyed, one is made for the occasion.
fn waker() -> Waker {
    WAKER
        .try_with(Waker::clone)
        .unwrap_or_else(|_| Waker::from(Arc::new(Unpark(std::thread::current()))))
}

pub(super) fn wait<T>(ticket: &mut Ticket<T>, timeout: Option<Duration>) -> Option<Result<T>> {
    block_on(ticket, timeout)
}

/// Polls a future on this thread until it is ready or `timeout` has passed.
pub(super) fn block_on<F: Future + Unpin>(
    future: &mut F,
    timeout: Option<Duration>,
) -> Option<F::Output> {
    let waker = waker();
    let mut cx = Context::from_waker(&waker);
    // A timeout too long for the clock is no timeout.
    let end = timeout.and_then(|t| Instant::now().checked_add(t));
    loop {
        if let Poll::Ready(output) = Pin::new(&mut *future).poll(&mut cx) {
            return Some(output);
        }
        match (timeout, end) {
            (Some(_), Some(end)) => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                std::thread::park_timeout(left);
            }
            _ => std::thread::park(),
        }
    }
}
