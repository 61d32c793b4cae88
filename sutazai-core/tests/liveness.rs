//! Dead is told from slow: agents of every temper under a clock that the test moves.
#![cfg(feature = "agent")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::agent::{AgentState, Vitality};
use sutazai_core::base::id::TimerId;
use sutazai_core::base::runtime::{BoxFuture, Job, Manual, Refused, Runtime};
use sutazai_core::base::ticket::Reply;
use sutazai_core::base::time::{Moment, Timestamp};
use sutazai_core::event::Subscription;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{
    Agent, AgentCard, AgentHost, Beat, LivenessPolicy, Outcome, RunMode, Task,
};
use sutazai_core::{Code, Error, Result};

/// What an agent does when it is asked whether it lives.
#[derive(Clone)]
enum Temper {
    After(Duration),
    Silent,
    Refuses,
    Away,
    Ended,
    /// It stops its kernel.
    Stops(Kernel),
}

#[derive(Clone)]
struct Odd(Arc<Inner>);

struct Inner {
    time: Manual,
    run: RunMode,
    temper: Mutex<Temper>,
    open: Mutex<Vec<Reply<Beat>>>,
    work: Mutex<Vec<Reply<Outcome>>>,
    asked: AtomicU32,
    revived: AtomicU32,
    starts_again: bool,
    host: Mutex<Option<AgentHost>>,
}

impl Odd {
    fn new(time: &Manual, temper: Temper, starts_again: bool) -> Self {
        Self(Arc::new(Inner {
            time: time.clone(),
            run: RunMode::Pool,
            temper: Mutex::new(temper),
            open: Mutex::default(),
            work: Mutex::default(),
            asked: AtomicU32::new(0),
            revived: AtomicU32::new(0),
            starts_again,
            host: Mutex::default(),
        }))
    }

    fn turns(&self, temper: Temper) {
        *self.0.temper.lock() = temper;
    }

    fn asked(&self) -> u32 {
        self.0.asked.load(Ordering::SeqCst)
    }
}

impl Agent for Odd {
    fn card(&self) -> AgentCard {
        AgentCard::new("odd", ["work"]).run(self.0.run)
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        match task.input().to::<String>().unwrap_or_default().as_str() {
            "hang" => self.0.work.lock().push(reply),
            "dies" => drop(reply.fail(Error::new(Code::AGENT_EXITED, "it died"))),
            _ => drop(reply.send("done".into())),
        }
    }

    fn start(&self, host: &AgentHost) -> Result<()> {
        *self.0.host.lock() = Some(host.clone());
        Ok(())
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        Some(LivenessPolicy::default())
    }

    fn beat(&self, reply: Reply<Beat>) {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let temper = self.0.temper.lock().clone();
        match temper {
            Temper::After(time) if time.is_zero() => drop(reply.send(Beat::Alive)),
            Temper::After(time) => {
                let answer = Box::new(move || drop(reply.send(Beat::Alive)));
                self.0.time.spawn_at(self.0.time.now() + time, answer);
            }
            Temper::Silent => self.0.open.lock().push(reply),
            Temper::Refuses => drop(reply),
            Temper::Away => {
                let refused = Error::new(Code::IO, "connection refused");
                drop(reply.send(Beat::Unreachable(refused)));
            }
            Temper::Ended => {
                drop(reply.send(Beat::Dead(Error::new(Code::AGENT_EXITED, "it exited"))));
            }
            Temper::Stops(kernel) => {
                self.turns(Temper::Silent);
                kernel.stop(Duration::ZERO).unwrap();
                drop(reply.send(Beat::Alive));
            }
        }
    }

