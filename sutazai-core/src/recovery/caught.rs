//! Foreign code, and its panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Code, Error, Result};

/// Runs foreign code; its panic becomes an error with the panic's message.
pub(super) fn caught<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "not a text".to_owned());
        Err(Error::new(Code::PANIC, "code that recovery called panicked").with("panic", message))
    })
}
