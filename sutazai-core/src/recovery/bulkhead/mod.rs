//! A bulkhead: so many calls at once, a bounded queue for the rest.

#[cfg(feature = "tune")]
mod adaptive;
mod policy;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use serde::Serialize;

use crate::base::error::Fixed;
use crate::base::fair::{Joined, Queue};
#[cfg(feature = "tune")]
use crate::base::limit::{CallOutcome, LimitView};
use crate::base::lineage;
use crate::base::ticket::{self, Reply, Ticket};
#[cfg(feature = "tune")]
use crate::base::time::Moment;
use crate::{Code, Error, Result};

pub use policy::BulkheadPolicy;

/// A bulkhead's figures.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct BulkheadStatus {
    /// Its name.
    pub name: String,
    /// Calls that run.
    pub running: u32,
    /// Calls that may run at once.
    pub concurrency: u32,
    /// Calls that wait.
    pub waiting: usize,
    /// Calls rejected since it was made.
    pub rejected: u64,
    /// How it has found out how many may run, where it does so.
    #[cfg(feature = "tune")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<LimitView>,
}

/// Keeps a target that is slow from taking every thread and every place: at most so many calls run at
/// once, others wait in a bounded queue, the more urgent first. Of those that are as urgent each
/// [caller](lineage::caller) has its turn, and each caller's calls go in order of coming.
///
/// ```
/// use sutazai_core::recovery::{Bulkhead, BulkheadPolicy};
///
/// let mut policy = BulkheadPolicy::default();
/// (policy.concurrency, policy.queue) = (1, 1);
/// let bulkhead = Bulkhead::new("printer", policy)?;
/// let running = bulkhead.acquire(0).wait()?;
/// let mut waiting = bulkhead.acquire(0);
/// assert!(bulkhead.acquire(0).wait().is_err(), "no room to wait");
/// drop(running);
/// let _running = waiting.wait()?;
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bulkhead(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Arc<str>,
    /// Calls that run, and above them a bit that says that some wait. On a line of its own: every call
    /// writes it, and reads what stands around it.
    running: CachePadded<AtomicU64>,
    concurrency: AtomicU64,
    queue: Mutex<Queue<Reply<Place>>>,
    rejected: AtomicU64,
    #[cfg(feature = "tune")]
    adaptive: Mutex<Adapts>,
}

/// Whether the bound follows what is seen, and how.
#[cfg(feature = "tune")]
#[derive(Debug, Default)]
struct Adapts {
    now: Option<adaptive::Adaptive>,
    /// How often it began to.
    epoch: u32,
}

const WAITING: u64 = 1 << 32;

/// A place in a bulkhead, given back when it is dropped.
#[derive(Debug)]
#[must_use = "dropping a place gives it back"]
pub struct Place {
    bulkhead: Arc<Inner>,
    /// Whether it is still to be given back.
    held: bool,
}

impl Place {
    /// Leaves the place taken; whoever does must give it back by [`Bulkhead::leave`].
    pub(super) fn keep(mut self) {
        self.held = false;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.held {
            give(&self.bulkhead);
        }
    }
}

/// Where a call would stand in the queue of a [`Bulkhead`]; the better ones first.
#[cfg(feature = "agent")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Line {
    /// With so many.
    Behind(usize),
    /// With so many, one of which has to go.
    Displaces(usize),
    /// Nowhere.
    Full,
}

