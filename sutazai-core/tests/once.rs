//! Calls with an idempotency key are made once; batches.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::agent::from_fn;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::ticket::{Reply, Ticket};
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Agent, AgentCard, Outcome, RunMode, Task, Terms};
use sutazai_core::{Code, Error};

#[derive(Clone, Default)]
struct Keeps(Arc<Mutex<Vec<Held>>>);

type Held = (Task, Reply<Outcome>);

impl Agent for Keeps {
    fn card(&self) -> AgentCard {
        AgentCard::new("keeps", ["keep"]).run(RunMode::Inline)
    }
    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        self.0.lock().push((task, reply));
    }
}

/// Takes two tasks at once.
struct Few(Keeps);

impl Agent for Few {
    fn card(&self) -> AgentCard {
        AgentCard::new("few", ["few"]).run(RunMode::Inline).concurrency(2)
    }
    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        self.0.handle(task, reply);
    }
}

impl Keeps {
    fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn take(&self) -> Reply<Outcome> {
        self.0.lock().remove(0).1
    }
}

fn kernel() -> (Manual, Kernel, Keeps) {
    let (time, keeps) = (Manual::new(), Keeps::default());
    let kernel = Kernel::builder().runtime(Arc::new(time.clone())).build().unwrap();
    kernel.add_agent(keeps.clone()).unwrap();
    kernel.start().unwrap();
    (time, kernel, keeps)
}

fn task(key: &str, input: u32) -> Task {
    Task::new("keep", input).terms(Terms::default().idempotency_key(key))
}

fn code(ticket: &mut Ticket<Outcome>) -> Option<Code> {
    ticket.try_take().map(|answer| answer.unwrap_err().code())
}

#[test]
fn who_asks_meanwhile_gets_the_same_answer_and_who_asks_later_too() {
    let (time, kernel, keeps) = kernel();
    let mut tickets: Vec<_> = (0..3).map(|_| kernel.call(task("k", 1))).collect();
    let mut other_key = kernel.call(task("other", 1));
    let mut other_input = kernel.call(task("k", 2));
    assert_eq!(code(&mut other_input), Some(Code::INVALID));
    assert_eq!(keeps.len(), 2);
    keeps.take().send("done".into()).unwrap();
    for ticket in &mut tickets {
        assert_eq!(ticket.try_take().unwrap().unwrap().output, "done".into());
    }
    assert!(other_key.try_take().is_none());
    let mut later = kernel.call(task("k", 1));
    assert_eq!(later.try_take().unwrap().unwrap().output, "done".into());
    time.advance(Duration::from_secs(600));
    let _anew = kernel.call(task("k", 1));
    assert_eq!(keeps.len(), 2, "it was forgotten by now");
    drop(other_key);
}

#[test]
fn what_failed_is_tried_again_by_the_next_one() {
    let (_time, kernel, keeps) = kernel();
    let (mut one, mut two) = (kernel.call(task("k", 1)), kernel.call(task("k", 1)));
    keeps.take().fail(Error::new(Code::TIMEOUT, "slow")).unwrap();
    assert_eq!((code(&mut one), code(&mut two)), (Some(Code::TIMEOUT), Some(Code::TIMEOUT)));
    let _again = kernel.call(task("k", 1));
    assert_eq!(keeps.len(), 1);
}

#[test]
fn it_is_cancelled_when_nobody_waits_for_it_any_more() {
    let (time, kernel, keeps) = kernel();
    let (one, two) = (kernel.call(task("k", 1)), kernel.call(task("k", 1)));
    drop(one);
    assert!(!keeps.0.lock()[0].1.cancelled());
    drop(two);
    assert!(keeps.0.lock()[0].1.cancelled());
    let mut again = kernel.call(task("k", 1));
    assert_eq!(keeps.len(), 2, "whoever asks then has a call of their own");
    keeps.0.lock().remove(1).1.send("2".into()).unwrap();
    assert_eq!(again.try_take().unwrap().unwrap().output, "2".into());
    // Who waits for another one's call has a time of their own.
    let _first = kernel.call(task("l", 1).timeout(Duration::from_secs(20)));
    let mut second = kernel.call(task("l", 1).timeout(Duration::from_secs(1)));
    time.advance(Duration::from_millis(1_100));
    assert_eq!(code(&mut second), Some(Code::DEADLINE_EXCEEDED));
}

