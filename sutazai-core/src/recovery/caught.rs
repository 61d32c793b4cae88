//! Foreign code, and its panics.

use crate::Result;
use crate::base::contain;

/// Runs foreign code; its panic becomes an error.
pub(super) fn caught<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    contain::run("code that recovery called panicked", f).flatten()
}
