//! Sagas whose steps are written in C.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use sutazai_core::Result;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::reading::from_json;
use sutazai_core::port::{SagaContext, SagaStep};
use sutazai_core::recovery::{Saga, SagaPolicy, StepPolicy};

use crate::boundary::{borrow, fallible, null};
use crate::error::sutazai_error;
use crate::kernel::sutazai_kernel;
use crate::table::{DropFn, Table, User, required, take_over};
use crate::text::{json, sutazai_str, text};

/// A call of a saga's step. Everything is valid until the callback returns.
#[repr(C)]
pub struct sutazai_saga_call {
    /// The saga's identifier.
    pub saga: sutazai_str,
    /// The name of its definition.
    pub name: sutazai_str,
    /// The step's name.
    pub step: sutazai_str,
    /// The idempotency key: the same for every call of this step, in this direction, of this saga.
    pub key: sutazai_str,
    /// What the saga was begun with, as JSON.
    pub input: sutazai_str,
    /// What the steps before this one gave, as a JSON object by name.
    pub gave: sutazai_str,
    /// To undo: what the step gave, as JSON; empty when it is not known whether it took effect, because
    /// it failed or was interrupted, and to do.
    pub result: sutazai_str,
    /// The step's place in its saga, from 0.
    pub index: usize,
    /// Which try this is, from 1.
    pub attempt: u64,
}

/// Where a step puts what it gives; the callback's until it returns.
pub struct sutazai_saga_answer {
    gave: Mutex<Payload>,
}

/// What does the steps of a saga and undoes them. Callbacks must not throw or longjmp; they run on the
/// kernel's pool, may block, and may run at the same time for several sagas.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_saga_table {
    /// `sizeof(sutazai_saga_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after the last callback, on any thread. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Does the step that `call` names. What is put into `answer` with `sutazai_saga_give` is kept for
    /// the steps after it and for `undo`; `null` without. Answers NULL, or an error, which the library
    /// frees: one of class transient may be tried again, any other sends the saga back. Required.
    pub act: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            call: *const sutazai_saga_call,
            answer: *mut sutazai_saga_answer,
        ) -> *mut sutazai_error,
    >,
    /// Undoes the step that `call` names. Answers NULL, or an error, which the library frees: one of
    /// class transient may be tried again, any other leaves the saga stuck. Required.
    pub undo: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            call: *const sutazai_saga_call,
        ) -> *mut sutazai_error,
    >,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_saga_table {
    const NAME: &'static str = "sutazai_saga_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Defines a saga whose steps the table does and undoes. `description` is JSON: `name`, `steps` (objects
/// with `name` and optionally `policy`: `idempotent`, `atomic`, `retry`, `undo_retry`), and optionally
/// `policy` (`on_resume`, `deadline_ms`, `undo_retry`). Sagas of its name that an earlier process left
/// unfinished go on when the kernel starts, or here when it runs. The operations `recovery.saga_run` and
/// `recovery.saga_begin` begin one. The table's `user` belongs to the library as `sutazai_agent_add` says.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`, `SUTAZAI_BASE_ALREADY_EXISTS`.
///
/// # Safety
/// `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
/// says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_saga_define(
    kernel: *mut sutazai_kernel,
    description: *const c_char,
    description_len: usize,
    table: *const sutazai_saga_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let description = unsafe { text(description, description_len, "description") }?;
        let description: Description = from_json("saga.define", "description", description)?;
        let act = required(table.act, "act")?;
        let undo = required(table.undo, "undo")?;
        let calls = Arc::new(Calls { act, undo, user });
        let mut saga = Saga::new(description.name).policy(description.policy);
        for (index, step) in description.steps.into_iter().enumerate() {
            let calls = Arc::clone(&calls);
            saga = saga.step_with(step.name, step.policy, CStep { index, calls });
        }
        kernel.kernel.define_saga(saga)
    })
}

/// Puts what a step gives, as JSON, where the saga keeps it; the last one counts.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for what is not JSON.
///
/// # Safety
/// `answer` is NULL, or what the callback that runs was given; `gave` is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_saga_give(
    answer: *mut sutazai_saga_answer,
    gave: *const c_char,
    gave_len: usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise; it is only ever borrowed shared.
        let answer = unsafe { answer.as_ref() }.ok_or_else(|| null("answer"))?;
        // SAFETY: the caller's promise.
        let gave = unsafe { json(gave, gave_len, "gave") }?;
        *answer.gave.lock() = gave;
        Ok(())
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    #[serde(default)]
    policy: SagaPolicy,
    steps: Vec<StepDescription>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StepDescription {
    name: String,
    #[serde(default)]
    policy: StepPolicy,
}

type Act = unsafe extern "C" fn(
    *mut c_void,
    *const sutazai_saga_call,
    *mut sutazai_saga_answer,
) -> *mut sutazai_error;
type Undo = unsafe extern "C" fn(*mut c_void, *const sutazai_saga_call) -> *mut sutazai_error;

struct Calls {
    act: Act,
    undo: Undo,
    user: User,
}

struct CStep {
    index: usize,
    calls: Arc<Calls>,
}

impl CStep {
    /// Lends the context to `f` as C sees it.
    fn with_call<R>(
        &self,
        ctx: &SagaContext<'_>,
        result: Option<&Payload>,
        f: impl FnOnce(&sutazai_saga_call) -> R,
    ) -> R {
        let input = ctx.input.to_text();
        let gave: serde_json::Map<_, _> = ctx
            .gave
            .iter()
            .map(|(name, gave)| (name.to_string(), serde_json::json!(gave)))
            .collect();
        let gave = serde_json::Value::Object(gave).to_string();
        let result = result.map(Payload::to_text);
        f(&sutazai_saga_call {
            saga: sutazai_str::lend(ctx.saga),
            name: sutazai_str::lend(ctx.name),
            step: sutazai_str::lend(ctx.step),
            key: sutazai_str::lend(ctx.key),
            input: sutazai_str::lend(&input),
            gave: sutazai_str::lend(&gave),
            result: result.as_deref().map_or_else(sutazai_str::empty, sutazai_str::lend),
            index: self.index,
            attempt: u64::from(ctx.attempt),
        })
    }
}

impl SagaStep for CStep {
    fn act(&self, ctx: &SagaContext<'_>) -> Result<Payload> {
        let mut answer = sutazai_saga_answer { gave: Mutex::new(Payload::NULL) };
        let user = self.calls.user.get();
        let error = self.with_call(ctx, None, |call| {
            // SAFETY: whoever defined the saga promised that it may be called so.
            unsafe { (self.calls.act)(user, call, &raw mut answer) }
        });
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }?;
        Ok(answer.gave.into_inner())
    }

    fn undo(&self, ctx: &SagaContext<'_>, gave: Option<&Payload>) -> Result<()> {
        let user = self.calls.user.get();
        let error = self.with_call(ctx, gave, |call| {
            // SAFETY: whoever defined the saga promised that it may be called so.
            unsafe { (self.calls.undo)(user, call) }
        });
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }
    }
}
