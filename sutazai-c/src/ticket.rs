//! The caller's end of a call.

use std::ffi::c_void;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use sutazai_core::base::error::Fixed;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::ticket::{Settler, Ticket};
use sutazai_core::port::Outcome;
use sutazai_core::{Code, Error, Result};

use crate::boundary::{
    Handle, borrow, fallible, give, infallible, output, peek, release, take_back,
};
use crate::buffer::sutazai_buffer;
use crate::error::sutazai_error;
use crate::fork::Home;
use crate::table::{DropFn, Table, required, take_over};
use crate::version::SUTAZAI_FOREVER;

/// A call under way. Its answer is given out once. May be used from any thread; while one waits,
/// others may cancel it or ask whether it is done.
pub struct sutazai_ticket {
    home: Home,
    inner: Mutex<Inner>,
    settle: Settle,
}

/// A call of an agent, or of an operation.
enum Inner {
    Call(Ticket<Outcome>),
    Operation(Ticket<Payload>),
    /// The answer goes, or went, somewhere else.
    Gone,
}

/// What cancels the call, also while another thread waits for it and after `on_done`.
enum Settle {
    Call(Option<Settler<Outcome>>),
    Operation(Option<Settler<Payload>>),
}

impl sutazai_ticket {
    pub(crate) fn of_call(ticket: Ticket<Outcome>) -> *mut Self {
        let settle = Settle::Call(ticket.settler());
        give(Self { home: Home::here(), inner: Mutex::new(Inner::Call(ticket)), settle })
    }

    pub(crate) fn of_operation(ticket: Ticket<Payload>) -> *mut Self {
        let settle = Settle::Operation(ticket.settler());
        give(Self { home: Home::here(), inner: Mutex::new(Inner::Operation(ticket)), settle })
    }

    /// The ticket itself, unless another thread has it for longer than `timeout`.
    fn lock(&self, timeout: Option<Duration>) -> Result<MutexGuard<'_, Inner>> {
        match timeout {
            None => Ok(self.inner.lock()),
            Some(timeout) => self.inner.try_lock_for(timeout).ok_or_else(no_answer_yet),
        }
    }

    fn cancel(&self) {
        match &self.settle {
            Settle::Call(Some(settler)) => settler.cancel(),
            Settle::Operation(Some(settler)) => settler.cancel(),
            Settle::Call(None) | Settle::Operation(None) => false,
        };
    }

    fn is_done(&self) -> bool {
        match self.inner.try_lock().as_deref() {
            Some(Inner::Call(ticket)) => ticket.is_done(),
            Some(Inner::Operation(ticket)) => ticket.is_done(),
            Some(Inner::Gone) | None => match &self.settle {
                Settle::Call(settler) => settler.as_ref().is_none_or(Settler::is_settled),
                Settle::Operation(settler) => settler.as_ref().is_none_or(Settler::is_settled),
            },
        }
    }
}

impl Inner {
    fn wait(&mut self, timeout: Option<Duration>) -> Result<Payload> {
        match self {
            Self::Call(ticket) => wait(ticket, timeout).map(|outcome| outcome.output),
            Self::Operation(ticket) => wait(ticket, timeout),
            Self::Gone => Err(taken()),
        }
    }

    fn try_take(&mut self) -> Result<Payload> {
        match self {
            Self::Call(ticket) => ticket.try_take().map(|answer| answer.map(|o| o.output)),
            Self::Operation(ticket) => ticket.try_take(),
            Self::Gone => Some(Err(taken())),
        }
        .unwrap_or_else(|| Err(no_answer_yet()))
    }

    fn part(&mut self, timeout: Duration) -> Result<Payload> {
        match self {
            Self::Call(ticket) => part(ticket, timeout),
            Self::Operation(ticket) => part(ticket, timeout),
            Self::Gone => Err(taken()),
        }
    }
}

impl Handle for sutazai_ticket {
    const NAME: &'static str = "ticket";
    fn home(&self) -> Home {
        self.home
    }
}

