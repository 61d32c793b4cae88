//! The in-process event bus: subjects with wildcards, queue groups, bounded subscriptions.
//!
//! A [`Bus`] carries [`Event`]s from publishers to [subscriptions](Subscription). Subjects are
//! dot-separated tokens and patterns use `*` and `>` exactly as a NATS server does
//! (`tests/event_subjects.rs` compares 100,000 verdicts of a real one).
//!
//! **Invariants.**
//! - Publishing never waits for a subscriber ([`Bus::publish_wait`] alone may), and a slow
//!   subscriber never delays another: each has its own bounded queue.
//! - For every subscription, events delivered + missed + waiting = events that matched, exactly;
//!   those that wait when it ends are discarded, and counted as such.
//! - Events of one publishing thread reach a subscription in the order they were published.
//! - An event is shared by all who receive it: one allocation a publish, none a delivery (queues
//!   grow to their bound once).
//! - No lock is held while a callback or a waker runs, or an event is dropped.
//! - The bus starts no thread and has no global state; callbacks run on the injected runtime.
//!
//! ```
//! use std::sync::Arc;
//! use sutazai_core::base::runtime::Manual;
//! use sutazai_core::event::{Bus, Overflow};
//!
//! let bus = Bus::new(Arc::new(Manual::new()));
//! let mut last = bus.subscribe("agent.*.state").capacity(1).pull()?;
//! let mut all = bus.subscribe("agent.>").overflow(Overflow::Close).pull()?;
//!
//! bus.publish("agent.reviewer.state", "starting")?;
//! bus.publish("agent.reviewer.state", "running")?;
//!
//! let latest = last.try_next()?.unwrap();
//! assert_eq!(latest.event.payload.to::<String>()?, "running");
//! assert_eq!(latest.missed_before, 1);
//! assert_eq!(all.try_next()?.unwrap().event.subject, "agent.reviewer.state");
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod builder;
mod bus;
mod callback;
mod pattern;
mod publisher;
mod queue;
mod route;
mod subject;
mod subscription;
#[cfg(test)]
mod tests;
mod trie;
mod wait;

pub use builder::{DEFAULT_CAPACITY, MAX_CAPACITY, Overflow, SubscribeBuilder};
pub use bus::{Bus, BusStats, Delivered};
pub use callback::CallbackGuard;
pub use pattern::Pattern;
pub use publisher::Publisher;
pub use subject::{MAX_BYTES, MAX_TOKENS, Subject};
pub use subscription::Subscription;

use std::sync::Arc;

use crate::base::payload::Payload;

/// What was published: a subject and a payload. A clone allocates nothing.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Event {
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub payload: Payload,
}

/// An event on its arrival.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Delivery {
    /// The event, shared with the others who receive it.
    pub event: Arc<Event>,
    /// How many matching events this subscription missed between the one before and this one.
    pub missed_before: u64,
}