impl Bulkhead {
    /// An empty one.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid.
    pub fn new(name: impl Into<Arc<str>>, policy: BulkheadPolicy) -> Result<Self> {
        policy.check_anew()?;
        let bulkhead = Self(Arc::new(Inner {
            name: name.into(),
            running: CachePadded::new(AtomicU64::new(0)),
            concurrency: AtomicU64::new(0),
            queue: Mutex::default(),
            rejected: AtomicU64::new(0),
            #[cfg(feature = "tune")]
            adaptive: Mutex::default(),
        }));
        bulkhead.set_policy(policy)?;
        Ok(bulkhead)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Takes another policy. Those that run or wait beyond it go on; no more come until it fits.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid; the old one stays.
    pub fn set_policy(&self, policy: BulkheadPolicy) -> Result<()> {
        policy.check()?;
        self.0.queue.lock().most = policy.queue as usize;
        #[cfg(feature = "tune")]
        let concurrency = self.0.adapt_to(&policy)?;
        #[cfg(not(feature = "tune"))]
        let concurrency = policy.concurrency;
        self.0.concurrency.store(u64::from(concurrency), Ordering::Relaxed);
        // There may be room now for some that wait.
        admit_waiting(&self.0);
        Ok(())
    }

    /// Lets everybody in, those that wait too.
    pub(super) fn open(&self) {
        #[cfg(feature = "tune")]
        {
            self.0.adaptive.lock().now = None;
        }
        self.0.concurrency.store(u64::from(u32::MAX), Ordering::Relaxed);
        admit_waiting(&self.0);
    }

    /// A place if one is free and nobody waits for it.
    #[inline]
    pub fn try_acquire(&self) -> Option<Place> {
        self.0.take().then(|| place(&self.0))
    }

    /// A place, now or when it is this call's turn: `priority` from 0 to 255, higher ones first. Dropping
    /// the ticket leaves the queue. Where the queue is full, the one that would go last, this one included, is
    /// answered [`Code::BULKHEAD_FULL`]: the least urgent of all, of several one of the caller who has most
    /// waiting, and of those the one that came last.
    pub fn acquire(&self, priority: u8) -> Ticket<Place> {
        if let Some(place) = self.try_acquire() {
            return ticket::ready(Ok(place));
        }
        let (waiter, reply) = ticket::pair();
        let inner = Arc::downgrade(&self.0);
        let mut queue = self.0.queue.lock();
        let joined = queue.join(priority, lineage::caller(), |key| {
            // Who stops waiting makes room at once.
            reply.on_cancel(move || {
                let gone = inner.upgrade().and_then(|inner| inner.queue.lock().leave(&key));
                drop(gone);
            });
            reply
        });
        let Joined::Waits(displaced) = joined else {
            drop(queue);
            return ticket::ready(Err(self.0.reject()));
        };
        self.0.running.fetch_or(WAITING, Ordering::SeqCst);
        drop(queue);
        if let Some(displaced) = displaced {
            let _ = displaced.answer(Err(self.0.reject()));
        }
        // A place may have been given back before the bit was set.
        admit_waiting(&self.0);
        waiter
    }

    /// Its figures.
    pub fn status(&self) -> BulkheadStatus {
        let clamped = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        BulkheadStatus {
            name: self.0.name.to_string(),
            running: clamped(self.0.running.load(Ordering::Relaxed) & !WAITING),
            concurrency: clamped(self.0.concurrency.load(Ordering::Relaxed)),
            waiting: self.0.queue.lock().len(),
            rejected: self.0.rejected.load(Ordering::Relaxed),
            #[cfg(feature = "tune")]
            adaptive: self.0.adaptive.lock().now.as_ref().map(adaptive::Adaptive::view),
        }
    }

    /// Where a call of this priority would stand that has to wait; nothing is changed by asking.
    #[cfg(feature = "agent")]
    pub(crate) fn line(&self, priority: u8) -> Line {
        let queue = self.0.queue.lock();
        match queue.displaces(priority, &lineage::caller()) {
            Some(false) => Line::Behind(queue.len()),
            Some(true) => Line::Displaces(queue.len()),
            None => Line::Full,
        }
    }

    /// Whether anybody has it beside whoever asks.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Takes a place without a handle on it; to be given back by [`leave`](Self::leave).
    #[inline]
    pub(super) fn enter(&self) -> bool {
        self.0.take()
    }

    /// A handle on what [`enter`](Self::enter) took.
    pub(super) fn held(&self) -> Place {
        place(&self.0)
    }

    /// Gives back what [`enter`](Self::enter) took.
    #[inline]
    pub(super) fn leave(&self) {
        give(&self.0);
    }
}

/// Where its bound follows what calls take; elsewhere these do nothing.
#[cfg(feature = "tune")]
impl Bulkhead {
    /// A call was let in now.
    pub(super) fn begun(&self, now: Moment) -> adaptive::Let {
        self.0.adaptive.lock().now.as_mut().map_or(0, |adaptive| adaptive.begin(now))
    }

    /// That call has ended, and how.
    pub(super) fn ended(&self, call: adaptive::Let, outcome: CallOutcome, now: Moment) {
        self.0.follow(|adaptive| adaptive.end(call, outcome, now));
    }

    /// A call found no place.
    #[cold]
    pub(super) fn kept_out(&self, now: Moment) {
        self.0.follow(|adaptive| adaptive.keep_out(now));
    }
}

#[cfg(feature = "tune")]
impl Inner {
    /// Tells the limit, and lets in as many as it says from here on.
    fn follow(self: &Arc<Self>, tell: impl FnOnce(&mut adaptive::Adaptive)) {
        let grown = {
            let mut adapts = self.adaptive.lock();
            let Some(adaptive) = &mut adapts.now else { return };
            tell(adaptive);
            let limit = u64::from(adaptive.limit());
            // Under the lock, so that the last one that is said is the one in force.
            limit > self.concurrency.swap(limit, Ordering::Relaxed)
        };
        if grown {
            admit_waiting(self);
        }
    }

