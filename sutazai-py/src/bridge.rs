//! From the kernel's threads onto an asyncio loop: one queue and at most one pending
//! `call_soon_threadsafe` per loop, whatever the number of tickets.
//!
//! The queue holds one item for each ticket that is awaited and each coroutine that is to be started
//! or cancelled, so the kernel's bound on calls bounds it as well.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use sutazai_core::{Code, Error};

use crate::pending::Pending;
use crate::reply::Answerer;
use crate::work::Work;
use crate::{exit, wait};

/// How often a loop that is open is asked to take `_drain` before the next item has to do it.
const ATTEMPTS: u32 = 8;

/// What runs on a loop on behalf of the kernel.
#[pyclass(frozen, weakref, module = "sutazai._sutazai", name = "_Bridge")]
pub(crate) struct Bridge {
    /// A `weakref.ref`, so that a loop that nobody else wants is collected.
    target: Py<PyAny>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    items: Vec<Item>,
    /// Whether `_drain` stands in the loop's queue.
    scheduled: bool,
    /// The loop is closed or gone.
    dead: bool,
}

pub(crate) enum Item {
    /// Gives a future the answer of a ticket.
    Settle { future: Py<PyAny>, pending: Arc<Pending> },
    /// Wakes whoever waits for a future without a value.
    Wake { future: Py<PyAny> },
    /// Starts a coroutine agent's task.
    Start {
        function: Py<PyAny>,
        args: Py<PyAny>,
        answerer: Answerer,
        /// What its calls are a part of.
        work: Work,
    },
    /// Cancels an asyncio task.
    Cancel { task: Py<PyAny> },
}

#[pymethods]
impl Bridge {
    #[new]
    fn new(target: Py<PyAny>) -> Self {
        Self { target, queue: Mutex::default() }
    }

    /// Runs what waits; called by the loop.
    fn _drain(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let items = {
            let mut queue = slf.get().queue.lock();
            queue.scheduled = false;
            std::mem::take(&mut queue.items)
        };
        for item in items {
            if let Err(error) = item.run(slf) {
                error.write_unraisable(py, None);
            }
        }
    }
}

/// Puts an item into the loop's queue. Never blocks, but for the GIL.
pub(crate) fn push(bridge: &Py<Bridge>, item: Item) {
    let this = bridge.get();
    // A loop that was closed with `_drain` in its queue never runs it: look before an agent's task
    // waits there until its deadline.
    let starts = matches!(item, Item::Start { .. });
    let refused = {
        let mut queue = this.queue.lock();
        if queue.dead {
            Some(item)
        } else {
            queue.items.push(item);
            let scheduled = std::mem::replace(&mut queue.scheduled, true);
            if scheduled && !starts {
                return;
            }
            drop(queue);
            let alive = exit::attach(|py| this.rouse(bridge.bind(py), scheduled));
            if alive != Some(true) {
                this.die();
            }
            None
        }
    };
    if let Some(item) = refused {
        item.refuse();
    }
}

impl Bridge {
    /// Has the loop run `_drain`; looks only when it is `scheduled`. False when the loop is closed or
    /// gone: any other failure says nothing about it, above all Ctrl-C, which Python raises wherever
    /// its main thread happens to be.
    fn rouse(&self, me: &Bound<'_, Self>, scheduled: bool) -> bool {
        let py = me.py();
        let mut interrupted = false;
        let mut attempts = 0;
        let alive = loop {
            let tried = if scheduled { self.is_open(py) } else { self.schedule(me) };
            let error = match tried {
                Ok(alive) => break alive,
                Err(error) => error,
            };
            interrupted |= error.is_instance_of::<PyKeyboardInterrupt>(py);
            if matches!(self.is_open(py), Ok(false)) {
                break false;
            }
            attempts += 1;
            if attempts == ATTEMPTS {
                if !scheduled {
                    // The next item tries again.
                    self.queue.lock().scheduled = false;
                }
                error.write_unraisable(py, None);
                break true;
            }
        };
        // Last: it would come up in the attempts.
        if interrupted {
            wait::interrupt_again(py);
        }
        alive
    }

    fn is_open(&self, py: Python<'_>) -> PyResult<bool> {
        let target = self.target.call0(py)?;
        Ok(!target.is_none(py) && !target.call_method0(py, "is_closed")?.is_truthy(py)?)
    }

    fn schedule(&self, me: &Bound<'_, Self>) -> PyResult<bool> {
        let py = me.py();
        let target = self.target.call0(py)?;
        if target.is_none(py) {
            return Ok(false);
        }
        // Raises when the loop is closed.
        target.call_method1(py, "call_soon_threadsafe", (me.getattr("_drain")?,))?;
        Ok(true)
    }

    fn die(&self) {
        let left = {
            let mut queue = self.queue.lock();
            queue.dead = true;
            std::mem::take(&mut queue.items)
        };
        left.into_iter().for_each(Item::refuse);
    }
}

impl Item {
    fn run(self, bridge: &Bound<'_, Bridge>) -> PyResult<()> {
        let py = bridge.py();
        match self {
            Self::Settle { future, pending } => {
                let future = future.bind(py);
                if is_done(future)? {
                    return Ok(());
                }
                match pending.result(py) {
                    Some(Ok(value)) => future.call_method1("set_result", (value,))?,
                    Some(Err(error)) => future.call_method1("set_exception", (error,))?,
                    None => return Ok(()),
                };
                Ok(())
            }
            Self::Wake { future } => {
                let future = future.bind(py);
                if !is_done(future)? {
                    future.call_method1("set_result", (py.None(),))?;
                }
                Ok(())
            }
            Self::Start { function, args, answerer, work } => {
                static SPAWN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                if answerer.is_settled() {
                    return Ok(());
                }
                let reply = Py::new(py, answerer.into_reply())?;
                let spawn = SPAWN.import(py, "sutazai._loop", "_spawn")?;
                let task = spawn.call1((function, args, &reply, work));
                match task {
                    Ok(task) => reply.get().cancels(bridge.clone().unbind(), task.unbind()),
                    Err(error) => reply.get().fail_with(py, &error),
                }
                Ok(())
            }
            Self::Cancel { task } => task.call_method0(py, "cancel").map(drop),
        }
    }

    /// The loop is closed or gone.
    fn refuse(self) {
        if let Self::Start { answerer, .. } = self {
            let error = Error::new(Code::NOT_RUNNING, "the event loop of the agent is closed")
                .advice("keep the loop running until the kernel has stopped");
            let _ = answerer.answer(Err(error));
        }
    }
}

fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    future.call_method0("done")?.is_truthy()
}
