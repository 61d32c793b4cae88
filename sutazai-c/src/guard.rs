//! Guards: retry, budget, breaker, bulkhead, rate limit and timeout around a function.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use sutazai_core::base::payload::Payload;
use sutazai_core::base::reading::from_json;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::time::Moment;
use sutazai_core::recovery::{Attempt, Forced, Guard, GuardPolicy};
use sutazai_core::{Code, Error, Result};

use crate::boundary::{Handle, borrow, fallible, give, null, output, release};
use crate::buffer::sutazai_buffer;
use crate::error::sutazai_error;
use crate::fork::Home;
use crate::kernel::sutazai_kernel;
use crate::text::text;
use crate::version::SUTAZAI_FOREVER;

/// For `sutazai_guard_force`: the breaker decides for itself again, from closed.
pub const SUTAZAI_FORCE_NONE: u32 = 0;
/// For `sutazai_guard_force`: no call passes.
pub const SUTAZAI_FORCE_OPEN: u32 = 1;
/// For `sutazai_guard_force`: all calls pass, whatever comes of them.
pub const SUTAZAI_FORCE_CLOSED: u32 = 2;

/// Stands between a call and trouble. May be used by any number of threads at once.
pub struct sutazai_guard {
    home: Home,
    guard: Guard,
    /// A kernel's; none for the system's clock.
    runtime: Option<Arc<dyn Runtime>>,
}

impl Handle for sutazai_guard {
    const NAME: &'static str = "guard";
    fn home(&self) -> Home {
        self.home
    }
}

/// One try, as the function that is guarded sees it.
#[repr(C)]
pub struct sutazai_attempt {
    /// `sizeof(sutazai_attempt)` of the library: fields beyond it are not there.
    pub size: usize,
    /// 1 for the first try.
    pub number: u32,
    /// Milliseconds until the try is given up, `SUTAZAI_FOREVER` for never. It is not interrupted then,
    /// but not tried again.
    pub left_ms: u64,
}

/// Makes a guard. `policy` is JSON, each field optional (an empty text is fine, and does nothing):
///
/// - `timeout_ms` for the whole call, `attempt_timeout_ms` for each try
/// - `retry`: `{attempts, base_ms, max_ms, jitter, hinted}`; `budget`: `{capacity, per_success,
///   per_second, cost, timeout_cost}`
/// - `breaker`: `{consecutive, failure_rate, slow_rate, slow_ms, window, minimum, open_ms, open_max_ms,
///   probes, close_after, counts}`
/// - `bulkhead`: `{concurrency, queue}`; `rate`: `{calls, period_ms, burst}`
/// - `share`: names of a `budget`, `breaker`, `bulkhead`, `rate` that it shares with other guards of the
///   same kernel
///
/// What ends in `_ms` is milliseconds, `failure_rate` and `slow_rate` are shares from 0 to 1, a budget counts
/// tokens, and `attempts` are tries in all, the first one included. A part that is not given is off, one that is given as `{}` has its
/// defaults. `kernel.schema` with `{"operation": "recovery.guard_set"}` describes each field with its unit,
/// its bounds and its default. `hedge`, which stands there too, is refused here: C's calls are not hedged.
///
/// `kernel` may be NULL: then the time is the system's, and nothing is shared. The guard may outlive the
/// kernel.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for a policy that is not one, naming the field; `SUTAZAI_BASE_UNSUPPORTED` for
/// `hedge`.
///
/// # Safety
/// `kernel` is NULL or live; `name` and `policy` are good for reading; `out` is NULL or good for
/// writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_guard_new(
    kernel: *const sutazai_kernel,
    name: *const c_char,
    name_len: usize,
    policy: *const c_char,
    policy_len: usize,
    out: *mut *mut sutazai_guard,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (name, policy) =
            unsafe { (text(name, name_len, "name")?, text(policy, policy_len, "policy")?) };
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        let mut builder = Guard::builder(name, unhedged(read(policy)?)?);
        let mut runtime = None;
        if !kernel.is_null() {
            // SAFETY: the caller's promise.
            let kernel = &unsafe { borrow(kernel) }?.kernel;
            builder = builder
                .shared(kernel.shared_parts())
                .runtime(Arc::clone(kernel.runtime()))
                .classifier(kernel.classifier());
            runtime = Some(Arc::clone(kernel.runtime()));
        }
        let guard = builder.build()?;
        out.write(give(sutazai_guard { home: Home::here(), guard, runtime }));
        Ok(())
    })
}

