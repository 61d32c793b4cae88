//! One call, two ends: [`Ticket`], the caller's, and [`Reply`], the worker's.
//!
//! A ticket is a [`Future`]; it can also be waited for on a thread, take a callback, or be
//! cancelled. A reply is answered once, from any thread. Between them stands one small allocation.
//!
//! - **Settled**: the caller has an answer. The worker's, or, when the caller cancels or a deadline
//!   passes, an error that somebody else wrote; the worker learns it through
//!   [`Reply::cancelled`] and [`Reply::on_cancel`], and its own answer comes [`TooLate`].
//! - **Finished**: the worker let go of its reply. Permits are held until then ([`Hook`]).
//!
//! ```
//! use sutazai_core::base::ticket;
//!
//! let (mut ticket, reply) = ticket::pair();
//! std::thread::spawn(move || reply.send(6 * 7));
//! assert_eq!(ticket.wait()?, 42);
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Invariants.** A ticket always gets an answer: a reply that is dropped answers
//! [`Code::ABANDONED`]. No lock is held while a waker, a callback or a hook runs. A callback that
//! panics does not take the answering thread with it.

mod cell;
mod extra;
mod park;
mod parts;

pub use parts::NextPart;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use cell::Cell;

use super::error::Fixed;
use super::payload::Payload;
use crate::base::contain;
use crate::base::context::Context as Work;
use crate::{Code, Error, Result};

/// A call, to be answered through the [`Reply`].
#[inline]
pub fn pair<T>() -> (Ticket<T>, Reply<T>) {
    let (ticket, reply) = Cell::pair(None);
    (Ticket { cell: Some(ticket) }, Reply { cell: Some(reply) })
}

/// A call that somebody keeps the books of.
pub fn pair_with<T>(hook: Box<dyn Hook<T>>) -> (Ticket<T>, Reply<T>) {
    let (ticket, reply) = Cell::pair(Some(hook));
    (Ticket { cell: Some(ticket) }, Reply { cell: Some(reply) })
}

/// A call that is answered already.
pub fn ready<T>(answer: Result<T>) -> Ticket<T> {
    let (ticket, reply) = pair();
    let _ = reply.answer(answer);
    ticket
}

/// The caller's end of a call. Dropping it cancels the call; see [`detach`](Ticket::detach).
#[must_use = "dropping a ticket cancels its call; wait for it, await it, or detach it"]
pub struct Ticket<T> {
    /// None once the answer was given out.
    cell: Option<Cell<T>>,
}

/// The worker's end of a call. Dropping it unanswered answers [`Code::ABANDONED`], or
/// [`Code::PANIC`] while the thread unwinds.
#[must_use = "dropping a reply answers its call with an error"]
pub struct Reply<T> {
    /// None once answered.
    cell: Option<Cell<T>>,
}

/// The right to answer a call in the worker's stead, or to cancel it: what a deadline or a
/// cancel-by-id holds.
pub struct Settler<T> {
    cell: Cell<T>,
}

/// The call had its answer already; the late one is given back.
pub struct TooLate<T>(pub Result<T>);

/// Who gave a call its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The worker, through its [`Reply`] (also by dropping it).
    ByWorker,
    /// The caller, by cancelling or dropping the ticket.
    ByCaller,
    /// A [`Settler`]: a deadline, a cancel by id, a stopping kernel.
    ByKernel,
}

/// Keeps the books of one call. Both methods run exactly once; `settled` before the caller can see
/// the answer. They must be quick and must not panic.
pub trait Hook<T>: Send + Sync {
    /// The call has its answer.
    fn settled(&self, answer: &Result<T>, by: Settled);
    /// The worker let go of its reply.
    fn finished(&self);
    /// Whether the current thread may block for this call's answer.
    fn may_block(&self) -> bool {
        super::runtime::may_block_here()
    }
}

impl<T> Ticket<T> {
    /// Whether the answer is there.
    pub fn is_done(&self) -> bool {
        self.cell.as_ref().is_none_or(Cell::is_complete)
    }

    /// The answer if it is there; `None` while the call goes on.
    #[inline]
    pub fn try_take(&mut self) -> Option<Result<T>> {
        if self.cell.is_none() {
            return Some(Err(taken()));
        }
        Cell::take_from(&mut self.cell)
    }

    /// Blocks until the answer is there. On a pool worker of the kernel's runtime its slot is lent
    /// out meanwhile.
    ///
    /// # Errors
    /// The call's own; [`Code::WOULD_DEADLOCK`] on a thread that drives futures or timers (the call
    /// goes on, the ticket stays good); [`Code::TAKEN`] when the answer was given out before.
    pub fn wait(&mut self) -> Result<T> {
        match self.wait_until(None)? {
            Some(answer) => answer,
            None => Err(internal()),
        }
    }

