//! Errors: what every fallible function answers, NULL for success.

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use sutazai_core::{Class, Code, Error, Result};

use crate::boundary::{fallible, infallible, null, output};
use crate::buffer::sutazai_buffer;
use crate::text::text;

/// Class of an error: it may well succeed when tried again.
pub const SUTAZAI_TRANSIENT: u32 = 1;
/// Class of an error: it will fail the same way until something is changed.
pub const SUTAZAI_PERSISTENT: u32 = 2;
/// Class of an error: something is broken that others depend on.
pub const SUTAZAI_CRITICAL: u32 = 3;
/// Where a class is asked for: the one that the code has by default.
pub const SUTAZAI_CLASS_OF_CODE: u32 = 0;

/// What went wrong. Belongs to whoever got it; freed by `sutazai_error_free`. May be read from any
/// thread, also in a forked child.
pub struct sutazai_error {
    error: Error,
    name: OnceLock<CString>,
    message: OnceLock<CString>,
}

impl sutazai_error {
    #[cold]
    pub(crate) fn give(error: Error) -> *mut Self {
        let handle = Self { error, name: OnceLock::new(), message: OnceLock::new() };
        Box::into_raw(Box::new(handle))
    }

    pub(crate) fn error(&self) -> &Error {
        &self.error
    }

    /// What a callback answered.
    ///
    /// # Safety
    /// `answer` is NULL or a live error that is now ours.
    ///
    /// # Errors
    /// The error that it answered.
    pub(crate) unsafe fn taken(answer: *mut Self) -> Result<()> {
        if answer.is_null() {
            return Ok(());
        }
        // SAFETY: the caller's promise; it came from `give`.
        Err(unsafe { Box::from_raw(answer) }.error)
    }
}

/// An error of the caller's own, for `sutazai_reply_fail_with` and for callbacks that answer one.
/// `code` is one of the `SUTAZAI_…` codes, or a number of the host's own with the top bit set;
/// `class` one of the classes. Never NULL: for arguments that are not valid it is an error that
/// says so.
///
/// # Safety
/// `message` is good for reading `message_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_error_new(
    code: u32,
    class: u32,
    message: *const c_char,
    message_len: usize,
) -> *mut sutazai_error {
    let made = || {
        // SAFETY: the caller's promise.
        unsafe { made(code, class, message, message_len) }.unwrap_or_else(|invalid| invalid)
    };
    let error = std::panic::catch_unwind(std::panic::AssertUnwindSafe(made));
    sutazai_error::give(error.unwrap_or_else(|_| Error::new(Code::PANIC, "the library panicked")))
}

/// A second handle on the same error; NULL for NULL.
///
/// # Safety
/// `error` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_error_clone(error: *const sutazai_error) -> *mut sutazai_error {
    // SAFETY: the caller's promise.
    let error = unsafe { error.as_ref() };
    infallible(std::ptr::null_mut(), || {
        error.map_or(std::ptr::null_mut(), |e| sutazai_error::give(e.error.clone()))
    })
}

/// The stable number of the error, 0 for NULL. See the `SUTAZAI_…` codes.
///
/// # Safety
/// `error` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_error_code(error: *const sutazai_error) -> u32 {
    // SAFETY: the caller's promise.
    let error = unsafe { error.as_ref() };
    infallible(0, || error.map_or(0, |e| e.error.code().number()))
}

/// The class of the error: `SUTAZAI_TRANSIENT`, `SUTAZAI_PERSISTENT` or `SUTAZAI_CRITICAL`; 0 for
/// NULL.
///
/// # Safety
/// `error` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_error_class(error: *const sutazai_error) -> u32 {
    // SAFETY: the caller's promise.
    let error = unsafe { error.as_ref() };
    infallible(0, || error.map_or(0, |e| class_number(e.error.class())))
}

/// The name of the error's code, such as "base.not_found"; "host" for a code of the host's own, ""
/// for NULL. NUL-terminated, valid as long as the error.
///
/// # Safety
/// `error` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_error_name(error: *const sutazai_error) -> *const c_char {
    // SAFETY: the caller's promise.
    let error = unsafe { error.as_ref() };
    infallible(c"".as_ptr(), || {
        error.map_or(c"".as_ptr(), |e| {
            e.name.get_or_init(|| c_string(e.error.code().name().to_owned())).as_ptr()
        })
    })
}

