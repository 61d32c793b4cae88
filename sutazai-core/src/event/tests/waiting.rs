//! Sleeping and waking: futures, blocked threads, publishers that wait for room.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use super::*;
use crate::Code;
use crate::base::runtime::Runtime;

const FAR: Duration = Duration::from_secs(600);

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_poll_that_found_nothing_is_woken_once() {
    let bus = bus();
    let mut sub = bus.subscribe("a").pull().unwrap();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    assert!(sub.poll_next(&mut cx).is_pending());
    publish(&bus, "a", 1);
    publish(&bus, "a", 2);
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    let Poll::Ready(Ok(first)) = sub.poll_next(&mut cx) else { panic!("one waits") };
    assert_eq!(number(&first), 1);
    assert!(sub.poll_next(&mut cx).is_ready());
    assert!(sub.poll_next(&mut cx).is_pending());
    drop(bus);
    assert_eq!(count.0.load(Ordering::SeqCst), 2, "the end wakes too");
    let Poll::Ready(Err(error)) = sub.poll_next(&mut cx) else { panic!("closed") };
    assert_eq!(error.code(), Code::SUBSCRIPTION_CLOSED);
}

#[test]
fn futures_are_woken_across_threads() {
    let bus = bus();
    let mut sub = bus.subscribe("a").capacity(1 << 16).pull().unwrap();
    let publisher = thread::spawn(move || {
        for n in 0..10_000 {
            publish(&bus, "a", n);
            if n % 64 == 0 {
                thread::yield_now();
            }
        }
    });
    smol::block_on(async {
        for n in 0..10_000 {
            assert_eq!(number(&sub.next().await.unwrap()), n);
        }
        assert_eq!(sub.next().await.unwrap_err().code(), Code::SUBSCRIPTION_CLOSED);
    });
    publisher.join().unwrap();
}

#[test]
fn wait_ends_with_an_event_in_time_or_at_the_end() {
    let bus = bus();
    let mut sub = bus.subscribe("a").pull().unwrap();
    assert_eq!(sub.wait(Duration::ZERO), Ok(None));
    assert_eq!(sub.wait(Duration::from_millis(2)), Ok(None));
    publish(&bus, "a", 1);
    assert_eq!(number(&sub.wait(FAR).unwrap().unwrap()), 1);
    let (ready, go) = mpsc::channel();
    let waiter = thread::spawn(move || {
        ready.send(()).unwrap();
        let got = sub.wait(FAR).unwrap().map(|d| number(&d));
        (got, sub.wait(FAR).unwrap_err().code())
    });
    go.recv().unwrap();
    publish(&bus, "a", 2);
    drop(bus);
    assert_eq!(waiter.join().unwrap(), (Some(2), Code::SUBSCRIPTION_CLOSED));
}

/// Ping-pong with one event in flight: each round sleeps and wakes on both sides, and a lost
/// wake-up would hang it.
#[test]
fn no_wake_up_is_lost() {
    let bus = bus();
    let mut pings = bus.subscribe("ping").capacity(1).pull().unwrap();
    let mut pongs = bus.subscribe("pong").capacity(1).pull().unwrap();
    let other = bus.clone();
    let echo = thread::spawn(move || {
        for n in 0..5_000 {
            assert_eq!(number(&pings.wait(FAR).unwrap().unwrap()), n);
            publish(&other, "pong", n);
        }
    });
    for n in 0..5_000 {
        publish(&bus, "ping", n);
        assert_eq!(number(&pongs.wait(FAR).unwrap().unwrap()), n);
    }
    echo.join().unwrap();
}