    fn revive(&self, _: &Error) -> bool {
        self.0.revived.fetch_add(1, Ordering::SeqCst);
        if self.0.starts_again {
            self.turns(Temper::After(Duration::ZERO));
        }
        self.0.starts_again
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

struct Bench {
    kernel: Kernel,
    odd: Odd,
    events: Subscription,
}

fn bench(temper: Temper, starts_again: bool) -> Bench {
    let time = Manual::new();
    // A virtual clock begins at its origin, which is no time to have been heard of.
    time.advance(ms(1));
    let odd = Odd::new(&time, temper, starts_again);
    let kernel = Kernel::builder().runtime(Arc::new(time)).agent(odd.clone()).build().unwrap();
    let events = kernel.bus().subscribe("agent.*").pull().unwrap();
    kernel.start().unwrap();
    let mut bench = Bench { kernel, odd, events };
    bench.told("agent.state");
    bench
}

impl Bench {
    /// The states that events of this subject say were come into.
    fn told(&mut self, subject: &str) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(delivery) = self.events.try_next().unwrap() {
            if delivery.event.subject.as_str() == subject {
                let event = delivery.event.payload.value().unwrap();
                assert!(event["why"].is_string() || event["to"] == "alive", "{event}");
                told.push(event["to"].as_str().unwrap().to_owned());
            }
        }
        told
    }

    fn passes(&self, time: Duration) {
        self.kernel.advance(time).unwrap();
    }

    fn state(&self) -> (AgentState, Vitality) {
        let view = self.kernel.agent("odd").unwrap();
        (view.state, view.liveness.unwrap().state)
    }

    fn call(&self, input: &str) -> Result<Outcome> {
        let mut ticket = self.kernel.call(Task::new("work", input));
        self.kernel.advance(Duration::ZERO).unwrap();
        ticket.try_take().unwrap()
    }
}

#[test]
fn one_that_answers_late_is_slow_and_takes_tasks() {
    let mut bench = bench(Temper::After(ms(20)), false);
    bench.passes(ms(60_000));
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Alive));
    let asked = bench.odd.asked();
    assert!((10..=14).contains(&asked), "{asked}");
    assert!(bench.told("agent.liveness").is_empty());

    bench.odd.turns(Temper::After(ms(4_000)));
    bench.passes(ms(20_000));
    let told = bench.told("agent.liveness");
    assert_eq!(told.first().map(String::as_str), Some("slow"));
    assert!(!told.contains(&"dead".to_owned()), "{told:?}");
    assert_eq!(bench.state().0, AgentState::Ready);
    assert!(bench.call("x").is_ok());
    // What was late becomes what is usual.
    bench.passes(ms(600_000));
    bench.told("agent.liveness");
    bench.passes(ms(60_000));
    assert_eq!(bench.told("agent.liveness"), Vec::<String>::new());
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Alive));
}

#[test]
fn one_that_is_watched_no_longer_is_not_kept_away() {
    let mut bench = bench(Temper::After(ms(20)), false);
    bench.passes(ms(60_000));
    bench.odd.turns(Temper::Silent);
    bench.passes(ms(20_000));
    assert_eq!(bench.state().0, AgentState::Unreachable);
    bench.kernel.set_liveness("odd", None).unwrap();
    let view = bench.kernel.agent("odd").unwrap();
    assert_eq!((view.state, view.liveness.is_none()), (AgentState::Ready, true));
    assert_eq!(view.why.as_deref(), Some("it is watched no longer"));
    assert!(bench.call("x").is_ok());
    assert_eq!(bench.told("agent.state"), ["unreachable", "ready"]);
}

#[test]
fn one_that_goes_silent_is_dead_and_takes_no_tasks_until_it_is_heard_of() {
    let mut bench = bench(Temper::After(ms(20)), false);
    bench.passes(ms(60_000));
    bench.odd.turns(Temper::Silent);
    bench.passes(ms(8_000));
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Slow));
    bench.passes(ms(12_000));
    assert_eq!(bench.state(), (AgentState::Unreachable, Vitality::Dead));
    assert_eq!(bench.odd.0.revived.load(Ordering::SeqCst), 1);
    assert_eq!(bench.told("agent.state"), ["unreachable"]);
    assert!(bench.call("x").is_err());
    let asked = bench.odd.asked();
    bench.passes(ms(60_000));
    assert_eq!(bench.odd.asked(), asked, "one question is open");

    let open = std::mem::take(&mut *bench.odd.0.open.lock());
    bench.odd.turns(Temper::After(ms(20)));
    for reply in open {
        reply.send(Beat::Alive).unwrap();
    }
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Alive));
    assert!(bench.call("x").is_ok());
    assert_eq!(bench.told("agent.liveness"), ["alive"]);
}

#[test]
fn what_hangs_is_ended_where_it_starts_again() {
    let mut bench = bench(Temper::After(ms(20)), true);
    bench.passes(ms(60_000));
    bench.odd.turns(Temper::Silent);
    bench.passes(ms(30_000));
    assert_eq!(bench.odd.0.revived.load(Ordering::SeqCst), 1);
    assert_eq!(bench.told("agent.liveness"), ["slow", "dead", "alive"]);
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Alive));
}

