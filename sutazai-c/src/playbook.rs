//! Actions of playbooks that are written in C.

use std::ffi::{c_char, c_void};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use sutazai_core::Result;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::reading::from_json;
use sutazai_core::port::playbook::would;
use sutazai_core::port::{ActionContext, PlaybookAction};

use crate::boundary::{borrow, fallible, null};
use crate::error::sutazai_error;
use crate::kernel::sutazai_kernel;
use crate::table::{DropFn, Table, User, required, take_over};
use crate::text::{json, sutazai_str, text};

/// A call of an action. Everything is valid until the callback returns.
#[repr(C)]
pub struct sutazai_action_call {
    /// The action's name.
    pub action: sutazai_str,
    /// The playbook that asks for it.
    pub playbook: sutazai_str,
    /// Its parameters as the playbook has them, filled in, as JSON.
    pub params: sutazai_str,
    /// What set the playbook off, as JSON: `{"event": {"subject", "payload"}, "signals": {…}}`, either
    /// of them.
    pub trigger: sutazai_str,
    /// When, by the kernel's clock: RFC 3339.
    pub at: sutazai_str,
    /// The number of its entry in the record.
    pub entry: u64,
}

/// Where an action puts what it answers; the callback's until it returns.
pub struct sutazai_action_answer {
    answer: Mutex<Payload>,
}

/// Something that playbooks can do. Callbacks must not throw or longjmp; they run on the kernel's pool,
/// may block, and may run at the same time for several playbooks.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_action_table {
    /// `sizeof(sutazai_action_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after the last callback, on any thread. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Does it. What is put into `answer` with `sutazai_action_give` stands in the record; `null`
    /// without. Answers NULL, or an error, which the library frees; the playbook's escalation follows.
    /// Required.
    pub run: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            call: *const sutazai_action_call,
            answer: *mut sutazai_action_answer,
        ) -> *mut sutazai_error,
    >,
    /// Says what `run` would do, and does nothing: called in its stead in a dry run. With NULL the
    /// record says that it would be run, and with which parameters.
    pub dry_run: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            call: *const sutazai_action_call,
            answer: *mut sutazai_action_answer,
        ) -> *mut sutazai_error,
    >,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_action_table {
    const NAME: &'static str = "sutazai_action_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Makes an action known to the kernel's playbooks, before its start or while it runs. `description` is
/// JSON: `name`, by which playbooks name it, and optionally `schema`, the JSON Schema of its parameters
/// (for people; nothing is checked against it). `recovery.playbook_set_policy` says when it is taken,
/// `recovery.playbook_record` what came of it. The table's `user` belongs to the library as
/// `sutazai_agent_add` says.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`, `SUTAZAI_BASE_ALREADY_EXISTS`.
///
/// # Safety
/// `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
/// says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_playbook_action_add(
    kernel: *mut sutazai_kernel,
    description: *const c_char,
    description_len: usize,
    table: *const sutazai_action_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let description = unsafe { text(description, description_len, "description") }?;
        let description = from_json("playbook.action_add", "description", description)?;
        let run = required(table.run, "run")?;
        let action = CAction { description, run, dry_run: table.dry_run, user };
        kernel.kernel.recovery().add_action(std::sync::Arc::new(action))
    })
}

/// Puts what an action answers, as JSON, where the record has it; the last one counts.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for what is not JSON.
///
/// # Safety
/// `answer` is NULL, or what the callback that runs was given; `given` is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_action_give(
    answer: *mut sutazai_action_answer,
    given: *const c_char,
    given_len: usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise; it is only ever borrowed shared.
        let answer = unsafe { answer.as_ref() }.ok_or_else(|| null("answer"))?;
        // SAFETY: the caller's promise.
        let given = unsafe { json(given, given_len, "given") }?;
        *answer.answer.lock() = given;
        Ok(())
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    #[serde(default = "anything")]
    schema: Value,
}

/// The schema that everything fits.
fn anything() -> Value {
    Value::Object(serde_json::Map::new())
}

type Run = unsafe extern "C" fn(
    *mut c_void,
    *const sutazai_action_call,
    *mut sutazai_action_answer,
) -> *mut sutazai_error;

struct CAction {
    description: Description,
    run: Run,
    dry_run: Option<Run>,
    user: User,
}

impl PlaybookAction for CAction {
    fn name(&self) -> &str {
        &self.description.name
    }

    fn schema(&self) -> Value {
        self.description.schema.clone()
    }

    fn run(&self, context: &ActionContext<'_>, params: &Payload, dry: bool) -> Result<Payload> {
        let callback = match (dry, self.dry_run) {
            (false, _) => self.run,
            (true, Some(dry_run)) => dry_run,
            (true, None) => return Ok(would(self.name(), params)),
        };
        let (params, trigger) = (params.to_text(), context.trigger.to_text());
        let at = context.at.to_string();
        let call = sutazai_action_call {
            action: sutazai_str::lend(self.name()),
            playbook: sutazai_str::lend(context.playbook),
            params: sutazai_str::lend(&params),
            trigger: sutazai_str::lend(&trigger),
            at: sutazai_str::lend(&at),
            entry: context.entry,
        };
        let mut answer = sutazai_action_answer { answer: Mutex::new(Payload::NULL) };
        // SAFETY: whoever added the action promised that it may be called so.
        let error = unsafe { callback(self.user.get(), &raw const call, &raw mut answer) };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }?;
        Ok(answer.answer.into_inner())
    }
}
