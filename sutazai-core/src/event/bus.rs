//! [`Bus`]: publishing, and the state that all handles share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_utils::{Backoff, CachePadded};
use parking_lot::{Mutex, RwLock};

use super::builder::SubscribeBuilder;
use super::publisher::{Publisher, Publishers};
use super::queue::{Counts, Offered, Queue};
use super::route::{self, Full, Route, Routes};
use super::trie::Trie;
use super::wait::ThreadWaker;
use super::{Event, Subject};
use crate::base::payload::Payload;
use crate::base::runtime::{Runtime, block};
use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// How long a publisher that waits for room trusts to be woken, before it looks for itself: a
/// consumer wakes it when half of the queue is free, and may stop before.
const PATIENCE: Duration = Duration::from_millis(1);

/// The in-process event bus: a handle, cheap to clone, on one kernel's bus.
///
/// When the last handle is dropped, subscriptions get what already waits for them and are then
/// closed.
#[derive(Clone)]
pub struct Bus(Arc<Handle>);

/// Dropped with the last [`Bus`]; subscriptions hold the [`Hub`] only.
struct Handle(Arc<Hub>);

/// What a publish did. Nothing here is an error: whoever publishes does not answer for the slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Delivered {
    /// Subscriptions (a queue group counts once) in whose queue the event now is.
    pub queued: usize,
    /// Subscriptions that lost an event by this: this one, or an older one that made room.
    pub overflowed: usize,
}

/// Counts since the bus was made, over all subscriptions, living and gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct BusStats {
    /// Events published.
    pub published: u64,
    /// Deliveries: events answered to subscribers, and given to callbacks.
    pub delivered: u64,
    /// Deliveries lost to overflow.
    pub missed: u64,
    /// Events that wait now, those in the batch that a subscriber is at included.
    pub waiting: u64,
    /// Events that waited when their subscription was dropped.
    pub discarded: u64,
    /// Subscriptions now.
    pub subscriptions: usize,
    /// Callbacks that panicked.
    pub panics: u64,
}

pub(super) struct Hub {
    routes: ArcSwap<Routes>,
    /// Counts the replacements of [`Hub::routes`] that a change of the subscriptions caused.
    generation: CachePadded<AtomicU64>,
    /// Changed and [`Hub::routes`] replaced under one write lock, so that no route computed from
    /// an older tree can stand in newer routes.
    trie: RwLock<Trie>,
    runtime: Arc<dyn Runtime>,
    next_id: AtomicU64,
    published: CachePadded<AtomicU64>,
    publishers: Mutex<Publishers>,
    /// Spreads the load of queue groups.
    turn: AtomicUsize,
    panics: AtomicU64,
    gone: Mutex<Gone>,
}

/// The counts of subscriptions that are gone.
#[derive(Default)]
struct Gone {
    delivered: u64,
    missed: u64,
    discarded: u64,
}

