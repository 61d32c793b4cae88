//! Stages of the safe state that are written in C.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use sutazai_core::Result;
use sutazai_core::base::reading::from_json;
use sutazai_core::port::{FailsafeStage, SafeContext};

use crate::boundary::{borrow, fallible};
use crate::error::sutazai_error;
use crate::kernel::sutazai_kernel;
use crate::table::{DropFn, Table, User, required, take_over};
use crate::text::{sutazai_str, text};

/// Why the safe state is taken. Everything is valid until the callback returns.
#[repr(C)]
pub struct sutazai_safe_call {
    /// The stage's name.
    pub stage: sutazai_str,
    /// What set it off: `critical`, `panic`, `signal` or `host`.
    pub trigger: sutazai_str,
    /// In words.
    pub reason: sutazai_str,
    /// Milliseconds that the stage has. It is left behind afterwards.
    pub within_ms: u64,
}

/// A step of the way to the safe state. The callback must not throw or longjmp.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_stage_table {
    /// `sizeof(sutazai_stage_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after the last callback, on any thread. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Does it; runs once, on a thread of its own, and may block. Answers NULL, or an error, which the
    /// library frees; it is reported, and the next stage follows. One that was left behind may run on
    /// when the kernel has been freed: `user` stays, the kernel's handle does not. Required.
    pub run: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            call: *const sutazai_safe_call,
        ) -> *mut sutazai_error,
    >,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_stage_table {
    const NAME: &'static str = "sutazai_stage_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Adds a stage on the way to the safe state, before the kernel's start or while it runs: after those
/// of the host's that are there, before the kernel's own (`stop_admitting`, `drain`, `flush`, `dump`).
/// `description` is JSON: `name`, and optionally `within_ms` (1,000). `recovery.failsafe_set_policy`
/// says what takes the safe state (a critical error, SIGTERM), `recovery.failsafe_trigger` takes it.
/// The table's `user` belongs to the library as `sutazai_agent_add` says.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`, `SUTAZAI_BASE_ALREADY_EXISTS`; `SUTAZAI_RECOVERY_SAFE_STATE` once the safe
/// state is taken.
///
/// # Safety
/// `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
/// says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_failsafe_stage_add(
    kernel: *mut sutazai_kernel,
    description: *const c_char,
    description_len: usize,
    table: *const sutazai_stage_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let description = unsafe { text(description, description_len, "description") }?;
        let description = from_json("failsafe.stage_add", "description", description)?;
        let run = required(table.run, "run")?;
        kernel.kernel.recovery().add_stage(std::sync::Arc::new(CStage { description, run, user }))
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    within_ms: Option<u64>,
}

struct CStage {
    description: Description,
    run: unsafe extern "C" fn(*mut c_void, *const sutazai_safe_call) -> *mut sutazai_error,
    user: User,
}

impl FailsafeStage for CStage {
    fn name(&self) -> &str {
        &self.description.name
    }

    fn within(&self) -> Duration {
        Duration::from_millis(self.description.within_ms.unwrap_or(1_000))
    }

    fn run(&self, context: &SafeContext<'_>) -> Result<()> {
        let call = sutazai_safe_call {
            stage: sutazai_str::lend(self.name()),
            trigger: sutazai_str::lend(context.trigger),
            reason: sutazai_str::lend(context.reason),
            within_ms: u64::try_from(context.within.as_millis()).unwrap_or(u64::MAX),
        };
        // SAFETY: whoever added the stage promised that it may be called so.
        let error = unsafe { (self.run)(self.user.get(), &raw const call) };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }
    }
}
