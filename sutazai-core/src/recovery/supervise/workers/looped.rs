//! A life of a loop, on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use super::super::inside::{self, Inside};
use super::super::job::caught;
use crate::base::runtime::Runtime;
use crate::base::time::Moment;
use crate::base::wait::{Condvar, Mutex};
use crate::port::{Child, ChildExit, ChildLife, ChildReport, ChildStart, Worker, WorkerLife};
use crate::{Code, Error, Result};

/// Where time is virtual, a loop that is told to stop has so much real time for it.
const VIRTUAL: Duration = Duration::from_secs(1);

pub(super) struct Looped {
    worker: Arc<dyn Worker>,
    life: WorkerLife,
    runtime: Arc<dyn Runtime>,
    end: Arc<End>,
}

/// Where the thread is.
#[derive(Default)]
struct End {
    /// It has returned, or nobody waits for it any more.
    over: Mutex<bool>,
    came: Condvar,
}

impl Looped {
    pub(super) fn new(worker: Arc<dyn Worker>, life: ChildLife, runtime: Arc<dyn Runtime>) -> Self {
        Self { worker, life: WorkerLife::new(life), runtime, end: Arc::default() }
    }
}

impl Child for Looped {
    fn start(&self, report: ChildReport, _deadline: Moment) -> Result<ChildStart> {
        let (worker, life, end) =
            (Arc::clone(&self.worker), self.life.clone(), Arc::clone(&self.end));
        let inside = Inside::here();
        let body = move || {
            let done = caught(|| inside::within(inside, || worker.run(&life))).flatten();
            // What the host gave is let go of before anybody is told.
            drop(worker);
            end.come();
            report.exited(match done {
                Ok(()) if life.stopping() => ChildExit::Shutdown,
                Ok(()) => ChildExit::Normal,
                Err(error) => ChildExit::Failed(error),
            });
        };
        std::thread::Builder::new()
            .name("sutazai-worker".to_owned())
            .spawn(body)
            .map_err(|e| Error::new(Code::IO, "no thread could be started").because(e))?;
        Ok(ChildStart::Running)
    }

    fn stop(&self, deadline: Moment) -> Result<()> {
        self.life.stop();
        let left = match self.runtime.virtual_time() {
            Some(_) => Some(VIRTUAL),
            None if deadline == Moment::FAR => None,
            None => Some(deadline.since(self.runtime.now())),
        };
        if self.end.await_within(left) {
            return Ok(());
        }
        Err(Error::new(Code::DEADLINE_EXCEEDED, "the worker did not return in time"))
    }

    /// A thread cannot be killed: it is left to itself, and told to stop.
    fn kill(&self) {
        self.life.stop();
        self.end.come();
    }
}

impl End {
    fn come(&self) {
        *self.over.lock() = true;
        self.came.notify_all();
    }

    /// Whether it came within so long; however long that takes without.
    fn await_within(&self, left: Option<Duration>) -> bool {
        let mut over = self.over.lock();
        let until = left.and_then(|left| std::time::Instant::now().checked_add(left));
        while !*over {
            let (waited, timed_out) = self.came.wait_until(over, until);
            over = waited;
            if timed_out {
                break;
            }
        }
        *over
    }
}
