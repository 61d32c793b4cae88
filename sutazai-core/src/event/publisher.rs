//! [`Publisher`]: one subject, many events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::route::Route;
use super::{Bus, Delivered, Event, Subject};
use crate::Result;
use crate::base::payload::Payload;

/// Publishes on one subject, as [`Bus::publish`] does, without looking its subscriptions up each
/// time: it remembers them until the bus's subscriptions change. Clone it for another thread.
///
/// What it remembers includes subscriptions that have gone since its latest event; their queues
/// are empty by then, and freed with its next event or when it is dropped.
///
/// ```
/// use std::sync::Arc;
/// use sutazai_core::base::runtime::Manual;
/// use sutazai_core::event::Bus;
///
/// let bus = Bus::new(Arc::new(Manual::new()));
/// let mut ticks = bus.publisher("clock.tick")?;
/// let mut clock = bus.subscribe("clock.*").pull()?;
/// assert_eq!(ticks.publish("tock")?.queued, 1);
/// assert_eq!(clock.try_next()?.unwrap().event.subject, "clock.tick");
/// # Ok::<(), sutazai_core::Error>(())
/// ```
pub struct Publisher {
    bus: Bus,
    route: Arc<Route>,
    generation: u64,
    published: Arc<AtomicU64>,
}

/// The counts of publishers, each written by its owner only, which spares the bus a shared counter
/// that all publishers would fight for.
#[derive(Default)]
pub(super) struct Publishers {
    living: Vec<Arc<AtomicU64>>,
    gone: u64,
}

impl Publisher {
    pub(super) fn new(bus: Bus, subject: Subject) -> Self {
        let hub = bus.hub();
        let published = Arc::new(AtomicU64::new(0));
        hub.publishers().lock().living.push(Arc::clone(&published));
        // The generation first: a change after it is then seen as one.
        let generation = hub.generation();
        let route = hub.route(&subject);
        Self { bus, route, generation, published }
    }

    /// The subject.
    pub fn subject(&self) -> &Subject {
        self.route.subject()
    }

    /// As [`Bus::publish`].
    ///
    /// # Errors
    /// None today; a `Result` because its namesake has one.
    #[inline]
    pub fn publish(&mut self, payload: impl Into<Payload>) -> Result<Delivered> {
        let event = self.event(payload.into());
        Ok(self.route.publish(event, self.bus.hub().turn()))
    }

    /// As [`Bus::publish_wait`].
    ///
    /// # Errors
    /// [`Code::WOULD_DEADLOCK`](crate::Code::WOULD_DEADLOCK) on a thread that must not block.
    #[inline]
    pub fn publish_wait(
        &mut self,
        payload: impl Into<Payload>,
        timeout: Duration,
    ) -> Result<Delivered> {
        self.bus.hub().check_may_wait_for_room()?;
        let event = self.event(payload.into());
        self.bus.hub().publish_wait(&self.route, event, timeout)
    }

    #[inline]
    fn event(&mut self, payload: Payload) -> Arc<Event> {
        if self.generation != self.bus.hub().generation() {
            self.refresh();
        }
        // This publisher alone writes here, so the sum needs no atomic step.
        self.published.store(self.published.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.route.event(payload)
    }

    #[cold]
    fn refresh(&mut self) {
        self.generation = self.bus.hub().generation();
        self.route = self.bus.hub().route(self.route.subject());
    }
}

impl Publishers {
    pub(super) fn published(&self) -> u64 {
        self.gone + self.living.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>()
    }
}

impl Clone for Publisher {
    fn clone(&self) -> Self {
        Self::new(self.bus.clone(), self.subject().clone())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut publishers = self.bus.hub().publishers().lock();
        publishers.gone += self.published.load(Ordering::Relaxed);
        publishers.living.retain(|count| !Arc::ptr_eq(count, &self.published));
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("subject", self.subject()).finish_non_exhaustive()
    }
}
