//! Tests of the bus as its users see it.

mod callbacks;
mod matching;
mod policies;
mod stress;
mod waiting;

use super::*;
use crate::base::runtime::{Manual, Threads};

/// On a runtime that starts no thread, and whose callers may block.
fn bus() -> Bus {
    Bus::new(Arc::new(Threads::default()))
}

fn number(delivery: &Delivery) -> u64 {
    delivery.event.payload.to().unwrap()
}

fn publish(bus: &Bus, subject: &str, n: u64) -> Delivered {
    bus.publish(subject, serde_json::Value::from(n)).unwrap()
}

/// Everything that waits: numbers, and how many were missed before each.
fn drain(sub: &mut Subscription) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    while let Ok(Some(delivery)) = sub.try_next() {
        all.push((number(&delivery), delivery.missed_before));
    }
    all
}

fn publish_all(bus: &Bus, subject: &str, numbers: std::ops::Range<u64>) {
    for n in numbers {
        publish(bus, subject, n);
    }
}