/// The error for a person, in one line: what failed, why, with what, what to do about it, and the
/// causes. Of something that was parsed (a manifest), the offending line and a caret follow; an
/// error that stands for several problems shows each of them, from a line of its own. "" for NULL.
/// NUL-terminated, valid as long as the error; no line break at the end.
///
/// # Safety
/// `error` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_error_message(error: *const sutazai_error) -> *const c_char {
    // SAFETY: the caller's promise.
    let error = unsafe { error.as_ref() };
    infallible(c"".as_ptr(), || {
        error.map_or(c"".as_ptr(), |e| {
            e.message.get_or_init(|| c_string(format!("{:#}", e.error))).as_ptr()
        })
    })
}

/// How many problems the error stands for: 1, unless something was checked as a whole (a manifest,
/// the components) and has several; 0 for NULL.
///
/// # Safety
/// `error` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_error_problem_count(error: *const sutazai_error) -> usize {
    // SAFETY: the caller's promise.
    let error = unsafe { error.as_ref() };
    infallible(0, || error.map_or(0, |e| e.error.problems().len()))
}

/// One of the problems that the error stands for, in order, as an error of its own: to be freed. The
/// first is the error itself where it stands for one only. NULL for NULL, and beyond the last.
///
/// # Safety
/// `error` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_error_problem(
    error: *const sutazai_error,
    index: usize,
) -> *mut sutazai_error {
    // SAFETY: the caller's promise.
    let error = unsafe { error.as_ref() };
    infallible(std::ptr::null_mut(), || {
        let problem = error.and_then(|e| e.error.problems().get(index));
        problem.map_or(std::ptr::null_mut(), |problem| sutazai_error::give(problem.clone()))
    })
}

/// The error as JSON: `{code, name, class, message, operation?, context?, advice?, location?,
/// causes?, problems?}`. `problems` has each of them in this form when they are several; the other
/// fields are then those of the first.
///
/// # Safety
/// `error` is NULL or live; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_error_to_json(
    error: *const sutazai_error,
    out: *mut sutazai_buffer,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let error = unsafe { error.as_ref() }.ok_or_else(|| null("error"))?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        let json = serde_json::to_string(&error.error)
            .map_err(|e| Error::new(Code::INTERNAL, "an error has no JSON form").because(e))?;
        out.write(sutazai_buffer::of(&json));
        Ok(())
    })
}

/// Frees an error. NULL is allowed.
///
/// # Safety
/// `error` is NULL or live, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_error_free(error: *mut sutazai_error) {
    if error.is_null() {
        return;
    }
    // SAFETY: the caller's promise; it came from `give`.
    infallible((), || drop(unsafe { Box::from_raw(error) }));
}

/// The error that C describes.
///
/// # Safety
/// As [`text`].
///
/// # Errors
/// [`Code::INVALID`] for a code, class or message that is none.
pub(crate) unsafe fn made(
    code: u32,
    class: u32,
    message: *const c_char,
    message_len: usize,
) -> Result<Error> {
    // SAFETY: the caller's promise.
    let message = unsafe { text(message, message_len, "message") }?.to_owned();
    let code = Code::from_number(code).ok_or_else(|| {
        Error::new(Code::INVALID, "there is no error code of this number")
            .with("code", code)
            .advice("use one of the library's, or one of your own with the top bit set")
    })?;
    let error = Error::new(code, message);
    match class {
        SUTAZAI_CLASS_OF_CODE => Ok(error),
        SUTAZAI_TRANSIENT => Ok(error.classed(Class::Transient)),
        SUTAZAI_PERSISTENT => Ok(error.classed(Class::Persistent)),
        SUTAZAI_CRITICAL => Ok(error.classed(Class::Critical)),
        other => Err(Error::new(Code::INVALID, "there is no error class of this number")
            .with("class", other)),
    }
}

fn class_number(class: Class) -> u32 {
    match class {
        Class::Transient => SUTAZAI_TRANSIENT,
        Class::Persistent => SUTAZAI_PERSISTENT,
        Class::Critical => SUTAZAI_CRITICAL,
    }
}

/// A NUL inside a message would hide the rest of it.
fn c_string(text: String) -> CString {
    CString::new(text).unwrap_or_else(|e| {
        let text = String::from_utf8_lossy(&e.into_vec()).replace('\0', "\u{fffd}");
        CString::new(text).unwrap_or_default()
    })
}
