//! [`Queue`]: what waits for one subscription, with its bound, its overflow policy and its counts.
//!
//! One short mutex section a push and one per *batch* taken. The consumer sleeps by leaving a
//! waker under the same mutex, so no wake-up can be lost between its look and its sleep, and a
//! publisher pays for waking only when somebody sleeps. Wakers run, and events are dropped, after
//! the mutex is free.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use crossbeam_utils::{Backoff, CachePadded};
use parking_lot::Mutex;

use super::{Event, Overflow, Pattern};

/// The most that a consumer takes at once.
const MAX_BATCH: usize = 64;

/// Set in [`Queue::signal`] once the queue is closed.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// The queue of one subscription.
pub(super) struct Queue {
    pub(super) id: u64,
    pub(super) pattern: Pattern,
    pub(super) group: Option<Arc<str>>,
    capacity: usize,
    overflow: Overflow,
    /// How many wait, and [`CLOSED`]. Written under the mutex; read without it, as a hint whether
    /// locking is worth while.
    signal: CachePadded<AtomicUsize>,
    /// How many of the latest batch the consumer has not dealt with yet. Set under the mutex with
    /// the batch, so that every count is exact; then lowered by the consumer without it.
    in_hand: CachePadded<AtomicUsize>,
    state: Mutex<State>,
}

struct State {
    waiting: VecDeque<Queued>,
    /// Events that matched, whatever became of them: the number of the latest.
    offered: u64,
    missed: u64,
    open: Open,
    consumer: Option<Waker>,
    /// Publishers that wait for room.
    publishers: Vec<Waker>,
}

/// An event and its number among those that matched the subscription, from 1.
pub(super) struct Queued {
    pub(super) number: u64,
    pub(super) event: Arc<Event>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Yes,
    /// Overflowed under [`Overflow::Close`]: what waits can be had, what comes is counted.
    Overflowed,
    /// The subscription or the bus is gone: nothing is counted any more.
    Gone,
}

/// What became of an event that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It waits in the queue.
    Queued,
    /// It waits in the queue in place of an older one.
    Displaced,
    /// The subscription misses it.
    Missed,
    /// There is no subscription any more.
    Gone,
}

/// What a consumer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Some,
    Empty,
    Closed,
}

/// The counts of one subscription at one moment: `offered = delivered + missed + waiting`. What is
/// in the consumer's hand waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) offered: u64,
    pub(super) missed: u64,
    pub(super) waiting: u64,
}

