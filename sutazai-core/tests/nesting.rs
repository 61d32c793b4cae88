//! Calls within calls: traced, bounded, and never in a circle.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use parking_lot::Mutex;
use sutazai_core::agent;
use sutazai_core::base::payload::Payload;
use sutazai_core::kernel::{Kernel, Limits};
use sutazai_core::port::{AgentCard, RunMode, Task};
use sutazai_core::{Code, Error, Result};

fn kernel() -> Kernel {
    let mut limits = Limits::default();
    limits.depth = 5;
    let kernel = Kernel::builder().limits(limits).build().unwrap();
    kernel.start().unwrap();
    kernel
}

/// An agent that asks another one, with what `f` makes of its input.
fn asks(
    kernel: &Kernel,
    name: &str,
    skill: &'static str,
    f: impl Fn(u64) -> u64 + Send + Sync + 'static,
) {
    let inner = kernel.clone();
    let agent = agent::from_fn(AgentCard::new(name, [name]), move |task: &Task| {
        let input = f(task.input().to::<u64>()?);
        inner.call(Task::new(skill, input)).wait().map(|outcome| outcome.output)
    });
    kernel.add_agent(agent).unwrap();
}

fn call(kernel: &Kernel, skill: &str, input: u64) -> Result<Payload> {
    kernel.call(Task::new(skill, input)).wait().map(|outcome| outcome.output)
}

fn context<'a>(error: &'a Error, key: &str) -> Option<&'a str> {
    error.context().find(|(name, _)| *name == key).map(|(_, value)| value)
}

#[test]
fn a_circle_is_found() {
    let kernel = kernel();
    asks(&kernel, "a", "b", |n| n);
    asks(&kernel, "b", "a", |n| n);
    let error = call(&kernel, "a", 1).unwrap_err();
    assert_eq!(error.code(), Code::AGENT_LOOP);
    assert_eq!(context(&error, "path"), Some("a.a → b.b"));
}

#[test]
fn to_come_by_again_with_something_else_is_no_circle_but_has_an_end() {
    let kernel = kernel();
    let inner = kernel.clone();
    let halves = agent::from_fn(AgentCard::new("halves", ["halves"]), move |task: &Task| {
        let n = task.input().to::<u64>()?;
        if n < 2 {
            return Ok(Payload::from(n));
        }
        inner.call(Task::new("halves", n / 2)).wait().map(|outcome| outcome.output)
    });
    kernel.add_agent(halves).unwrap();
    assert_eq!(call(&kernel, "halves", 16).unwrap(), 1_u64.into());
    let error = call(&kernel, "halves", 32).unwrap_err();
    assert_eq!((error.code(), context(&error, "depth")), (Code::AGENT_TOO_DEEP, Some("5")));
}

#[test]
fn what_an_async_agent_calls_is_a_part_of_its_call() {
    let kernel = kernel();
    let inner = kernel.clone();
    let outer = agent::from_async(AgentCard::new("outer", ["outer"]), move |task: Task| {
        let inner = inner.clone();
        async move {
            std::future::ready(()).await;
            inner.call(Task::new("inner", task.input().clone())).await
        }
    });
    kernel.add_agent(outer).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let card = AgentCard::new("inner", ["inner"]).run(RunMode::Inline);
    let inner = agent::from_fn(card, move |task: &Task| {
        sees.lock().push((task.parent().unwrap(), task.trace(), task.lineage().unwrap().path()));
        Ok(Payload::NULL)
    });
    kernel.add_agent(inner).unwrap();
    call(&kernel, "outer", 1).unwrap();
    let (parent, own, path) = seen.lock().pop().unwrap();
    assert_eq!((parent.trace, path.as_str()), (own.trace, "outer.outer → inner.inner"));
    assert_ne!(parent.span, own.span);
}

#[test]
fn a_task_is_handed_to_another_thread_and_stays_a_part_of_its_call() {
    let kernel = kernel();
    asks(&kernel, "b", "a", |n| n);
    let inner = kernel.clone();
    let agent = agent::from_fn(AgentCard::new("a", ["a"]), move |task: &Task| {
        let (inner, task) = (inner.clone(), task.clone());
        let there = std::thread::spawn(move || {
            let again = Task::new("b", task.input().clone()).part_of(&task);
            inner.call(again).wait().map(|outcome| outcome.output)
        });
        there.join().unwrap()
    });
    kernel.add_agent(agent).unwrap();
    assert_eq!(call(&kernel, "a", 1).unwrap_err().code(), Code::AGENT_LOOP);
}

#[test]
fn on_its_own_it_is_a_part_of_nothing() {
    let kernel = kernel();
    let inner = kernel.clone();
    let agent = agent::from_fn(AgentCard::new("a", ["a"]), move |task: &Task| {
        let depth = task.lineage().unwrap().depth();
        if task.input().to::<u64>()? == 0 {
            return Ok(Payload::from(depth));
        }
        let on_its_own = Task::new("a", 0_u64).on_its_own();
        inner.call(on_its_own).wait().map(|outcome| outcome.output)
    });
    kernel.add_agent(agent).unwrap();
    assert_eq!(call(&kernel, "a", 1).unwrap(), 1_u32.into());
}

#[test]
fn a_callback_is_no_part_of_the_call_whose_answer_it_gets() {
    let kernel = kernel();
    let card = AgentCard::new("echo", ["echo"]).run(RunMode::Pool);
    kernel.add_agent(agent::from_fn(card, |task: &Task| Ok(task.input().clone()))).unwrap();
    let (done, all_done) = std::sync::mpsc::channel();
    // One call after the other, each made by the callback of the one before: as many as one likes, with the
    // same input, and each with all its time.
    fn next(kernel: Kernel, left: u32, done: std::sync::mpsc::Sender<Result<()>>) {
        let timeout = std::time::Duration::from_secs(if left == 20 { 1 } else { 30 });
        let ticket = kernel.call(Task::new("echo", 1_u64).timeout(timeout));
        ticket.on_done(move |answer| match answer {
            Ok(_) if left > 0 => next(kernel, left - 1, done),
            answer => done.send(answer.map(drop)).unwrap(),
        });
    }
    next(kernel, 20, done);
    all_done.recv().unwrap().unwrap();
}