/// Where a call's answer goes. Must not throw or longjmp.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_done_table {
    /// `sizeof(sutazai_done_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, on any thread. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// The call has its answer: `error` is NULL and `answer` is it, or `error` is not NULL and
    /// `answer` is empty. Both are the callback's to free. Runs once, on the answering thread; must
    /// not block. Required.
    pub done: Option<
        unsafe extern "C" fn(user: *mut c_void, error: *mut sutazai_error, answer: sutazai_buffer),
    >,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_done_table {
    const NAME: &'static str = "sutazai_done_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Blocks until the call has its answer, for at most `timeout_ms` milliseconds (`SUTAZAI_FOREVER`
/// for without end). `out` gets the answer, JSON.
///
/// # Errors
/// The call's own. `SUTAZAI_BASE_TIMEOUT` when there is no answer by then: the call goes on, and the
/// ticket stays good. `SUTAZAI_BASE_TAKEN` when the answer was given out before.
/// `SUTAZAI_BASE_WOULD_DEADLOCK` under virtual time and on threads that must not block.
///
/// # Safety
/// `ticket` is NULL or live; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_ticket_wait(
    ticket: *mut sutazai_ticket,
    timeout_ms: u64,
    out: *mut sutazai_buffer,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let ticket = unsafe { borrow(ticket) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        let timeout = duration(timeout_ms);
        let answer = ticket.lock(timeout)?.wait(timeout)?;
        out.write(sutazai_buffer::of_json(&answer));
        Ok(())
    })
}

/// Takes the answer if it is there; never blocks.
///
/// # Errors
/// The call's own; `SUTAZAI_BASE_TIMEOUT` while there is no answer; `SUTAZAI_BASE_TAKEN` when it was
/// given out before.
///
/// # Safety
/// `ticket` is NULL or live; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_ticket_try(
    ticket: *mut sutazai_ticket,
    out: *mut sutazai_buffer,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let ticket = unsafe { borrow(ticket) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        let answer = ticket.lock(Some(Duration::ZERO))?.try_take()?;
        out.write(sutazai_buffer::of_json(&answer));
        Ok(())
    })
}

/// Whether the call has its answer. True for NULL.
///
/// # Safety
/// `ticket` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_ticket_is_done(ticket: *const sutazai_ticket) -> bool {
    // SAFETY: the caller's promise.
    infallible(true, || unsafe { peek(ticket) }.is_none_or(sutazai_ticket::is_done))
}

/// Blocks until the call's agent reports a partial result, for at most `timeout_ms` milliseconds
/// (0 to take only one that waits). `out` gets it, JSON.
///
/// # Errors
/// `SUTAZAI_BASE_TIMEOUT` when none came by then; `SUTAZAI_BASE_NOT_FOUND` when there are no more:
/// the call has its answer and all were read.
///
/// # Safety
/// `ticket` is NULL or live; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_ticket_next_part(
    ticket: *mut sutazai_ticket,
    timeout_ms: u64,
    out: *mut sutazai_buffer,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let ticket = unsafe { borrow(ticket) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        let timeout = duration(timeout_ms).unwrap_or(LONGEST);
        let part = ticket.lock(Some(timeout))?.part(timeout)?;
        out.write(sutazai_buffer::of_json(&part));
        Ok(())
    })
}

