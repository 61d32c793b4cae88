//! The guarded call, black box, under virtual time and on every runtime.
#![cfg(feature = "agent")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::ticket::Reply;
use sutazai_core::kernel::{Kernel, Phase};
use sutazai_core::port::{
    Access, Agent, AgentCard, CallRecord, Decision, Outcome, Policy, Recorder, RunMode, Task,
};
use sutazai_core::{Class, Code};

type Held = Arc<Mutex<Vec<(Task, Reply<Outcome>)>>>;

/// Keeps what it is given, for the test to answer.
struct Keeper {
    card: AgentCard,
    held: Held,
}

impl Agent for Keeper {
    fn card(&self) -> AgentCard {
        self.card.clone()
    }
    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        self.held.lock().push((task, reply));
    }
}

fn keeper(card: AgentCard) -> (Keeper, Held) {
    let held = Held::default();
    (Keeper { card, held: Arc::clone(&held) }, held)
}

fn inline(name: &str) -> AgentCard {
    AgentCard::new(name, ["work"]).run(RunMode::Inline)
}

fn virtual_kernel(agent: Keeper) -> (Manual, Kernel) {
    let runtime = Manual::new();
    let kernel =
        Kernel::builder().runtime(Arc::new(runtime.clone())).seed(1).agent(agent).build().unwrap();
    kernel.start().unwrap();
    (runtime, kernel)
}

#[test]
fn a_deadline_settles_the_call_and_the_place_is_kept_until_it_is_finished() {
    let (agent, held) = keeper(inline("k").concurrency(1));
    let (runtime, kernel) = virtual_kernel(agent);
    let mut ticket = kernel.call(Task::new("work", "x").timeout(Duration::from_secs(2)));
    runtime.advance(Duration::from_millis(1_900));
    assert!(!ticket.is_done());
    runtime.advance(Duration::from_millis(200));
    let error = ticket.try_take().unwrap().unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::DEADLINE_EXCEEDED, Class::Transient));
    assert_eq!(kernel.calls(), []);

    let (_, reply) = held.lock().pop().unwrap();
    assert!(reply.cancelled());
    let mut second = kernel.call(Task::new("work", "y"));
    assert_eq!(second.try_take().unwrap().unwrap_err().code(), Code::OVERLOADED);
    assert!(reply.send("late".into()).is_err());
    assert!(!kernel.call(Task::new("work", "z")).is_done(), "the place is free again");
}

#[test]
fn calls_are_cancelled_by_number() {
    let (agent, held) = keeper(inline("k"));
    let (_runtime, kernel) = virtual_kernel(agent);
    let (id, mut ticket) = kernel.submit(Task::new("work", "x"), None);
    assert_eq!(kernel.calls(), [id]);
    assert!(kernel.cancel(id));
    assert!(!kernel.cancel(id));
    assert_eq!(ticket.try_take().unwrap().unwrap_err().code(), Code::CANCELLED);
    assert!(held.lock()[0].1.cancelled());
}

#[test]
fn answers_come_from_wherever_the_reply_goes() {
    let (agent, held) = keeper(inline("k"));
    let (_runtime, kernel) = virtual_kernel(agent);
    let mut ticket = kernel.call(Task::new("work", "x"));
    let (task, reply) = held.lock().pop().unwrap();
    assert_eq!(task.skill(), "work");
    std::thread::spawn(move || reply.send("done".into())).join().unwrap().unwrap();
    assert_eq!(ticket.try_take().unwrap().unwrap().output, "done".into());
    assert_eq!(kernel.status().calls, 0);
}

#[test]
fn the_same_seed_gives_the_same_ids() {
    let ids = || {
        let (agent, held) = keeper(inline("k"));
        let (_runtime, kernel) = virtual_kernel(agent);
        kernel.call(Task::new("work", "x")).detach();
        kernel.call(Task::new("work", "x")).detach();
        let traces: Vec<_> = held.lock().iter().map(|(task, _)| task.trace()).collect();
        traces
    };
    assert_eq!(ids(), ids());
}

struct Panics;

impl Agent for Panics {
    fn card(&self) -> AgentCard {
        AgentCard::new("panics", ["panic"]).run(RunMode::Inline)
    }
    fn handle(&self, _task: Task, _reply: Reply<Outcome>) {
        panic!("an agent's own fault")
    }
}

