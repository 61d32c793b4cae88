//! The system's monotonic clock in nanoseconds, and its cheap form.
//!
//! Why `unsafe`: the C library's `clock_gettime` reads the clock without entering the system. rustix
//! looks for the vDSO itself, which ends the process under valgrind, where there is none.
#![allow(unsafe_code, reason = "one call of the C library; see the module's second paragraph")]

/// The monotonic clock as of the last tick; `None` where the system has no such clock.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn coarse_nanos() -> Option<u64> {
    nanos(libc::CLOCK_MONOTONIC_COARSE)
}

/// The monotonic clock on the same scale.
#[cfg(target_os = "linux")]
pub(crate) fn fine_nanos() -> u64 {
    nanos(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

#[cfg(target_os = "linux")]
#[inline]
fn nanos(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a `timespec` of our own.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
    // Neither part is ever negative on a monotonic clock.
    let nanos = (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64);
    (failed == 0).then_some(nanos)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn coarse_nanos() -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn fine_nanos() -> u64 {
    0
}
