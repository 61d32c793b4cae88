//! Panics that end where they are caught, told apart from those that nobody expects.
//!
//! A panic hook runs before anybody catches the panic, and cannot see whether somebody will. Whoever
//! runs foreign code in [`catch`] leaves word.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Code, Error, Result};

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`; what it panics with is given back.
///
/// # Errors
/// The panic's payload.
#[inline]
pub fn catch<R>(f: impl FnOnce() -> R) -> std::thread::Result<R> {
    let _restored = Restored(CAUGHT.replace(true));
    catch_unwind(AssertUnwindSafe(f))
}

/// Runs foreign code; its panic becomes an error, `panicked` saying whose it was.
///
/// # Errors
/// [`Code::PANIC`] with what the panic said.
#[inline]
pub(crate) fn run<R>(panicked: &'static str, f: impl FnOnce() -> R) -> Result<R> {
    catch(f).map_err(|panic| {
        let text = (panic.downcast_ref::<&str>().copied())
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("not a text");
        Error::new(Code::PANIC, panicked).with("panic", text)
    })
}

/// Whether a panic here would end in a [`catch`].
pub fn is_caught() -> bool {
    // A thread that has ended its thread-locals is past all catching.
    CAUGHT.try_with(Cell::get).unwrap_or(false)
}

/// Sets what was before back, also when the work panics.
struct Restored(bool);

impl Drop for Restored {
    #[inline]
    fn drop(&mut self) {
        CAUGHT.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_inside_and_forgotten_outside() {
        assert!(!is_caught());
        assert!(catch(is_caught).unwrap());
        let inner = catch(|| {
            assert!(catch(|| panic!("on purpose")).is_err());
            is_caught()
        });
        assert!(inner.unwrap());
        assert!(!is_caught());
    }
}