/// Has a callback called with the answer, on the answering thread, or right here when it is there
/// already. The ticket gives no answer itself any more; it can still cancel, and is still to be
/// freed, which no longer cancels. The table's `user` belongs to the library as `sutazai_agent_add`
/// says.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for a table that is not valid; `SUTAZAI_BASE_TAKEN` when the answer was
/// given out before, or another thread waits for it.
///
/// # Safety
/// `ticket` is NULL or live; `table` is NULL or as its `size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_ticket_on_done(
    ticket: *mut sutazai_ticket,
    table: *const sutazai_done_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let ticket = unsafe { borrow(ticket) }?;
        let done = required(table.done, "done")?;
        let inner = match ticket.inner.try_lock() {
            Some(mut inner) => std::mem::replace(&mut *inner, Inner::Gone),
            None => Inner::Gone,
        };
        let tell = move |answer: Result<Payload>| {
            let (error, answer) = match answer {
                Ok(answer) => (std::ptr::null_mut(), sutazai_buffer::of_json(&answer)),
                Err(error) => (sutazai_error::give(error), sutazai_buffer::EMPTY),
            };
            // SAFETY: the caller promised that the table's callbacks may be called so.
            unsafe { done(user.get(), error, answer) }
        };
        match inner {
            Inner::Call(ticket) => {
                ticket.on_done(move |answer| tell(answer.map(|outcome| outcome.output)));
            }
            Inner::Operation(ticket) => ticket.on_done(tell),
            Inner::Gone => return Err(taken()),
        }
        Ok(())
    })
}

/// Cancels the call, unless it has its answer: it is answered `SUTAZAI_BASE_CANCELLED`, and the
/// agent is told.
///
/// # Errors
/// Only those of a bad handle.
///
/// # Safety
/// `ticket` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_ticket_cancel(ticket: *mut sutazai_ticket) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        unsafe { borrow(ticket) }?.cancel();
        Ok(())
    })
}

/// Frees a ticket and lets its call go on without anybody to hear the answer. NULL is allowed.
///
/// # Safety
/// `ticket` is NULL or live, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_ticket_detach(ticket: *mut sutazai_ticket) {
    infallible((), || {
        // SAFETY: the caller's promise.
        let Some(handle) = (unsafe { take_back(ticket) }) else { return };
        match handle.inner.into_inner() {
            Inner::Call(ticket) => ticket.detach(),
            Inner::Operation(ticket) => ticket.detach(),
            Inner::Gone => {}
        }
    });
}

/// Frees a ticket, and cancels its call when it has no answer yet; see `sutazai_ticket_detach`. NULL
/// is allowed.
///
/// # Safety
/// `ticket` is NULL or live, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_ticket_free(ticket: *mut sutazai_ticket) {
    // SAFETY: the caller's promise.
    unsafe { release(ticket) }
}

/// A wait without end where the core asks for a bound.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// `None` for without end.
pub(crate) fn duration(ms: u64) -> Option<Duration> {
    (ms != SUTAZAI_FOREVER).then(|| Duration::from_millis(ms).min(LONGEST))
}

fn wait<T>(ticket: &mut Ticket<T>, timeout: Option<Duration>) -> Result<T> {
    match timeout {
        None => ticket.wait(),
        Some(timeout) => ticket.wait_timeout(timeout).unwrap_or_else(|| Err(no_answer_yet())),
    }
}

fn part<T>(ticket: &mut Ticket<T>, timeout: Duration) -> Result<Payload> {
    let mut part = ticket.try_part();
    if part.is_none() && !timeout.is_zero() {
        part = ticket.wait_part(timeout)?;
    }
    if part.is_none() && ticket.is_done() {
        // The last part may have come between the look and the answer.
        return ticket.try_part().ok_or_else(no_more_parts);
    }
    part.ok_or_else(no_answer_yet)
}

static NO_ANSWER_YET: Fixed =
    Fixed { code: Code::TIMEOUT, message: "there is nothing yet; the call goes on" };
static NO_MORE_PARTS: Fixed =
    Fixed { code: Code::NOT_FOUND, message: "the call is over and has no more partial results" };
static TAKEN: Fixed = Fixed { code: Code::TAKEN, message: "the ticket gave its answer before" };

fn no_answer_yet() -> Error {
    Error::from(&NO_ANSWER_YET)
}

fn no_more_parts() -> Error {
    Error::from(&NO_MORE_PARTS)
}

fn taken() -> Error {
    Error::from(&TAKEN)
}