impl Bus {
    /// A bus whose callbacks run on `runtime`, on its blocking pool. Starts nothing.
    pub fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self(Arc::new(Handle(Arc::new(Hub {
            routes: ArcSwap::from_pointee(Routes::new()),
            generation: CachePadded::new(AtomicU64::new(0)),
            trie: RwLock::default(),
            runtime,
            next_id: AtomicU64::new(0),
            published: CachePadded::new(AtomicU64::new(0)),
            publishers: Mutex::default(),
            turn: AtomicUsize::new(0),
            panics: AtomicU64::new(0),
            gone: Mutex::default(),
        }))))
    }

    /// Gives an event to every subscription that wants its subject. Never waits: a subscription
    /// without room is treated as its [`Overflow`](super::Overflow) says.
    ///
    /// Events that one thread publishes reach each subscription in that order. Publishing from a
    /// callback is fine.
    ///
    /// # Errors
    /// [`Code::SUBJECT_INVALID`] when `subject` is not one, wildcards included.
    #[inline]
    pub fn publish(
        &self,
        subject: impl AsRef<str>,
        payload: impl Into<Payload>,
    ) -> Result<Delivered> {
        let hub = &*self.0.0;
        hub.with_route(subject.as_ref(), |route| {
            let event = route.event(payload.into());
            route.publish(event, &hub.turn)
        })
    }

    /// As [`publish`](Self::publish), but waits up to `timeout` for room in the subscriptions that
    /// have none. Those with room get the event first; one that still has none at the end is
    /// treated as its overflow policy says, and counted in [`Delivered::overflowed`].
    ///
    /// # Errors
    /// [`Code::SUBJECT_INVALID`]; [`Code::WOULD_DEADLOCK`] on a thread that must not block, which
    /// under virtual time is every thread (nothing is published then).
    pub fn publish_wait(
        &self,
        subject: impl AsRef<str>,
        payload: impl Into<Payload>,
        timeout: Duration,
    ) -> Result<Delivered> {
        let hub = &*self.0.0;
        hub.check_may_wait_for_room()?;
        hub.with_route(subject.as_ref(), |route| {
            let event = route.event(payload.into());
            hub.publish_wait(route, event, timeout)
        })?
    }

    /// Begins a subscription: choose queue group, capacity and overflow policy, then
    /// [`pull`](SubscribeBuilder::pull) or [`deliver`](SubscribeBuilder::deliver).
    pub fn subscribe(&self, pattern: impl AsRef<str>) -> SubscribeBuilder {
        SubscribeBuilder::new(Arc::clone(&self.0.0), pattern.as_ref())
    }

    /// A publisher for one subject: the quickest way for who publishes on it often.
    ///
    /// # Errors
    /// [`Code::SUBJECT_INVALID`].
    pub fn publisher(&self, subject: impl AsRef<str>) -> Result<Publisher> {
        let subject = Subject::new(subject).map_err(|error| error.operation("event.publisher"))?;
        Ok(Publisher::new(self.clone(), subject))
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.0.0
    }

    /// The counts now. Each subscription's counts are exact; the sum is not one moment's while
    /// others publish.
    pub fn stats(&self) -> BusStats {
        self.0.0.stats()
    }
}

impl Hub {
    pub(super) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn add(&self, queue: Arc<Queue>) {
        let mut trie = self.trie.write();
        trie.insert(queue);
        self.subscriptions_changed();
    }

    /// Ends a subscription for good; only the first call does something.
    pub(super) fn remove(&self, queue: &Arc<Queue>) {
        {
            let mut trie = self.trie.write();
            if trie.remove(queue) {
                self.subscriptions_changed();
            }
        }
        if let Some(counts) = queue.abandon() {
            self.gone.lock().add(counts);
        }
    }

