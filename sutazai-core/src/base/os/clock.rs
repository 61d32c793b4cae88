//! The system's monotonic clock in nanoseconds, and its cheap form.

#[cfg(target_os = "linux")]
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The monotonic clock as of the last tick; `None` where the system has no such clock.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn coarse_nanos() -> Option<u64> {
    Some(nanos(clock_gettime(ClockId::MonotonicCoarse)))
}

/// The monotonic clock on the same scale.
#[cfg(target_os = "linux")]
pub(crate) fn fine_nanos() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

#[cfg(target_os = "linux")]
#[inline]
fn nanos(time: Timespec) -> u64 {
    // Both are never negative on a monotonic clock.
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn coarse_nanos() -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn fine_nanos() -> u64 {
    0
}
