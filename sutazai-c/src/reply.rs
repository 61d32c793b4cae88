//! The agent's end of a call.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use parking_lot::Mutex;
use sutazai_core::base::error::Fixed;
use sutazai_core::base::ticket::Reply;
use sutazai_core::port::{Outcome, Usage};
use sutazai_core::{Code, Error, Result};

use crate::boundary::{Handle, borrow, fallible, infallible, null, peek, release};
use crate::error::{made, sutazai_error};
use crate::fork::Home;
use crate::table::{DropFn, Table, required, take_over};
use crate::task::sutazai_task;
use crate::text::json;

/// The right to answer a call, once. Good until it is freed, also after the call was answered, the
/// kernel stopped, or the kernel was freed. May be used from any thread.
pub struct sutazai_reply {
    home: Home,
    task: sutazai_task,
    slot: Mutex<Slot>,
    /// What the call took, as far as the agent has said.
    used: Mutex<Option<Usage>>,
}

enum Slot {
    Whole(Reply<Outcome>),
    /// Lent to callers of `progress` and `on_cancel`, which run foreign code without the lock.
    Lent(Arc<Lent>),
    Answered,
}

/// A reply that several threads use. Answering consumes it: the answer is left beside it, and
/// whoever lets go last gives it, so that it is always the worker's own.
struct Lent {
    reply: Option<Reply<Outcome>>,
    answer: Mutex<Option<Result<Outcome>>>,
}

impl Lent {
    fn cancelled(&self) -> bool {
        self.reply.as_ref().is_none_or(Reply::cancelled)
    }

    fn finish(mut self) -> Result<()> {
        match (self.reply.take(), self.answer.get_mut().take()) {
            (Some(reply), Some(answer)) => reply.answer(answer).map_err(|_| too_late()),
            _ => Ok(()),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Without an answer the reply is dropped, which answers `ABANDONED`.
        if let (Some(reply), Some(answer)) = (self.reply.take(), self.answer.get_mut().take()) {
            let _ = reply.answer(answer);
        }
    }
}

impl sutazai_reply {
    /// Hands a reply and its task to C.
    pub(crate) fn give(
        home: Home,
        task: sutazai_task,
        reply: Reply<Outcome>,
    ) -> (*mut Self, *const sutazai_task) {
        let handle = crate::boundary::give(Self {
            home,
            task,
            slot: Mutex::new(Slot::Whole(reply)),
            used: Mutex::default(),
        });
        // SAFETY: it was made right here.
        (handle, unsafe { &raw const (*handle).task })
    }

    /// Answers; no lock is held while the caller's code runs.
    fn answer(&self, answer: Result<Outcome>) -> Result<()> {
        let used = *self.used.lock();
        let answer = answer.map(|outcome| match used {
            Some(used) => outcome.used(used),
            None => outcome,
        });
        let slot = std::mem::replace(&mut *self.slot.lock(), Slot::Answered);
        match slot {
            Slot::Whole(reply) => reply.answer(answer).map_err(|_| too_late()),
            Slot::Lent(lent) if lent.cancelled() => Err(too_late()),
            Slot::Lent(lent) => {
                *lent.answer.lock() = Some(answer);
                Arc::into_inner(lent).map_or(Ok(()), Lent::finish)
            }
            Slot::Answered => Err(too_late()),
        }
    }

    /// The reply, to be used without the lock.
    fn share(&self) -> Option<Arc<Lent>> {
        let mut slot = self.slot.lock();
        let lent = match std::mem::replace(&mut *slot, Slot::Answered) {
            Slot::Whole(reply) => Arc::new(Lent { reply: Some(reply), answer: Mutex::default() }),
            Slot::Lent(lent) => lent,
            Slot::Answered => return None,
        };
        *slot = Slot::Lent(Arc::clone(&lent));
        Some(lent)
    }

    /// Runs `f` on the reply without the lock; `None` once it was answered.
    fn with<R>(&self, f: impl FnOnce(&Reply<Outcome>) -> R) -> Option<R> {
        self.share()?.reply.as_ref().map(f)
    }

    fn is_cancelled(&self) -> bool {
        match &*self.slot.lock() {
            Slot::Whole(reply) => reply.cancelled(),
            Slot::Lent(lent) => lent.cancelled(),
            Slot::Answered => true,
        }
    }
}

impl Handle for sutazai_reply {
    const NAME: &'static str = "reply";
    fn home(&self) -> Home {
        self.home
    }
}

/// What to do when nobody wants the answer any more. Must not throw or longjmp.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_cancel_table {
    /// `sizeof(sutazai_cancel_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, on any thread, also when the call was never cancelled. May be
    /// NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// The call was cancelled, or its deadline passed. Runs at most once, on the thread that
    /// cancelled it; must not block. Required.
    pub cancelled: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_cancel_table {
    const NAME: &'static str = "sutazai_cancel_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Answers the call with `output` (JSON; empty is `null`). The reply is still to be freed.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for an output that is not UTF-8 or not JSON: the call is not answered then.
/// `SUTAZAI_BASE_TOO_LATE` when the call has its answer: it was answered before, was cancelled, is
/// past its deadline, or its kernel stopped.
///
/// # Safety
/// `reply` is NULL or live; `output` is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_reply_send(
    reply: *mut sutazai_reply,
    output: *const c_char,
    output_len: usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let reply = unsafe { borrow(reply) }?;
        // SAFETY: the caller's promise.
        let output = unsafe { json(output, output_len, "output") }?;
        reply.answer(Ok(Outcome::new(output)))
    })
}

