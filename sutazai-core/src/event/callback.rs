//! Delivery by callback: one job on the runtime drains a subscription's queue while it has events.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::bus::Hub;
use super::queue::{Queue, Taken};
use super::{Delivery, Pattern};
use crate::base::contain;

/// How many events a job delivers before it goes to the end of the runtime's queue, so that a busy
/// subscription does not keep a worker from the others.
const MAX_EVENTS_A_JOB: usize = 256;

/// When a runtime that refused a job is asked again.
const RETRY: Duration = Duration::from_millis(5);

type Callback = Box<dyn Fn(Delivery) + Send + Sync>;

/// Keeps a callback subscribed. Dropping it unsubscribes: no further event is delivered; a call
/// that runs at that moment, on another thread or on this one, runs to its end.
#[must_use = "dropping the guard unsubscribes"]
pub struct CallbackGuard {
    drainer: Arc<Drainer>,
}

struct Drainer {
    hub: Arc<Hub>,
    queue: Arc<Queue>,
    callback: Callback,
    /// The number of the latest event delivered; changed by the one job only.
    last: AtomicU64,
    /// Whether a job stands in the runtime's queue or runs. Whoever sets it owns the delivery.
    scheduled: AtomicBool,
    /// Whether a timer stands that asks the runtime again; there is one at most.
    retries: AtomicBool,
    stopped: AtomicBool,
}

/// The one timer of a drainer, run or dropped.
struct Retry(Weak<Drainer>);

impl CallbackGuard {
    pub(super) fn new(hub: Arc<Hub>, queue: Arc<Queue>, callback: Callback) -> Self {
        let drainer = Arc::new(Drainer {
            hub,
            queue,
            callback,
            last: AtomicU64::new(0),
            scheduled: AtomicBool::new(false),
            retries: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        // An event may have come since the queue was made.
        drainer.rest();
        Self { drainer }
    }

    /// How many matching events were lost to overflow so far, exactly.
    pub fn missed(&self) -> u64 {
        self.drainer.queue.counts().missed
    }

    /// Whether nothing more will come than what waits.
    pub fn is_closed(&self) -> bool {
        self.drainer.queue.is_closed()
    }

    /// The pattern.
    pub fn pattern(&self) -> &Pattern {
        &self.drainer.queue.pattern
    }
}

impl Drop for CallbackGuard {
    fn drop(&mut self) {
        self.drainer.stopped.store(true, Ordering::Release);
        // Takes the waker out of the queue, and with it the circle drainer → queue → waker.
        self.drainer.hub.remove(&self.drainer.queue);
    }
}

impl std::fmt::Debug for CallbackGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallbackGuard")
            .field("pattern", self.pattern())
            .field("missed", &self.missed())
            .finish_non_exhaustive()
    }
}

impl Wake for Drainer {
    fn wake(self: Arc<Self>) {
        self.schedule();
    }
}

impl Retry {
    fn run(self) {
        let drainer = self.0.upgrade();
        // First, so that a refusal now may set the next one.
        drop(self);
        if let Some(drainer) = drainer {
            drainer.schedule();
        }
    }
}

impl Drop for Retry {
    fn drop(&mut self) {
        if let Some(drainer) = self.0.upgrade() {
            drainer.retries.store(false, Ordering::Release);
        }
    }
}

impl Drainer {
    /// Leaves a waker in the queue, or schedules a job when something waits already.
    fn rest(self: &Arc<Self>) {
        if self.queue.sleep(&Waker::from(Arc::clone(self))) == Taken::Some {
            self.schedule();
        }
    }

    fn schedule(self: &Arc<Self>) {
        if self.stopped.load(Ordering::Acquire) || self.scheduled.swap(true, Ordering::AcqRel) {
            return;
        }
        let job = Arc::clone(self);
        if self.hub.runtime().spawn_blocking(Box::new(move || job.run())).is_ok() {
            return;
        }
        // Refused: full, not started yet, or stopped. The next event asks again, and so does a
        // timer, which a runtime that has stopped for good will not run.
        self.scheduled.store(false, Ordering::Release);
        self.queue.arm(&Waker::from(Arc::clone(self)));
        if !self.retries.swap(true, Ordering::AcqRel) {
            let retry = Retry(Arc::downgrade(self));
            let runtime = self.hub.runtime();
            runtime.spawn_at(runtime.now() + RETRY, Box::new(move || retry.run()));
        }
    }

    fn run(self: Arc<Self>) {
        let (mut hand, mut delivered) = (VecDeque::new(), 0);
        while delivered < MAX_EVENTS_A_JOB && self.queue.take(&mut hand) == Taken::Some {
            for queued in hand.drain(..) {
                if !self.queue.deal() {
                    return;
                }
                let last = self.last.swap(queued.number, Ordering::Relaxed);
                let missed_before = queued.number - last - 1;
                self.call(Delivery { event: queued.event, missed_before });
                delivered += 1;
            }
        }
        self.scheduled.store(false, Ordering::Release);
        self.rest();
    }

    fn call(&self, delivery: Delivery) {
        if contain::catch(|| (self.callback)(delivery)).is_err() {
            self.hub.count_panic();
            tracing::error!(pattern = %self.queue.pattern, "a subscriber's callback panicked");
        }
    }
}