#[test]
fn a_publisher_waits_for_room_and_no_longer_than_it_said() {
    let bus = bus();
    let mut slow = bus.subscribe("a").capacity(1).overflow(Overflow::DropNewest).pull().unwrap();
    let quick = bus.subscribe("a").pull().unwrap();
    publish(&bus, "a", 1);
    let report = bus.publish_wait("a", Payload::NULL, Duration::from_millis(2)).unwrap();
    assert_eq!(report, Delivered { queued: 1, overflowed: 1 }, "in the end the policy decides");
    assert_eq!((slow.missed(), quick.missed()), (1, 0));
    assert_eq!(quick.waiting(), 2);
    let other = bus.clone();
    let publisher =
        thread::spawn(move || other.publish_wait("a", serde_json::Value::from(2), FAR).unwrap());
    // The quick one has it while the publisher still waits for the slow one.
    while quick.waiting() < 3 {
        thread::yield_now();
    }
    assert_eq!(number(&slow.try_next().unwrap().unwrap()), 1);
    assert_eq!(publisher.join().unwrap(), Delivered { queued: 2, overflowed: 0 });
    let last = slow.wait(FAR).unwrap().unwrap();
    assert_eq!((number(&last), last.missed_before), (2, 1));
    assert_eq!(quick.waiting(), 3);
}

#[test]
fn a_publisher_that_waits_is_freed_when_the_subscription_goes() {
    let bus = bus();
    let sub = bus.subscribe("a").capacity(1).overflow(Overflow::DropNewest).pull().unwrap();
    publish(&bus, "a", 1);
    let (ready, go) = mpsc::channel();
    let other = bus.clone();
    let publisher = thread::spawn(move || {
        ready.send(()).unwrap();
        other.publish_wait("a", Payload::NULL, FAR).unwrap()
    });
    go.recv().unwrap();
    drop(sub);
    assert_eq!(publisher.join().unwrap(), Delivered::default());
}

/// In virtual time nothing happens while a thread waits, whichever it is.
#[test]
fn waiting_in_virtual_time_is_an_error_where_there_is_nothing_yet() {
    let bus = Bus::new(Arc::new(Manual::new()));
    let mut sub = bus.subscribe("a").pull().unwrap();
    assert_eq!(sub.wait(Duration::ZERO), Ok(None));
    assert_eq!(sub.wait(FAR).unwrap_err().code(), Code::WOULD_DEADLOCK);
    let refused = bus.publish_wait("a", Payload::NULL, FAR).unwrap_err();
    assert_eq!(refused.code(), Code::WOULD_DEADLOCK);
    let refused = bus.publisher("a").unwrap().publish_wait(Payload::NULL, FAR).unwrap_err();
    assert_eq!(refused.code(), Code::WOULD_DEADLOCK);
    assert_eq!(bus.stats().published, 0);
    publish(&bus, "a", 1);
    assert_eq!(number(&sub.wait(FAR).unwrap().unwrap()), 1);
}

/// The one thread of such a host drives everything.
#[cfg(feature = "tokio")]
#[test]
fn waiting_on_the_thread_of_a_current_thread_runtime_is_an_error() {
    let host = ::tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let runtime = crate::base::runtime::Tokio::new(host.handle().clone());
    let bus = Bus::new(Arc::new(runtime));
    let mut sub = bus.subscribe("a").pull().unwrap();
    host.block_on(async {
        assert_eq!(sub.wait(FAR).unwrap_err().code(), Code::WOULD_DEADLOCK);
        let refused = bus.publish_wait("a", Payload::NULL, FAR).unwrap_err();
        assert_eq!(refused.code(), Code::WOULD_DEADLOCK);
    });
    // Outside of it, other threads may come to publish.
    assert_eq!(bus.publish_wait("a", Payload::NULL, FAR).unwrap().queued, 1);
    assert!(sub.wait(FAR).unwrap().is_some());
}

/// Under `Manual`, jobs run as code that must not block.
#[test]
fn waiting_where_blocking_is_forbidden_is_an_error() {
    let runtime = Arc::new(Manual::new());
    let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
    let mut sub = bus.subscribe("a").pull().unwrap();
    let (answers, got) = mpsc::channel();
    let inner = bus.clone();
    let job = move || {
        answers.send(inner.publish_wait("a", Payload::NULL, FAR).map(|_| ())).unwrap();
        answers.send(sub.wait(FAR).map(|_| ())).unwrap();
    };
    runtime.spawn_blocking(Box::new(job)).unwrap();
    runtime.run();
    for _ in 0..2 {
        assert_eq!(got.recv().unwrap().unwrap_err().code(), Code::WOULD_DEADLOCK);
    }
    assert_eq!(bus.stats().published, 0);
}
