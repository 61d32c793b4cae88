//! Calls that go through guards, black box, under virtual time.
#![cfg(all(feature = "agent", feature = "recovery"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hedge;
mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::agent;
use sutazai_core::base::deadline;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::ticket::Reply;
use sutazai_core::base::time::Moment;
use sutazai_core::kernel::{CallsTo, Kernel};
use sutazai_core::port::{Agent, AgentCard, Outcome, RunMode, Task};
use sutazai_core::recovery::{BreakerState, GuardPolicy};
use sutazai_core::{Code, Error, Result};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn policy(json: &str) -> GuardPolicy {
    serde_json::from_str(json).unwrap()
}

fn kernel() -> (Manual, Kernel) {
    let time = Manual::new();
    let kernel = Kernel::builder().runtime(Arc::new(time.clone())).seed(1).build().unwrap();
    kernel.start().unwrap();
    (time, kernel)
}

/// Adds an agent with the skill `work` that answers by this, and counts its tasks.
fn add(
    kernel: &Kernel,
    name: &str,
    answer: impl Fn(usize) -> Result<Payload> + Send + Sync + 'static,
) -> Arc<AtomicUsize> {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let card = AgentCard::new(name, ["work"]).run(RunMode::Inline);
    let agent =
        agent::from_fn(card, move |_: &Task| answer(count.fetch_add(1, Ordering::SeqCst) + 1));
    kernel.add_agent(agent).unwrap();
    made
}

/// Waits until nobody has a place in a bulkhead, or waits for one: an agent gives its back after its answer.
fn wait_until_idle(kernel: &Kernel) {
    let busy = || {
        let guards = kernel.guards().into_iter().filter_map(|guard| guard.status.bulkhead);
        guards.map(|bulkhead| bulkhead.running as usize + bulkhead.waiting).sum::<usize>()
    };
    while busy() > 0 {
        std::thread::sleep(ms(1));
    }
}

fn busy() -> Error {
    Error::new(Code::AGENT_FAILED, "not now")
}

