//! A kernel on the host's tokio runtime: futures become its tasks, blocking jobs go to its blocking
//! pool (bounded here), timers are tasks that sleep.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::AbortHandle;

use super::place::{self, Lend};
use super::{BoxFuture, Job, Refused, Runtime, RuntimeStats};
use crate::base::contain;
use crate::base::error::Fixed;
use crate::base::id::TimerId;
use crate::base::time::{Moment, Timestamp};
use crate::{Code, Result};

/// The [`Runtime`] on a tokio handle. Cheap to clone; clones are the same runtime.
///
/// Waiting for a ticket with `wait()` is refused on a thread that drives a current-thread tokio
/// runtime, where it would stop the answer; on a multi-thread runtime it is allowed and takes a
/// worker away from tokio for as long as it lasts. Await the ticket instead.
#[derive(Clone)]
pub struct Tokio {
    handle: Handle,
    shared: Arc<Shared>,
}

struct Shared {
    running: AtomicBool,
    most: usize,
    blocking: AtomicUsize,
    lent: AtomicUsize,
    refused: AtomicU64,
    next: AtomicU64,
    timers: Mutex<HashMap<u64, AbortHandle>>,
}

/// Blocking jobs that are queued or run, at most, unless said otherwise.
const MOST_BLOCKING: usize = 65_536;

impl Tokio {
    /// On this handle. The tokio runtime needs its time driver (`enable_time`).
    pub fn new(handle: Handle) -> Self {
        Self {
            handle,
            shared: Arc::new(Shared {
                running: AtomicBool::new(true),
                most: MOST_BLOCKING,
                blocking: AtomicUsize::new(0),
                lent: AtomicUsize::new(0),
                refused: AtomicU64::new(0),
                next: AtomicU64::new(1),
                timers: Mutex::default(),
            }),
        }
    }

    /// On the runtime that the current thread is in.
    ///
    /// # Errors
    /// [`Code::NOT_RUNNING`] outside of a tokio runtime.
    pub fn current() -> Result<Self> {
        static OUTSIDE: Fixed =
            Fixed { code: Code::NOT_RUNNING, message: "this thread is not in a tokio runtime" };
        Handle::try_current().map(Self::new).map_err(|_| (&OUTSIDE).into())
    }
}

static NOT_RUNNING: Fixed =
    Fixed { code: Code::NOT_RUNNING, message: "the runtime is not running" };
static FULL: Fixed = Fixed { code: Code::OVERLOADED, message: "the runtime's queue is full" };

impl Runtime for Tokio {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn now(&self) -> Moment {
        Moment::now()
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::now()
    }

    fn spawn(&self, mut future: BoxFuture) -> Result<(), Refused<BoxFuture>> {
        if !self.shared.running.load(Ordering::Acquire) {
            return Err(Refused { error: (&NOT_RUNNING).into(), work: future });
        }
        // The mark says to `wait()` that this thread drives futures, whatever the flavour.
        self.handle
            .spawn(std::future::poll_fn(move |cx| place::forbidden(|| future.as_mut().poll(cx))));
        Ok(())
    }

    fn spawn_blocking(&self, job: Job) -> Result<(), Refused<Job>> {
        let shared = &self.shared;
        if !shared.running.load(Ordering::Acquire) {
            return Err(Refused { error: (&NOT_RUNNING).into(), work: job });
        }
        let bound = shared.most + shared.lent.load(Ordering::Acquire);
        if shared.blocking.fetch_add(1, Ordering::AcqRel) >= bound {
            shared.blocking.fetch_sub(1, Ordering::AcqRel);
            shared.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Refused { error: (&FULL).into(), work: job });
        }
        let pool = Arc::clone(shared);
        self.handle.spawn_blocking(move || {
            struct Done(Arc<Shared>);
            impl Drop for Done {
                fn drop(&mut self) {
                    self.0.blocking.fetch_sub(1, Ordering::AcqRel);
                }
            }
            let done = Done(pool);
            let lender: Arc<dyn Lend> = Arc::<Shared>::clone(&done.0);
            let _ = contain::catch(|| place::as_worker(lender, job));
        });
        Ok(())
    }

    fn spawn_at(&self, at: Moment, job: Job) -> TimerId {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        let left = at.since(Moment::now());
        // Held while spawning, so that the task finds its entry when it ends at once. Nothing
        // foreign runs under it: tokio only queues the task.
        let mut timers = self.shared.timers.lock();
        let task = self.handle.spawn(async move {
            tokio::time::sleep(left).await;
            if shared.timers.lock().remove(&id).is_some() {
                let _ = contain::catch(|| place::forbidden(job));
            }
        });
        timers.insert(id, task.abort_handle());
        TimerId(id)
    }

    fn cancel(&self, timer: TimerId) -> bool {
        let task = self.shared.timers.lock().remove(&timer.0);
        task.inspect(AbortHandle::abort).is_some()
    }

    fn may_block(&self) -> bool {
        if !super::may_block_here() {
            return false;
        }
        if place::is_worker() {
            return true;
        }
        !matches!(
            Handle::try_current().map(|h| h.runtime_flavor()),
            Ok(RuntimeFlavor::CurrentThread)
        )
    }

    fn start(&self) -> Result<()> {
        self.shared.running.store(true, Ordering::Release);
        Ok(())
    }

    fn stop(&self, _grace: Duration) {
        self.shared.running.store(false, Ordering::Release);
        let timers = std::mem::take(&mut *self.shared.timers.lock());
        for task in timers.values() {
            task.abort();
        }
    }

    fn stats(&self) -> RuntimeStats {
        let shared = &self.shared;
        RuntimeStats {
            running: shared.blocking.load(Ordering::Acquire),
            timers: shared.timers.lock().len(),
            refused: shared.refused.load(Ordering::Relaxed),
            ..Default::default()
        }
    }
}

impl Lend for Shared {
    fn lend(&self) {
        // Tokio's blocking pool grows by itself; only our bound makes room.
        self.lent.fetch_add(1, Ordering::AcqRel);
    }
    fn give_back(&self) {
        self.lent.fetch_sub(1, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for Tokio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tokio").field(&self.stats()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ticket;

    #[test]
    fn wait_is_refused_on_a_current_thread_runtime_only() {
        let current = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        current.block_on(async {
            let runtime = Tokio::current().unwrap();
            assert!(!runtime.may_block());
            let (ticket, reply) = ticket::pair();
            let inner = runtime.clone();
            runtime.spawn_blocking(Box::new(move || drop(reply.send(inner.may_block())))).unwrap();
            assert!(ticket.await.unwrap());
        });
        assert!(Tokio::new(current.handle().clone()).may_block());
    }

    #[test]
    fn timers_run_and_can_be_taken_back() {
        let host = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .unwrap();
        let runtime = Tokio::new(host.handle().clone());
        let (mut first, reply) = ticket::pair();
        runtime.spawn_at(Moment::now(), Box::new(move || drop(reply.send(1))));
        assert_eq!(first.wait().unwrap(), 1);
        let (mut second, reply) = ticket::pair();
        let timer = runtime.spawn_at(
            Moment::now() + Duration::from_secs(3600),
            Box::new(move || drop(reply.send(2))),
        );
        assert!(runtime.cancel(timer));
        assert_eq!(second.wait().unwrap_err().code(), Code::ABANDONED);
        assert!(!runtime.cancel(timer));
    }
}
