//! What a handle is after `fork`: an error, not a hang.
//!
//! The child has none of the kernel's threads, and locks that other threads held stay locked. So a
//! handle remembers the process generation it was made in; in a later one its methods raise
//! `Forked`, and what it holds is left alone, never dropped. A kernel built in the child is a
//! kernel like any other.

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};

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

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: dropped nowhere else, and `self` is gone after this.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}
