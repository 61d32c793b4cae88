//! Monitors that hang stop nobody else: neither samples, nor who takes them away, nor the stop of a kernel.
#![cfg(feature = "monitor")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sutazai_core::base::runtime::{Manual, Runtime as _};
use sutazai_core::base::time::Timestamp;
use sutazai_core::kernel::Kernel;
use sutazai_core::monitor::WatchPolicy;
use sutazai_core::port::{Monitor, Samples};
use sutazai_core::{Code, Result};

const GRACE: Duration = Duration::from_secs(5);

/// Counts how often it was asked.
struct Counting(Arc<AtomicU64>);

impl Monitor for Counting {
    fn name(&self) -> &str {
        "counting"
    }
    fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
        out.add("asked_total", self.0.fetch_add(1, Ordering::SeqCst) as f64);
        Ok(())
    }
}

/// Waits for a word before it returns, where it was told to.
struct Hangs {
    name: &'static str,
    hangs: Arc<AtomicBool>,
    asked: SyncSender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Monitor for Hangs {
    fn name(&self) -> &str {
        self.name
    }
    fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
        out.add(format!("{}_value", self.name), 1.0);
        if self.hangs.load(Ordering::SeqCst) {
            self.asked.send(()).unwrap();
            self.go_on.lock().unwrap().recv().unwrap();
        }
        Ok(())
    }
}

#[test]
fn a_monitor_that_hangs_stops_nobody_else_and_is_told_of_once() {
    let (asked, was_asked) = sync_channel(9);
    let (go_on, waits) = channel();
    let hangs = Arc::new(AtomicBool::new(true));
    let stuck = Hangs { name: "stuck", hangs: hangs.clone(), asked, go_on: Mutex::new(waits) };
    let time = Arc::new(Manual::new());
    let mut policy = WatchPolicy::default();
    // What follows does not depend on how long anything takes: only the one that waits for a word is left.
    policy.patience_ms = Some(4_000);
    policy.hangs_after_ms = Some(30_000);
    let counts = Arc::new(AtomicU64::new(0));
    let kernel = Kernel::builder()
        .runtime(time.clone())
        .watch(policy)
        .monitor(stuck)
        .monitor(Counting(Arc::clone(&counts)))
        .build()
        .unwrap();
    kernel.start().unwrap();
    let warned = || {
        let lines = kernel.log().recent(&sutazai_core::observe::LogQuery::default());
        let lines = lines.iter().map(|line| format!("{line:?}"));
        lines.filter(|line| line.contains("a monitor failed") && line.contains("stuck")).count()
    };
    let begun = time.timestamp();
    let first = kernel.sample().unwrap();
    was_asked.recv().unwrap();
    assert_eq!(first.away, ["stuck"]);
    assert!(first.failures.is_empty(), "{:?}", first.failures);
    assert!(
        first.values.iter().any(|one| &*one.series == "asked_total"),
        "the other one was asked"
    );
    let mut now = 0;
    for (seconds, fails) in [(10, false), (29, false), (30, true), (60, true)] {
        time.advance(Duration::from_secs(seconds - now));
        now = seconds;
        let sampled = kernel.sample().unwrap();
        let stuck = sampled
            .failures
            .iter()
            .any(|(name, error)| name == "stuck" && error.code() == Code::TIMEOUT);
        assert_eq!((stuck, &*sampled.away), (fails, &["stuck".to_owned()][..]), "{seconds}");
        let status = kernel.watch_status().unwrap();
        let [away] = &status.away[..] else { panic!("{status:?}") };
        assert_eq!((&*away.monitor, away.seconds, away.hangs), ("stuck", seconds as f64, fails));
        assert_eq!(warned(), usize::from(fails));
    }
    assert_eq!(counts.load(Ordering::SeqCst), 5);
    assert!(was_asked.try_recv().is_err(), "it was asked once");
    // It returns: what it said is kept under the time at which it was asked, and it is asked again.
    hangs.store(false, Ordering::SeqCst);
    go_on.send(()).unwrap();
    let mut last = kernel.sample().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    // It has its word, and needs no more than a processor.
    while !last.away.is_empty() {
        assert!(Instant::now() < end, "it returns");
        std::thread::yield_now();
        last = kernel.sample().unwrap();
    }
    let points = kernel.watch().unwrap().history().points("stuck_value", 9);
    assert_eq!(points.first().unwrap().at, begun);
    assert!(last.values.iter().any(|one| &*one.series == "stuck_value"));
    assert_eq!(warned(), 1);
    kernel.stop(Duration::ZERO).unwrap();
}

#[test]
fn a_monitor_that_hangs_can_be_removed_and_a_kernel_stops_without_it() {
    let (asked, was_asked) = sync_channel(9);
    let mut words = Vec::new();
    let mut stuck = |name| {
        let (go_on, waits) = channel();
        words.push(go_on);
        let hangs = Arc::new(AtomicBool::new(true));
        Hangs { name, hangs, asked: asked.clone(), go_on: Mutex::new(waits) }
    };
    let mut policy = WatchPolicy::default();
    // It would be as long as this that a stop waits.
    policy.patience_ms = Some(60_000);
    let kernel = Kernel::builder().watch(policy).monitor(stuck("stuck")).build().unwrap();
    kernel.start().unwrap();
    let sampler = {
        let kernel = kernel.clone();
        std::thread::spawn(move || kernel.sample())
    };
    was_asked.recv().unwrap();
    assert!(kernel.remove_monitor("stuck").unwrap());
    kernel.add_monitor(stuck("stuck")).unwrap();
    assert!(kernel.remove_monitor("stuck").unwrap() && !kernel.remove_monitor("stuck").unwrap());
    let begun = Instant::now();
    kernel.stop(GRACE).unwrap();
    let sampled = sampler.join().unwrap().unwrap();
    assert_eq!(sampled.away, ["stuck"]);
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    let after = kernel.sample().unwrap_err();
    assert_eq!(
        (after.code(), after.failed_operation()),
        (Code::NOT_RUNNING, Some("monitor.sample"))
    );
    // One of them was never asked.
    words.iter().for_each(|go_on| {
        let _ = go_on.send(());
    });
}

#[test]
fn a_monitor_that_takes_a_sample_is_refused_at_once() {
    struct Nested(Mutex<Option<Kernel>>);
    impl Monitor for Nested {
        fn name(&self) -> &str {
            "nested"
        }
        fn sample(&self, _: Timestamp, _: &mut Samples) -> Result<()> {
            let kernel = self.0.lock().unwrap().clone().unwrap();
            kernel.sample().map(drop)?;
            Ok(())
        }
    }
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    let nested = Arc::new(Nested(Mutex::new(Some(kernel.clone()))));
    kernel.add_shared_monitor(nested.clone()).unwrap();
    let sampled = kernel.sample().unwrap();
    let [(name, error)] = &sampled.failures[..] else { panic!("{sampled:?}") };
    assert_eq!((&**name, error.code()), ("nested", Code::WOULD_DEADLOCK));
    assert!(error.to_string().contains("monitor=nested"), "{error}");
    *nested.0.lock().unwrap() = None;
    kernel.stop(GRACE).unwrap();
}
