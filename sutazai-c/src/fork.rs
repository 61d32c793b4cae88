//! Handles in a forked child. `fork` copies one thread and none of the others: locks that they held
//! stay locked, and nobody is left to answer. So a handle remembers which process it is from, and
//! the child's hook makes it another one.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use sutazai_core::base::error::Fixed;
use sutazai_core::{Code, Error, Result};

/// How many forks lie between the first process and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The process that a handle was made in.
#[derive(Clone, Copy)]
pub(crate) struct Home(u64);

impl Home {
    /// This process.
    pub(crate) fn here() -> Self {
        static REGISTER: Once = Once::new();
        REGISTER.call_once(|| {
            // SAFETY: the hook only writes to atomics, which is allowed after a fork.
            let refused = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
            // Out of memory is the only reason to refuse; then a fork goes unnoticed.
            debug_assert_eq!(refused, 0);
        });
        Self(GENERATION.load(Ordering::Relaxed))
    }

    /// Whether this is still that process.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        self.0 == GENERATION.load(Ordering::Relaxed)
    }

    /// # Errors
    /// [`Code::FORKED`] when it is not.
    #[inline]
    pub(crate) fn check(self) -> Result<()> {
        static FORKED: Fixed = Fixed {
            code: Code::FORKED,
            message: "the handle belongs to the process that this one was forked from; \
                      make a kernel of your own after the fork",
        };
        if self.is_here() { Ok(()) } else { Err(Error::from(&FORKED)) }
    }
}

unsafe extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    sutazai_core::recovery::failsafe::forked();
}
