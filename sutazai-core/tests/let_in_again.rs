//! An agent that failed, and works again, gets its share again, whatever the router has learnt of it. In virtual
//! time, so that the machine has no say.
#![cfg(all(feature = "agent", feature = "recovery"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sutazai_core::agent::from_fn;
use sutazai_core::agent::route::RoutePolicy;
use sutazai_core::base::runtime::Manual;
use sutazai_core::kernel::{CallsTo, Kernel};
use sutazai_core::port::{AgentCard, RunMode, Task};
use sutazai_core::recovery::{BreakerState, GuardPolicy, IsolatePolicy, IsolateState};
use sutazai_core::{Class, Code, Error};

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(20);

struct Bench {
    kernel: Kernel,
    broken: Arc<AtomicBool>,
    /// Calls that the one that breaks got.
    got: Arc<AtomicU64>,
}

impl Bench {
    /// Three agents with one skill, of which one breaks.
    fn new(policy: RoutePolicy, kernel: sutazai_core::kernel::Builder) -> Self {
        let time = Manual::new();
        let kernel = kernel.runtime(Arc::new(time)).route_policy(policy).seed(7).build().unwrap();
        let (broken, got) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        for name in ["breaks", "b", "c"] {
            let card = AgentCard::new(name, ["work"]).run(RunMode::Inline);
            let (broken, got) = (Arc::clone(&broken), Arc::clone(&got));
            let work =
                move |_: &Task| -> sutazai_core::Result<bool> {
                    if name != "breaks" {
                        return Ok(true);
                    }
                    got.fetch_add(1, Ordering::SeqCst);
                    match broken.load(Ordering::SeqCst) {
                        true => Err(Error::new(Code::AGENT_FAILED, "it is broken")
                            .classed(Class::Transient)),
                        false => Ok(true),
                    }
                };
            kernel.add_agent(from_fn(card, work)).unwrap();
        }
        kernel.start().unwrap();
        Self { kernel, broken, got }
    }

    /// Makes calls; says how many the one that breaks got, and how many failed.
    fn calls(&self, calls: u64) -> (u64, u64) {
        let before = self.got.load(Ordering::SeqCst);
        let mut failed = 0;
        for _ in 0..calls {
            let mut ticket = self.kernel.call(Task::new("work", 1));
            self.kernel.advance(PAUSE).unwrap();
            failed += u64::from(ticket.try_take().is_none_or(|answer| answer.is_err()));
        }
        (self.got.load(Ordering::SeqCst) - before, failed)
    }

    fn breaks_and_is_mended(&self) {
        let (got, failed) = self.calls(600);
        assert!((150..=250).contains(&got) && failed == 0, "a third of {got}");
        self.broken.store(true, Ordering::SeqCst);
        let (got, _) = self.calls(1_500);
        assert!(got < 150, "half a minute of failures costs few calls: {got}");
        self.broken.store(false, Ordering::SeqCst);
    }
}

fn policies() -> [RoutePolicy; 2] {
    let least = serde_json::from_str(r#"{"strategy": "least_loaded"}"#).unwrap();
    [RoutePolicy::default(), least]
}

#[test]
fn what_was_set_apart_is_probed_and_gets_its_share() {
    for policy in policies() {
        let isolate = IsolatePolicy::default();
        let bench = Bench::new(policy, Kernel::builder().isolation(isolate));
        bench.breaks_and_is_mended();
        let isolation = bench.kernel.recovery();
        isolation.quarantine("breaks", Some(Duration::from_secs(5)), "test").unwrap();
        assert_eq!(bench.calls(200), (0, 0));
        let probes = bench.calls(100).0;
        assert!(probes >= 3, "it was probed as soon as it could be: {probes}");
        assert!(isolation.targets().iter().all(|it| it.state != IsolateState::Probing));
        bench.calls(2_000);
        let (got, failed) = bench.calls(600);
        assert!((120..=260).contains(&got) && failed == 0, "it has a share again: {got}");
    }
}

#[test]
fn a_breaker_that_is_half_open_gets_its_probes() {
    for policy in policies() {
        let guard: GuardPolicy =
            serde_json::from_str(r#"{"breaker": {"consecutive": 2}, "retry": {}}"#).unwrap();
        let bench = Bench::new(policy, Kernel::builder().guard_calls(CallsTo::All, guard));
        bench.breaks_and_is_mended();
        let guard = bench.kernel.guard_of("breaks").unwrap();
        let breaker = guard.breaker().unwrap();
        let opened = guard.status().breaker.unwrap().opened;
        assert!(opened >= 2, "it was probed whenever it might be: {opened}");
        assert_ne!(breaker.state(), BreakerState::Closed);
        bench.calls(3_000);
        assert_eq!(breaker.state(), BreakerState::Closed);
        let (got, failed) = bench.calls(600);
        assert!((120..=260).contains(&got) && failed == 0, "it has a share again: {got}");
    }
}

#[test]
fn a_probe_that_comes_to_nothing_gives_its_place_back() {
    let bench = Bench::new(RoutePolicy::default(), Kernel::builder());
    bench.calls(10);
    let isolation = bench.kernel.recovery();
    isolation.quarantine("breaks", Some(Duration::from_secs(1)), "test").unwrap();
    bench.kernel.advance(Duration::from_secs(2)).unwrap();
    // Its time is up before it is made.
    for _ in 0..5 {
        let late = Task::new("work", 1).to_agent("breaks").timeout(Duration::ZERO);
        let error = bench.kernel.call(late).try_take().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::DEADLINE_EXCEEDED);
    }
    for _ in 0..5 {
        let mut ticket = bench.kernel.call(Task::new("work", 1).to_agent("breaks"));
        bench.kernel.advance(PAUSE).unwrap();
        assert!(ticket.try_take().unwrap().is_ok());
    }
    assert!(isolation.targets().iter().all(|it| it.state == IsolateState::Healthy));
}
