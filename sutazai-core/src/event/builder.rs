//! [`SubscribeBuilder`]: the choices of a subscription.

use std::sync::Arc;

use super::bus::Hub;
use super::callback::CallbackGuard;
use super::queue::Queue;
use super::subscription::Subscription;
use super::{Delivery, Pattern};
use crate::{Code, Error, Result};

/// How many events wait for a subscription unless it says otherwise.
pub const DEFAULT_CAPACITY: usize = 1024;

/// The largest capacity that a subscription may ask for.
pub const MAX_CAPACITY: usize = 1 << 20;

/// The longest name of a queue group, in bytes.
const MAX_GROUP_BYTES: usize = 256;

/// What happens when an event comes and a subscription has no room for it.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The oldest waiting event makes room: what is pulled is the latest.
    #[default]
    DropOldest,
    /// The new event is dropped: what is pulled has gaps at the end.
    DropNewest,
    /// The subscription is closed: what waits can still be had, then it ends.
    Close,
}

/// A subscription in the making; see [`Bus::subscribe`](super::Bus::subscribe). Nothing is
/// received before [`pull`](Self::pull) or [`deliver`](Self::deliver).
#[must_use = "a subscription begins with `pull` or `deliver`"]
pub struct SubscribeBuilder {
    hub: Arc<Hub>,
    pattern: Result<Pattern>,
    group: Option<Arc<str>>,
    capacity: usize,
    overflow: Overflow,
}

impl SubscribeBuilder {
    pub(super) fn new(hub: Arc<Hub>, pattern: &str) -> Self {
        let pattern = Pattern::new(pattern);
        Self {
            hub,
            pattern,
            group: None,
            capacity: DEFAULT_CAPACITY,
            overflow: Overflow::default(),
        }
    }

    /// Joins a queue group (1 to 256 bytes): of the members whose patterns match an event, exactly
    /// one gets it. A full member is passed over while another has room.
    pub fn queue_group(mut self, name: impl Into<Arc<str>>) -> Self {
        self.group = Some(name.into());
        self
    }

    /// How many events may wait, from 1 to [`MAX_CAPACITY`]; [`DEFAULT_CAPACITY`] if not said.
    /// Memory is taken as events wait, not before.
    ///
    /// A subscriber takes events up in batches of an eighth of this (at least 1, at most 64); what
    /// it has taken up waits in its hand and takes no room any more.
    pub fn capacity(mut self, events: usize) -> Self {
        self.capacity = events;
        self
    }

    /// What happens when there is no room; [`Overflow::DropOldest`] if not said.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Begins to receive; the events are pulled by whoever owns the [`Subscription`].
    ///
    /// # Errors
    /// [`Code::SUBJECT_INVALID`] for a malformed pattern; [`Code::INVALID`] for a capacity or group
    /// name out of range.
    pub fn pull(self) -> Result<Subscription> {
        let (hub, queue) = self.begin()?;
        Ok(Subscription::new(hub, queue))
    }

    /// Begins to receive; the callback gets the events in order, one at a time, on the blocking
    /// pool of the bus's runtime, until the guard is dropped. While the runtime is not running,
    /// events wait.
    ///
    /// A panic in the callback is caught, logged and counted, and the next event follows.
    ///
    /// # Errors
    /// As [`pull`](Self::pull).
    pub fn deliver(
        self,
        callback: impl Fn(Delivery) + Send + Sync + 'static,
    ) -> Result<CallbackGuard> {
        let (hub, queue) = self.begin()?;
        Ok(CallbackGuard::new(hub, queue, Box::new(callback)))
    }

    fn begin(self) -> Result<(Arc<Hub>, Arc<Queue>)> {
        let pattern = self.pattern.map_err(|e| e.operation("event.subscribe"))?;
        let refuse =
            |what: &'static str| Error::new(Code::INVALID, what).operation("event.subscribe");
        if !(1..=MAX_CAPACITY).contains(&self.capacity) {
            return Err(refuse("the capacity must be from 1 to 1048576 events")
                .with("capacity", self.capacity));
        }
        if self.group.as_ref().is_some_and(|g| g.is_empty() || g.len() > MAX_GROUP_BYTES) {
            return Err(refuse("the name of a queue group must have from 1 to 256 bytes"));
        }
        let id = self.hub.next_id();
        let queue = Arc::new(Queue::new(id, pattern, self.group, self.capacity, self.overflow));
        self.hub.add(Arc::clone(&queue));
        Ok((self.hub, queue))
    }
}

impl std::fmt::Debug for SubscribeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubscribeBuilder")
            .field("pattern", &self.pattern)
            .field("group", &self.group)
            .field("capacity", &self.capacity)
            .field("overflow", &self.overflow)
            .finish_non_exhaustive()
    }
}
