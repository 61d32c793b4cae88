//! The gate between the kernel's threads and an interpreter that ends.
//!
//! Before CPython 3.14 a thread that wants the GIL of a finalizing interpreter is ended with
//! `pthread_exit`, which unwinds; Rust frames on its stack would turn that into an abort. PyO3 makes
//! such a thread sleep for ever where it attaches. Here the same is done where an agent's Python code
//! is called, which may be interrupted at any of its instructions; and a gate, closed by an `atexit`
//! function once every kernel has stopped, keeps others from attaching at all.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

static CLOSED: AtomicBool = AtomicBool::new(false);

/// No thread of a kernel attaches to the interpreter any more.
#[pyfunction]
#[pyo3(name = "_close_gate")]
pub(crate) fn close_gate() {
    CLOSED.store(true, Ordering::Release);
}

/// Whether the interpreter is ending.
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Ordering::Acquire)
}

/// Attaches this thread; `None` when the interpreter ends.
pub(crate) fn attach<R>(f: impl FnOnce(Python<'_>) -> R) -> Option<R> {
    if is_closed() { None } else { Python::try_attach(f) }
}

/// Calls Python code from a thread of the kernel's.
pub(crate) fn call<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let stay = Stay;
    // SAFETY: both are live objects, the thread is attached, and a null pointer for the keyword
    // arguments means that there are none. A forced unwind ends in `Stay`.
    let result = unsafe { PyObject_Call(function.as_ptr(), args.as_ptr(), std::ptr::null_mut()) };
    std::mem::forget(stay);
    // SAFETY: a new reference, or null with the exception set.
    unsafe { Bound::from_owned_ptr_or_err(function.py(), result) }
}

unsafe extern "C-unwind" {
    // PyO3 declares it as one that does not unwind.
    fn PyObject_Call(
        callable: *mut ffi::PyObject,
        args: *mut ffi::PyObject,
        kwargs: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

/// Dropped only when the thread is being ended under a Python call: it sleeps for ever instead,
/// as CPython 3.14 lets it. The process is about to exit.
struct Stay;

impl Drop for Stay {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}
