//! What isolation is for: an agent that crashes in a tight loop, or leaks memory and grows slow with it,
//! does not make its siblings' callers wait. A simulation in virtual time, so that the machine has no say.
#![cfg(all(feature = "agent", feature = "recovery"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::agent::route::{RoutePolicy, Strategy};
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::{Manual, Runtime};
use sutazai_core::base::ticket::Reply;
use sutazai_core::base::time::Moment;
use sutazai_core::kernel::{CallsTo, Kernel};
use sutazai_core::port::{Agent, AgentCard, Outcome, RunMode, Task};
use sutazai_core::recovery::Evidence;
use sutazai_core::{Code, Error};

/// A minute of calls, one each 5 ms: two thirds of what three agents can do.
const CALLS: u64 = 12_000;
const PAUSE: Duration = Duration::from_millis(5);
/// How long an agent that is well takes for a task.
const SERVICE: Duration = Duration::from_millis(10);
const SIBLINGS: usize = 3;

/// What an agent does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Harm {
    None,
    /// It is up again at once, and down with the next task.
    Crashes,
    /// Each task costs it a megabyte and, for each 16 of them, a further millisecond.
    Leaks,
}

/// Does one task after the other.
#[derive(Clone)]
struct Server(Arc<Inner>);

struct Inner {
    name: String,
    harm: Harm,
    time: Manual,
    queue: Mutex<VecDeque<Reply<Outcome>>>,
    tasks: AtomicU64,
}

impl Server {
    fn new(name: String, harm: Harm, time: &Manual) -> Self {
        let (queue, tasks) = (Mutex::default(), AtomicU64::new(0));
        Self(Arc::new(Inner { name, harm, time: time.clone(), queue, tasks }))
    }

    fn megabytes(&self) -> u64 {
        if self.0.harm == Harm::Leaks { self.0.tasks.load(Ordering::Relaxed) } else { 0 }
    }

    /// Begins the task at the front.
    fn next(&self) {
        let takes = SERVICE + Duration::from_millis(self.megabytes() / 16);
        let this = self.clone();
        let done = move || {
            let reply = this.0.queue.lock().pop_front();
            this.0.tasks.fetch_add(1, Ordering::Relaxed);
            if let Some(reply) = reply {
                let _ = reply.send(Payload::NULL.into());
            }
            if !this.0.queue.lock().is_empty() {
                this.next();
            }
        };
        self.0.time.spawn_at(self.0.time.now() + takes, Box::new(done));
    }
}

impl Agent for Server {
    fn card(&self) -> AgentCard {
        AgentCard::new(&self.0.name, ["work"]).run(RunMode::Inline)
    }

    fn handle(&self, _: Task, reply: Reply<Outcome>) {
        if self.0.harm == Harm::Crashes {
            self.0.tasks.fetch_add(1, Ordering::Relaxed);
            let _ = reply.fail(Error::new(Code::AGENT_FAILED, "the process went away"));
            return;
        }
        let first = {
            let mut queue = self.0.queue.lock();
            queue.push_back(reply);
            queue.len() == 1
        };
        if first {
            self.next();
        }
    }
}

struct Seen {
    /// The 99th percentile of what callers waited.
    p99: Duration,
    failed: usize,
    /// Tasks that the agent got that does harm.
    harmed: u64,
}

