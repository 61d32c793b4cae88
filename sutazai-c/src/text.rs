//! Text from C and text lent to C.

use std::ffi::c_char;
use std::sync::Arc;

use sutazai_core::base::payload::Payload;
use sutazai_core::{Code, Error, Result};

/// Text that is lent: UTF-8, `len` bytes, not NUL-terminated. What the library lends is valid as long
/// as what it was asked of, and its `data` is never NULL; what the library is lent, it copies.
#[repr(C)]
pub struct sutazai_str {
    /// The first byte.
    pub data: *const c_char,
    /// The number of bytes.
    pub len: usize,
}

impl sutazai_str {
    pub(crate) fn lend(text: &str) -> Self {
        Self { data: text.as_ptr().cast(), len: text.len() }
    }

    pub(crate) fn empty() -> Self {
        Self::lend("")
    }
}

/// Text that C gave us.
///
/// # Safety
/// `data` is NULL or good for reading `len` bytes, which do not change during `'a`.
///
/// # Errors
/// [`Code::INVALID`] for NULL with a length, for what is not UTF-8, or for an impossible length.
#[inline]
pub(crate) unsafe fn text<'a>(
    data: *const c_char,
    len: usize,
    name: &'static str,
) -> Result<&'a str> {
    if len == 0 {
        return Ok("");
    }
    if data.is_null() {
        return Err(crate::boundary::null(name));
    }
    if isize::try_from(len).is_err() {
        return Err(Error::new(Code::INVALID, "the length of a text is negative or impossible")
            .with("argument", name)
            .with("len", len));
    }
    // SAFETY: the caller's promise; the length fits.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) };
    std::str::from_utf8(bytes).map_err(|e| {
        Error::new(Code::INVALID, "a text is not UTF-8")
            .with("argument", name)
            .with("valid_up_to", e.valid_up_to())
    })
}

/// Several texts that C gave us.
///
/// # Safety
/// `data` is NULL or good for reading `len` texts, each as [`text`] says.
///
/// # Errors
/// As [`text`].
pub(crate) unsafe fn texts<'a>(
    data: *const sutazai_str,
    len: usize,
    name: &'static str,
) -> Result<Vec<&'a str>> {
    if len == 0 {
        return Ok(Vec::new());
    }
    if data.is_null() {
        return Err(crate::boundary::null(name));
    }
    if len > isize::MAX.unsigned_abs() / size_of::<sutazai_str>() {
        return Err(Error::new(Code::INVALID, "the length of an array is negative or impossible")
            .with("argument", name)
            .with("len", len));
    }
    // SAFETY: the caller's promise; the length fits.
    let given = unsafe { std::slice::from_raw_parts(data, len) };
    // SAFETY: the caller's promise.
    given.iter().map(|given| unsafe { text(given.data, given.len, name) }).collect()
}

/// JSON that C gave us; empty is `null`.
///
/// # Safety
/// As [`text`].
///
/// # Errors
/// As [`text`], and [`Code::INVALID`] for what is not JSON.
#[inline]
pub(crate) unsafe fn json(data: *const c_char, len: usize, name: &'static str) -> Result<Payload> {
    // SAFETY: the caller's promise.
    let text = unsafe { text(data, len, name) }?;
    if text.is_empty() {
        return Ok(Payload::NULL);
    }
    Payload::json_text(Arc::<str>::from(text)).map_err(|error| error.with("argument", name))
}
