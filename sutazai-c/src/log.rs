//! The kernel's log.

use std::ffi::c_char;

use serde_json::{Map, Value};
use sutazai_core::base::reading::from_json;
use sutazai_core::observe::Level;
use sutazai_core::{Code, Error, Result};

use crate::boundary::{borrow, fallible};
use crate::error::sutazai_error;
use crate::kernel::sutazai_kernel;
use crate::text::text;

/// Log level: every step.
pub const SUTAZAI_TRACE: u32 = 1;
/// Log level: for whoever debugs the program.
pub const SUTAZAI_DEBUG: u32 = 2;
/// Log level: what an operator may want to read.
pub const SUTAZAI_INFO: u32 = 3;
/// Log level: something is not as it should be, and work goes on.
pub const SUTAZAI_WARN: u32 = 4;
/// Log level: something failed.
pub const SUTAZAI_ERROR: u32 = 5;

/// Writes a record to the kernel's log, unless its filter says otherwise. `target` says which part of
/// the program speaks, `fields` is a JSON object with what there is to know besides (empty for
/// nothing). Never waits for a file.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for a level, text or fields that are not valid.
///
/// # Safety
/// `kernel` is NULL or live; texts are good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_log(
    kernel: *mut sutazai_kernel,
    level: u32,
    target: *const c_char,
    target_len: usize,
    message: *const c_char,
    message_len: usize,
    fields: *const c_char,
    fields_len: usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        let level = level_of(level)?;
        // SAFETY: the caller's promise.
        let target = unsafe { text(target, target_len, "target") }?;
        // SAFETY: the caller's promise.
        let message = unsafe { text(message, message_len, "message") }?;
        // SAFETY: the caller's promise.
        let fields = fields_of(unsafe { text(fields, fields_len, "fields") }?)?;
        kernel.kernel.log().record(level, target.to_owned(), message.to_owned(), fields);
        Ok(())
    })
}

/// Whether a record of that level and target would be kept; a few nanoseconds. False for arguments
/// that are not valid.
///
/// # Safety
/// `kernel` is NULL or live; `target` is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_log_enabled(
    kernel: *const sutazai_kernel,
    level: u32,
    target: *const c_char,
    target_len: usize,
) -> bool {
    crate::boundary::infallible(false, || {
        // SAFETY: the caller's promise.
        let Ok(kernel) = (unsafe { borrow(kernel) }) else { return false };
        // SAFETY: the caller's promise.
        let Ok(target) = (unsafe { text(target, target_len, "target") }) else { return false };
        level_of(level).is_ok_and(|level| kernel.kernel.log().enabled(level, target))
    })
}

fn level_of(number: u32) -> Result<Level> {
    Ok(match number {
        SUTAZAI_TRACE => Level::Trace,
        SUTAZAI_DEBUG => Level::Debug,
        SUTAZAI_INFO => Level::Info,
        SUTAZAI_WARN => Level::Warn,
        SUTAZAI_ERROR => Level::Error,
        other => {
            return Err(Error::new(Code::INVALID, "there is no log level of this number")
                .with("level", other));
        }
    })
}

fn fields_of(text: &str) -> Result<Map<String, Value>> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    from_json("log.record", "fields", text)
}