impl Queue {
    pub(super) fn new(
        id: u64,
        pattern: Pattern,
        group: Option<Arc<str>>,
        capacity: usize,
        overflow: Overflow,
    ) -> Self {
        Self {
            id,
            pattern,
            group,
            capacity,
            overflow,
            signal: CachePadded::new(AtomicUsize::new(0)),
            in_hand: CachePadded::new(AtomicUsize::new(0)),
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                offered: 0,
                missed: 0,
                open: Open::Yes,
                consumer: None,
                publishers: Vec::new(),
            }),
        }
    }

    /// Takes the event, or does what the overflow policy says. Never waits. The event is made where
    /// it will stand (by a clone or a move, which run no foreign code under the lock).
    #[inline]
    pub(super) fn offer(&self, event: impl FnOnce() -> Arc<Event>) -> Offered {
        let mut state = self.state.lock();
        if state.open == Open::Yes && state.waiting.len() < self.capacity {
            self.push(state, event);
            return Offered::Queued;
        }
        match state.open {
            Open::Gone => Offered::Gone,
            Open::Yes => self.overflow(state, event()),
            Open::Overflowed => {
                state.offered += 1;
                state.missed += 1;
                Offered::Missed
            }
        }
    }

    /// Takes the event if there is room; otherwise gives it back and, given a waker, wakes it when
    /// there may be room.
    ///
    /// A closed queue has no room and never will: offer it the event without asking.
    #[inline]
    pub(super) fn offer_if_room(
        &self,
        event: Arc<Event>,
        waker: Option<&Waker>,
    ) -> Result<(), Arc<Event>> {
        let mut state = self.state.lock();
        if state.open == Open::Yes && state.waiting.len() < self.capacity {
            self.push(state, || event);
            return Ok(());
        }
        if let Some(waker) = waker.filter(|_| state.open == Open::Yes)
            && !state.publishers.iter().any(|known| known.will_wake(waker))
        {
            state.publishers.push(waker.clone());
        }
        Err(event)
    }

    /// Takes back a publisher's waker.
    pub(super) fn forget(&self, waker: &Waker) {
        self.state.lock().publishers.retain(|known| !known.will_wake(waker));
    }

    /// Moves a batch into `hand`, which is empty.
    #[inline]
    pub(super) fn take(&self, hand: &mut VecDeque<Queued>) -> Taken {
        self.take_or_sleep(hand, None)
    }

    /// Moves a batch into `hand`, which is empty, or leaves the waker.
    pub(super) fn take_or_sleep(
        &self,
        hand: &mut VecDeque<Queued>,
        waker: Option<&Waker>,
    ) -> Taken {
        if waker.is_none() && self.signal.load(Ordering::Relaxed) == 0 {
            return Taken::Empty;
        }
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            if state.open != Open::Yes {
                return Taken::Closed;
            }
            let before = match waker {
                Some(waker) => state.consumer.replace(waker.clone()),
                None => None,
            };
            drop(state);
            drop(before);
            return Taken::Empty;
        }
        let batch = self.batch();
        if state.waiting.len() <= batch && hand.is_empty() {
            std::mem::swap(hand, &mut state.waiting);
        } else {
            let end = state.waiting.len().min(batch);
            hand.extend(state.waiting.drain(..end));
        }
        self.in_hand.store(hand.len(), Ordering::Relaxed);
        self.note(&state);
        // Not before half is free: waking a publisher costs more than many events. One that sleeps
        // on looks again by itself after [`PATIENCE`](super::bus) in case the consumer stops here.
        let publishers = if state.waiting.len() <= self.capacity / 2 {
            std::mem::take(&mut state.publishers)
        } else {
            Vec::new()
        };
        drop(state);
        publishers.into_iter().for_each(Waker::wake);
        Taken::Some
    }

    /// The only consumer, who cannot be gone meanwhile, has this many left in its hand.
    #[inline]
    pub(super) fn keeps(&self, in_hand: usize) {
        self.in_hand.store(in_hand, Ordering::Relaxed);
    }

    /// Takes one from the consumer's hand; false when the subscription is gone, and with it what
    /// was in the hand.
    #[inline]
    pub(super) fn deal(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        self.in_hand.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
    }

    /// Leaves the waker if nothing waits and the queue is open; otherwise says what there is.
    pub(super) fn sleep(&self, waker: &Waker) -> Taken {
        let mut state = self.state.lock();
        let found = match (state.waiting.is_empty(), state.open) {
            (false, _) => return Taken::Some,
            (true, Open::Yes) => Taken::Empty,
            (true, _) => return Taken::Closed,
        };
        let before = state.consumer.replace(waker.clone());
        drop(state);
        drop(before);
        found
    }

    /// Leaves the waker for the next event, whatever waits now.
    pub(super) fn arm(&self, waker: &Waker) {
        let mut state = self.state.lock();
        if state.open != Open::Gone {
            let before = state.consumer.replace(waker.clone());
            drop(state);
            drop(before);
        }
    }

    /// Nobody comes to take events any more: drops them, and answers the last counts, the first
    /// time.
    pub(super) fn abandon(&self) -> Option<Counts> {
        self.end(true)
    }

    /// Nothing will come any more; what waits can still be had.
    pub(super) fn finish(&self) -> Option<Counts> {
        self.end(false)
    }

    /// Spins a short while (microseconds) for an event or the end; true when one came.
    pub(super) fn expect(&self) -> bool {
        let backoff = Backoff::new();
        while !backoff.is_completed() {
            if self.signal.load(Ordering::Relaxed) != 0 {
                return true;
            }
            backoff.snooze();
        }
        false
    }

    /// Spins under a microsecond or two while less than a quarter of a batch waits: for a consumer
    /// that has caught up with a busy publisher. Looking at each event would have both fight for
    /// the same cache lines, and a batch costs one lock.
    pub(super) fn gather(&self) {
        let enough = self.batch() / 4;
        for _ in 0..4 {
            if self.signal.load(Ordering::Relaxed) >= enough {
                return;
            }
            (0..16).for_each(|_| std::hint::spin_loop());
        }
    }

    /// Whether nothing waits and the queue is open, without locking.
    pub(super) fn is_idle(&self) -> bool {
        self.signal.load(Ordering::Relaxed) == 0
    }

    /// Whether there may be room, without locking.
    pub(super) fn may_have_room(&self) -> bool {
        self.signal.load(Ordering::Relaxed) < self.capacity
    }

    /// Whether it was closed, by overflow or for good.
    pub(super) fn is_closed(&self) -> bool {
        self.signal.load(Ordering::Acquire) & CLOSED != 0
    }

    /// The counts now.
    pub(super) fn counts(&self) -> Counts {
        let state = self.state.lock();
        state.counts(self.in_hand.load(Ordering::Relaxed))
    }

    #[inline]
    fn push(
        &self,
        mut state: parking_lot::MutexGuard<'_, State>,
        event: impl FnOnce() -> Arc<Event>,
    ) {
        state.offered += 1;
        let number = state.offered;
        state.waiting.push_back(Queued { number, event: event() });
        self.note(&state);
        let consumer = state.consumer.take();
        drop(state);
        if let Some(consumer) = consumer {
            consumer.wake();
        }
    }

    #[cold]
    fn overflow(
        &self,
        mut state: parking_lot::MutexGuard<'_, State>,
        event: Arc<Event>,
    ) -> Offered {
        match self.overflow {
            Overflow::DropOldest => {
                let oldest = state.waiting.pop_front();
                state.missed += 1;
                self.push(state, || event);
                drop(oldest);
                Offered::Displaced
            }
            Overflow::DropNewest => {
                state.offered += 1;
                state.missed += 1;
                Offered::Missed
            }
            Overflow::Close => {
                state.offered += 1;
                state.missed += 1;
                state.open = Open::Overflowed;
                self.note(&state);
                let wakers = state.wakers();
                drop(state);
                wakers.into_iter().for_each(Waker::wake);
                Offered::Missed
            }
        }
    }

    fn end(&self, discard: bool) -> Option<Counts> {
        let mut state = self.state.lock();
        if state.open == Open::Gone {
            return None;
        }
        state.open = Open::Gone;
        let (rest, in_hand) = if discard {
            // Taken out of the hand, so that what is counted as discarded is never delivered.
            let in_hand = self.in_hand.swap(0, Ordering::AcqRel);
            (std::mem::take(&mut state.waiting), in_hand)
        } else {
            (VecDeque::new(), self.in_hand.load(Ordering::Relaxed))
        };
        let counts = state.counts(in_hand + rest.len());
        self.note(&state);
        let wakers = state.wakers();
        drop(state);
        drop(rest);
        wakers.into_iter().for_each(Waker::wake);
        Some(counts)
    }

    fn batch(&self) -> usize {
        (self.capacity / 8).clamp(1, MAX_BATCH)
    }

    #[inline]
    fn note(&self, state: &State) {
        let closed = if state.open == Open::Yes { 0 } else { CLOSED };
        self.signal.store(state.waiting.len() | closed, Ordering::Release);
    }
}

impl State {
    fn counts(&self, in_hand: usize) -> Counts {
        let waiting = (self.waiting.len() + in_hand) as u64;
        Counts { offered: self.offered, missed: self.missed, waiting }
    }

    fn wakers(&mut self) -> Vec<Waker> {
        let mut wakers = std::mem::take(&mut self.publishers);
        wakers.extend(self.consumer.take());
        wakers
    }
}
