//! How an exchange is ended from outside: its deadline, and cancellation from another thread.

use std::cell::RefCell;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::ticket::Reply;
use crate::base::time::Moment;

/// One exchange, or several that end together: until when, and whether it is still wanted. Cheap to
/// clone; the clones are one.
#[derive(Clone)]
pub struct HttpCall(Arc<Inner>);

struct Inner {
    /// On the system's clock.
    deadline: Moment,
    cancelled: AtomicBool,
    /// The connections that threads read or write at this moment: one, unless the clones of a call are
    /// used by several at once.
    busy: Mutex<Vec<Arc<TcpStream>>>,
}

thread_local! {
    /// What the thread's request belongs to: ureq keeps connections for many calls, and has no
    /// other way to tell one of them whom it works for.
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// A call, as a thread works for it.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) call: HttpCall,
    /// What is read now is of no use later, whatever the call's deadline is.
    until: Option<Moment>,
}

impl Current {
    /// How long what is done now may take.
    pub(super) fn left(&self) -> Duration {
        let left = self.call.left();
        self.until.map_or(left, |until| left.min(until.since(Moment::now())))
    }
}

impl HttpCall {
    /// One that ends after this long.
    pub fn within(time: Duration) -> Self {
        Self(Arc::new(Inner {
            deadline: Moment::now() + time,
            cancelled: AtomicBool::new(false),
            busy: Mutex::new(Vec::new()),
        }))
    }

    /// One that ends with a task: at its `deadline` as the kernel counts time (where it is `now`), or
    /// after `most`, and when nobody wants its answer any more.
    pub fn of<T: Send + 'static>(
        reply: &Reply<T>,
        deadline: Moment,
        now: Moment,
        most: Duration,
    ) -> Self {
        let call = Self::within(deadline.since(now).min(most));
        let also = call.clone();
        reply.on_cancel(move || also.cancel());
        call
    }

    /// Ends it: whoever waits for its connection goes on at once. Does not block.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        // Under the lock, so that a connection which is done and goes to the next call is left alone.
        for stream in &*self.0.busy.lock() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Whether it was ended.
    pub fn cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// How long it still has.
    pub fn left(&self) -> Duration {
        self.0.deadline.since(Moment::now())
    }

    /// Waits for so long, or until it ends; says whether it goes on.
    pub fn pause(&self, time: Duration) -> bool {
        let until = Moment::now() + time;
        loop {
            let left = until.since(Moment::now()).min(self.left());
            if self.cancelled() || self.left().is_zero() {
                return false;
            }
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(super::socket::SLICE));
        }
    }

    /// Runs `f` with the connections that it uses on this thread belonging to this call, `until` then
    /// at most.
    pub(super) fn enter<R>(&self, until: Option<Moment>, f: impl FnOnce() -> R) -> R {
        struct Back(Option<Current>);
        impl Drop for Back {
            fn drop(&mut self) {
                let before = self.0.take();
                CURRENT.with(|current| drop(current.replace(before)));
            }
        }
        let now = Current { call: self.clone(), until };
        let _back = Back(CURRENT.with(|current| current.replace(Some(now))));
        f()
    }

    /// The call that this thread works for.
    pub(super) fn current() -> Option<Current> {
        CURRENT.with(|current| current.borrow().clone())
    }

    /// Uses a connection that [`cancel`](Self::cancel) shuts down meanwhile; `None` when it was ended
    /// before or in the meantime.
    pub(super) fn using<R>(&self, stream: &Arc<TcpStream>, f: impl FnOnce() -> R) -> Option<R> {
        self.0.busy.lock().push(Arc::clone(stream));
        let done = (!self.cancelled()).then(f);
        self.0.busy.lock().retain(|busy| !Arc::ptr_eq(busy, stream));
        done.filter(|_| !self.cancelled())
    }
}

impl std::fmt::Debug for HttpCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpCall")
            .field("left", &self.left())
            .field("cancelled", &self.cancelled())
            .finish()
    }
}