#[test]
fn a_call_is_tried_again_with_one_answer_for_its_caller() {
    let (time, kernel) = kernel();
    let made = add(&kernel, "a", |n| if n < 3 { Err(busy()) } else { Ok(Payload::from("done")) });
    kernel.guard(CallsTo::All, policy(r#"{"retry": {"base_ms": 100, "jitter": "none"}}"#)).unwrap();
    let mut ticket = kernel.call(Task::new("work", "x"));
    assert_eq!(made.load(Ordering::SeqCst), 1);
    time.advance(ms(99));
    assert_eq!(made.load(Ordering::SeqCst), 1);
    time.advance(ms(1));
    assert_eq!(made.load(Ordering::SeqCst), 2);
    time.advance(ms(200));
    assert_eq!(ticket.try_take().unwrap().unwrap().output, Payload::from("done"));
    // The agent's figures say how its tries went.
    let stats = kernel.agent("a").unwrap().stats;
    assert_eq!((stats.calls, stats.failures.transient), (3, 2));
    assert!(kernel.metrics().prometheus().contains("sutazai_retries_total 2"));
    assert_eq!(kernel.calls(), []);
}

#[test]
fn another_try_goes_to_another_agent() {
    let (time, kernel) = kernel();
    // What fails at once has the fewest tasks, and would be chosen each time.
    let bad = add(&kernel, "bad", |_| Err(busy()));
    let good = add(&kernel, "good", |_| Ok(Payload::from("done")));
    let retry = r#"{"retry": {"base_ms": 10, "jitter": "none"}, "budget": {"capacity": 100}}"#;
    kernel.guard(CallsTo::All, policy(retry)).unwrap();
    for _ in 0..20 {
        let mut ticket = kernel.call(Task::new("work", "x"));
        time.advance(ms(10));
        assert_eq!(ticket.try_take().unwrap().unwrap().output, Payload::from("done"));
    }
    assert!(bad.load(Ordering::SeqCst) > 0);
    assert_eq!(good.load(Ordering::SeqCst), 20);
    // With no other there it is the same one again.
    kernel.remove_agent("good", ms(0)).unwrap();
    let mut ticket = kernel.call(Task::new("work", "x"));
    time.advance(ms(1_000));
    let error = ticket.try_take().unwrap().unwrap_err();
    assert!(error.context().any(|pair| pair == ("attempts", "5")), "{error:?}");
}

#[test]
fn a_breaker_that_opens_between_tries_does_not_hide_what_failed() {
    let (time, kernel) = kernel();
    let made = add(&kernel, "a", |_| Err(Error::new(Code::AGENT_FAILED, "the real reason")));
    let both = r#"{"retry": {"attempts": 5, "base_ms": 1}, "budget": {"capacity": 100},
                   "breaker": {"consecutive": 2}}"#;
    kernel.guard(CallsTo::All, policy(both)).unwrap();
    let mut ticket = kernel.call(Task::new("work", "x"));
    time.advance(ms(1_000));
    let error = ticket.try_take().unwrap().unwrap_err();
    assert_eq!((error.message(), made.load(Ordering::SeqCst)), ("the real reason", 2));
    assert!(error.context().any(|pair| pair == ("gave_up", "rejected")), "{error:?}");
}

#[test]
fn another_agent_takes_over_where_one_is_left_alone() {
    let (time, kernel) = kernel();
    let bad = add(&kernel, "bad", |_| Err(busy()));
    let mut changes = kernel.bus().subscribe("recovery.breaker.*").pull().unwrap();
    kernel
        .guard(
            CallsTo::Skill("work".into()),
            policy(r#"{"retry": {"base_ms": 1, "max_ms": 1}, "breaker": {"consecutive": 2}}"#),
        )
        .unwrap();
    let first = kernel.call(Task::new("work", 1));
    time.advance(ms(10));
    assert!(first.is_done());
    assert_eq!(bad.load(Ordering::SeqCst), 2, "its breaker opened");
    let good = add(&kernel, "good", |_| Ok(Payload::NULL));
    for _ in 0..20 {
        assert!(kernel.call(Task::new("work", 1)).try_take().unwrap().is_ok());
    }
    assert_eq!((bad.load(Ordering::SeqCst), good.load(Ordering::SeqCst)), (2, 20));
    let told = changes.try_next().unwrap().unwrap().event.payload.to_text().to_string();
    assert!(told.contains(r#""agent":"bad""#) && told.contains(r#""to":"open""#), "{told}");
    assert!(changes.try_next().unwrap().is_none());
    // Asked for by name it is not passed over.
    let asked = kernel.call(Task::new("work", 1).to_agent("bad")).try_take().unwrap();
    assert_eq!(asked.unwrap_err().code(), Code::BREAKER_OPEN);
    // It is probed when its time has come, and works again.
    time.advance(Duration::from_secs(6));
    kernel.guard_of("bad").unwrap().breaker().unwrap().force(None);
    assert_eq!(kernel.guard_of("bad").unwrap().breaker().unwrap().state(), BreakerState::Closed);
}

/// Tasks that nobody has answered yet.
type Unanswered = Arc<Mutex<Vec<(Task, Reply<Outcome>)>>>;

/// Keeps what it is given.
struct Keeper(&'static str, Unanswered);

impl Agent for Keeper {
    fn card(&self) -> AgentCard {
        AgentCard::new(self.0, ["keep"]).run(RunMode::Inline)
    }
    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        self.1.lock().push((task, reply));
    }
}

fn keeper(kernel: &Kernel) -> Unanswered {
    keeper_of(kernel, "keeper")
}

fn keeper_of(kernel: &Kernel, name: &'static str) -> Unanswered {
    let held = Arc::default();
    kernel.add_agent(Keeper(name, Arc::clone(&held))).unwrap();
    held
}

/// Answers the task that was kept longest.
fn answer_one(held: &Unanswered) -> Payload {
    let (task, reply) = held.lock().remove(0);
    let input = task.input().clone();
    let _ = reply.send(Outcome::new(input.clone()));
    input
}

#[test]
fn cancelling_the_call_cancels_its_try() {
    let (time, kernel) = kernel();
    let held = keeper(&kernel);
    kernel.guard(CallsTo::All, policy(r#"{"retry": {}, "breaker": {"consecutive": 1}}"#)).unwrap();
    let (id, mut ticket) = kernel.submit(Task::new("keep", 1), None);
    assert!(kernel.calls().contains(&id));
    assert!(kernel.cancel(id));
    assert_eq!(ticket.try_take().unwrap().unwrap_err().code(), Code::CANCELLED);
    let (_, reply) = held.lock().pop().unwrap();
    assert!(reply.cancelled());
    drop(reply);
    time.advance(ms(1_000));
    assert!(held.lock().is_empty(), "it is not tried again");
    assert_eq!(kernel.calls(), []);
    // Who goes away says nothing about the agent.
    assert_eq!(kernel.guard_of("keeper").unwrap().breaker().unwrap().state(), BreakerState::Closed);
    drop(kernel.call(Task::new("keep", 2)));
    assert!(held.lock()[0].1.cancelled());
}

#[test]
fn a_try_has_its_own_timeout_and_the_call_goes_on() {
    let (time, kernel) = kernel();
    let held = keeper(&kernel);
    kernel
        .guard(
            CallsTo::All,
            policy(r#"{"timeout_ms": 1000, "attempt_timeout_ms": 100, "retry": {"base_ms": 0, "max_ms": 0}}"#),
        )
        .unwrap();
    let mut ticket = kernel.call(Task::new("keep", 1));
    assert_eq!(held.lock()[0].0.deadline(), Moment::ZERO + ms(100));
    time.advance(ms(120));
    assert!(held.lock()[0].1.cancelled());
    let (task, reply) = held.lock().pop().unwrap();
    assert!(task.deadline() > Moment::ZERO + ms(100), "the second try");
    let _ = reply.progress(Payload::from("half"));
    assert_eq!(ticket.try_part(), Some(Payload::from("half")));
    reply.send("whole".into()).unwrap();
    assert_eq!(ticket.try_take().unwrap().unwrap().output, Payload::from("whole"));
}

#[test]
fn stopping_answers_a_call_that_waits_for_its_next_try() {
    let (time, kernel) = kernel();
    add(&kernel, "a", |_| Err(busy()));
    kernel
        .guard(CallsTo::All, policy(r#"{"retry": {"base_ms": 60000, "max_ms": 60000}}"#))
        .unwrap();
    let mut ticket = kernel.call(Task::new("work", 1));
    assert!(!ticket.is_done());
    kernel.stop(Duration::ZERO).unwrap();
    assert_eq!(ticket.try_take().unwrap().unwrap_err().code(), Code::CANCELLED);
    time.advance(Duration::from_secs(200));
}

#[test]
fn who_calls_from_within_a_call_has_no_more_time_than_that() {
    let (_time, kernel) = kernel();
    let held = keeper(&kernel);
    let inner = kernel.clone();
    let card = AgentCard::new("outer", ["outer"]).run(RunMode::Inline);
    let seen = Arc::new(Mutex::new(Moment::ZERO));
    let sees = Arc::clone(&seen);
    let outer = agent::from_fn(card, move |_: &Task| {
        *sees.lock() = deadline::current();
        inner.call(Task::new("keep", 1).timeout(Duration::from_secs(60))).detach();
        Ok(Payload::NULL)
    });
    kernel.add_agent(outer).unwrap();
    kernel.call(Task::new("outer", 1).timeout(ms(250))).try_take().unwrap().unwrap();
    assert_eq!(*seen.lock(), Moment::ZERO + ms(250));
    assert_eq!(held.lock()[0].0.deadline(), Moment::ZERO + ms(250));
    assert_eq!(deadline::current(), Moment::FAR);
}

#[test]
fn a_storm_of_guarded_calls_leaves_nothing_behind() {
    let runtime = Arc::new(sutazai_core::base::runtime::Threads::default());
    let kernel = Kernel::builder().runtime(runtime).seed(3).build().unwrap();
    kernel.start().unwrap();
    add(&kernel, "a", |n| if n % 3 == 0 { Err(busy()) } else { Ok(Payload::NULL) });
    add(&kernel, "b", |n| if n % 5 == 0 { Err(busy()) } else { Ok(Payload::NULL) });
    let json = r#"{"timeout_ms": 30000, "retry": {"attempts": 8, "base_ms": 0, "max_ms": 0},
        "budget": {"capacity": 100000}, "breaker": {"failure_rate": 0.9}, "bulkhead": {"queue": 0}}"#;
    kernel.guard(CallsTo::All, policy(json)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..500 {
                    let answer = kernel.call(Task::new("work", n)).wait();
                    assert!(answer.is_ok(), "{:#}", answer.unwrap_err());
                }
            });
        }
    });
    wait_until_idle(&kernel);
    assert_eq!(kernel.calls(), []);
    kernel.stop(Duration::from_secs(5)).unwrap();
}

#[test]
fn a_part_that_policies_share_is_changed_by_either_and_for_both() {
    let (_time, kernel) = kernel();
    add(&kernel, "a", |_| Ok(Payload::NULL));
    let skill = |name: &str| CallsTo::Skill(name.to_owned());
    let shares = |capacity: u32| {
        policy(&format!(
            r#"{{"bulkhead": {{"concurrency": {capacity}}}, "share": {{"bulkhead": "db"}}}}"#
        ))
    };
    kernel.guard(skill("work"), shares(3)).unwrap();
    kernel.guard(skill("other"), policy(r#"{"share": {"bulkhead": "db"}}"#)).unwrap();
    let error = kernel.guard(skill("third"), shares(4)).unwrap_err();
    assert!(error.context().any(|pair| pair == ("shared", "db")), "{error:?}");
    kernel.call(Task::new("work", 1)).try_take().unwrap().unwrap();
    let concurrency = || kernel.guard_of("a").unwrap().bulkhead().unwrap().status().concurrency;
    assert_eq!(concurrency(), 3);
    kernel.guard(skill("work"), shares(8)).unwrap();
    assert_eq!(concurrency(), 8);
    // One that says nothing of it leaves it as it is.
    kernel
        .guard(skill("other"), policy(r#"{"bulkhead": {}, "share": {"bulkhead": "db"}}"#))
        .unwrap();
    assert_eq!(concurrency(), 8);
    // With its last policy it is gone, and may be another one.
    kernel.guard(skill("work"), None).unwrap();
    kernel.guard(skill("other"), None).unwrap();
    kernel.guard(skill("third"), shares(4)).unwrap();
}

#[test]
fn what_is_shared_may_change_and_is_rolled_back() {
    let (_time, kernel) = kernel();
    add(&kernel, "a", |_| Ok(Payload::NULL));
    kernel.guard(CallsTo::All, policy(r#"{"retry": {}, "breaker": {}}"#)).unwrap();
    kernel.call(Task::new("work", 1)).try_take().unwrap().unwrap();
    let before = kernel.checkpoints().create("before", None).unwrap();
    let shares = r#"{"retry": {}, "breaker": {}, "share": {"budget": "b", "breaker": "c"}}"#;
    kernel.guard(CallsTo::All, policy(shares)).unwrap();
    kernel.call(Task::new("work", 1)).try_take().unwrap().unwrap();
    assert_eq!(kernel.guard_of("a").unwrap().breaker().unwrap().status(Moment::ZERO).name, "c");
    kernel.checkpoints().restore(before.id, None).unwrap();
    kernel.call(Task::new("work", 1)).try_take().unwrap().unwrap();
    assert_eq!(
        kernel.guard_of("a").unwrap().breaker().unwrap().status(Moment::ZERO).name,
        "agent:a"
    );
}

#[test]
fn a_breaker_that_comes_later_is_told_of_too() {
    let (time, kernel) = kernel();
    add(&kernel, "a", |_| Err(busy()));
    kernel.guard(CallsTo::All, policy(r#"{"bulkhead": {}}"#)).unwrap();
    let _ = kernel.call(Task::new("work", 1)).try_take();
    let mut changes = kernel.bus().subscribe("recovery.breaker.changed").pull().unwrap();
    kernel
        .guard(CallsTo::All, policy(r#"{"bulkhead": {}, "breaker": {"consecutive": 2}}"#))
        .unwrap();
    for _ in 0..2 {
        let _ = kernel.call(Task::new("work", 1)).try_take();
    }
    time.advance(ms(1));
    let told = changes.try_next().unwrap().unwrap().event.payload.to_text().to_string();
    assert!(told.contains(r#""agent":"a""#) && told.contains(r#""to":"open""#), "{told}");
}

#[test]
fn what_an_awaited_agent_calls_has_its_time_and_its_urgency() {
    let (time, kernel) = kernel();
    let held = keeper(&kernel);
    let inner = kernel.clone();
    let outer = agent::from_async(AgentCard::new("outer", ["outer"]), move |_: Task| {
        let inner = inner.clone();
        async move { inner.call(Task::new("keep", 1)).await }
    });
    kernel.add_agent(outer).unwrap();
    let ticket = kernel.call(Task::new("outer", 1).timeout(ms(400)).priority(33));
    time.advance(ms(1));
    let (task, _) = held.lock().pop().unwrap();
    assert_eq!((task.deadline(), task.given_priority()), (Moment::ZERO + ms(400), 33));
    drop(ticket);
}

#[test]
fn what_has_begun_to_answer_is_not_tried_again() {
    let (time, kernel) = kernel();
    let held = keeper(&kernel);
    kernel.guard(CallsTo::All, policy(r#"{"retry": {"base_ms": 1}}"#)).unwrap();
    let mut ticket = kernel.call(Task::new("keep", 1));
    let (_, reply) = held.lock().remove(0);
    let _ = reply.progress(Payload::from("half"));
    let _ = reply.fail(busy());
    time.advance(ms(100));
    assert_eq!(ticket.try_part(), Some(Payload::from("half")));
    let error = ticket.try_take().unwrap().unwrap_err();
    assert!(error.context().any(|pair| pair == ("gave_up", "begun")), "{error:?}");
    assert!(held.lock().is_empty());
}

/// Calls find agents that are removed at that moment.
#[test]
fn with_an_agent_its_guard_is_gone_whoever_calls_it_meanwhile() {
    let kernel = Kernel::builder().seed(1).build().unwrap();
    kernel.start().unwrap();
    kernel
        .guard(CallsTo::All, policy(r#"{"bulkhead": {"concurrency": 1}, "breaker": {}}"#))
        .unwrap();
    let ended = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while ended.load(Ordering::SeqCst) == 0 {
                    kernel.call(Task::new("work", 1)).detach();
                }
            });
        }
        for n in 0..1_000 {
            add(&kernel, &format!("a{n}"), |_| Ok(Payload::NULL));
            if n > 0 {
                kernel.remove_agent(&format!("a{}", n - 1), ms(0)).unwrap();
            }
        }
        ended.store(1, Ordering::SeqCst);
    });
    kernel.remove_agent("a999", ms(0)).unwrap();
    let left: Vec<_> = kernel.guards().into_iter().map(|guard| guard.calls).collect();
    assert_eq!(left, ["all"]);
}
