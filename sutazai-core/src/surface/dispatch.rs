//! Calling operations by name.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::id::SubscriptionId;
use crate::base::nearest::nearest;
use crate::base::payload::Payload;
use crate::base::runtime::{Job, Runtime};
use crate::base::ticket::{self, Hook, Reply, Settled, Ticket};
use crate::event::Subscription;
use crate::kernel::{Kernel, Phase};
use crate::{Code, Error, Result};

/// A host's door to a kernel: operations by name, JSON in and out. Cheap to clone; clones share
/// their subscriptions.
#[derive(Clone)]
pub struct Surface {
    kernel: Kernel,
    subscriptions: Arc<Subscriptions>,
}

/// The subscriptions that a host pulls from by number.
#[derive(Default)]
pub(super) struct Subscriptions {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Open>>>,
}

/// An open subscription.
pub(super) struct Open {
    pub(super) subscription: Mutex<Subscription>,
    /// Whether it was closed by its number; a pull that waits ends then.
    pub(super) closed: AtomicBool,
}

/// Subscriptions that one surface holds, at most.
const MOST_SUBSCRIPTIONS: usize = 10_000;

impl Surface {
    /// A door to this kernel.
    pub fn new(kernel: &Kernel) -> Self {
        Self { kernel: kernel.clone(), subscriptions: Arc::default() }
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Calls an operation. `request` is JSON text; empty for a request without fields.
    ///
    /// The ticket answers [`Code::OPERATION_UNKNOWN`], [`Code::REQUEST_INVALID`], or what the
    /// operation says.
    pub fn invoke(&self, operation: &str, request: &str) -> Ticket<Payload> {
        match super::operation(operation) {
            Some(row) => row.run(self, request),
            None => ticket::ready(Err(unknown(operation))),
        }
    }

    /// As [`invoke`](Self::invoke), for a thread that does nothing else until it has the answer. Where that is
    /// a thread of a supervised child, what would wait for the child's own end is refused
    /// ([`Code::WOULD_DEADLOCK`]).
    pub fn invoke_waiting(&self, operation: &str, request: &str) -> Ticket<Payload> {
        #[cfg(feature = "recovery")]
        return crate::recovery::supervise::inside::waiting(|| self.invoke(operation, request));
        #[cfg(not(feature = "recovery"))]
        self.invoke(operation, request)
    }

    /// Runs what may block on the runtime's blocking pool.
    pub(super) fn aside<T: Send + 'static>(
        &self,
        f: impl FnOnce(Reply<T>) + Send + 'static,
    ) -> Ticket<T> {
        let (ticket, reply) = ticket::pair_with(self.hook());
        let settler = ticket.settler();
        #[cfg(feature = "recovery")]
        let carried = crate::recovery::supervise::inside::carried();
        let job: Job = Box::new(move || {
            if reply.cancelled() {
                return;
            }
            #[cfg(feature = "recovery")]
            carried.run(|| f(reply));
            #[cfg(not(feature = "recovery"))]
            f(reply);
        });
        if let Err(refused) = self.kernel.runtime().spawn_blocking(job) {
            if let Some(settler) = settler {
                let error = refused.error;
                settler.settle(Err(match error.code() {
                    Code::NOT_RUNNING if self.kernel.phase() == Phase::Stopped => {
                        let stopped =
                            "the kernel has been stopped, and does nothing that may block";
                        Error::new(Code::NOT_RUNNING, stopped).advice(
                            "it stays so: another kernel, on the same data directory, goes on",
                        )
                    }
                    Code::NOT_RUNNING => {
                        error.advice("what may block needs a kernel that runs: start it first")
                    }
                    _ => error,
                }));
            }
            drop(refused.work);
        }
        ticket
    }

    /// What tells a ticket of this kernel whether it may be waited for.
    pub(super) fn hook<T: 'static>(&self) -> Box<dyn Hook<T>> {
        Box::new(Waits(Arc::clone(self.kernel.runtime())))
    }

    pub(super) fn keep(&self, subscription: Subscription) -> Result<SubscriptionId> {
        let mut open = self.subscriptions.open.lock();
        if open.len() >= MOST_SUBSCRIPTIONS {
            drop(open);
            return Err(Error::new(Code::OVERLOADED, "too many open subscriptions")
                .with("most", MOST_SUBSCRIPTIONS)
                .advice("close those that nobody pulls from: event.unsubscribe"));
        }
        let next = &self.subscriptions.next;
        let id = next.fetch_add(1, Ordering::Relaxed) + 1;
        let closed = AtomicBool::new(false);
        open.insert(id, Arc::new(Open { subscription: Mutex::new(subscription), closed }));
        Ok(SubscriptionId(id))
    }

    pub(super) fn subscription(&self, id: SubscriptionId) -> Result<Arc<Open>> {
        self.subscriptions.open.lock().get(&id.0).cloned().ok_or_else(|| no_subscription(id))
    }

    pub(super) fn close(&self, id: SubscriptionId) -> Result<Arc<Open>> {
        let closed = self.subscriptions.open.lock().remove(&id.0);
        closed.ok_or_else(|| no_subscription(id))
    }
}

fn no_subscription(id: SubscriptionId) -> Error {
    Error::new(Code::NOT_FOUND, "there is no open subscription of this number")
        .with("subscription", id)
}

fn unknown(operation: &str) -> Error {
    let shown: String = operation.chars().take(128).collect();
    let error =
        Error::new(Code::OPERATION_UNKNOWN, "no operation has this name").with("operation", shown);
    match nearest(operation, super::operations().iter().map(|row| row.name())) {
        Some(near) => error.advice(format!("did you mean '{near}'?")),
        None => error.advice("invoke kernel.operations for those that there are"),
    }
}

struct Waits(Arc<dyn Runtime>);

impl<T> Hook<T> for Waits {
    fn settled(&self, _answer: &Result<T>, _by: Settled) {}
    fn finished(&self) {}
    fn may_block(&self) -> bool {
        self.0.may_block()
    }
}

impl std::fmt::Debug for Surface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surface").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}
