//! The time that work has and how urgent it is, carried through what it calls.

use std::ffi::c_void;
use std::time::Duration;

use sutazai_core::base::time::Moment;
use sutazai_core::base::{deadline, priority};

use crate::boundary::{fallible, null};
use crate::error::sutazai_error;
use crate::version::SUTAZAI_FOREVER;

/// Calls `function` on this thread. What it calls in turn has no more than `timeout_ms` milliseconds
/// (0 for no time at all, `SUTAZAI_FOREVER` for no bound of its own) and is as urgent as `priority` says:
/// 1 to 255, 0 for as urgent as what is around it.
///
/// Guards and kernels keep to it: a guard tries nothing again after the deadline, a kernel's call is given
/// up then, and where calls wait for a place, the more urgent go first. Within another one there is no more
/// time than that has. Nothing is interrupted by it. `function` answers NULL or an error, which is the
/// answer here; it must not throw or longjmp.
///
/// # Errors
/// That of `function`; `SUTAZAI_BASE_INVALID` for another priority.
///
/// # Safety
/// `function` is NULL or may be called with `user` on this thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_within(
    timeout_ms: u64,
    priority: u32,
    function: Option<unsafe extern "C" fn(user: *mut c_void) -> *mut sutazai_error>,
    user: *mut c_void,
) -> *mut sutazai_error {
    fallible(|| {
        let function = function.ok_or_else(|| null("function"))?;
        let urgency = match priority {
            0 => priority::current(),
            given => crate::call::priority(given)?,
        };
        let until = match timeout_ms {
            SUTAZAI_FOREVER => Moment::FAR,
            ms => Moment::now() + Duration::from_millis(ms),
        };
        priority::within(urgency, || {
            // SAFETY: the caller's promise.
            deadline::within(until, || unsafe { sutazai_error::taken(function(user)) })
        })
    })
}
