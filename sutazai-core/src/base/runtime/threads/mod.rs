//! The default runtime: threads of its own, no dependencies.
//!
//! [`Threads::new`] starts none; [`Runtime::start`] starts these, and [`Runtime::stop`] ends them:
//!
//! | name | how many | what it does |
//! |---|---|---|
//! | `sutazai-timer` | 1 | runs timers |
//! | `sutazai-async-N` | [`ThreadsConfig::executors`] | drives futures |
//! | `sutazai-pool-N` | none at first, up to [`ThreadsConfig::blocking`], plus one for each worker that waits for a ticket | blocking jobs; leaves after [`ThreadsConfig::idle`] without work |

mod executor;
mod pool;
mod timer;

use std::sync::Arc;
use std::time::Duration;

use super::{BoxFuture, Job, Refused, Runtime, RuntimeStats};
use crate::base::error::Fixed;
use crate::base::id::TimerId;
use crate::base::time::{Moment, Timestamp};
use crate::{Code, Error, Result};

use executor::Executor;
use pool::Pool;
use timer::Timer;

/// Sizes of a [`Threads`] runtime.
#[derive(Clone, Debug)]
pub struct ThreadsConfig {
    /// Threads that drive futures; at least 1. Default 1: agents' futures mostly wait.
    pub executors: usize,
    /// Threads for blocking jobs, at most; at least 1. Default 8 for each core, at least 32.
    pub blocking: usize,
    /// Blocking jobs that may wait for a thread. Default 65,536.
    pub queue: usize,
    /// Futures that may be under way. Default 1,048,576.
    pub futures: usize,
    /// How long a thread of the blocking pool stays without work. Default 10 s.
    pub idle: Duration,
}

impl Default for ThreadsConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            executors: 1,
            blocking: (8 * cores).max(32),
            queue: 65_536,
            futures: 1 << 20,
            idle: Duration::from_secs(10),
        }
    }
}

/// The default [`Runtime`]. Cheap to clone; clones are the same runtime.
///
/// When the last clone is dropped, its threads end as after a [`stop`](Runtime::stop) without
/// grace: what runs at that moment runs to its end, what waits is dropped. A job or a future that
/// holds a clone itself keeps the runtime alive until it is done.
#[derive(Clone)]
pub struct Threads(Arc<Owner>);

/// Dropped with the last [`Threads`]; the threads hold the parts only.
struct Owner {
    executor: Arc<Executor>,
    pool: Arc<Pool>,
    timer: Arc<Timer>,
}

impl Threads {
    /// A runtime that has not started; it starts no thread.
    pub fn new(config: ThreadsConfig) -> Self {
        Self(Arc::new(Owner {
            executor: Arc::new(Executor::new(config.executors.max(1), config.futures.max(1))),
            pool: Pool::new(config.blocking.max(1), config.queue.max(1), config.idle),
            timer: Arc::new(Timer::new()),
        }))
    }
}

impl Owner {
    fn stop(&self, end: Moment) {
        self.executor.stop(end);
        self.pool.stop(end);
        self.timer.stop(end);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // The origin of time has passed: nothing is waited for, and nothing joined that still runs.
        self.stop(Moment::ZERO);
    }
}

impl Default for Threads {
    fn default() -> Self {
        Self::new(ThreadsConfig::default())
    }
}

impl Runtime for Threads {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn now(&self) -> Moment {
        Moment::now()
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::now()
    }

    fn spawn(&self, future: BoxFuture) -> Result<(), Refused<BoxFuture>> {
        Executor::spawn(&self.0.executor, future)
    }

    fn spawn_blocking(&self, job: Job) -> Result<(), Refused<Job>> {
        Pool::submit(&self.0.pool, job)
    }

    fn spawn_at(&self, at: Moment, job: Job) -> TimerId {
        self.0.timer.add(at, job)
    }

    fn cancel(&self, timer: TimerId) -> bool {
        self.0.timer.cancel(timer)
    }

    fn start(&self) -> Result<()> {
        self.0.pool.start();
        Timer::start(&self.0.timer)?;
        self.0.executor.start()
    }

    fn stop(&self, grace: Duration) {
        self.0.stop(Moment::now() + grace);
    }

    fn stats(&self) -> RuntimeStats {
        let (threads, queued, running, refused) = self.0.pool.sizes();
        RuntimeStats {
            threads: threads + self.0.executor.threads() + self.0.timer.threads(),
            queued,
            running,
            timers: self.0.timer.len(),
            refused: refused + self.0.executor.refused(),
        }
    }
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Threads").field(&self.stats()).finish()
    }
}

static NOT_RUNNING: Fixed =
    Fixed { code: Code::NOT_RUNNING, message: "the runtime is not running" };
static FULL: Fixed = Fixed { code: Code::OVERLOADED, message: "the runtime's queue is full" };

fn cannot_start(thread: &str, error: std::io::Error) -> Error {
    Error::new(Code::IO, "cannot start a thread").with("thread", thread).because(error)
}

/// Joins what has ended by `end`; never the current thread. A thread that runs foreign code without
/// end is left to the operating system.
fn join(handles: Vec<std::thread::JoinHandle<()>>, end: Moment) {
    let me = std::thread::current().id();
    for handle in handles {
        if handle.thread().id() == me {
            continue;
        }
        let mut pause = Duration::from_micros(50);
        while !handle.is_finished() && Moment::now() < end {
            std::thread::sleep(pause.min(end.since(Moment::now())));
            pause = (pause * 2).min(Duration::from_millis(5));
        }
        if handle.is_finished() {
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests;
