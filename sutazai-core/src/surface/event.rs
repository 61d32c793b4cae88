//! Rows of the bus: publish, subscribe, pull.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::{Open, Surface};
use super::operation::{Nothing, Operation};
use crate::base::id::SubscriptionId;
use crate::base::payload::Payload;
use crate::base::ticket::{self, Reply, Ticket};
use crate::event::{BusStats, Delivered, Delivery, Overflow, Pattern, Subject, Subscription};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "event.publish",
            "Gives an event to every subscription that wants its subject; never waits.",
            &[Code::SUBJECT_INVALID],
            publish,
        ),
        Operation::blocking(
            "event.publish_wait",
            "As event.publish, but waits for room where there is none.",
            &[Code::SUBJECT_INVALID, Code::WOULD_DEADLOCK],
            publish_wait,
        ),
        Operation::now(
            "event.subscribe",
            "Opens a subscription to pull from.",
            &[Code::SUBJECT_INVALID, Code::INVALID, Code::OVERLOADED],
            subscribe,
        ),
        Operation::later(
            "event.pull",
            "Takes the events that wait for a subscription, waiting for the first one if asked to.",
            &[Code::NOT_FOUND, Code::SUBSCRIPTION_CLOSED, Code::WOULD_DEADLOCK],
            pull,
        ),
        Operation::now(
            "event.unsubscribe",
            "Closes a subscription; what waits for it is dropped.",
            &[Code::NOT_FOUND],
            unsubscribe,
        ),
        Operation::now(
            "event.matches",
            "Whether a pattern matches a subject, as a NATS server would say.",
            &[Code::SUBJECT_INVALID],
            matches,
        ),
        Operation::now(
            "event.stats",
            "What the bus has published, delivered and dropped.",
            &[Code::REQUEST_INVALID],
            stats,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Publish {
    /// What it is about: dot-separated tokens.
    subject: String,
    /// Any JSON.
    #[serde(default)]
    payload: Payload,
}

fn publish(surface: &Surface, request: Publish) -> Result<Delivered> {
    surface.kernel().bus().publish(request.subject, request.payload)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PublishWait {
    /// What it is about: dot-separated tokens.
    subject: String,
    /// Any JSON.
    #[serde(default)]
    payload: Payload,
    /// How long to wait for room, in milliseconds.
    timeout_ms: u64,
}

fn publish_wait(surface: &Surface, request: PublishWait) -> Result<Delivered> {
    let timeout = Duration::from_millis(request.timeout_ms);
    surface.kernel().bus().publish_wait(request.subject, request.payload, timeout)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Subscribe {
    /// Which subjects: `*` is one token, `>` the rest.
    pattern: String,
    /// The queue group to join: each event goes to one member.
    queue_group: Option<String>,
    /// How many events may wait; 1,024 without it.
    capacity: Option<usize>,
    /// What happens when there is no room.
    #[serde(default)]
    overflow: Overflow,
}

#[derive(Serialize, JsonSchema)]
struct Subscribed {
    /// To pull from.
    subscription: SubscriptionId,
}

fn subscribe(surface: &Surface, request: Subscribe) -> Result<Subscribed> {
    let mut builder = surface.kernel().bus().subscribe(request.pattern).overflow(request.overflow);
    if let Some(group) = request.queue_group {
        builder = builder.queue_group(group);
    }
    if let Some(capacity) = request.capacity {
        builder = builder.capacity(capacity);
    }
    Ok(Subscribed { subscription: surface.keep(builder.pull()?)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pull {
    /// The subscription's number.
    subscription: SubscriptionId,
    /// How many events, at most; 256 without it; 0 takes none.
    #[serde(default = "a_page")]
    max: usize,
    /// How long to wait for the first event, in milliseconds; 0 without it.
    #[serde(default)]
    timeout_ms: u64,
}

fn a_page() -> usize {
    256
}

#[derive(Serialize, JsonSchema)]
struct Pulled {
    /// In the order they were published.
    events: Vec<PulledEvent>,
    /// How many the subscription has missed since it was opened.
    missed: u64,
}

#[derive(Serialize, JsonSchema)]
struct PulledEvent {
    subject: String,
    payload: Payload,
    /// How many were missed right before this one.
    missed_before: u64,
}

/// Waiting goes on in slices: whoever cancels the pull, closes the subscription or pulls as well does
/// not wait longer than one.
const SLICE: Duration = Duration::from_millis(50);

fn pull(surface: &Surface, request: Pull) -> Result<Ticket<Pulled>> {
    let open = surface.subscription(request.subscription)?;
    if request.timeout_ms == 0 {
        return Ok(ticket::ready(open.take(request.max)));
    }
    // The job holds the subscription and not the kernel, which may stop meanwhile.
    let timeout = Duration::from_millis(request.timeout_ms);
    Ok(surface.aside(move |reply: Reply<Pulled>| {
        let end = Instant::now().checked_add(timeout);
        while !reply.cancelled() {
            let left = end.map_or(SLICE, |end| end.saturating_duration_since(Instant::now()));
            let answer = open.wait(left.min(SLICE), request.max);
            if left.is_zero() || !matches!(&answer, Ok(pulled) if pulled.events.is_empty()) {
                let _ = reply.answer(answer);
                return;
            }
        }
    }))
}

impl Open {
    /// What waits, at most `max` events.
    fn take(&self, max: usize) -> Result<Pulled> {
        let mut subscription = self.subscription.lock();
        let first = if max == 0 { None } else { subscription.try_next()? };
        Ok(gathered(&mut subscription, first, max))
    }

    /// As [`take`](Self::take), waiting for the first one.
    fn wait(&self, timeout: Duration, max: usize) -> Result<Pulled> {
        let mut subscription = self.subscription.lock();
        let closed = self.closed.load(Ordering::Acquire);
        let first = if closed { None } else { subscription.wait(timeout)? };
        if closed {
            return Err(Error::new(Code::SUBSCRIPTION_CLOSED, "the subscription was closed")
                .operation("event.pull"));
        }
        Ok(gathered(&mut subscription, first, max))
    }
}

fn gathered(subscription: &mut Subscription, first: Option<Delivery>, max: usize) -> Pulled {
    let mut events = Vec::new();
    let mut next = first;
    while let Some(delivery) = next.take() {
        events.push(PulledEvent {
            subject: delivery.event.subject.as_str().to_owned(),
            payload: delivery.event.payload.clone(),
            missed_before: delivery.missed_before,
        });
        if events.len() < max {
            // An end after events is told with the next pull.
            next = subscription.try_next().unwrap_or(None);
        }
    }
    Pulled { events, missed: subscription.missed() }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Unsubscribe {
    /// The subscription's number.
    subscription: SubscriptionId,
}

#[derive(Serialize, JsonSchema)]
struct Unsubscribed {
    /// How many it had missed.
    missed: u64,
}

fn unsubscribe(surface: &Surface, request: Unsubscribe) -> Result<Unsubscribed> {
    let open = surface.close(request.subscription)?;
    open.closed.store(true, Ordering::Release);
    // A pull that waits lets go of it between two slices.
    let missed = open.subscription.lock().missed();
    Ok(Unsubscribed { missed })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Matches {
    /// A pattern.
    pattern: String,
    /// A subject, without wildcards.
    subject: String,
}

#[derive(Serialize, JsonSchema)]
struct Matched {
    matches: bool,
}

fn matches(_: &Surface, request: Matches) -> Result<Matched> {
    let pattern = Pattern::new(&request.pattern)?;
    let subject = Subject::new(&request.subject)?;
    Ok(Matched { matches: pattern.matches(subject.as_str()) })
}

fn stats(surface: &Surface, _: Nothing) -> Result<BusStats> {
    Ok(surface.kernel().bus().stats())
}
