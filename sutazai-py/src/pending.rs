//! A call under way, seen from Python: one answer, any number of threads, loops and callbacks that
//! wait for it.
//!
//! The core's ticket has one owner and one waker. Here it stands behind a lock that is held for the
//! moment of a look, and its waker tells everybody who waits. Nothing foreign runs under the lock.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use pyo3::prelude::*;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::ticket::{self, Reply, Ticket};
use sutazai_core::port::Outcome;
use sutazai_core::{Code, Error, Result};

use crate::bridge::{self, Bridge, Item};
use crate::{convert, error, exit, wait};

/// The core's ticket, of a guarded call or of an operation of the table.
pub(crate) enum Source {
    Call(Ticket<Outcome>),
    Operation(Ticket<Payload>),
}

impl Source {
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Call(ticket) => ticket.is_done(),
            Self::Operation(ticket) => ticket.is_done(),
        }
    }

    /// The answer if it is there.
    pub(crate) fn try_take(&mut self) -> Option<Result<Payload>> {
        match self {
            Self::Call(ticket) => ticket.try_take().map(|answer| answer.map(|o| o.output)),
            Self::Operation(ticket) => ticket.try_take(),
        }
    }

    pub(crate) fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<Payload>> {
        match self {
            Self::Call(ticket) => {
                ticket.wait_timeout(timeout).map(|answer| answer.map(|o| o.output))
            }
            Self::Operation(ticket) => ticket.wait_timeout(timeout),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Payload>> {
        match self {
            Self::Call(ticket) => Pin::new(ticket).poll(cx).map(|answer| answer.map(|o| o.output)),
            Self::Operation(ticket) => Pin::new(ticket).poll(cx),
        }
    }

    fn try_part(&mut self) -> Option<Payload> {
        match self {
            Self::Call(ticket) => ticket.try_part(),
            Self::Operation(ticket) => ticket.try_part(),
        }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Payload>> {
        match self {
            Self::Call(ticket) => Pin::new(&mut ticket.next_part()).poll(cx),
            Self::Operation(ticket) => Pin::new(&mut ticket.next_part()).poll(cx),
        }
    }

    fn missed_parts(&self) -> u64 {
        match self {
            Self::Call(ticket) => ticket.missed_parts(),
            Self::Operation(ticket) => ticket.missed_parts(),
        }
    }

    fn cancel(&self) {
        match self {
            Self::Call(ticket) => ticket.cancel(),
            Self::Operation(ticket) => ticket.cancel(),
        }
    }

    fn detach(self) {
        match self {
            Self::Call(ticket) => ticket.detach(),
            Self::Operation(ticket) => ticket.detach(),
        }
    }
}

pub(crate) struct Pending {
    state: Mutex<State>,
    waiting: Mutex<Waiting>,
    runtime: Arc<dyn Runtime>,
    next: AtomicU64,
}

struct State {
    /// None once answered, and while somebody cancels.
    source: Option<Source>,
    /// Our waker stands in the ticket.
    watched: bool,
    answer: Option<Result<Payload>>,
    /// What was looked at and not read, and all that was not read when the answer came; older than
    /// what the ticket holds.
    parts: VecDeque<Payload>,
    missed: u64,
    /// Nobody cancels by losing interest.
    detached: bool,
}

#[derive(Default)]
struct Waiting {
    answer: Vec<Listener>,
    part: Vec<Listener>,
}

struct Listener {
    id: u64,
    who: Who,
}

pub(crate) enum Who {
    Thread(Reply<()>),
    Future(Py<Bridge>, Py<PyAny>),
    /// A function, and the ticket that it gets.
    Callback(Py<PyAny>, Py<PyAny>),
}

impl Pending {
    pub(crate) fn new(source: Source, runtime: Arc<dyn Runtime>) -> Arc<Self> {
        let this = Arc::new(Self {
            state: Mutex::new(State {
                source: Some(source),
                watched: false,
                answer: None,
                parts: VecDeque::new(),
                missed: 0,
                detached: false,
            }),
            waiting: Mutex::default(),
            runtime,
            next: AtomicU64::new(0),
        });
        this.look();
        this
    }

    /// Whether the answer is there; leaves the waker otherwise.
    pub(crate) fn look(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        if state.answer.is_some() {
            return true;
        }
        let State { source, watched, answer, parts, missed, .. } = &mut *state;
        let Some(ticket) = source else { return false };
        // Parts are read before the answer is taken: the ticket forgets them with it.
        if ticket.is_done() {
            parts.extend(std::iter::from_fn(|| ticket.try_part()));
            *missed = ticket.missed_parts();
        } else if *watched {
            // Polling again could find a later answer, and lose the parts that came before it.
            return false;
        }
        let waker = Waker::from(Arc::clone(self));
        let Poll::Ready(found) = ticket.poll(&mut Context::from_waker(&waker)) else {
            *watched = true;
            return false;
        };
        *answer = Some(found);
        let spent = source.take();
        drop(state);
        drop(spent);
        true
    }

    /// The answer as Python sees it; `None` while the call goes on.
    pub(crate) fn result<'py>(&self, py: Python<'py>) -> Option<PyResult<Bound<'py, PyAny>>> {
        let answer = self.state.lock().answer.clone()?;
        Some(match answer {
            Ok(payload) => convert::to_python(py, &payload),
            Err(error) => Err(error::raise(py, &error)),
        })
    }

    /// The error that the call ended with.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.state.lock().answer.as_ref().and_then(|answer| answer.as_ref().err().cloned())
    }

    /// Blocks until the answer is there, for at most `timeout`; says whether it is.
    pub(crate) fn wait(
        self: &Arc<Self>,
        py: Python<'_>,
        timeout: Option<Duration>,
    ) -> PyResult<bool> {
        if self.look() {
            return Ok(true);
        }
        self.may_block(py)?;
        self.block(py, timeout, false, |this| this.look().then_some(()))
            .map(|found| found.is_some())
    }

    /// The next part; `None` once there is none to come.
    pub(crate) fn wait_part(self: &Arc<Self>, py: Python<'_>) -> PyResult<Option<Payload>> {
        if let Poll::Ready(part) = self.poll_part() {
            return Ok(part);
        }
        self.may_block(py)?;
        let poll = |this: &Arc<Self>| match this.poll_part() {
            Poll::Ready(part) => Some(part),
            Poll::Pending => None,
        };
        self.block(py, None, true, poll).map(Option::flatten)
    }

    /// The next part, or the end of them; leaves the waker otherwise.
    pub(crate) fn poll_part(self: &Arc<Self>) -> Poll<Option<Payload>> {
        let (mut state, found) = self.fetch_part();
        found.map(|()| state.parts.pop_front())
    }

    /// Ready once the next part is the first of `parts`, or none is to come and `parts` is empty;
    /// leaves the waker otherwise. Looking and taking are under one lock, or parts would overtake
    /// one another.
    fn fetch_part(self: &Arc<Self>) -> (MutexGuard<'_, State>, Poll<()>) {
        // Order: an answer makes the rest of the parts readable in `parts`.
        let settled = self.look();
        let mut state = self.state.lock();
        let State { source, answer, parts, .. } = &mut *state;
        let found = if settled || answer.is_some() || !parts.is_empty() {
            Poll::Ready(())
        } else if let Some(ticket) = source {
            let waker = Waker::from(Arc::clone(self));
            ticket.poll_part(&mut Context::from_waker(&waker)).map(|part| parts.extend(part))
        } else {
            Poll::Pending
        };
        (state, found)
    }

    pub(crate) fn missed_parts(&self) -> u64 {
        let state = self.state.lock();
        state.source.as_ref().map_or(state.missed, Source::missed_parts)
    }

    /// Tells `who` when the answer is there: now, if it is.
    pub(crate) fn on_answer(self: &Arc<Self>, who: Who) {
        self.enlist(who, false);
        if self.look() {
            self.tell(true);
        }
    }

    /// Tells `who` when there is a part or the answer.
    pub(crate) fn on_part(self: &Arc<Self>, who: Who) {
        self.enlist(who, true);
        // Whatever came before the listener stood in the list has to be seen.
        if self.look() || self.has_part() {
            self.tell(false);
        }
    }

    /// Answers with [`Code::CANCELLED`] and tells the agent, unless the answer is there.
    pub(crate) fn cancel(self: &Arc<Self>) {
        // Out of the lock: cancelling runs the agent's callbacks and our own waker.
        let taken = self.state.lock().source.take();
        if let Some(source) = taken {
            source.cancel();
            self.state.lock().source = Some(source);
            self.wake_by_ref();
        }
    }

    /// Nobody cancels the call by dropping the ticket.
    pub(crate) fn detach(&self) {
        self.state.lock().detached = true;
    }

    /// The Python ticket is gone.
    pub(crate) fn abandon(self: &Arc<Self>) {
        let (source, detached) = {
            let mut state = self.state.lock();
            (state.source.take(), state.detached)
        };
        let Some(source) = source else { return };
        if detached {
            source.detach();
        } else {
            source.cancel();
        }
    }

    fn has_part(self: &Arc<Self>) -> bool {
        self.fetch_part().1.is_ready()
    }

    fn may_block(&self, py: Python<'_>) -> PyResult<()> {
        wait::check_here(py, "await the ticket, or iterate over it with `async for`")?;
        if self.runtime.may_block() {
            return Ok(());
        }
        let error = Error::new(Code::WOULD_DEADLOCK, "cannot wait here for the answer");
        let error = match self.runtime.virtual_time() {
            Some(_) => error.advice("the kernel is in virtual time: call kernel.advance(seconds)"),
            None => error.advice("await the ticket instead"),
        };
        Err(error::raise(py, &error))
    }

    fn block<T: Send>(
        self: &Arc<Self>,
        py: Python<'_>,
        timeout: Option<Duration>,
        parts: bool,
        poll: impl Fn(&Arc<Self>) -> Option<T> + Send + Sync,
    ) -> PyResult<Option<T>> {
        // A ticket of the core's, because waiting for one lends out the slot of a pool worker.
        let (mut bell, ring) = ticket::pair();
        let mut id = self.enlist(Who::Thread(ring), parts);
        let found = wait::in_slices(py, timeout, |slice| {
            if let Some(found) = poll(self) {
                return Some(found);
            }
            if bell.wait_timeout(slice).is_some() {
                let (next_bell, ring) = ticket::pair();
                bell = next_bell;
                id = self.enlist(Who::Thread(ring), parts);
            }
            poll(self)
        });
        self.forget(id);
        found
    }

    fn enlist(&self, who: Who, parts: bool) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
        let list = if parts { &mut waiting.part } else { &mut waiting.answer };
        list.push(Listener { id, who });
        id
    }

    fn forget(&self, id: u64) {
        let gone: Vec<Listener> = {
            let mut waiting = self.waiting.lock();
            let Waiting { answer, part } = &mut *waiting;
            [answer, part]
                .into_iter()
                .flat_map(|list| list.extract_if(.., |l| l.id == id))
                .collect()
        };
        drop(gone);
    }

    fn tell(self: &Arc<Self>, settled: bool) {
        let (part, answer) = {
            let mut waiting = self.waiting.lock();
            let answer = if settled { std::mem::take(&mut waiting.answer) } else { Vec::new() };
            (std::mem::take(&mut waiting.part), answer)
        };
        for listener in part {
            listener.who.ring_for_part();
        }
        for listener in answer {
            listener.who.ring(self);
        }
    }
}

impl Wake for Pending {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let settled = self.look();
        self.tell(settled);
    }
}

impl Who {
    fn ring(self, pending: &Arc<Pending>) {
        match self {
            Self::Thread(bell) => drop(bell.send(())),
            Self::Future(target, future) => {
                bridge::push(&target, Item::Settle { future, pending: Arc::clone(pending) });
            }
            Self::Callback(function, ticket) => {
                let _ = exit::attach(|py| {
                    let args = pyo3::types::PyTuple::new(py, [ticket.bind(py)])?;
                    if let Err(error) = exit::call(function.bind(py), &args) {
                        error.write_unraisable(py, Some(function.bind(py)));
                    }
                    drop(ticket);
                    PyResult::Ok(())
                });
            }
        }
    }

    fn ring_for_part(self) {
        match self {
            Self::Thread(bell) => drop(bell.send(())),
            Self::Future(target, future) => bridge::push(&target, Item::Wake { future }),
            Self::Callback(..) => {}
        }
    }
}
