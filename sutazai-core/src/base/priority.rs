//! How urgent the present piece of work is, carried through nested calls as its [deadline] is.
//!
//! Where calls have to wait for a place, the more urgent go first. What a call calls in turn is as urgent
//! as itself: else work that people wait for would queue behind what nobody waits for one layer further
//! down (B. Beyer et al., "Site Reliability Engineering", 2016, chapter 21, on criticality).
//!
//! A priority is a number from 1 to 255, higher ones first.
//!
//! ```
//! use sutazai_core::base::priority;
//!
//! assert_eq!(priority::current(), priority::NORMAL);
//! priority::within(200, || assert_eq!(priority::current(), 200));
//! ```
//!
//! It belongs to the thread: work that is handed to another one takes it along by hand.
//!
//! [deadline]: crate::base::deadline

use std::cell::Cell;

/// The priority of work of which nobody says more.
pub const NORMAL: u8 = 128;

thread_local! {
    static CURRENT: Cell<u8> = const { Cell::new(NORMAL) };
}

/// The priority of what runs on this thread; [`NORMAL`] unless somebody said otherwise.
#[inline]
pub fn current() -> u8 {
    CURRENT.get()
}

/// Runs `f` with this priority; 0 counts as 1.
#[inline]
pub fn within<R>(priority: u8, f: impl FnOnce() -> R) -> R {
    let _restored = Restored(CURRENT.replace(priority.max(1)));
    f()
}

/// Sets the priority before back, also when the work panics.
struct Restored(u8);

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
        let panicked = std::panic::catch_unwind(|| within(7, || panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(current(), NORMAL);
    }

    #[test]
    fn what_is_nested_may_be_less_urgent_too() {
        within(200, || within(0, || assert_eq!(current(), 1)));
    }
}
