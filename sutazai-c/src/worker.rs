//! What supervised children do, written in C: loops, and handlers of messages.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use sutazai_core::base::reading::from_json;
use sutazai_core::port::{MessageWorker, Worker, WorkerLife, WorkerMessage};
use sutazai_core::recovery::supervise::mailbox::MailboxPolicy;
use sutazai_core::{Code, Error, Result};

use crate::boundary::{borrow, fallible, infallible};
use crate::error::sutazai_error;
use crate::kernel::sutazai_kernel;
use crate::table::{DropFn, Table, User, take_over};
use crate::text::{sutazai_str, text};

/// One life of a loop; the callback's until it returns.
pub struct sutazai_worker_life {
    life: WorkerLife,
}

/// A message that a child has in hand. Everything is valid until the callback returns.
#[repr(C)]
pub struct sutazai_worker_message {
    /// The path of the child: `main>workers>reviewer`.
    pub child: sutazai_str,
    /// What it says, as JSON.
    pub body: sutazai_str,
    /// Its number within the child's mailbox.
    pub id: u64,
    /// How often it was in hand when its child came down.
    pub kills: u64,
}

/// What children of trees of supervisors do: one of `run` and `handle`. Callbacks must not throw or
/// longjmp, and may run at the same time for several children. What would wait for the end of the child
/// whose callback waits (its restart, the removal of its tree, the stop of its kernel) answers
/// `SUTAZAI_BASE_WOULD_DEADLOCK`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_worker_table {
    /// `sizeof(sutazai_worker_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after the last callback, on any thread. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// A loop, on a thread of the child's own, until it is done or `sutazai_worker_wait` says that it is
    /// told to stop. Answers NULL, or an error, which the library frees: the child has failed.
    pub run: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            life: *const sutazai_worker_life,
        ) -> *mut sutazai_error,
    >,
    /// Does a message; one after the other, on a thread of the child's own. Answers NULL, or an error, which the
    /// library frees: the child comes down. The message goes back to its place for the next life; when
    /// it brings that one down too, it is set aside.
    pub handle: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            message: *const sutazai_worker_message,
        ) -> *mut sutazai_error,
    >,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_worker_table {
    const NAME: &'static str = "sutazai_worker_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Registers what children of trees can do. `description` is JSON: `name`, by which children name it
/// (`does`), and for `handle` optionally `mailbox` (`capacity`, `overflow`, `kills`, `poison_capacity`).
/// The operation `recovery.tree_add` adds a tree, `recovery.mailbox_push` gives a child a message. The
/// table's `user` belongs to the library as `sutazai_agent_add` says.
///
/// A callback cannot be interrupted. Of one whose child is killed, by `"shutdown": "brutal_kill"` or
/// because its time is up, nothing counts any more, but it runs on beside the child's next life until it
/// returns: it must be ready to run twice at once.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`, also for a table with both callbacks or none; `SUTAZAI_BASE_ALREADY_EXISTS`.
///
/// # Safety
/// `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
/// says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_worker_add(
    kernel: *mut sutazai_kernel,
    description: *const c_char,
    description_len: usize,
    table: *const sutazai_worker_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let description = unsafe { text(description, description_len, "description") }?;
        let description: Description = from_json("worker.add", "description", description)?;
        let workers = kernel.kernel.workers();
        match (table.run, table.handle, description.mailbox) {
            (Some(run), None, None) => {
                workers.add(&description.name, Arc::new(CLoop { run, user }))
            }
            (None, Some(handle), policy) => {
                let worker = Arc::new(CHandler { handle, user });
                workers.add_messages(&description.name, policy.unwrap_or_default(), worker)
            }
            (Some(_), None, Some(_)) => {
                Err(Error::new(Code::INVALID, "a loop has no mailbox").operation("worker.add"))
            }
            _ => Err(Error::new(Code::INVALID, "a worker has one of run and handle")
                .operation("worker.add")
                .with("table", sutazai_worker_table::NAME)),
        }
    })
}

/// Pauses for `ms` milliseconds, or until the child is told to stop; says whether it was. 0 only asks.
/// True for NULL.
///
/// # Safety
/// `life` is NULL, or what the callback that runs was given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_worker_wait(life: *const sutazai_worker_life, ms: u64) -> bool {
    infallible(true, || {
        // SAFETY: the caller's promise.
        unsafe { life.as_ref() }.is_none_or(|life| life.life.wait(Duration::from_millis(ms)))
    })
}

/// The path of the child, `main>workers>reviewer`, valid until the callback returns; empty for NULL.
///
/// # Safety
/// `life` is NULL, or what the callback that runs was given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_worker_child(life: *const sutazai_worker_life) -> sutazai_str {
    // SAFETY: the caller's promise.
    let life = unsafe { life.as_ref() };
    life.map_or_else(sutazai_str::empty, |life| sutazai_str::lend(&life.life.life().path))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    mailbox: Option<MailboxPolicy>,
}

type Run = unsafe extern "C" fn(*mut c_void, *const sutazai_worker_life) -> *mut sutazai_error;
type Handle =
    unsafe extern "C" fn(*mut c_void, *const sutazai_worker_message) -> *mut sutazai_error;

struct CLoop {
    run: Run,
    user: User,
}

impl Worker for CLoop {
    fn run(&self, life: &WorkerLife) -> Result<()> {
        let life = sutazai_worker_life { life: life.clone() };
        // SAFETY: whoever registered it promised that it may be called so.
        let error = unsafe { (self.run)(self.user.get(), &raw const life) };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }
    }
}

struct CHandler {
    handle: Handle,
    user: User,
}

impl MessageWorker for CHandler {
    fn handle(&self, message: &WorkerMessage<'_>) -> Result<()> {
        let body = message.body.to_text();
        let message = sutazai_worker_message {
            child: sutazai_str::lend(&message.life.path),
            body: sutazai_str::lend(&body),
            id: message.id,
            kills: u64::from(message.kills),
        };
        // SAFETY: whoever registered it promised that it may be called so.
        let error = unsafe { (self.handle)(self.user.get(), &raw const message) };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }
    }
}