#[test]
fn what_has_work_may_be_silent() {
    let bench = bench(Temper::After(ms(20)), false);
    bench.passes(ms(60_000));
    let ticket = bench.kernel.call(Task::new("work", "hang").timeout(ms(3_600_000)));
    bench.odd.turns(Temper::Silent);
    bench.passes(ms(120_000));
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Slow));
    bench.passes(ms(300_000));
    assert_eq!(bench.state(), (AgentState::Unreachable, Vitality::Dead));
    drop(ticket);
}

#[test]
fn work_that_nothing_comes_of_makes_slow_and_no_more() {
    let mut bench = bench(Temper::After(ms(20)), false);
    let ticket = bench.kernel.call(Task::new("work", "hang").timeout(ms(3_600_000)));
    bench.passes(ms(30_000));
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Slow));
    let why = bench.kernel.agent("odd").unwrap().liveness.unwrap().why.unwrap();
    assert!(why.contains("nothing has come of it"), "{why}");
    bench.passes(ms(900_000));
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Slow));
    let work = bench.odd.0.work.lock().pop().unwrap();
    work.send("at last".into()).unwrap();
    bench.passes(ms(10_000));
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Alive));
    assert_eq!(bench.told("agent.liveness"), ["slow", "alive"]);
    assert!(ticket.is_done());
}

#[test]
fn one_that_is_away_comes_back_by_itself() {
    let mut bench = bench(Temper::After(ms(20)), false);
    bench.passes(ms(20_000));
    bench.odd.turns(Temper::Away);
    bench.passes(ms(6_000));
    assert_eq!(bench.state(), (AgentState::Unreachable, Vitality::Unreachable));
    let why = bench.kernel.agent("odd").unwrap().why.unwrap();
    assert!(why.contains("connection refused"), "{why}");
    assert!(bench.call("x").is_err());
    bench.odd.turns(Temper::After(ms(20)));
    bench.passes(ms(6_000));
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Alive));
    assert_eq!(bench.told("agent.state"), ["unreachable", "ready"]);
}

#[test]
fn one_that_has_ended_has_failed_and_is_not_asked_again() {
    let mut bench = bench(Temper::Ended, false);
    bench.passes(ms(20_000));
    assert_eq!(bench.state(), (AgentState::Failed, Vitality::Dead));
    assert_eq!(bench.odd.asked(), 1);
    let error = bench.call("x").unwrap_err();
    assert_eq!(error.code(), Code::AGENT_EXITED, "{error}");
    assert!(error.to_string().contains("it exited"), "{error}");
    assert_eq!(bench.told("agent.state"), ["failed"]);
}

#[test]
fn one_that_was_found_dead_and_says_so_has_failed() {
    let mut bench = bench(Temper::Refuses, false);
    bench.passes(ms(60_000));
    assert_eq!(bench.state(), (AgentState::Unreachable, Vitality::Dead));
    bench.odd.turns(Temper::Ended);
    bench.passes(ms(6_000));
    assert_eq!(bench.state(), (AgentState::Failed, Vitality::Dead));
    assert_eq!(bench.told("agent.state"), ["unreachable", "failed"]);
}

#[test]
fn an_end_is_heard_of_at_once() {
    let mut bench = bench(Temper::After(ms(20)), false);
    let host = bench.odd.0.host.lock().clone().unwrap();
    host.ended(Error::new(Code::AGENT_EXITED, "exit status 3"));
    assert_eq!(bench.state(), (AgentState::Failed, Vitality::Dead));
    assert_eq!(bench.told("agent.state"), ["failed"]);
    bench.passes(ms(60_000));
    assert_eq!(bench.odd.asked(), 0);
}

#[test]
fn a_failure_that_may_be_an_end_is_looked_into() {
    let bench = bench(Temper::Away, false);
    bench.passes(ms(1_200));
    assert_eq!(bench.odd.asked(), 0);
    assert!(bench.call("dies").is_err());
    bench.passes(ms(100));
    assert_eq!(bench.odd.asked(), 1);
    assert_eq!(bench.state().0, AgentState::Unreachable);
}

#[test]
fn answers_of_calls_save_questions() {
    let bench = bench(Temper::Refuses, false);
    for _ in 0..60 {
        bench.call("x").unwrap();
        bench.passes(ms(1_000));
    }
    assert_eq!(bench.odd.asked(), 0);
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Alive));
    bench.passes(ms(60_000));
    assert!(bench.odd.asked() > 5, "no answer is no reason to ask no more");
    assert_eq!(bench.state(), (AgentState::Unreachable, Vitality::Dead));
}

