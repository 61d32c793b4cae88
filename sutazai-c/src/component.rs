//! Components written in C: what the kernel starts and stops.

use std::ffi::{c_char, c_void};
use std::sync::Weak;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use sutazai_core::Result;
use sutazai_core::base::reading::from_json;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::time::Moment;
use sutazai_core::port::Component;

use crate::boundary::{borrow, fallible};
use crate::error::sutazai_error;
use crate::kernel::sutazai_kernel;
use crate::table::{DropFn, Table, User, required, take_over};
use crate::text::text;

/// Something with a beginning and an end. Callbacks must not throw or longjmp.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_component_table {
    /// `sizeof(sutazai_component_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after the last callback, on any thread. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Starts, within `left_ms` milliseconds; may block. Answers NULL, or an error, which the
    /// library frees. Runs on the kernel's pool. Required.
    pub start: Option<unsafe extern "C" fn(user: *mut c_void, left_ms: u64) -> *mut sutazai_error>,
    /// Stops, as `start` starts. May be NULL.
    pub stop: Option<unsafe extern "C" fn(user: *mut c_void, left_ms: u64) -> *mut sutazai_error>,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_component_table {
    const NAME: &'static str = "sutazai_component_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Adds a component, which starts with the kernel, or here when the kernel runs. `description` is
/// JSON: `name`, and optionally `needs` (the names of components that must run before it),
/// `start_within_ms` (30,000) and `stop_within_ms` (10,000). The table's `user` belongs to the
/// library as `sutazai_agent_add` says.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`, `SUTAZAI_BASE_ALREADY_EXISTS`; in a kernel that runs also
/// `SUTAZAI_KERNEL_COMPONENT_MISSING` and what `start` answers.
///
/// # Safety
/// `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
/// says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_component_add(
    kernel: *mut sutazai_kernel,
    description: *const c_char,
    description_len: usize,
    table: *const sutazai_component_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let description = unsafe { text(description, description_len, "description") }?;
        let description: Description = from_json("component.add", "description", description)?;
        let start = required(table.start, "start")?;
        let runtime = std::sync::Arc::downgrade(kernel.kernel.runtime());
        let component = CComponent { description, start, stop: table.stop, runtime, user };
        kernel.kernel.lifecycle().add(std::sync::Arc::new(component))
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    #[serde(default)]
    needs: Vec<String>,
    start_within_ms: Option<u64>,
    stop_within_ms: Option<u64>,
}

type Callback = unsafe extern "C" fn(*mut c_void, u64) -> *mut sutazai_error;

struct CComponent {
    description: Description,
    start: Callback,
    stop: Option<Callback>,
    runtime: Weak<dyn Runtime>,
    user: User,
}

impl CComponent {
    fn call(&self, callback: Callback, deadline: Moment) -> Result<()> {
        let runtime = self.runtime.upgrade();
        let left = runtime.map_or(0, |runtime| deadline.since(runtime.now()).as_millis());
        // SAFETY: whoever added the table promised that it may be called so.
        let answer = unsafe { callback(self.user.get(), u64::try_from(left).unwrap_or(u64::MAX)) };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(answer) }
    }
}

impl Component for CComponent {
    fn name(&self) -> &str {
        &self.description.name
    }

    fn needs(&self) -> Vec<String> {
        self.description.needs.clone()
    }

    fn start(&self, deadline: Moment) -> Result<()> {
        self.call(self.start, deadline)
    }

    fn stop(&self, deadline: Moment) -> Result<()> {
        self.stop.map_or(Ok(()), |stop| self.call(stop, deadline))
    }

    fn start_within(&self) -> Duration {
        Duration::from_millis(self.description.start_within_ms.unwrap_or(30_000))
    }

    fn stop_within(&self) -> Duration {
        Duration::from_millis(self.description.stop_within_ms.unwrap_or(10_000))
    }
}