#[test]
fn a_panic_is_an_error_and_the_kernel_lives_on() {
    let (agent, _held) = keeper(inline("k"));
    let (_runtime, kernel) = virtual_kernel(agent);
    kernel.add_agent(Panics).unwrap();
    for _ in 0..2 {
        let error = kernel.call(Task::new("panic", "x")).try_take().unwrap().unwrap_err();
        assert_eq!((error.code(), error.class()), (Code::PANIC, Class::Critical));
    }
    assert_eq!(kernel.agent("panics").unwrap().stats.failures.critical, 2);
    assert_eq!(kernel.agent("panics").unwrap().in_flight, 0);
}

struct Nobody;

impl Policy for Nobody {
    fn decide(&self, access: &Access<'_>) -> Decision {
        Decision::Deny { reason: format!("{} may do nothing", access.session.principal()) }
    }
}

#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<String>>>);

impl Recorder for Book {
    fn record(&self, call: &CallRecord<'_>) {
        self.0.lock().push(format!(
            "{} {:?} {:?}",
            call.skill,
            call.agent.map(|a| &*a.name),
            call.failure.map(|e| e.code().name())
        ));
    }
}

#[test]
fn refused_calls_are_recorded_too() {
    let book = Book::default();
    let runtime = Arc::new(Manual::new());
    let (agent, held) = keeper(inline("k"));
    let kernel = Kernel::builder()
        .runtime(runtime)
        .policy(Nobody)
        .recorder(book.clone())
        .agent(agent)
        .build()
        .unwrap();
    let code = |task| kernel.call(task).try_take().unwrap().unwrap_err().code();
    assert_eq!(code(Task::new("work", "x")), Code::NOT_RUNNING);
    kernel.start().unwrap();
    assert_eq!(code(Task::new("work", "x")), Code::DENIED);
    let mut ticket = kernel.call_as("token", Task::new("work", "x"));
    assert_eq!(ticket.try_take().unwrap().unwrap_err().code(), Code::UNAUTHENTICATED);
    assert!(held.lock().is_empty());
    assert_eq!(
        *book.0.lock(),
        [
            "work None Some(\"base.not_running\")",
            "work None Some(\"security.denied\")",
            "work None Some(\"security.unauthenticated\")"
        ]
    );
}

#[test]
fn unknown_skills_name_the_nearest() {
    let (agent, _held) = keeper(inline("k"));
    let (_runtime, kernel) = virtual_kernel(agent);
    let error = kernel.call(Task::new("wrk", "x")).try_take().unwrap().unwrap_err();
    assert_eq!(error.code(), Code::AGENT_NO_SKILL);
    assert_eq!(error.remedy(), Some("did you mean 'work'?"));
    let task = Task::new("work", "x").to_agent("nobody");
    assert_eq!(kernel.call(task).try_take().unwrap().unwrap_err().code(), Code::NOT_FOUND);
    let task = Task::new("other", "x").to_agent("k");
    assert_eq!(kernel.call(task).try_take().unwrap().unwrap_err().code(), Code::AGENT_NO_SKILL);
}

#[test]
fn stopping_answers_what_is_left() {
    let (agent, held) = keeper(inline("k"));
    let (_runtime, kernel) = virtual_kernel(agent);
    let mut ticket = kernel.call(Task::new("work", "x"));
    kernel.stop(Duration::ZERO).unwrap();
    assert_eq!(ticket.try_take().unwrap().unwrap_err().code(), Code::CANCELLED);
    assert_eq!(kernel.phase(), Phase::Stopped);
    let mut late = kernel.call(Task::new("work", "x"));
    assert_eq!(late.try_take().unwrap().unwrap_err().code(), Code::NOT_RUNNING);
    assert!(held.lock().pop().unwrap().1.send("late".into()).is_err());
    assert!(kernel.start().is_err());
}

#[test]
fn the_last_handle_stops_the_kernel_and_tickets_survive_it() {
    let (agent, held) = keeper(AgentCard::new("k", ["work"]));
    let kernel = Kernel::builder().agent(agent).build().unwrap();
    kernel.start().unwrap();
    let mut ticket = kernel.call(Task::new("work", "x"));
    let mut done = kernel.call(Task::new("work", "y"));
    let reply = loop {
        if let Some((_, reply)) = held.lock().pop() {
            break reply;
        }
        std::thread::yield_now();
    };
    let _ = reply;
    held.lock().clear();
    drop(kernel);
    assert!(ticket.wait().is_err());
    assert!(done.wait().is_err());
}
