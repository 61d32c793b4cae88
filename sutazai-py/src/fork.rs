//! What a handle is after `fork`: an error, not a hang.
//!
//! The child has none of the kernel's threads, and locks that other threads held stay locked. So a
//! handle remembers the process generation it was made in; in a later one its methods raise
//! `Forked`, and what it holds is left alone, never dropped. A kernel built in the child is a
//! kernel like any other.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3::prelude::*;
use sutazai_core::base::error::Fixed;
use sutazai_core::{Code, Error};

static GENERATION: AtomicU64 = AtomicU64::new(0);

static FORKED: Fixed = Fixed {
    code: Code::FORKED,
    message: "the handle belongs to the process that this one was forked from; \
              build a kernel in this process",
};

/// Says that this process is a forked child: `os.register_at_fork(after_in_child=…)`.
#[pyfunction]
#[pyo3(name = "_forked")]
pub(crate) fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    #[cfg(unix)]
    sutazai_core::recovery::failsafe::forked();
}

/// Something of the core's that belongs to the process it was made in.
pub(crate) struct Owned<T> {
    generation: u64,
    value: ManuallyDrop<T>,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { generation: GENERATION.load(Ordering::Relaxed), value: ManuallyDrop::new(value) }
    }

    /// The value, in the process it was made in.
    pub(crate) fn get(&self) -> sutazai_core::Result<&T> {
        if self.is_ours() { Ok(&self.value) } else { Err(Error::from(&FORKED)) }
    }

    /// As [`get`](Self::get), with the error raised.
    pub(crate) fn here(&self, py: Python<'_>) -> PyResult<&T> {
        self.get().map_err(|error| crate::error::raise(py, &error))
    }

    /// The value itself, in the process it was made in; elsewhere it is left alone.
    pub(crate) fn take(mut self, py: Python<'_>) -> PyResult<T> {
        self.here(py)?;
        // SAFETY: `forget` keeps `drop` from dropping it as well.
        let value = unsafe { ManuallyDrop::take(&mut self.value) };
        std::mem::forget(self);
        Ok(value)
    }

    fn is_ours(&self) -> bool {
        self.generation == GENERATION.load(Ordering::Relaxed)
    }
}

/// Something that needs nothing of its process, and is made anew in a forked child: what it was made of may
/// have been in the middle of a change.
pub(crate) struct Renewed<T> {
    first: Owned<Arc<T>>,
    later: Mutex<Option<Owned<Arc<T>>>>,
}

impl<T> Renewed<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { first: Owned::new(Arc::new(value)), later: Mutex::new(None) }
    }

    /// The value of this process, which `make` gives when there is none yet.
    pub(crate) fn here(&self, make: impl FnOnce() -> PyResult<T>) -> PyResult<Arc<T>> {
        if let Ok(first) = self.first.get() {
            return Ok(Arc::clone(first));
        }
        let mut later = self.later.lock();
        if let Some(Ok(there)) = later.as_ref().map(Owned::get) {
            return Ok(Arc::clone(there));
        }
        let made = Arc::new(make()?);
        *later = Some(Owned::new(Arc::clone(&made)));
        Ok(made)
    }
}

/// The error of a handle of another process.
pub(crate) fn elsewhere(py: Python<'_>) -> PyErr {
    crate::error::raise(py, &Error::from(&FORKED))
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: dropped nowhere else, and `self` is gone after this.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}