    /// Blocks for at most `timeout`; `None` when there is no answer by then (the call goes on).
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T>> {
        match self.wait_until(Some(timeout)) {
            Ok(answer) => answer,
            Err(error) => Some(Err(error)),
        }
    }

    /// Runs `callback` with the answer: on the answering thread, or right here when the answer is
    /// there already. The call is no longer cancelled by dropping anything.
    pub fn on_done(mut self, callback: impl FnOnce(Result<T>) + Send + 'static) {
        match self.cell.take() {
            Some(cell) => {
                // It goes on with the work of whoever registers it, and not with that of the call.
                let work = Work::current();
                cell.callback(Box::new(move |answer| work.run(|| callback(answer))));
            }
            None => callback(Err(taken())),
        }
    }

    /// Answers the call with [`Code::CANCELLED`], unless it has its answer, and tells the worker.
    pub fn cancel(&self) {
        if let Some(claim) = self.cell.as_ref().and_then(Cell::claim) {
            claim.answer(Err(cancelled()), Settled::ByCaller);
        }
    }

    /// The right to answer in the worker's stead; `None` once the answer was given out.
    pub fn settler(&self) -> Option<Settler<T>> {
        self.cell.as_ref().map(|cell| Settler { cell: cell.share() })
    }

    /// Lets the call go on without anybody to hear the answer.
    pub fn detach(mut self) {
        drop(self.cell.take());
    }

    /// Whether this thread may wait for this call.
    fn may_block(&self) -> Result<()> {
        match self.cell.as_ref().and_then(Cell::hook) {
            Some(hook) if !hook.may_block() => Err(Error::from(&WOULD_DEADLOCK)),
            _ => Ok(()),
        }
    }

    fn wait_until(&mut self, timeout: Option<Duration>) -> Result<Option<Result<T>>> {
        if let Some(answer) = self.try_take() {
            return Ok(Some(answer));
        }
        self.may_block()?;
        super::runtime::block(|| park::wait(self, timeout))
    }
}

impl<T> Future for Ticket<T> {
    type Output = Result<T>;

    /// Polling again after the answer was given out answers [`Code::TAKEN`].
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(answer) = self.try_take() {
            return Poll::Ready(answer);
        }
        if let Some(cell) = &mut self.cell
            && !cell.register(cx.waker())
        {
            return Poll::Pending;
        }
        self.try_take().map_or(Poll::Pending, Poll::Ready)
    }
}

// The answer is moved out whole; nothing is pinned in place.
impl<T> Unpin for Ticket<T> {}

impl<T> Drop for Ticket<T> {
    #[inline]
    fn drop(&mut self) {
        if self.cell.is_some() {
            self.cancel();
        }
    }
}

impl<T> Reply<T> {
    /// Answers with a value.
    ///
    /// # Errors
    /// [`TooLate`] when the call has its answer: cancelled, or past its deadline.
    pub fn send(self, value: T) -> Result<(), TooLate<T>> {
        self.answer(Ok(value))
    }

    /// Answers with an error.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn fail(self, error: Error) -> Result<(), TooLate<T>> {
        self.answer(Err(error))
    }

    /// Answers.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn answer(mut self, answer: Result<T>) -> Result<(), TooLate<T>> {
        match self.cell.take() {
            Some(cell) => cell.finish(answer).map_err(TooLate),
            None => Err(TooLate(answer)),
        }
    }

    /// Streams a partial result. The caller reads them with [`Ticket::next_part`] and its kin;
    /// at most 256 wait, beyond that the oldest is dropped and counted.
    ///
    /// # Errors
    /// [`Code::TOO_LATE`] when the call has its answer.
    pub fn progress(&self, part: Payload) -> Result<()> {
        match &self.cell {
            Some(cell) if !cell.is_claimed() => {
                parts::push(cell, part);
                Ok(())
            }
            _ => Err(too_late()),
        }
    }

    /// Whether nobody wants the answer any more.
    #[inline]
    pub fn cancelled(&self) -> bool {
        self.cell.as_ref().is_none_or(Cell::is_claimed)
    }

    /// Runs `f` when the call is settled by anybody but this reply: on the cancelling thread, or
    /// right here when that has happened.
    pub fn on_cancel(&self, f: impl FnOnce() + Send + 'static) {
        let Some(cell) = &self.cell else { return };
        let ((), settled) = cell.with_extra(|extra| extra.cancels.push(Box::new(f)));
        if settled {
            // Whoever settled may have been before us or after us; each callback is taken once.
            let cancels = cell.extra(|e| std::mem::take(&mut e.cancels)).unwrap_or_default();
            for cancel in cancels {
                quietly(cancel);
            }
        }
    }

    /// The right to answer in the worker's stead.
    pub fn settler(&self) -> Option<Settler<T>> {
        self.cell.as_ref().map(|cell| Settler { cell: cell.share() })
    }
}

