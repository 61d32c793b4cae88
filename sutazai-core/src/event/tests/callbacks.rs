//! Delivery by callback.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::base::runtime::{Runtime, Threads, ThreadsConfig};

type Seen = Arc<Mutex<Vec<(u64, u64)>>>;

fn recorder() -> (Seen, impl Fn(Delivery) + Send + Sync + 'static) {
    let seen = Seen::default();
    let into = Arc::clone(&seen);
    (seen, move |d: Delivery| into.lock().unwrap().push((number(&d), d.missed_before)))
}

#[test]
fn events_arrive_in_order_and_only_when_the_runtime_runs() {
    let runtime = Arc::new(Manual::new());
    let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
    let (seen, callback) = recorder();
    let guard = bus.subscribe("a.*").capacity(3).deliver(callback).unwrap();
    for n in 0..5 {
        publish(&bus, "a.x", n);
    }
    assert!(seen.lock().unwrap().is_empty(), "publishing runs no callback");
    runtime.run();
    assert_eq!(*seen.lock().unwrap(), [(2, 2), (3, 0), (4, 0)]);
    assert_eq!(guard.missed(), 2);
    publish(&bus, "a.y", 5);
    runtime.run();
    assert_eq!(seen.lock().unwrap().last(), Some(&(5, 0)));
    assert_eq!(bus.stats().delivered, 4);
}

#[test]
fn one_job_stands_for_many_events_and_a_busy_one_takes_turns() {
    let runtime = Arc::new(Manual::new());
    let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |who: u32| {
        let order = Arc::clone(&order);
        move |_: Delivery| order.lock().unwrap().push(who)
    };
    let _busy = bus.subscribe("busy").deliver(note(0)).unwrap();
    let _calm = bus.subscribe("calm").deliver(note(1)).unwrap();
    publish_all(&bus, "busy", 0..1000);
    publish(&bus, "calm", 0);
    let jobs = runtime.run();
    assert!(jobs <= 8, "{jobs} jobs for 1001 events");
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 1001);
    let calm = order.iter().position(|&who| who == 1).unwrap();
    assert!(calm < 400, "the calm one waited for {calm} events");
}

#[test]
fn nothing_comes_after_the_guard_is_dropped() {
    let runtime = Arc::new(Manual::new());
    let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
    let (seen, callback) = recorder();
    let guard = bus.subscribe("a").deliver(callback).unwrap();
    publish(&bus, "a", 1);
    drop(guard);
    publish(&bus, "a", 2);
    runtime.run();
    assert!(seen.lock().unwrap().is_empty());
    let stats = bus.stats();
    assert_eq!((stats.subscriptions, stats.discarded), (0, 1));
    // The callback, and what it holds, is gone too: nobody keeps a circle.
    assert_eq!(Arc::strong_count(&seen), 1);
}

#[test]
fn a_callback_may_drop_its_own_guard_publish_and_subscribe() {
    let runtime = Arc::new(Manual::new());
    let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
    let (seen, record) = recorder();
    let guard = Arc::new(Mutex::new(None));
    let (own, inner) = (Arc::clone(&guard), bus.clone());
    let made = bus
        .subscribe("a")
        .deliver(move |d| {
            record(d);
            publish(&inner, "b", 7);
            drop(inner.subscribe("b").pull().unwrap());
            drop(own.lock().unwrap().take());
        })
        .unwrap();
    *guard.lock().unwrap() = Some(made);
    publish(&bus, "a", 1);
    publish(&bus, "a", 2);
    runtime.run();
    assert_eq!(*seen.lock().unwrap(), [(1, 0)]);
    // One of two was delivered; the other was in the job's hand.
    let stats = bus.stats();
    assert_eq!((stats.delivered, stats.missed, stats.discarded), (1, 0, 1));
    assert_eq!(stats.waiting, 0);
}

/// The guard goes while its callback runs on another thread, in the middle of a batch.
#[test]
fn every_event_of_a_guard_that_goes_is_delivered_or_discarded() {
    let runtime = Arc::new(Threads::new(ThreadsConfig::default()));
    runtime.start().unwrap();
    for round in 0..200 {
        let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
        let calls = Arc::new(AtomicUsize::new(0));
        let into = Arc::clone(&calls);
        let guard = bus.subscribe("a").deliver(move |_| {
            into.fetch_add(1, Ordering::SeqCst);
        });
        publish_all(&bus, "a", 0..100);
        while calls.load(Ordering::SeqCst) < round % 50 {
            std::thread::yield_now();
        }
        drop(guard);
        let stats = bus.stats();
        assert_eq!((stats.delivered + stats.discarded, stats.waiting), (100, 0));
        // The job holds the callback until it ends, and with it the latest call.
        while Arc::strong_count(&calls) > 1 {
            std::thread::yield_now();
        }
        assert_eq!(calls.load(Ordering::SeqCst) as u64, stats.delivered);
    }
    runtime.stop(Duration::from_secs(60));
}

#[test]
fn a_panic_is_counted_and_the_next_event_follows() {
    let runtime = Arc::new(Manual::new());
    let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
    let (seen, record) = recorder();
    let _guard = bus
        .subscribe("a")
        .deliver(move |d| {
            assert!(number(&d) != 1, "on purpose");
            record(d);
        })
        .unwrap();
    publish_all(&bus, "a", 0..3);
    runtime.run();
    assert_eq!(*seen.lock().unwrap(), [(0, 0), (2, 0)]);
    assert_eq!(bus.stats().panics, 1);
}

