//! Sagas and checkpoints of a kernel: over a restart, through a stop, on the bus.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(all(feature = "agent", feature = "recovery", feature = "store"))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::agent::from_fn;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::ticket::Reply;
use sutazai_core::kernel::{Kernel, SagaOfCalls};
use sutazai_core::port::{Agent, AgentCard, Checkpointed, Outcome, SagaContext, Task};
use sutazai_core::recovery::{Saga, SagaState, step_fn};
use sutazai_core::{Code, Error, Result};

const LONG: Duration = Duration::from_secs(60);

type Calls = Arc<Mutex<Vec<String>>>;

/// Answers its skill `work`, and never its skill `hang`; says when it is asked to hang.
struct Worker {
    calls: Calls,
    hangs: std::sync::mpsc::Sender<()>,
    held: Mutex<Vec<Reply<Outcome>>>,
}

impl Agent for Worker {
    fn card(&self) -> AgentCard {
        AgentCard::new("worker", ["work", "hang"])
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        let asked = task.input().value().unwrap();
        let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("key"), format!("{}/{}/{}", text("saga"), text("step"), text("direction")));
        let known = asked.get("result").is_some();
        self.calls.lock().push(format!("{} {} {known}", text("direction"), text("step")));
        if task.skill() == "hang" {
            self.held.lock().push(reply);
            self.hangs.send(()).unwrap();
        } else {
            let _ = reply.send(asked["input"].clone().into());
        }
    }
}

fn trip() -> SagaOfCalls {
    serde_json::from_value(serde_json::json!({"name": "trip", "steps": [
        {"name": "flight", "do": {"skill": "work"}, "undo": {"skill": "work"}},
        {"name": "hotel", "do": {"skill": "hang", "timeout_ms": 600_000}, "undo": {"skill": "work"}},
    ]}))
    .unwrap()
}

#[test]
fn what_a_stop_interrupts_goes_back_in_the_next_kernel() {
    let dir = tempfile::tempdir().unwrap();
    let calls = Calls::default();
    let (hangs, hung) = std::sync::mpsc::channel();
    let build = || {
        let worker =
            Worker { calls: Arc::clone(&calls), hangs: hangs.clone(), held: Mutex::default() };
        Kernel::builder().data_dir(dir.path()).agent(worker).build().unwrap()
    };
    let first = build();
    first.start().unwrap();
    first.define_saga_of_calls(&trip()).unwrap();
    let (id, mut ticket) = first.sagas().run("trip", "Ghent").unwrap();
    hung.recv().unwrap();
    // The step's call is cancelled by the stop; that is no failure of the saga's.
    first.stop(Duration::from_millis(50)).unwrap();
    assert_eq!(ticket.wait().unwrap_err().code(), Code::NOT_RUNNING);

    let second = build();
    let seen = Calls::default();
    let heard = Arc::clone(&seen);
    let _subscription = second
        .bus()
        .subscribe("recovery.saga.*")
        .deliver(move |event| heard.lock().push(event.event.subject.to_string()))
        .unwrap();
    second.define_saga_of_calls(&trip()).unwrap();
    second.start().unwrap();
    let error = second.sagas().watch(id).unwrap().wait().unwrap_err();
    assert_eq!(error.code(), Code::SAGA_UNDONE);
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("process ended"));
    let expected = ["do flight false", "do hotel false", "undo hotel false", "undo flight true"];
    assert_eq!(*calls.lock(), expected);
    assert_eq!(second.sagas().inspect(id).unwrap().view.state, SagaState::Undone);
    second.stop(LONG).unwrap();
    let failing = "recovery.saga.failing".to_owned();
    assert_eq!(seen.lock().first(), Some(&failing), "{:?}", seen.lock());
    assert_eq!(seen.lock().last().unwrap(), "recovery.saga.undone");
}

#[test]
fn a_saga_of_the_builder_goes_on_when_the_kernel_starts() {
    let dir = tempfile::tempdir().unwrap();
    let (enter, entered) = std::sync::mpsc::channel();
    let build = |again: bool| {
        let enter = enter.clone();
        let slow = step_fn(
            move |ctx: &SagaContext<'_>| {
                if again {
                    return Ok(ctx.input.clone());
                }
                enter.send(()).unwrap();
                while !ctx.cancelled() {
                    std::thread::yield_now();
                }
                Err(Error::new(Code::CANCELLED, "as asked"))
            },
            |_: &SagaContext<'_>, _: Option<&Payload>| Ok(()),
        );
        let saga = Saga::new("slow").step("a", slow);
        Kernel::builder().data_dir(dir.path()).saga(saga).build().unwrap()
    };
    let first = build(false);
    first.start().unwrap();
    let (id, ticket) = first.sagas().run("slow", 7).unwrap();
    entered.recv().unwrap();
    // Giving up the ticket reaches the step; the stop waits for what it makes of that.
    drop(ticket);
    first.stop(LONG).unwrap();

    let second = build(true);
    second.start().unwrap();
    let code = second.sagas().watch(id).unwrap().wait().unwrap_err().code();
    assert_eq!(code, Code::SAGA_UNDONE);
    assert_eq!(second.sagas().run("slow", 7).unwrap().1.wait().unwrap(), Payload::from(7));
    second.stop(LONG).unwrap();
}

struct Level(AtomicU64);

impl Checkpointed for Level {
    fn name(&self) -> &str {
        "level"
    }
    fn needs(&self) -> Vec<String> {
        vec!["kernel.log".to_owned()]
    }
    fn save(&self) -> Result<Payload> {
        Ok(self.0.load(Ordering::Relaxed).into())
    }
    fn restore(&self, state: &Payload) -> Result<()> {
        self.0.store(state.to()?, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn a_checkpoint_outlives_its_kernel() {
    let dir = tempfile::tempdir().unwrap();
    let build = |level: &Arc<Level>| {
        let level = Arc::clone(level);
        Kernel::builder().data_dir(dir.path()).shared_checkpointed(level).build().unwrap()
    };
    let level = Arc::new(Level(AtomicU64::new(3)));
    let first = build(&level);
    first.start().unwrap();
    first.log().set_filter("warn,sutazai.agent=debug").unwrap();
    let taken = first.checkpoints().create("good", None).unwrap();
    first.stop(LONG).unwrap();

    let level = Arc::new(Level(AtomicU64::new(0)));
    let second = build(&level);
    second.start().unwrap();
    assert_eq!(second.checkpoints().diff(taken.id, None).unwrap().changed.len(), 2);
    let restored = second.checkpoints().restore(taken.id, None).unwrap();
    assert_eq!(
        restored.restored,
        ["kernel.log", "level", "recovery.policies", "recovery.level", "agent.versions"]
    );
    assert_eq!(level.0.load(Ordering::Relaxed), 3);
    assert_eq!(second.log().filter(), "warn,sutazai.agent=debug");
    second.stop(LONG).unwrap();
}

#[test]
fn a_kernel_that_cannot_roll_back_is_not_built() {
    let none = || from_fn(AgentCard::new("a", ["a"]), |_: &Task| Ok(Payload::NULL));
    let empty = Kernel::builder().agent(none()).saga(Saga::new("s")).build();
    assert_eq!(empty.unwrap_err().code(), Code::INVALID);
    let twice = Kernel::builder()
        .checkpointed(Level(AtomicU64::new(0)))
        .checkpointed(Level(AtomicU64::new(0)))
        .build();
    assert_eq!(twice.unwrap_err().code(), Code::ALREADY_EXISTS);
}