#[test]
fn the_host_says_how_an_agent_is_watched() {
    let bench = bench(Temper::Silent, false);
    let error = bench.kernel.set_liveness("od", None).unwrap_err();
    assert_eq!(error.code(), Code::NOT_FOUND);
    let policy = LivenessPolicy::default().thresholds(f64::NAN, 8.0);
    assert_eq!(bench.kernel.set_liveness("odd", Some(policy)).unwrap_err().code(), Code::INVALID);
    bench.kernel.set_liveness("odd", None).unwrap();
    assert!(bench.kernel.agent("odd").unwrap().liveness.is_none());
    bench.passes(ms(60_000));
    assert_eq!(bench.odd.asked(), 0);
    let policy = LivenessPolicy::default().interval(ms(100)).pauses(ms(500), None);
    bench.kernel.set_liveness("odd", Some(policy)).unwrap();
    bench.passes(ms(5_000));
    assert_eq!(bench.state(), (AgentState::Unreachable, Vitality::Dead));
}

#[test]
fn agents_that_cannot_die_cost_nothing() {
    let kernel = Kernel::builder().runtime(Arc::new(Manual::new())).build().unwrap();
    kernel.start().unwrap();
    for n in 0..10_000 {
        let card = AgentCard::new(format!("a{n}"), ["s"]);
        let agent = sutazai_core::agent::from_fn(card, |task: &Task| Ok(task.input().clone()));
        kernel.add_agent(agent).unwrap();
    }
    let ran = kernel.advance(ms(59_000)).unwrap();
    assert!(ran < 100, "{ran} pieces of work for agents that cannot die");
}

/// A runtime in virtual time whose pool may be full of other work.
struct Full {
    time: Manual,
    /// What waits for a thread; nothing while there is one.
    waits: Mutex<Option<Vec<Job>>>,
}

impl Runtime for Full {
    fn name(&self) -> &'static str {
        "full"
    }
    fn now(&self) -> Moment {
        self.time.now()
    }
    fn timestamp(&self) -> Timestamp {
        self.time.timestamp()
    }
    fn spawn(&self, future: BoxFuture) -> Result<(), Refused<BoxFuture>> {
        self.time.spawn(future)
    }
    fn spawn_blocking(&self, job: Job) -> Result<(), Refused<Job>> {
        match &mut *self.waits.lock() {
            Some(waits) => waits.push(job),
            None => return self.time.spawn_blocking(job),
        }
        Ok(())
    }
    fn spawn_at(&self, at: Moment, job: Job) -> TimerId {
        self.time.spawn_at(at, job)
    }
    fn cancel(&self, timer: TimerId) -> bool {
        self.time.cancel(timer)
    }
    fn may_block(&self) -> bool {
        false
    }
    fn virtual_time(&self) -> Option<&Manual> {
        Some(&self.time)
    }
}

#[test]
fn a_pool_that_is_full_makes_nobody_silent() {
    let time = Manual::new();
    time.advance(ms(1));
    let odd = Odd::new(&time, Temper::After(ms(20)), false);
    let runtime = Arc::new(Full { time, waits: Mutex::default() });
    let shared: Arc<dyn Runtime> = Arc::<Full>::clone(&runtime);
    let kernel = Kernel::builder().runtime(shared).agent(odd.clone()).build().unwrap();
    kernel.start().unwrap();
    kernel.advance(ms(30_000)).unwrap();
    let asked = odd.asked();
    *runtime.waits.lock() = Some(Vec::new());
    for _ in 0..60 {
        kernel.advance(ms(1_000)).unwrap();
        let view = kernel.agent("odd").unwrap().liveness.unwrap();
        assert_eq!((view.state, view.phi), (Vitality::Alive, 0.0), "nobody has asked it");
    }
    assert_eq!(odd.asked(), asked);
    let waits = runtime.waits.lock().take().unwrap();
    for job in waits {
        assert!(runtime.spawn_blocking(job).is_ok());
    }
    kernel.advance(ms(30_000)).unwrap();
    assert!(odd.asked() > asked + 2);
}

#[test]
fn a_kernel_may_stop_within_a_question() {
    let bench = bench(Temper::After(ms(20)), false);
    bench.odd.turns(Temper::Stops(bench.kernel.clone()));
    let panicked = Arc::new(AtomicU32::new(0));
    let (count, here) = (Arc::clone(&panicked), std::thread::current().id());
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == here {
            count.fetch_add(1, Ordering::SeqCst);
        }
        before(info);
    }));
    bench.passes(ms(20_000));
    assert_eq!(panicked.load(Ordering::SeqCst), 0);
    assert_eq!(bench.kernel.agent("odd").unwrap().state, AgentState::Stopped);
}