/// What was published before the last handle went is delivered.
#[test]
fn the_end_of_the_bus_delivers_what_waits() {
    let runtime = Arc::new(Manual::new());
    let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
    let (seen, callback) = recorder();
    let guard = bus.subscribe("a").deliver(callback).unwrap();
    publish(&bus, "a", 1);
    drop(bus);
    assert!(guard.is_closed());
    runtime.run();
    assert_eq!(*seen.lock().unwrap(), [(1, 0)]);
}

/// A runtime that refuses everything for a while: not started yet, or full.
struct Refusing {
    inner: Manual,
    refusals: AtomicUsize,
}

impl Runtime for Refusing {
    fn name(&self) -> &'static str {
        "refusing"
    }
    fn now(&self) -> crate::base::time::Moment {
        self.inner.now()
    }
    fn timestamp(&self) -> crate::base::time::Timestamp {
        self.inner.timestamp()
    }
    fn spawn(
        &self,
        future: crate::base::runtime::BoxFuture,
    ) -> Result<(), crate::base::runtime::Refused<crate::base::runtime::BoxFuture>> {
        self.inner.spawn(future)
    }
    fn spawn_blocking(
        &self,
        job: crate::base::runtime::Job,
    ) -> Result<(), crate::base::runtime::Refused<crate::base::runtime::Job>> {
        let left = self.refusals.load(Ordering::Relaxed);
        if left > 0 {
            self.refusals.store(left - 1, Ordering::Relaxed);
            let error = crate::Error::new(crate::Code::OVERLOADED, "full");
            return Err(crate::base::runtime::Refused { error, work: job });
        }
        self.inner.spawn_blocking(job)
    }
    fn spawn_at(
        &self,
        at: crate::base::time::Moment,
        job: crate::base::runtime::Job,
    ) -> crate::base::id::TimerId {
        self.inner.spawn_at(at, job)
    }
    fn cancel(&self, timer: crate::base::id::TimerId) -> bool {
        self.inner.cancel(timer)
    }
}

#[test]
fn a_refused_job_is_tried_again_without_another_event() {
    let runtime = Arc::new(Refusing { inner: Manual::new(), refusals: AtomicUsize::new(3) });
    let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
    let (seen, callback) = recorder();
    let _guard = bus.subscribe("a").deliver(callback).unwrap();
    publish(&bus, "a", 1);
    runtime.inner.run();
    assert!(seen.lock().unwrap().is_empty());
    runtime.inner.advance(Duration::from_secs(1));
    assert_eq!(*seen.lock().unwrap(), [(1, 0)]);
    assert_eq!(runtime.inner.next_timer(), None);
}

#[test]
fn refused_jobs_leave_one_timer_however_many_events_come() {
    let runtime = Arc::new(Refusing { inner: Manual::new(), refusals: AtomicUsize::new(1_000) });
    let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
    let (seen, callback) = recorder();
    let guard = bus.subscribe("a").deliver(callback).unwrap();
    publish_all(&bus, "a", 0..100);
    assert_eq!(runtime.refusals.load(Ordering::Relaxed), 900, "each event asks");
    assert_eq!(runtime.inner.stats().timers, 1);
    runtime.inner.advance(Duration::from_secs(1));
    assert_eq!(runtime.inner.stats().timers, 1, "and a timer that was refused sets the next");
    runtime.refusals.store(0, Ordering::Relaxed);
    runtime.inner.advance(Duration::from_secs(1));
    assert_eq!(seen.lock().unwrap().len(), 100);
    assert_eq!(runtime.inner.stats().timers, 0);
    drop(guard);
}

/// A runtime that has stopped takes neither jobs nor timers.
#[test]
fn events_after_the_runtime_has_stopped_leave_nothing_behind() {
    let runtime = Arc::new(Threads::new(ThreadsConfig::default()));
    let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
    let (_, callback) = recorder();
    let _guard = bus.subscribe("a").deliver(callback).unwrap();
    publish_all(&bus, "a", 0..100);
    assert_eq!(runtime.stats().timers, 1, "it may start yet");
    runtime.start().unwrap();
    runtime.stop(Duration::from_secs(60));
    publish_all(&bus, "a", 0..100);
    assert_eq!(runtime.stats().timers, 0);
}

#[test]
fn on_threads_every_event_arrives_in_order() {
    let runtime = Arc::new(Threads::new(ThreadsConfig::default()));
    runtime.start().unwrap();
    let bus = Bus::new(Arc::clone(&runtime) as Arc<dyn Runtime>);
    const COUNT: u64 = 20_000;
    let (done, finished) = mpsc::channel();
    let guards: Vec<_> = (0..4)
        .map(|_| {
            let (done, expected) = (done.clone(), Mutex::new(0));
            let capacity = COUNT as usize;
            bus.subscribe("a")
                .capacity(capacity)
                .deliver(move |d| {
                    let mut expected = expected.lock().unwrap();
                    assert_eq!(number(&d), *expected);
                    *expected += 1;
                    if *expected == COUNT {
                        done.send(()).unwrap();
                    }
                })
                .unwrap()
        })
        .collect();
    publish_all(&bus, "a", 0..COUNT);
    for _ in 0..4 {
        finished.recv_timeout(Duration::from_secs(60)).expect("all events arrive");
    }
    assert_eq!(bus.stats().panics, 0);
    drop(guards);
    runtime.stop(Duration::from_secs(5));
}
