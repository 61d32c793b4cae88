//! Whether this is still the process that something was made in. Asking the system each time
//! (`getpid`) costs more than what it guards; so the child of a fork is told by a hook.
//!
//! Why `unsafe`: only `pthread_atfork` says so. Its hook writes to an atomic, which is allowed there.
#![allow(unsafe_code, reason = "one function of the C library; see the module's second paragraph")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many forks lie between the first process and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The process that something was made in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Home {
    /// Told by the hook.
    Generation(u64),
    /// The hook was refused, for lack of memory: by its number.
    Process(u32),
}

impl Home {
    /// This process.
    pub(crate) fn here() -> Self {
        static HOOKED: OnceLock<bool> = OnceLock::new();
        // SAFETY: the hook only writes to an atomic, and is a function that is never unloaded: it keeps no
        // reference to anything.
        let hooked =
            HOOKED.get_or_init(|| unsafe { libc::pthread_atfork(None, None, Some(in_child)) } == 0);
        match hooked {
            true => Self::Generation(GENERATION.load(Ordering::Relaxed)),
            false => Self::Process(std::process::id()),
        }
    }

    /// Whether this is still that process.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        match self {
            Self::Generation(generation) => generation == GENERATION.load(Ordering::Relaxed),
            Self::Process(id) => id == std::process::id(),
        }
    }
}

unsafe extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_of_a_fork_is_elsewhere() {
        let home = Home::here();
        assert!(home.is_here() && Home::here().is_here());
        // SAFETY: the child only reads an atomic and leaves without running anything of the parent's.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let status = i32::from(home.is_here() || !Home::here().is_here());
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(status) };
        }
        assert!(child > 0);
        let mut status = -1;
        // SAFETY: `status` is there for the time of the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status}");
        assert!(home.is_here());
        assert!(!Home::Process(std::process::id() + 1).is_here());
    }
}
