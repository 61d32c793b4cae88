//! Callback tables: `size`, `user`, `drop`, then function pointers. They grow at the end only, so a
//! program that was compiled with an older header passes a smaller table.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use sutazai_core::{Code, Error, Result};

use crate::boundary::null;

/// What a table's `drop` is.
pub(crate) type DropFn = unsafe extern "C" fn(user: *mut c_void);

/// A table of callbacks.
///
/// # Safety
/// `repr(C)`; begins with `size: usize, user: *mut c_void, drop: Option<DropFn>`; all zeros is a
/// valid value; no padding.
pub(crate) unsafe trait Table: Copy {
    /// What an error calls it.
    const NAME: &'static str;
    fn user(&self) -> *mut c_void;
    fn dropper(&self) -> Option<DropFn>;
}

/// A table that is sane in size is not longer than this.
const MOST_BYTES: usize = 4096;

/// `user`, given back through `drop` exactly once.
pub(crate) struct User {
    pointer: *mut c_void,
    drop: Option<DropFn>,
}

// SAFETY: the header says that a table's callbacks run on any thread, and what `user` points to
// must allow it.
unsafe impl Send for User {}
// SAFETY: as above; callbacks that may run at the same time are documented so.
unsafe impl Sync for User {}

impl User {
    #[inline]
    pub(crate) fn get(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(drop) = self.drop.take() {
            // SAFETY: the caller of the export that took the table promised it.
            unsafe { drop(self.pointer) }
        }
    }
}

/// Copies a table, and takes its `user` over. Whatever happens afterwards, `drop` runs once.
///
/// # Safety
/// `pointer` is NULL or points to a table of as many bytes as its `size` says.
///
/// # Errors
/// [`Code::INVALID`] for NULL or an impossible size, [`Code::UNSUPPORTED`] when it uses callbacks
/// that this version of the library does not know. Only where the size is impossible `drop` is not
/// called.
pub(crate) unsafe fn take_over<T: Table>(pointer: *const T) -> Result<(T, User)> {
    if pointer.is_null() {
        return Err(null(T::NAME));
    }
    // SAFETY: every table begins with its size.
    let size = unsafe { pointer.cast::<usize>().read() };
    let least = size_of::<usize>() * 4;
    if !(least..=MOST_BYTES).contains(&size) {
        return Err(Error::new(Code::INVALID, "the size of a callback table is not possible")
            .with("table", T::NAME)
            .with("size", size)
            .advice("set `size` to sizeof the table"));
    }
    let mut table = MaybeUninit::<T>::zeroed();
    let known = size.min(size_of::<T>());
    // SAFETY: both are at least `known` bytes long and do not overlap.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), table.as_mut_ptr().cast::<u8>(), known);
    }
    // SAFETY: what was not copied is zero, which the trait allows.
    let table = unsafe { table.assume_init() };
    let user = User { pointer: table.user(), drop: table.dropper() };
    // SAFETY: the table has `size` bytes, and a table has no padding.
    let unknown =
        unsafe { std::slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known) };
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(Error::new(Code::UNSUPPORTED, "a callback table is newer than the library")
            .with("table", T::NAME)
            .with("size", size)
            .with("known", size_of::<T>()));
    }
    Ok((table, user))
}

/// A callback that must be there.
///
/// # Errors
/// [`Code::INVALID`] when it is NULL.
pub(crate) fn required<F>(callback: Option<F>, name: &'static str) -> Result<F> {
    callback.ok_or_else(|| {
        Error::new(Code::INVALID, "a callback that the table must have is NULL")
            .with("callback", name)
    })
}
