//! Monitors that are written in C.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use parking_lot::Mutex;
use sutazai_core::Result;
use sutazai_core::base::time::Timestamp;
use sutazai_core::monitor::check_measurement;
use sutazai_core::port::{Monitor, Samples};

use crate::boundary::{borrow, fallible, null};
use crate::error::sutazai_error;
use crate::kernel::sutazai_kernel;
use crate::table::{DropFn, Table, User, required, take_over};
use crate::text::text;
use crate::time::milliseconds;

/// Where a `sample` says what it measures; the callback's until it returns.
pub struct sutazai_samples {
    given: Mutex<Samples>,
}

/// Takes measurements of something. Callbacks must not throw or longjmp; they may block briefly, and run on any thread,
/// one at a time for one monitor, while that of another one may be under way. One that takes longer than a sample waits is not called again
/// before it has returned, and the others go on; see docs/monitoring.md.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_monitor_table {
    /// `sizeof(sutazai_monitor_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after the last callback, on any thread. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Measures: `sutazai_samples_add` with `samples` for each value, and NULL. `now_ms` is the sample's time by the
    /// kernel's clock, in milliseconds since 1970. An error, which the library frees, says that something could not be
    /// measured; what was added is kept. Required.
    pub sample: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            now_ms: i64,
            samples: *mut sutazai_samples,
        ) -> *mut sutazai_error,
    >,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_monitor_table {
    const NAME: &'static str = "sutazai_monitor_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Adds a monitor, before the kernel's start or while it runs: what it measures is part of each sample from then on.
/// `name` has 1 to 64 bytes without control characters. When it fails, the operation `monitor.sample` says so among its
/// `failures`, and the log has a line. The table's `user` belongs to the library as `sutazai_agent_add` says; it is let
/// go of when the operation `monitor.remove` takes the monitor away, and when the kernel has stopped.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`; `SUTAZAI_BASE_ALREADY_EXISTS` where there is a monitor of the name;
/// `SUTAZAI_BASE_OVERLOADED` beyond 256; `SUTAZAI_BASE_NOT_RUNNING` while the kernel starts, and after its stop.
///
/// # Safety
/// `kernel` is NULL or live; `name` is good for reading; `table` is NULL or as its `size` says, and its callbacks do as
/// they promise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_monitor_add(
    kernel: *mut sutazai_kernel,
    name: *const c_char,
    name_len: usize,
    table: *const sutazai_monitor_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, name_len, "name") }?.to_owned();
        let sample = required(table.sample, "sample")?;
        kernel.kernel.add_shared_monitor(Arc::new(CMonitor { name, sample, user }))
    })
}

/// A measurement: `series` is its name with its unit, as Prometheus names have them (`queue_length`,
/// `cache_bytes`; one in `_total` is a counter), of 1 to 200 bytes without control characters. What is refused is not part of the sample, and
/// what was added before stays.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`, also for a value that is not finite. Whether there is room for the series is seen when the sample is kept
/// (`failures` of `monitor.sample`).
///
/// # Safety
/// `samples` is NULL, or what the callback that runs was given; `series` is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_samples_add(
    samples: *mut sutazai_samples,
    series: *const c_char,
    series_len: usize,
    value: f64,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise; it is only ever borrowed shared.
        let samples = unsafe { samples.as_ref() }.ok_or_else(|| null("samples"))?;
        // SAFETY: the caller's promise.
        let series = unsafe { text(series, series_len, "series") }?;
        check_measurement(series, value)?;
        samples.given.lock().add(series, value);
        Ok(())
    })
}

struct CMonitor {
    name: String,
    sample: unsafe extern "C" fn(*mut c_void, i64, *mut sutazai_samples) -> *mut sutazai_error,
    user: User,
}

impl Monitor for CMonitor {
    fn name(&self) -> &str {
        &self.name
    }

    fn sample(&self, now: Timestamp, out: &mut Samples) -> Result<()> {
        let mut samples = sutazai_samples { given: Mutex::new(std::mem::take(out)) };
        // SAFETY: whoever added it promised that it may be called so.
        let error = unsafe { (self.sample)(self.user.get(), milliseconds(now), &raw mut samples) };
        *out = samples.given.into_inner();
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }
    }
}
