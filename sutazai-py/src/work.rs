//! The deadline and the priority of the present work, and what it is a part of, where Python runs it.
//!
//! In the core they belong to a thread. A coroutine changes threads with nobody, but shares its own with
//! others: for it they stand in a `contextvars.ContextVar`, and are put in force whenever it calls into
//! the core.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use sutazai_core::base::lineage::{self, Lineage};
use sutazai_core::base::time::Moment;
use sutazai_core::base::{deadline, priority};
use sutazai_core::port::Task;

use crate::argument;

/// Whether anything was ever put into the variable: programs without coroutines pay for one load.
static USED: AtomicBool = AtomicBool::new(false);

/// What is carried.
#[pyclass(frozen, module = "sutazai._sutazai", name = "_Work")]
#[derive(Clone)]
pub(crate) struct Work {
    until: Moment,
    urgency: u8,
    lineage: Option<Lineage>,
}

/// A variable that holds None or a `_Work`. Its methods, looked up once.
struct Variable {
    get: Py<PyAny>,
    set: Py<PyAny>,
    reset: Py<PyAny>,
}

fn variable(py: Python<'_>) -> PyResult<&'static Variable> {
    static VARIABLE: PyOnceLock<Variable> = PyOnceLock::new();
    VARIABLE.get_or_try_init(py, || {
        let class = py.import("contextvars")?.getattr("ContextVar")?;
        let default = pyo3::types::PyDict::new(py);
        default.set_item("default", py.None())?;
        let variable = class.call(("sutazai_work",), Some(&default))?;
        let method = |name| variable.getattr(name).map(Bound::unbind);
        Ok(Variable { get: method("get")?, set: method("set")?, reset: method("reset")? })
    })
}

impl Work {
    /// That of a task, for what it calls.
    pub(crate) fn of(task: &Task) -> Self {
        Self {
            until: task.deadline(),
            urgency: task.given_priority(),
            lineage: task.lineage().cloned(),
        }
    }

    fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        priority::within(self.urgency, || {
            deadline::within(self.until, || lineage::within(self.lineage.clone(), f))
        })
    }
}

/// Runs `f` as a part of the work of the present context.
#[inline]
pub(crate) fn present<R>(py: Python<'_>, f: impl FnOnce() -> R) -> PyResult<R> {
    if USED.load(Ordering::Relaxed) { carried(py, f) } else { Ok(f()) }
}

fn carried<R>(py: Python<'_>, f: impl FnOnce() -> R) -> PyResult<R> {
    let held = variable(py)?.get.call0(py)?;
    match held.bind(py).cast::<Work>() {
        Ok(work) => Ok(work.get().run(f)),
        Err(_) => Ok(f()),
    }
}

/// Puts a deadline and a priority into the present context, until `_uncarry`; what is None stays as it is.
/// A deadline can only become earlier.
#[pyfunction]
#[pyo3(name = "_carry", signature = (until, priority))]
pub(crate) fn carry(
    py: Python<'_>,
    until: Option<u64>,
    priority: Option<u8>,
) -> PyResult<Bound<'_, PyAny>> {
    USED.store(true, Ordering::Relaxed);
    let carried = present(py, || {
        let until = until.map_or(Moment::FAR, Moment::from_nanos).min(deadline::current());
        let urgency = priority.unwrap_or_else(priority::current);
        Work { until, urgency, lineage: lineage::current() }
    })?;
    variable(py)?.set.call1(py, (carried,)).map(|token| token.into_bound(py))
}

/// Calls an agent's function as work for its task in the present context, where anybody looks there: it may run on the thread of its caller, whose context says something else.
pub(crate) fn inside<R>(
    py: Python<'_>,
    task: &Task,
    f: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    if !USED.load(Ordering::Relaxed) {
        return f();
    }
    let token = variable(py)?.set.call1(py, (Work::of(task),))?;
    let answer = f();
    uncarry(token.bind(py))?;
    answer
}

/// Puts a task's work into the context that its coroutine runs in, in the place of whatever that context
/// came with.
#[pyfunction]
#[pyo3(name = "_enter")]
pub(crate) fn enter(work: &Bound<'_, Work>) -> PyResult<()> {
    USED.store(true, Ordering::Relaxed);
    let py = work.py();
    variable(py)?.set.call1(py, (work,)).map(drop)
}

/// Ends what `_carry` began. In another context, where a coroutine that nobody wants is closed, there is
/// nothing to end.
#[pyfunction]
#[pyo3(name = "_uncarry")]
pub(crate) fn uncarry(token: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = token.py();
    match variable(py)?.reset.call1(py, (token,)) {
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyValueError>(py) => Ok(()),
        other => other.map(drop),
    }
}

/// Nanoseconds of the system's clock at the end of a time from now, for `_carry`.
#[pyfunction]
#[pyo3(name = "_until")]
pub(crate) fn until(timeout: &Bound<'_, PyAny>) -> PyResult<u64> {
    Ok((Moment::now() + argument::duration("timeout", timeout)?).as_nanos())
}

/// The deadline and the priority of the present work: seconds that are left, or None, and 1 to 255.
#[pyfunction]
#[pyo3(name = "_present")]
pub(crate) fn present_of(py: Python<'_>) -> PyResult<(Option<f64>, u8)> {
    present(py, || {
        let until = deadline::current();
        let left = (until != Moment::FAR).then(|| until.since(Moment::now()).as_secs_f64());
        (left, priority::current())
    })
}