#[test]
fn a_storm_of_askers_makes_one_call_a_key() {
    let made = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&made);
    let kernel = Kernel::builder().build().unwrap();
    let agent = from_fn(AgentCard::new("a", ["keep"]), move |task: &Task| {
        counts.fetch_add(1, Ordering::SeqCst);
        std::thread::yield_now();
        Ok(task.input().clone())
    });
    kernel.add_agent(agent).unwrap();
    kernel.start().unwrap();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let kernel = kernel.clone();
            std::thread::spawn(move || {
                for n in 0..500 {
                    let mut ticket = kernel.call(task(&format!("k{}", n / 5), n / 5));
                    assert_eq!(ticket.wait().unwrap().output, (n / 5).into());
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert_eq!(made.load(Ordering::SeqCst), 100);
}

#[test]
fn a_batch_makes_so_many_calls_side_by_side() {
    let (_time, kernel, keeps) = kernel();
    let tasks = (0..10_u32).map(|n| Task::new("keep", n));
    let parts = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&parts);
    let mut ticket = kernel.call_all(tasks, NonZeroUsize::new(3), None);
    ticket.on_part(move |part| told.lock().push(part));
    assert_eq!(keeps.len(), 3);
    for n in 0..10_u32 {
        assert!(ticket.try_take().is_none());
        let answer = if n == 4 { Err(Error::new(Code::TIMEOUT, "slow")) } else { Ok(n) };
        keeps.take().answer(answer.map(Outcome::new)).unwrap();
        assert_eq!(keeps.len(), (9 - n as usize).min(3));
    }
    let answers = ticket.try_take().unwrap().unwrap();
    for (n, it) in (0..10_u32).zip(&answers) {
        match n {
            4 => assert_eq!(it.error().unwrap().code(), Code::TIMEOUT),
            n => assert_eq!(it.answer.as_ref().unwrap().output, n.into()),
        }
    }
    let parts = parts.lock();
    assert_eq!(parts.len(), 10);
    let last: Payload = serde_json::json!({"done": 10, "of": 10, "index": 9, "ok": true}).into();
    assert_eq!(parts[9], last);
}

#[test]
fn a_batch_waits_for_agents_that_are_at_their_concurrency() {
    let (_time, kernel, keeps) = kernel();
    let few = Keeps::default();
    kernel.add_agent(Few(few.clone())).unwrap();
    let tasks = (0..10_u32).map(|n| Task::new("few", n));
    let mut ticket = kernel.call_all(tasks, None, None);
    for n in 0..10_u32 {
        assert!(few.len() <= 2 && ticket.try_take().is_none());
        few.take().answer(Ok(Outcome::new(n))).unwrap();
    }
    let answers = ticket.try_take().unwrap().unwrap();
    assert!(answers.iter().all(|it| it.answer.is_ok()));
    // While others have them it waits a moment at a time, and no longer than a call may take.
    let others: Vec<_> = (0..2).map(|n| kernel.call(Task::new("few", n))).collect();
    let mut ticket = kernel.call_all([Task::new("few", 0)], None, None);
    kernel.advance(Duration::from_secs(1)).unwrap();
    assert!(ticket.try_take().is_none());
    few.take().answer(Ok(Outcome::new(1))).unwrap();
    kernel.advance(Duration::from_millis(10)).unwrap();
    few.take().answer(Ok(Outcome::new(2))).unwrap();
    few.take().answer(Ok(Outcome::new(3))).unwrap();
    assert!(ticket.try_take().unwrap().unwrap()[0].answer.is_ok());
    drop(others);
    let _others: Vec<_> = (0..2).map(|n| kernel.call(Task::new("few", n))).collect();
    let mut ticket = kernel.call_all([Task::new("few", 0)], None, None);
    kernel.advance(Duration::from_secs(3600)).unwrap();
    let error = ticket.try_take().unwrap().unwrap()[0].error().cloned().unwrap();
    assert_eq!(error.code(), Code::OVERLOADED);
    assert_eq!(keeps.len(), 0);
}

#[test]
fn cancelling_a_batch_ends_what_is_under_way_and_makes_no_more() {
    let (_time, kernel, keeps) = kernel();
    let ticket =
        kernel.call_all((0..10_u32).map(|n| Task::new("keep", n)), NonZeroUsize::new(2), None);
    drop(ticket);
    let held = std::mem::take(&mut *keeps.0.lock());
    assert!(held.len() == 2 && held.iter().all(|(_, reply)| reply.cancelled()));
    drop(held);
    assert_eq!(keeps.len(), 0);
    assert_eq!(kernel.calls(), []);
}
