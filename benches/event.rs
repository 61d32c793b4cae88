//! The bus beside tokio's broadcast (fan-out) and crossbeam's and flume's channels (one to one).
//!
//! `cargo bench --bench event`. All contestants carry the same thing: a subject and a shared JSON
//! payload. The channels' senders clone an [`Event`] that was made before; the bus finds the
//! subject's subscriptions and makes the event anew each time, which is what publishing is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it fails by panicking")]

mod bar;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::{Manual, Threads};
use sutazai_core::event::{Bus, Delivered, Event, Overflow, Subscription};
use tokio::sync::broadcast;

const SUBJECT: &str = "agent.reviewer.task.done";
const FAR: Duration = Duration::from_secs(60);

fn main() {
    fanout8();
    spsc_two_threads();
    spsc_same_thread();
}

fn payload() -> Payload {
    Payload::from(serde_json::json!({"task": 7, "millis": 12}))
}

fn event() -> Event {
    Event { subject: SUBJECT.parse().unwrap(), payload: payload() }
}

/// One publisher, 8 subscribers, one thread: bursts that fit the queues, drained in turn. Per
/// delivery. Once through a `Publisher`, which like a channel's sender knows where it sends, and
/// once by the subject's name.
fn fanout8() {
    let n = 8;
    const BURST: usize = 64;
    const BURSTS: usize = 1000;
    let deliveries = (n * BURST * BURSTS) as u64;

    let bus = Bus::new(Arc::new(Manual::new()));
    let mut subs: Vec<Subscription> =
        (0..n).map(|_| bus.subscribe("agent.*.task.>").pull().unwrap()).collect();
    let shared = payload();
    let mut publisher = bus.publisher(SUBJECT).unwrap();
    let mut by_handle = || publisher.publish(shared.clone()).unwrap();
    let mut by_name = || bus.publish(SUBJECT, shared.clone()).unwrap();
    let mut ours = |publish: &mut dyn FnMut() -> Delivered| {
        bar::timed(deliveries, || {
            for _ in 0..BURSTS {
                for _ in 0..BURST {
                    assert_eq!(publish().queued, n);
                }
                for sub in &mut subs {
                    for _ in 0..BURST {
                        black_box(sub.try_next().unwrap().unwrap());
                    }
                }
            }
        })
    };

    let (sender, _) = broadcast::channel::<Event>(1024);
    let mut receivers: Vec<_> = (0..n).map(|_| sender.subscribe()).collect();
    let event = event();
    let mut tokio = || {
        bar::timed(deliveries, || {
            for _ in 0..BURSTS {
                for _ in 0..BURST {
                    sender.send(event.clone()).unwrap();
                }
                for receiver in &mut receivers {
                    for _ in 0..BURST {
                        black_box(receiver.try_recv().unwrap());
                    }
                }
            }
        })
    };
    let mut handle = || ours(&mut by_handle);
    bar::compare("event.fanout8", "ns", 1.0, &mut handle, &mut [("tokio-broadcast", &mut tokio)]);
    let mut name = || ours(&mut by_name);
    bar::compare(
        "event.fanout8_by_name",
        "ns",
        1.0,
        &mut name,
        &mut [("tokio-broadcast", &mut tokio)],
    );
}

const MESSAGES: usize = 400_000;

/// Runs a producer on another thread and a consumer on this one; the time is from the start of
/// both to the last event received.
fn two_threads(produce: impl FnOnce() + Send, consume: impl FnOnce()) -> (Duration, u64) {
    let go = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !go.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            produce();
        });
        thread::yield_now();
        let start = Instant::now();
        go.store(true, Ordering::Release);
        consume();
        (start.elapsed(), MESSAGES as u64)
    })
}

/// One publisher, one subscriber, two threads, nothing lost: who is full waits, who is empty waits.
fn spsc_two_threads() {
    let shared = payload();
    let mut ours = || {
        let bus = Bus::new(Arc::new(Threads::default()));
        let mut sub = bus.subscribe(SUBJECT).overflow(Overflow::Close).pull().unwrap();
        let mut publisher = bus.publisher(SUBJECT).unwrap();
        let shared = &shared;
        let produce = move || {
            for _ in 0..MESSAGES {
                publisher.publish_wait(shared.clone(), FAR).unwrap();
            }
        };
        two_threads(produce, || {
            for _ in 0..MESSAGES {
                black_box(sub.wait(FAR).unwrap().unwrap());
            }
        })
    };
    let event = event();
    let mut crossbeam = || {
        let (sender, receiver) = crossbeam_channel::bounded::<Event>(1024);
        let produce = || {
            for _ in 0..MESSAGES {
                sender.send(event.clone()).unwrap();
            }
        };
        two_threads(produce, || {
            for _ in 0..MESSAGES {
                black_box(receiver.recv().unwrap());
            }
        })
    };
    let mut flume = || {
        let (sender, receiver) = flume::bounded::<Event>(1024);
        let produce = || {
            for _ in 0..MESSAGES {
                sender.send(event.clone()).unwrap();
            }
        };
        two_threads(produce, || {
            for _ in 0..MESSAGES {
                black_box(receiver.recv().unwrap());
            }
        })
    };
    bar::compare(
        "event.spsc",
        "ns",
        1.0,
        &mut ours,
        &mut [("crossbeam", &mut crossbeam), ("flume", &mut flume)],
    );
}

/// The same on one thread, in bursts: what the operations themselves cost.
fn spsc_same_thread() {
    const BURST: usize = 64;
    let bursts = MESSAGES / BURST;
    let operations = (bursts * BURST) as u64;

    let bus = Bus::new(Arc::new(Manual::new()));
    let mut sub = bus.subscribe(SUBJECT).pull().unwrap();
    let mut publisher = bus.publisher(SUBJECT).unwrap();
    let shared = payload();
    let mut ours = || {
        bar::timed(operations, || {
            for _ in 0..bursts {
                for _ in 0..BURST {
                    publisher.publish(shared.clone()).unwrap();
                }
                for _ in 0..BURST {
                    black_box(sub.try_next().unwrap().unwrap());
                }
            }
        })
    };
    let event = event();
    let (sender, receiver) = crossbeam_channel::bounded::<Event>(1024);
    let mut crossbeam = || {
        bar::timed(operations, || {
            for _ in 0..bursts {
                for _ in 0..BURST {
                    sender.try_send(event.clone()).unwrap();
                }
                for _ in 0..BURST {
                    black_box(receiver.try_recv().unwrap());
                }
            }
        })
    };
    let (to, from) = flume::bounded::<Event>(1024);
    let mut flume = || {
        bar::timed(operations, || {
            for _ in 0..bursts {
                for _ in 0..BURST {
                    to.try_send(event.clone()).unwrap();
                }
                for _ in 0..BURST {
                    black_box(from.try_recv().unwrap());
                }
            }
        })
    };
    bar::compare(
        "event.spsc_same_thread",
        "ns",
        1.0,
        &mut ours,
        &mut [("crossbeam", &mut crossbeam), ("flume", &mut flume)],
    );
}
