//! The primitives that the lock-free files use: the standard ones, or loom's under `--cfg sutazai_loom`.

#[cfg(sutazai_loom)]
pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(sutazai_loom))]
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(not(sutazai_loom))]
pub(crate) use parking_lot::Mutex;

/// loom's mutex behind parking_lot's face (no poisoning).
#[cfg(sutazai_loom)]
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(sutazai_loom)]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }
    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        match self.0.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

/// An `UnsafeCell` whose accesses loom can watch.
#[cfg(not(sutazai_loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(sutazai_loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

#[cfg(sutazai_loom)]
pub(crate) use loom::cell::UnsafeCell;