    /// Called with the tree's write lock held.
    fn subscriptions_changed(&self) {
        self.routes.store(Arc::new(Routes::new()));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Changes with the subscriptions.
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The route of a subject now.
    pub(super) fn route(&self, subject: &Subject) -> Arc<Route> {
        Arc::new(Route::new(route::hash(subject.as_str()), subject.clone(), &self.trie.read()))
    }

    pub(super) fn turn(&self) -> &AtomicUsize {
        &self.turn
    }

    pub(super) fn publishers(&self) -> &Mutex<Publishers> {
        &self.publishers
    }

    pub(super) fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this thread may wait for room; asked before anything is published.
    #[inline]
    pub(super) fn check_may_wait_for_room(&self) -> Result<()> {
        if self.runtime.may_block() {
            return Ok(());
        }
        Err(Error::new(
            Code::WOULD_DEADLOCK,
            "who makes room may need this thread, so it must not wait for room",
        )
        .operation("event.publish_wait")
        .advice("use publish, or publish_wait from a blocking thread"))
    }

    #[inline]
    fn with_route<R>(&self, subject: &str, f: impl FnOnce(&Route) -> R) -> Result<R> {
        let hash = route::hash(subject);
        let routes = self.routes.load();
        if let Some(route) = routes.find(hash, subject) {
            self.published.fetch_add(1, Ordering::Relaxed);
            return Ok(f(route));
        }
        let route = self.make_route(&routes, hash, subject)?;
        self.published.fetch_add(1, Ordering::Relaxed);
        Ok(f(&route))
    }

    #[cold]
    fn make_route(&self, routes: &Routes, hash: u64, subject: &str) -> Result<Arc<Route>> {
        let subject = Subject::new(subject).map_err(|e| e.operation("event.publish"))?;
        let route = Arc::new(Route::new(hash, subject, &self.trie.read()));
        routes.keep(&route);
        if routes.count_miss() {
            // Empty routes are right at any time: they are filled from the tree as it is then.
            self.routes.store(Arc::new(Routes::new()));
        }
        Ok(route)
    }

    #[inline]
    pub(super) fn publish_wait(
        &self,
        route: &Route,
        event: Arc<Event>,
        timeout: Duration,
    ) -> Result<Delivered> {
        let mut full = Vec::new();
        let report = route.publish_if_room(event, &self.turn, &mut full);
        if full.is_empty() { Ok(report) } else { self.wait_for_room(report, full, timeout) }
    }

    #[cold]
    fn wait_for_room(
        &self,
        mut report: Delivered,
        mut full: Vec<(Full<'_>, Arc<Event>)>,
        timeout: Duration,
    ) -> Result<Delivered> {
        let backoff = Backoff::new();
        while !backoff.is_completed() && !full.iter().any(|(place, _)| place.may_have_room()) {
            backoff.snooze();
        }
        let deadline = Moment::now() + timeout;
        block(|| {
            let sleeper = ThreadWaker::new();
            let waker = sleeper.waker();
            loop {
                full = full
                    .drain(..)
                    .filter_map(|(place, event)| {
                        match place.offer(event, &self.turn, Some(waker)) {
                            Ok(offered) => {
                                report.count(offered);
                                place.forget(waker);
                                None
                            }
                            Err(event) => Some((place, event)),
                        }
                    })
                    .collect();
                if full.is_empty() {
                    return report;
                }
                if sleeper.sleep_until(deadline.min(Moment::now() + PATIENCE)) {
                    continue;
                }
                if Moment::now() >= deadline {
                    for (place, event) in full.drain(..) {
                        report.count(place.force(event, &self.turn));
                        place.forget(waker);
                    }
                    return report;
                }
            }
        })
    }

    fn stats(&self) -> BusStats {
        let mut stats = BusStats {
            published: self.published.load(Ordering::Relaxed) + self.publishers.lock().published(),
            panics: self.panics.load(Ordering::Relaxed),
            ..BusStats::default()
        };
        {
            let trie = self.trie.read();
            stats.subscriptions = trie.len();
            trie.for_each(&mut |queue| {
                let counts = queue.counts();
                stats.delivered += counts.offered - counts.missed - counts.waiting;
                stats.missed += counts.missed;
                stats.waiting += counts.waiting;
            });
        }
        let gone = self.gone.lock();
        stats.delivered += gone.delivered;
        stats.missed += gone.missed;
        stats.discarded += gone.discarded;
        stats
    }
}

impl Gone {
    fn add(&mut self, counts: Counts) {
        self.delivered += counts.offered - counts.missed - counts.waiting;
        self.missed += counts.missed;
        self.discarded += counts.waiting;
    }
}

impl Delivered {
    #[inline]
    pub(super) fn count(&mut self, offered: Offered) {
        match offered {
            Offered::Queued => self.queued += 1,
            Offered::Displaced => {
                self.queued += 1;
                self.overflowed += 1;
            }
            Offered::Missed => self.overflowed += 1,
            Offered::Gone => {}
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Collected first: wakers are foreign code and must not run under the lock.
        let mut queues = Vec::new();
        self.0.trie.read().for_each(&mut |queue| queues.push(Arc::clone(queue)));
        for queue in queues {
            queue.finish();
        }
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("stats", &self.stats()).finish()
    }
}
