//! [`Subscription`]: events pulled by their owner.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::bus::Hub;
use super::queue::{Queue, Queued, Taken};
use super::wait::ThreadWaker;
use super::{Delivery, Pattern};
use crate::base::runtime::block;
use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// Events that match a pattern, pulled one by one, in order. Dropping it unsubscribes.
///
/// Pull by [`try_next`](Self::try_next) (never waits), [`next`](Self::next) (a future, for any
/// runtime) or [`wait`](Self::wait) (blocks the thread). After the end, that is when it was closed
/// by [`Overflow::Close`](super::Overflow::Close) or the bus is gone, what still waits is answered,
/// then [`Code::SUBSCRIPTION_CLOSED`] with the number of missed events.
#[must_use = "dropping a subscription unsubscribes"]
pub struct Subscription {
    hub: Arc<Hub>,
    queue: Arc<Queue>,
    /// Taken from the queue in one go, not yet answered.
    hand: VecDeque<Queued>,
    /// The number of the latest event answered.
    last: u64,
    /// Whether [`wait`](Self::wait) emptied the queue with its latest look, without sleeping: it is
    /// quicker than the publisher.
    caught_up: bool,
}

impl Subscription {
    pub(super) fn new(hub: Arc<Hub>, queue: Arc<Queue>) -> Self {
        Self { hub, queue, hand: VecDeque::new(), last: 0, caught_up: false }
    }

    /// The next event if one is there; `None` if not yet.
    ///
    /// # Errors
    /// [`Code::SUBSCRIPTION_CLOSED`] after the end.
    #[inline]
    pub fn try_next(&mut self) -> Result<Option<Delivery>> {
        if let Some(delivery) = self.deal() {
            return Ok(Some(delivery));
        }
        match self.queue.take(&mut self.hand) {
            Taken::Some => Ok(self.deal()),
            Taken::Empty => Ok(None),
            Taken::Closed => Err(self.closed()),
        }
    }

    /// The next event, awaited. Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Code::SUBSCRIPTION_CLOSED`] after the end.
    #[allow(clippy::should_implement_trait, reason = "the name that async streams give it")]
    pub fn next(&mut self) -> impl Future<Output = Result<Delivery>> + Send + '_ {
        poll_fn(|cx| self.poll_next(cx))
    }

    /// As [`next`](Self::next), for hand-written futures.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Delivery>> {
        loop {
            if let Some(delivery) = self.deal() {
                return Poll::Ready(Ok(delivery));
            }
            match self.queue.take_or_sleep(&mut self.hand, Some(cx.waker())) {
                Taken::Some => {}
                Taken::Empty => return Poll::Pending,
                Taken::Closed => return Poll::Ready(Err(self.closed())),
            }
        }
    }

    /// The next event, blocking the thread for at most `timeout`; `None` when none came.
    ///
    /// # Errors
    /// [`Code::SUBSCRIPTION_CLOSED`] after the end; [`Code::WOULD_DEADLOCK`] where there is nothing
    /// yet and the thread must not block, which under virtual time is every thread.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<Delivery>> {
        if let Some(delivery) = self.deal() {
            return Ok(Some(delivery));
        }
        if std::mem::take(&mut self.caught_up) {
            self.queue.gather();
        }
        if let Some(delivery) = self.try_next()? {
            self.caught_up = self.queue.is_idle();
            return Ok(Some(delivery));
        }
        if timeout.is_zero() {
            return Ok(None);
        }
        if !self.hub.runtime().may_block() {
            return Err(self.must_not_wait());
        }
        // A publisher at work is quicker than falling asleep and being woken.
        if self.queue.expect() {
            self.caught_up = true;
            return self.try_next();
        }
        let deadline = Moment::now() + timeout;
        block(|| {
            let sleeper = ThreadWaker::new();
            loop {
                match self.queue.take_or_sleep(&mut self.hand, Some(sleeper.waker())) {
                    Taken::Some => return Ok(self.deal()),
                    Taken::Closed => return Err(self.closed()),
                    Taken::Empty if sleeper.sleep_until(deadline) => {}
                    Taken::Empty => return self.try_next(),
                }
            }
        })?
    }

    /// How many matching events this subscription has lost to overflow so far, exactly: events
    /// answered, plus this, plus events that wait, are the events that matched.
    pub fn missed(&self) -> u64 {
        self.queue.counts().missed
    }

    /// How many events wait now.
    pub fn waiting(&self) -> usize {
        usize::try_from(self.queue.counts().waiting).unwrap_or(usize::MAX)
    }

    /// Whether nothing more will come than what waits.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// The pattern.
    pub fn pattern(&self) -> &Pattern {
        &self.queue.pattern
    }

    #[inline]
    fn deal(&mut self) -> Option<Delivery> {
        let queued = self.hand.pop_front()?;
        self.queue.keeps(self.hand.len());
        let missed_before = queued.number - self.last - 1;
        self.last = queued.number;
        Some(Delivery { event: queued.event, missed_before })
    }

    #[cold]
    fn must_not_wait(&self) -> Error {
        Error::new(
            Code::WOULD_DEADLOCK,
            "who publishes may need this thread, so it must not wait for an event",
        )
        .with("pattern", self.pattern())
        .advice("use try_next, await next, or wait on a blocking thread")
    }

    #[cold]
    fn closed(&self) -> Error {
        Error::new(Code::SUBSCRIPTION_CLOSED, "the subscription was closed")
            .with("pattern", self.pattern())
            .with("missed", self.missed())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.remove(&self.queue);
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("pattern", self.pattern())
            .field("waiting", &self.waiting())
            .field("missed", &self.missed())
            .finish_non_exhaustive()
    }
}
