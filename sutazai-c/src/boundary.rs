//! What stands between C and the core: panics end here, pointers are checked here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sutazai_core::{Code, Error, Result};

use crate::error::sutazai_error;
use crate::fork::Home;

/// Something that C holds by pointer: made by `Box::into_raw`, freed by [`release`].
pub(crate) trait Handle {
    /// What an error calls it.
    const NAME: &'static str;
    /// Where it was made.
    fn home(&self) -> Home;
}

/// Runs the body of a fallible export.
#[inline]
pub(crate) fn fallible(body: impl FnOnce() -> Result<()>) -> *mut sutazai_error {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => std::ptr::null_mut(),
        Ok(Err(error)) => sutazai_error::give(error),
        Err(panic) => sutazai_error::give(panicked(&*panic)),
    }
}

/// Runs the body of an export that answers a plain value; `otherwise` when it panics.
#[inline]
pub(crate) fn infallible<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// A handle that C gave us.
///
/// # Safety
/// `pointer` is NULL or a live handle that stays live for `'a`.
///
/// # Errors
/// [`Code::INVALID`] for NULL, [`Code::FORKED`] when the handle is another process's.
#[inline]
pub(crate) unsafe fn borrow<'a, T: Handle>(pointer: *const T) -> Result<&'a T> {
    // SAFETY: the caller's promise; a handle is only ever borrowed shared.
    match unsafe { pointer.as_ref() } {
        Some(handle) => {
            handle.home().check()?;
            Ok(handle)
        }
        None => Err(null(T::NAME)),
    }
}

/// As [`borrow`], for exports that have a plain answer for a handle that is none.
///
/// # Safety
/// As [`borrow`].
#[inline]
pub(crate) unsafe fn peek<'a, T: Handle>(pointer: *const T) -> Option<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.filter(|handle| handle.home().is_here())
}

/// Hands a handle to C.
pub(crate) fn give<T: Handle>(handle: T) -> *mut T {
    Box::into_raw(Box::new(handle))
}

/// Takes a handle back; `None` for NULL. One of another process is left alone: dropping it could
/// wait for threads that this process does not have.
///
/// # Safety
/// `pointer` is NULL or a live handle that nobody uses any more.
pub(crate) unsafe fn take_back<T: Handle>(pointer: *mut T) -> Option<Box<T>> {
    // SAFETY: the caller's promise.
    unsafe { peek(pointer) }?;
    // SAFETY: the caller's promise; it came from `give`.
    Some(unsafe { Box::from_raw(pointer) })
}

/// Frees a handle.
///
/// # Safety
/// As [`take_back`].
pub(crate) unsafe fn release<T: Handle>(pointer: *mut T) {
    // SAFETY: the caller's promise.
    infallible((), || drop(unsafe { take_back(pointer) }));
}

/// Where C wants an output.
///
/// # Safety
/// `pointer` is NULL or good for writing a `T` during `'a`.
///
/// # Errors
/// [`Code::INVALID`] for NULL.
pub(crate) unsafe fn output<'a, T>(pointer: *mut T, name: &'static str) -> Result<Out<'a, T>> {
    if pointer.is_null() {
        return Err(null(name));
    }
    Ok(Out { pointer, _life: std::marker::PhantomData })
}

/// A checked place for an output; what was there before may be uninitialised.
pub(crate) struct Out<'a, T> {
    pointer: *mut T,
    _life: std::marker::PhantomData<&'a mut T>,
}

impl<T> Out<'_, T> {
    pub(crate) fn write(self, value: T) {
        // SAFETY: checked by `output`, promised by its caller.
        unsafe { self.pointer.write(value) }
    }
}

/// The error of an argument that must not be NULL.
#[cold]
pub(crate) fn null(name: &'static str) -> Error {
    Error::new(Code::INVALID, "an argument is NULL").with("argument", name)
}

#[cold]
fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not a text");
    Error::new(Code::PANIC, "the library panicked").with("panic", message)
}
