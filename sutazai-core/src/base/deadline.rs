//! The deadline that the present piece of work has to meet, carried through nested calls.
//!
//! Whoever sets a deadline for work wraps it in [`within`]; whoever waits or tries again asks
//! [`current`]. A nested deadline can only be earlier: what is called has no more time than its caller.
//!
//! ```
//! use std::time::Duration;
//! use sutazai_core::base::{deadline, time::Moment};
//!
//! let (soon, late) = (Moment::now() + Duration::from_secs(1), Moment::now() + Duration::from_secs(9));
//! assert_eq!(deadline::current(), Moment::FAR);
//! deadline::within(soon, || {
//!     deadline::within(late, || assert_eq!(deadline::current(), soon));
//! });
//! ```
//!
//! It belongs to the thread: work that is handed to another one takes it along by hand.

use std::cell::Cell;

use super::time::Moment;

thread_local! {
    static CURRENT: Cell<Moment> = const { Cell::new(Moment::FAR) };
}

/// The deadline of what runs on this thread; [`Moment::FAR`] when there is none.
#[inline]
pub fn current() -> Moment {
    CURRENT.get()
}

/// Runs `f` with this deadline, or the present one if that is earlier.
#[inline]
pub fn within<R>(deadline: Moment, f: impl FnOnce() -> R) -> R {
    let _restored = Restored(CURRENT.replace(deadline.min(CURRENT.get())));
    f()
}

/// Runs `f` with this deadline, be it earlier or later than the present one: it is other work.
#[inline]
pub(crate) fn instead<R>(deadline: Moment, f: impl FnOnce() -> R) -> R {
    let _restored = Restored(CURRENT.replace(deadline));
    f()
}

/// Sets the deadline before back, also when the work panics.
struct Restored(Moment);

impl Drop for Restored {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_restored_after_a_panic() {
        let panicked = std::panic::catch_unwind(|| within(Moment::ZERO, || panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(current(), Moment::FAR);
    }
}
