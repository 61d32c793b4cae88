//! The system's monotonic clock in nanoseconds, and its cheap form. Where there is no cheap form, it is the
//! same as the clock itself.
//!
//! Why `unsafe`: the C library's `clock_gettime` reads the clock without entering the system. rustix
//! looks for the vDSO itself, which ends the process under valgrind, where there is none.
#![allow(unsafe_code, reason = "two functions of the C library; see the module's second paragraph")]

/// The monotonic clock: what `Instant` reads, as one number.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn fine_nanos() -> u64 {
    time(libc::CLOCK_MONOTONIC)
}

/// The monotonic clock on the same scale, as of the last tick.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn coarse_nanos() -> u64 {
    time(libc::CLOCK_MONOTONIC_COARSE)
}

/// How far apart ticks are.
#[cfg(target_os = "linux")]
pub(crate) fn tick_nanos() -> u64 {
    let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a `timespec` of our own.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut tick) };
    nanos(&tick)
}

#[cfg(target_os = "linux")]
#[inline]
fn time(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a `timespec` of our own. Linux has had both clocks since 2.6.32.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    nanos(&time)
}

#[cfg(target_os = "linux")]
#[inline]
fn nanos(time: &libc::timespec) -> u64 {
    // Neither part is ever negative on a monotonic clock.
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn fine_nanos() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;

    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = ORIGIN.get_or_init(Instant::now);
    u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn coarse_nanos() -> u64 {
    fine_nanos()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn tick_nanos() -> u64 {
    0
}