/// A minute in which an agent does harm, beside three that are well.
fn minute(harm: Harm, isolated: bool, learns: bool) -> Seen {
    let time = Manual::new();
    let strategy = if learns { Strategy::Adaptive } else { Strategy::LeastLoaded };
    let route = RoutePolicy { strategy, ..RoutePolicy::default() };
    let mut builder = Kernel::builder().runtime(Arc::new(time.clone())).seed(7).route_policy(route);
    if isolated {
        let policy = r#"{"memory": {"growth_per_minute": 50000000, "window_ms": 3000}}"#;
        builder = builder.isolation(serde_json::from_str(policy).unwrap());
    }
    let kernel = builder.build().unwrap();
    kernel.start().unwrap();
    let retry = r#"{"retry": {"attempts": 5, "base_ms": 20}, "budget": {"capacity": 1000}}"#;
    kernel.guard(CallsTo::All, Some(serde_json::from_str(retry).unwrap())).unwrap();
    for n in 0..SIBLINGS {
        kernel.add_agent(Server::new(format!("well{n}"), Harm::None, &time)).unwrap();
    }
    let bad = Server::new("bad".to_owned(), harm, &time);
    if harm != Harm::None {
        kernel.add_agent(bad.clone()).unwrap();
    }
    let waited: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let failed = Arc::new(AtomicUsize::new(0));
    for call in 0..CALLS {
        let began: Moment = time.now();
        let (clock, waits, failures) = (time.clone(), Arc::clone(&waited), Arc::clone(&failed));
        kernel.call(Task::new("work", "x")).on_done(move |answer| {
            failures.fetch_add(usize::from(answer.is_err()), Ordering::Relaxed);
            waits.lock().push(clock.now().since(began));
        });
        time.advance(PAUSE);
        // What a monitor says, ten times a second.
        if harm == Harm::Leaks && call % 20 == 0 {
            let bytes = Evidence::Memory(bad.megabytes() * 1_000_000);
            let _ = kernel.recovery().observe("bad", bytes);
        }
    }
    time.advance(Duration::from_secs(600));
    let mut waited = std::mem::take(&mut *waited.lock());
    assert_eq!(waited.len() as u64, CALLS, "every call has its answer");
    waited.sort_unstable();
    Seen {
        p99: waited[waited.len() * 99 / 100],
        failed: failed.load(Ordering::Relaxed),
        harmed: bad.0.tasks.load(Ordering::Relaxed),
    }
}

/// Up to a tenth more than without the one that does harm.
fn at_most_a_tenth_more(seen: Duration, well: Duration) -> bool {
    seen * 10 <= well * 11
}

#[test]
fn an_agent_in_a_crash_loop_does_not_slow_its_siblings() {
    let well = minute(Harm::None, true, false);
    for learns in [false, true] {
        let crashing = minute(Harm::Crashes, true, learns);
        assert!(at_most_a_tenth_more(crashing.p99, well.p99), "{:?}, {:?}", crashing.p99, well.p99);
        assert_eq!((well.failed, crashing.failed), (0, 0));
        assert!(crashing.harmed < CALLS / 100, "{} tasks", crashing.harmed);
    }
    // By load alone and without isolation it draws the calls: it is always the least loaded.
    let left_in = minute(Harm::Crashes, false, false);
    assert!(!at_most_a_tenth_more(left_in.p99, well.p99), "{:?}", left_in.p99);
    assert!(left_in.harmed > CALLS / 10, "{} tasks", left_in.harmed);
    // A router that learns keeps away from who fails.
    let left_in = minute(Harm::Crashes, false, true);
    assert!(at_most_a_tenth_more(left_in.p99, well.p99), "{:?}", left_in.p99);
    assert!(left_in.harmed < CALLS / 100, "{} tasks", left_in.harmed);
}

#[test]
fn an_agent_that_leaks_does_not_slow_its_siblings() {
    let well = minute(Harm::None, true, false);
    for learns in [false, true] {
        let leaking = minute(Harm::Leaks, true, learns);
        assert!(
            at_most_a_tenth_more(leaking.p99, well.p99),
            "{:?}, {:?}, {} tasks",
            leaking.p99,
            well.p99,
            leaking.harmed
        );
        assert_eq!(leaking.failed, 0);
    }
    let left_in = minute(Harm::Leaks, false, false);
    assert!(!at_most_a_tenth_more(left_in.p99, well.p99), "{:?}", left_in.p99);
    assert!(minute(Harm::None, false, true).p99 <= well.p99, "learning costs nobody's time");
}