/// Says what the call took, for the ledger and for tasks with a ceiling of cost: tokens that a model read and wrote,
/// and a cost in the host's unit of account. Counted when the call succeeds, so said before it is answered; said
/// again, the last counts.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for a cost that is not a number from 0.
///
/// # Safety
/// `reply` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_reply_used(
    reply: *mut sutazai_reply,
    input_tokens: u64,
    output_tokens: u64,
    cost: f64,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let reply = unsafe { borrow(reply) }?;
        let used = Usage::new(input_tokens, output_tokens, cost);
        used.check().map_err(|error| error.operation("reply.used"))?;
        *reply.used.lock() = Some(used);
        Ok(())
    })
}

/// Answers the call with an error: a code (`SUTAZAI_AGENT_FAILED` is an agent's ordinary one), a
/// class (`SUTAZAI_CLASS_OF_CODE` for the code's own) and a message for people.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for a code, class or message that is not valid: the call is not answered
/// then. `SUTAZAI_BASE_TOO_LATE` as `sutazai_reply_send`.
///
/// # Safety
/// `reply` is NULL or live; `message` is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_reply_fail(
    reply: *mut sutazai_reply,
    code: u32,
    class: u32,
    message: *const c_char,
    message_len: usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let reply = unsafe { borrow(reply) }?;
        // SAFETY: the caller's promise.
        let error = unsafe { made(code, class, message, message_len) }?;
        reply.answer(Err(error))
    })
}

/// Answers the call with an error that the agent has, from a call of its own for example. `error`
/// stays the caller's.
///
/// # Errors
/// `SUTAZAI_BASE_TOO_LATE` as `sutazai_reply_send`.
///
/// # Safety
/// `reply` and `error` are NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_reply_fail_with(
    reply: *mut sutazai_reply,
    error: *const sutazai_error,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let reply = unsafe { borrow(reply) }?;
        // SAFETY: the caller's promise.
        let error = unsafe { error.as_ref() }.ok_or_else(|| null("error"))?;
        reply.answer(Err(error.error().clone()))
    })
}

/// Streams a partial result (JSON), which the caller reads with `sutazai_ticket_next_part`. At most
/// 256 wait; beyond that the oldest is dropped and counted.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for a part that is not JSON, `SUTAZAI_BASE_TOO_LATE` when the call has its
/// answer.
///
/// # Safety
/// `reply` is NULL or live; `part` is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_reply_progress(
    reply: *mut sutazai_reply,
    part: *const c_char,
    part_len: usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let reply = unsafe { borrow(reply) }?;
        // SAFETY: the caller's promise.
        let part = unsafe { json(part, part_len, "part") }?;
        reply.with(|reply| reply.progress(part)).ok_or_else(too_late)?
    })
}

/// Whether nobody wants the answer any more: the call was cancelled, is past its deadline, or was
/// answered. True for NULL.
///
/// # Safety
/// `reply` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_reply_cancelled(reply: *const sutazai_reply) -> bool {
    // SAFETY: the caller's promise.
    infallible(true, || unsafe { peek(reply) }.is_none_or(sutazai_reply::is_cancelled))
}

/// Runs a callback when the call is cancelled or its deadline passes; right here when that has
/// happened. The table's `user` belongs to the library as `sutazai_agent_add` says.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for a table that is not valid, `SUTAZAI_BASE_TOO_LATE` when the agent has
/// answered.
///
/// # Safety
/// `reply` is NULL or live; `table` is NULL or as its `size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_reply_on_cancel(
    reply: *mut sutazai_reply,
    table: *const sutazai_cancel_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let reply = unsafe { borrow(reply) }?;
        let cancelled = required(table.cancelled, "cancelled")?;
        // SAFETY: the caller promised that the table's callbacks may be called so.
        let callback = move || unsafe { cancelled(user.get()) };
        reply.with(|reply| reply.on_cancel(callback)).ok_or_else(too_late)
    })
}

/// Frees a reply and its task. When the call has no answer yet it is answered
/// `SUTAZAI_BASE_ABANDONED`. NULL is allowed.
///
/// # Safety
/// `reply` is NULL or live, and nobody uses it or its task any more; freeing it twice is undefined.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_reply_free(reply: *mut sutazai_reply) {
    // SAFETY: the caller's promise.
    unsafe { release(reply) }
}

fn too_late() -> Error {
    static TOO_LATE: Fixed =
        Fixed { code: Code::TOO_LATE, message: "the call has its answer already" };
    Error::from(&TOO_LATE)
}
