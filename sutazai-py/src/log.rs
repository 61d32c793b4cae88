//! The kernel's log on its way to Python's `logging`: a bounded queue, emptied on the kernel's pool.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::observe::{Level, LogRecord, LogSink};

use crate::{convert, exit};

/// Records that wait for Python, at most; beyond it the oldest is dropped and counted.
const MOST: usize = 4_096;

/// Hands records to a Python function `f(level, target, message, fields, seconds, missed)`.
pub(crate) struct Relay {
    me: Weak<Self>,
    runtime: Arc<dyn Runtime>,
    function: Mutex<Option<Py<PyAny>>>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Arc<LogRecord>>,
    missed: u64,
    /// Whether a job stands in the pool's queue or runs.
    scheduled: bool,
    /// Whether a thread is handing records over; one at a time, so that they stay in order.
    busy: bool,
}

impl Relay {
    pub(crate) fn new(runtime: Arc<dyn Runtime>, function: Py<PyAny>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            runtime,
            function: Mutex::new(Some(function)),
            queue: Mutex::default(),
        })
    }

    /// Hands over what waits, unless another thread is at it; needs the GIL.
    pub(crate) fn empty(&self) {
        if std::mem::replace(&mut self.queue.lock().busy, true) {
            return;
        }
        loop {
            let next = {
                let mut queue = self.queue.lock();
                match queue.records.pop_front() {
                    Some(record) => (record, std::mem::take(&mut queue.missed)),
                    None => {
                        queue.scheduled = false;
                        queue.busy = false;
                        return;
                    }
                }
            };
            let given = exit::attach(|py| {
                if let Err(error) = self.give(py, &next.0, next.1) {
                    error.write_unraisable(py, None);
                }
            });
            if given.is_none() {
                // The interpreter is going.
                let left = std::mem::take(&mut self.queue.lock().records);
                drop(left);
            }
        }
    }

    pub(crate) fn close(&self) {
        let function = self.function.lock().take();
        drop(function);
    }

    fn give(&self, py: Python<'_>, record: &LogRecord, missed: u64) -> PyResult<()> {
        let function = self.function.lock().as_ref().map(|function| function.clone_ref(py));
        let Some(function) = function else { return Ok(()) };
        let fields: serde_json::Map<_, _> =
            record.fields.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
        let args = (
            record.level.name(),
            &*record.target,
            &*record.message,
            convert::from_value(py, &fields.into())?,
            // Nanoseconds: whole seconds and the rest, because a float has no room for both.
            record.time.as_nanos(),
            missed,
        );
        let args: Bound<'_, PyTuple> = args.into_pyobject(py)?;
        exit::call(function.bind(py), &args).map(drop)
    }
}

impl LogSink for Relay {
    fn name(&self) -> &str {
        "python.logging"
    }

    fn write(&self, record: &Arc<LogRecord>) {
        let dropped = {
            let mut queue = self.queue.lock();
            let dropped =
                if queue.records.len() >= MOST { queue.records.pop_front() } else { None };
            queue.missed += u64::from(dropped.is_some());
            queue.records.push_back(Arc::clone(record));
            if std::mem::replace(&mut queue.scheduled, true) {
                return;
            }
            dropped
        };
        drop(dropped);
        let Some(me) = self.me.upgrade() else { return };
        if self.runtime.spawn_blocking(Box::new(move || me.empty())).is_err() {
            // Before the start and after the end: the next record asks again, and so does stop.
            self.queue.lock().scheduled = false;
        }
    }

    fn flush(&self) {
        self.empty();
    }
}

/// The level of a number of Python's `logging`.
pub(crate) fn level_of(number: i64) -> Level {
    match number {
        40.. => Level::Error,
        30..40 => Level::Warn,
        20..30 => Level::Info,
        10..20 => Level::Debug,
        _ => Level::Trace,
    }
}
