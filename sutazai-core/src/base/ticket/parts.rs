//! Partial results: the worker's [`Reply::progress`](super::Reply::progress) on one side, reading,
//! awaiting or a callback on the other.

use crate::base::context::Context as Work;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::cell::Cell;
use super::{Ticket, park, quietly};
use crate::Result;
use crate::base::payload::Payload;

pub(super) fn push<T>(cell: &Cell<T>, part: Payload) {
    let (next, _) = cell.with_extra(|extra| match &extra.on_part {
        Some(callback) => Err((Arc::clone(callback), part)),
        None => Ok(extra.push(part)),
    });
    match next {
        Ok((dropped, reader)) => {
            drop(dropped);
            if let Some(waker) = reader {
                quietly(|| waker.wake());
            }
        }
        Err((callback, part)) => quietly(|| callback(part)),
    }
}

impl<T> Ticket<T> {
    /// A partial result that is there already.
    pub fn try_part(&mut self) -> Option<Payload> {
        self.cell.as_ref()?.extra(super::extra::Extra::pop)?
    }

    /// The next partial result, or `None` once the call is settled and all parts were read.
    pub fn next_part(&mut self) -> NextPart<'_, T> {
        NextPart { ticket: self }
    }

    /// Blocks until there is a partial result or the call is settled (`None`), for at most
    /// `timeout` (`None` as well; [`is_done`](Ticket::is_done) tells them apart).
    ///
    /// # Errors
    /// As [`wait`](Ticket::wait).
    pub fn wait_part(&mut self, timeout: Duration) -> Result<Option<Payload>> {
        if let Some(part) = self.try_part() {
            return Ok(Some(part));
        }
        self.may_block()?;
        crate::base::runtime::block(|| {
            park::block_on(&mut NextPart { ticket: self }, Some(timeout)).flatten()
        })
    }

    /// Runs `callback` with each partial result, on the worker's thread; those that wait are given
    /// to it here first.
    pub fn on_part(&self, callback: impl Fn(Payload) + Send + Sync + 'static) {
        let work = Work::current();
        let callback = move |part| work.clone().run(|| callback(part));
        let Some(cell) = &self.cell else { return };
        let callback: Arc<dyn Fn(Payload) + Send + Sync> = Arc::new(callback);
        loop {
            let (waiting, _) = cell.with_extra(|extra| {
                let part = extra.pop();
                if part.is_none() {
                    extra.on_part = Some(Arc::clone(&callback));
                }
                part
            });
            match waiting {
                Some(part) => quietly(|| callback(part)),
                None => return,
            }
        }
    }

    /// How many partial results were dropped because they were not read in time.
    pub fn missed_parts(&self) -> u64 {
        self.cell.as_ref().and_then(|cell| cell.extra(|e| e.missed())).unwrap_or(0)
    }
}

/// The future of [`Ticket::next_part`].
#[derive(Debug)]
pub struct NextPart<'a, T> {
    ticket: &'a mut Ticket<T>,
}

impl<T> Future for NextPart<'_, T> {
    type Output = Option<Payload>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(cell) = &self.ticket.cell else { return Poll::Ready(None) };
        // Register first: whoever pushes or settles afterwards sees the waker.
        let ((part, old), _) = cell.with_extra(|extra| {
            let part = extra.pop();
            let old = if part.is_none() { extra.register(cx.waker()) } else { None };
            (part, old)
        });
        drop(old);
        match part {
            Some(part) => Poll::Ready(Some(part)),
            None if cell.is_complete() => {
                // A part may have come between the look and the answer.
                Poll::Ready(cell.extra(super::extra::Extra::pop).flatten())
            }
            None => Poll::Pending,
        }
    }
}

impl<T: 'static> Ticket<T> {
    /// A ticket of the same call whose answer goes through `f`, on the answering thread. Parts come
    /// through as they are; cancelling or dropping it cancels the call.
    pub fn map<U: Send + 'static>(
        self,
        hook: Option<Box<dyn super::Hook<U>>>,
        f: impl FnOnce(Result<T>) -> Result<U> + Send + 'static,
    ) -> Ticket<U>
    where
        T: Send,
    {
        let (outer, reply) = match hook {
            Some(hook) => super::pair_with(hook),
            None => super::pair(),
        };
        if let (Some(settler), Some(parts)) = (self.settler(), reply.settler()) {
            reply.on_cancel(move || {
                settler.cancel();
            });
            self.on_part(move |part| push(&parts.cell, part));
        }
        self.on_done(move |answer| drop(reply.answer(f(answer))));
        outer
    }
}