    /// Takes what a policy says of adapting; answers with the bound from here on. What was learnt stays.
    fn adapt_to(&self, policy: &BulkheadPolicy) -> Result<u32> {
        let mut adapts = self.adaptive.lock();
        let Some(wanted) = &policy.adapt else {
            adapts.now = None;
            return Ok(policy.concurrency);
        };
        let wanted = adaptive::within(wanted, policy.concurrency);
        match &mut adapts.now {
            Some(adaptive) => adaptive.set_policy(wanted)?,
            None => {
                adapts.epoch = adapts.epoch.wrapping_add(1).max(1);
                let adaptive = adaptive::Adaptive::new(wanted, adapts.epoch)?;
                adapts.now = Some(adaptive);
            }
        }
        Ok(adapts.now.as_ref().map_or(policy.concurrency, adaptive::Adaptive::limit))
    }
}

impl Inner {
    /// Takes a place if one is free and nobody waits.
    #[inline]
    fn take(&self) -> bool {
        // With the bit set the number is beyond any bound.
        self.add(|running| running)
    }

    #[inline]
    fn add(&self, counted: impl Fn(u64) -> u64) -> bool {
        let most = self.concurrency.load(Ordering::Relaxed);
        let mut running = self.running.load(Ordering::Relaxed);
        while counted(running) < most {
            let next = running + 1;
            match self.running.compare_exchange_weak(
                running,
                next,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(seen) => running = seen,
            }
        }
        false
    }

    #[cold]
    fn reject(&self) -> Error {
        static FULL: Fixed = Fixed {
            code: Code::BULKHEAD_FULL,
            message: "as many calls as the bulkhead allows run, and its queue is full",
        };
        self.rejected.fetch_add(1, Ordering::Relaxed);
        Error::from(&FULL)
    }
}

fn place(inner: &Arc<Inner>) -> Place {
    Place { bulkhead: Arc::clone(inner), held: true }
}

#[inline]
fn give(inner: &Arc<Inner>) {
    // Whoever begins to wait sets the bit and looks for a place after that; both change this word, so
    // either it sees this place or this sees the bit.
    if inner.running.fetch_sub(1, Ordering::AcqRel) & WAITING != 0 {
        admit_waiting(inner);
    }
}

/// Gives places to those that wait, in their order, while there are any.
#[cold]
fn admit_waiting(inner: &Arc<Inner>) {
    let Some(_turn) = Turn::begin(inner) else { return };
    let mut held = false;
    loop {
        let next = {
            let mut queue = inner.queue.lock();
            if queue.is_empty() {
                inner.running.fetch_and(!WAITING, Ordering::AcqRel);
                None
            } else {
                held = held || inner.add(|running| running & !WAITING);
                if held { queue.pop() } else { None }
            }
        };
        match next {
            Some(reply) => match reply.answer(Ok(place(inner))) {
                Ok(()) => held = false,
                // It has stopped waiting; the place is for the next one.
                Err(late) => {
                    if let Ok(place) = late.0 {
                        place.keep();
                    }
                }
            },
            None if held => {
                held = false;
                if inner.running.fetch_sub(1, Ordering::AcqRel) & WAITING == 0 {
                    return;
                }
            }
            None => return,
        }
    }
}

thread_local! {
    /// The bulkheads whose places this thread gives at present.
    static GIVES: RefCell<Vec<*const Inner>> = const { RefCell::new(Vec::new()) };
}

/// Times that giving a place may lead to giving another one, on one stack.
const DEEPEST: usize = 8;

/// A thread gives places. Whoever is given one by a callback may give it back there, and so on for as many
/// as wait: no stack is so deep.
struct Turn;

impl Turn {
    /// `None` where this thread does so further up often enough: it looks again when it comes back there.
    fn begin(inner: &Arc<Inner>) -> Option<Self> {
        let gives = Arc::as_ptr(inner);
        let begun = GIVES.try_with(|all| {
            let mut all = all.borrow_mut();
            let begins = all.iter().filter(|it| **it == gives).count() < DEEPEST;
            if begins {
                all.push(gives);
            }
            begins
        });
        // A thread that ends has no list any more.
        begun.unwrap_or(true).then(|| Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = GIVES.try_with(|all| all.borrow_mut().pop());
    }
}