/// Calls `function`, as often as it takes, on this thread, and blocks meanwhile. `function` answers NULL
/// for success or an error, which the library takes over: one that is transient is tried again. It must
/// not throw or longjmp, and may use the guard itself.
///
/// # Errors
/// The last error of `function`, with the reason why nothing more was tried; what the guard rejected:
/// `SUTAZAI_RECOVERY_BREAKER_OPEN`, `SUTAZAI_RECOVERY_BULKHEAD_FULL`, `SUTAZAI_RECOVERY_RATE_LIMITED`;
/// `SUTAZAI_BASE_DEADLINE_EXCEEDED` when there was no place in time.
///
/// # Safety
/// `guard` is NULL or live; `function` is NULL or may be called with `user` on this thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_guard_run(
    guard: *const sutazai_guard,
    function: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            attempt: *const sutazai_attempt,
        ) -> *mut sutazai_error,
    >,
    user: *mut c_void,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(guard) }?;
        let function = function.ok_or_else(|| null("function"))?;
        handle.guard.run(|attempt| {
            let attempt = handle.shown(attempt);
            // SAFETY: the caller's promise; the attempt lives until the function returns.
            unsafe { sutazai_error::taken(function(user, &raw const attempt)) }
        })
    })
}

/// The guard's figures as JSON: `{name, retries, hedges, breaker?, budget?, bulkhead?, rate_limited?}`.
///
/// # Safety
/// `guard` is NULL or live; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_guard_status(
    guard: *const sutazai_guard,
    out: *mut sutazai_buffer,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (handle, out) = unsafe { (borrow(guard)?, output(out, "out")?) };
        out.write(sutazai_buffer::of_json(&Payload::json(&handle.guard.status())?));
        Ok(())
    })
}

/// Puts another policy in force, for the calls that come from now on. Parts that stay keep their state.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for a policy that is not one, `SUTAZAI_BASE_UNSUPPORTED` for `hedge`; the old one
/// stays.
///
/// # Safety
/// `guard` is NULL or live; `policy` is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_guard_set_policy(
    guard: *const sutazai_guard,
    policy: *const c_char,
    policy_len: usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (handle, policy) = unsafe { (borrow(guard)?, text(policy, policy_len, "policy")?) };
        handle.guard.set_policy(unhedged(read(policy)?)?)
    })
}

/// Puts the guard's breaker into a state that it does not leave by itself, or gives it back:
/// `SUTAZAI_FORCE_OPEN`, `SUTAZAI_FORCE_CLOSED`, `SUTAZAI_FORCE_NONE`.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for another number; `SUTAZAI_BASE_NOT_FOUND` when it has no breaker.
///
/// # Safety
/// `guard` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_guard_force(
    guard: *const sutazai_guard,
    state: u32,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let handle = unsafe { borrow(guard) }?;
        let forced = match state {
            SUTAZAI_FORCE_NONE => None,
            SUTAZAI_FORCE_OPEN => Some(Forced::Open),
            SUTAZAI_FORCE_CLOSED => Some(Forced::Closed),
            other => {
                return Err(Error::new(Code::INVALID, "not a state that a breaker is forced into")
                    .operation("guard.force")
                    .with("state", other));
            }
        };
        let breaker = handle.guard.breaker().ok_or_else(|| {
            Error::new(Code::NOT_FOUND, "the guard has no breaker")
                .operation("guard.force")
                .with("guard", handle.guard.name())
        })?;
        breaker.force(forced);
        Ok(())
    })
}

/// Frees a guard. NULL is allowed.
///
/// # Safety
/// `guard` is NULL or live, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_guard_free(guard: *mut sutazai_guard) {
    // SAFETY: the caller's promise.
    unsafe { release(guard) }
}

impl sutazai_guard {
    fn shown(&self, attempt: Attempt) -> sutazai_attempt {
        let left_ms = if attempt.deadline == Moment::FAR {
            SUTAZAI_FOREVER
        } else {
            let now = self.runtime.as_ref().map_or_else(Moment::now, |runtime| runtime.now());
            let left = attempt.deadline.since(now).as_millis();
            u64::try_from(left).unwrap_or(SUTAZAI_FOREVER - 1)
        };
        sutazai_attempt { size: size_of::<sutazai_attempt>(), number: attempt.number, left_ms }
    }
}

fn read(policy: &str) -> Result<GuardPolicy> {
    if policy.trim().is_empty() {
        return Ok(GuardPolicy::default());
    }
    from_json("recovery.guard", "policy", policy)
}

/// Calls of C's are not hedged, and a policy that wants it is refused.
fn unhedged(policy: GuardPolicy) -> Result<GuardPolicy> {
    if policy.hedge.is_none() {
        return Ok(policy);
    }
    Err(Error::new(Code::UNSUPPORTED, "C's calls are not hedged")
        .operation("recovery.guard")
        .advice("leave `hedge` out; a kernel hedges the calls of agents: recovery.guard_set"))
}