impl<T> Drop for Reply<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            lost(cell);
        }
    }
}

/// A reply was dropped unanswered.
#[cold]
fn lost<T>(cell: Cell<T>) {
    let error = if std::thread::panicking() { &PANICKED } else { &ABANDONED };
    let _ = cell.finish(Err(Error::from(error)));
}

impl<T> Settler<T> {
    /// Answers the call; false when it has its answer.
    pub fn settle(&self, answer: Result<T>) -> bool {
        match self.cell.claim() {
            Some(claim) => {
                claim.answer(answer, Settled::ByKernel);
                true
            }
            None => false,
        }
    }

    /// Cancels the call as its [`Ticket`] would: answers [`Code::CANCELLED`] and tells the worker.
    /// False when it has its answer.
    pub fn cancel(&self) -> bool {
        match self.cell.claim() {
            Some(claim) => {
                claim.answer(Err(cancelled()), Settled::ByCaller);
                true
            }
            None => false,
        }
    }

    /// Streams a partial result in the worker's stead; nothing happens once the call has its answer.
    pub fn progress(&self, part: Payload) {
        if !self.cell.is_claimed() {
            parts::push(&self.cell, part);
        }
    }

    /// Whether the call has its answer, or is just getting it.
    pub fn is_settled(&self) -> bool {
        self.cell.is_claimed()
    }

    /// [`is_settled`](Self::is_settled) for one who has just put this settler where the hook of the
    /// call looks for it: when this is false, [`Hook::settled`] will find it there.
    pub fn is_settled_ordered(&self) -> bool {
        self.cell.is_claimed_ordered()
    }
}

impl<T> Clone for Settler<T> {
    fn clone(&self) -> Self {
        Self { cell: self.cell.share() }
    }
}

/// Runs foreign code; its panic ends here, after the panic hook has reported it.
fn quietly(f: impl FnOnce()) {
    let _ = contain::catch(f);
}

static CANCELLED: Fixed = Fixed { code: Code::CANCELLED, message: "the call was cancelled" };
static ABANDONED: Fixed =
    Fixed { code: Code::ABANDONED, message: "the worker dropped its reply without answering" };
static PANICKED: Fixed =
    Fixed { code: Code::PANIC, message: "the worker panicked before it answered" };
static TAKEN: Fixed = Fixed { code: Code::TAKEN, message: "the ticket gave its answer before" };
static TOO_LATE: Fixed = Fixed { code: Code::TOO_LATE, message: "the call has its answer already" };
static INTERNAL: Fixed = Fixed { code: Code::INTERNAL, message: "a wait without end ended" };
static WOULD_DEADLOCK: Fixed = Fixed {
    code: Code::WOULD_DEADLOCK,
    message: "cannot block here: the answer needs this thread; await the ticket instead",
};

/// The error of a call that its caller cancelled.
pub fn cancelled() -> Error {
    Error::from(&CANCELLED)
}

fn taken() -> Error {
    Error::from(&TAKEN)
}

fn too_late() -> Error {
    Error::from(&TOO_LATE)
}

fn internal() -> Error {
    Error::from(&INTERNAL)
}

impl<T> TooLate<T> {
    /// The plain error: [`Code::TOO_LATE`].
    pub fn error(&self) -> Error {
        too_late()
    }
}

impl<T> fmt::Debug for TooLate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TooLate")
    }
}

impl<T> fmt::Display for TooLate<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TOO_LATE.message)
    }
}

impl<T> std::error::Error for TooLate<T> {}

impl<T> From<TooLate<T>> for Error {
    fn from(_: TooLate<T>) -> Self {
        too_late()
    }
}

impl<T> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("done", &self.is_done()).finish()
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("cancelled", &self.cancelled()).finish()
    }
}

impl<T> fmt::Debug for Settler<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settler").field("settled", &self.is_settled()).finish()
    }
}

#[cfg(all(test, not(sutazai_loom)))]
mod tests;

#[cfg(all(test, sutazai_loom))]
mod loom_tests;
