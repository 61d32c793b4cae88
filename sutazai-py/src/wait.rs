//! Blocking a Python thread: without the GIL, and in slices, so that Ctrl-C comes through.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use sutazai_core::base::ticket::{self, Reply};
use sutazai_core::{Code, Error};

/// Python runs signal handlers on its main thread, between two of its instructions: it has to come
/// back this often. Half of what a person notices.
const SLICE: Duration = Duration::from_millis(50);
/// On other threads nothing waits for us.
const LONG_SLICE: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether an inline agent on this thread was interrupted by Ctrl-C.
    static INTERRUPTED: Cell<bool> = const { Cell::new(false) };
}

/// Says that Ctrl-C ended an inline agent on this thread.
pub(crate) fn interrupt_here() {
    INTERRUPTED.set(true);
}

/// Says that Ctrl-C came up where nobody could raise it: Python raises it again in the main thread,
/// between two of its next instructions. On other threads it was none.
pub(crate) fn interrupt_again(py: Python<'_>) {
    static INTERRUPT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let again = is_main_thread(py).and_then(|main| {
        if main {
            INTERRUPT.import(py, "_thread", "interrupt_main")?.call0()?;
        }
        Ok(())
    });
    if let Err(error) = again {
        error.write_unraisable(py, None);
    }
}

/// Runs `f`; Ctrl-C that ended an inline agent under it is raised.
pub(crate) fn interruptible<T>(f: impl FnOnce() -> T) -> PyResult<T> {
    INTERRUPTED.set(false);
    let value = f();
    if INTERRUPTED.replace(false) { Err(PyKeyboardInterrupt::new_err(())) } else { Ok(value) }
}

/// Whether this thread may block for an answer; `advice` says what to do where it may not.
///
/// # Errors
/// [`Code::WOULD_DEADLOCK`] where an asyncio loop runs. All its tasks would stop, and the answer may
/// have to come from one of them.
pub(crate) fn check_here(py: Python<'_>, advice: &'static str) -> PyResult<()> {
    static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if RUNNING.import(py, "asyncio", "_get_running_loop")?.call0()?.is_none() {
        return Ok(());
    }
    let error = Error::new(
        Code::WOULD_DEADLOCK,
        "this thread runs an asyncio loop, which stands still while it waits",
    );
    Err(crate::error::raise(py, &error.advice(advice)))
}

/// Calls `poll` with a time to wait for until it has something, `timeout` has passed (`None`), or a
/// signal handler raises. `poll` runs without the GIL.
pub(crate) fn in_slices<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    mut poll: impl FnMut(Duration) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut slice = SLICE;
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let this = left.map_or(slice, |left| left.min(slice));
        if let Some(found) = py.detach(|| poll(this)) {
            return Ok(Some(found));
        }
        py.check_signals()?;
        if left.is_some_and(|left| left <= this) {
            return Ok(None);
        }
        if slice == SLICE && !is_main_thread(py)? {
            slice = LONG_SLICE;
        }
    }
}

/// Runs `f`, which blocks, on a thread of its own, so that Ctrl-C comes through here meanwhile; `f`
/// goes on then.
pub(crate) fn aside<T: Send + 'static>(
    py: Python<'_>,
    f: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    hurried_aside(py, f, || Duration::ZERO)
}

/// As [`aside`]. At Ctrl-C `hurry` tells `f` to come to its end, and says how long that may take:
/// so long Ctrl-C is held back, unless it comes again.
pub(crate) fn hurried_aside<T: Send + 'static>(
    py: Python<'_>,
    f: impl FnOnce() -> T + Send + 'static,
    hurry: impl FnOnce() -> Duration + Send,
) -> PyResult<T> {
    if !is_main_thread(py)? {
        return Ok(py.detach(f));
    }
    let (mut ticket, reply): (_, Reply<T>) = ticket::pair();
    let name = "sutazai-aside".to_owned();
    let spawned = std::thread::Builder::new().name(name).spawn(move || drop(reply.send(f())));
    spawned?;
    match in_slices(py, None, |slice| ticket.wait_timeout(slice)) {
        Ok(Some(Ok(value))) => Ok(value),
        Ok(Some(Err(error))) => Err(crate::error::raise(py, &error)),
        Ok(None) => Err(crate::error::raise(py, &Error::new(Code::INTERNAL, "a wait ended"))),
        Err(interrupt) => {
            let patience = py.detach(hurry);
            if !patience.is_zero() {
                // Whatever comes of it, this is what is raised.
                let _ = in_slices(py, Some(patience), |slice| ticket.wait_timeout(slice));
            }
            ticket.detach();
            Err(interrupt)
        }
    }
}

fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    static CURRENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static MAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let current = CURRENT.import(py, "threading", "current_thread")?.call0()?;
    Ok(current.is(&MAIN.import(py, "threading", "main_thread")?.call0()?))
}
