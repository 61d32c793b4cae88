//! One suite of calls on every runtime: threads of the kernel's own, tokio with one thread and with
//! several, and smol beside the kernel; awaited and blocking.
#![cfg(all(feature = "agent", feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::agent::{from_async, from_fn, from_fn_with};
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::{Runtime, Threads, Tokio};
use sutazai_core::base::ticket::{Reply, Ticket};
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Agent, AgentCard, Outcome, RunMode, Task};
use sutazai_core::{Class, Code, Result};

/// Keeps its replies and never answers.
struct Hang(Mutex<Vec<Reply<Outcome>>>);

impl Agent for Hang {
    fn card(&self) -> AgentCard {
        AgentCard::new("hang", ["hang"]).run(RunMode::Inline)
    }
    fn handle(&self, _task: Task, reply: Reply<Outcome>) {
        self.0.lock().push(reply);
    }
}

fn kernel(runtime: Arc<dyn Runtime>) -> Kernel {
    let kernel = Kernel::builder().runtime(runtime).build().unwrap();
    let inner = kernel.clone();
    let card = |name: &str| AgentCard::new(name, [name]);
    let echo = |task: &Task| Ok(task.input().clone());
    kernel.add_agent(from_fn(card("inline").run(RunMode::Inline), echo)).unwrap();
    kernel.add_agent(from_fn(card("pool"), echo)).unwrap();
    kernel
        .add_agent(from_async(card("async"), async |task: Task| Ok(task.input().clone())))
        .unwrap();
    kernel
        .add_agent(from_fn_with(card("parts"), |_, context| {
            for n in 0..3_u64 {
                context.progress(serde_json::json!(n))?;
            }
            Ok("end")
        }))
        .unwrap();
    kernel
        .add_agent(from_fn(card("panics"), |_| -> Result<Payload> { panic!("on purpose") }))
        .unwrap();
    kernel.add_agent(Hang(Mutex::default())).unwrap();
    // An agent that waits for another one, which needs a thread of the same pool.
    let weak = Mutex::new(Some(inner));
    kernel
        .add_agent(from_fn(card("nested"), move |task: &Task| {
            let kernel = weak.lock().clone();
            let inner = Task::new("pool", task.input().clone()).within(task.trace());
            kernel.unwrap().call(inner).wait()
        }))
        .unwrap();
    kernel.start().unwrap();
    kernel
}

/// Whoever drives the suite says how it waits for a ticket.
fn suite(kernel: &Kernel, wait: &dyn Fn(Ticket<Outcome>) -> Result<Outcome>) {
    let call = |skill: &str| wait(kernel.call(Task::new(skill, "x")));
    for skill in ["inline", "pool", "async", "nested"] {
        assert_eq!(call(skill).unwrap().output, "x".into(), "{skill}");
    }
    let panic = call("panics").unwrap_err();
    assert_eq!((panic.code(), panic.class()), (Code::PANIC, Class::Critical));
    assert_eq!(call("nobody").unwrap_err().code(), Code::AGENT_NO_SKILL);

    let late = Task::new("hang", "x").timeout(Duration::from_millis(20));
    assert_eq!(wait(kernel.call(late)).unwrap_err().code(), Code::DEADLINE_EXCEEDED);

    let (id, ticket) = kernel.submit(Task::new("hang", "x"), None);
    assert!(kernel.cancel(id));
    assert_eq!(wait(ticket).unwrap_err().code(), Code::CANCELLED);

    let ticket = kernel.call(Task::new("parts", "x"));
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    ticket.on_part(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(wait(ticket).unwrap().output, "end".into());
    assert_eq!(seen.load(Ordering::SeqCst), 3);

    let tickets: Vec<_> =
        (0..200_u64).map(|n| (n, kernel.call(Task::new("pool", serde_json::json!(n))))).collect();
    for (n, ticket) in tickets {
        assert_eq!(wait(ticket).unwrap().output.to::<u64>().unwrap(), n);
    }
    assert_eq!(kernel.calls(), []);
}

fn end(kernel: Kernel) {
    // Calls that are settled but not finished do not hold up the stop.
    kernel.stop(Duration::from_secs(3600)).unwrap();
    assert_eq!(kernel.status().calls, 2, "the two that hang");
}

#[test]
fn on_threads_blocking() {
    let kernel = kernel(Arc::new(Threads::default()));
    suite(&kernel, &|mut ticket| ticket.wait());
    end(kernel);
}

#[test]
fn on_threads_awaited_by_smol() {
    let kernel = kernel(Arc::new(Threads::default()));
    suite(&kernel, &|ticket| smol::block_on(async { smol::spawn(ticket).await }));
    end(kernel);
}

#[test]
fn on_tokio_with_several_threads() {
    let host = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let kernel = kernel(Arc::new(Tokio::new(host.handle().clone())));
    suite(&kernel, &|ticket| host.block_on(ticket));
    suite(&kernel, &|ticket| host.block_on(async { tokio::spawn(ticket).await.unwrap() }));
    suite(&kernel, &|mut ticket| ticket.wait());
    drop(kernel);
}

#[test]
fn on_tokio_with_one_thread() {
    let host = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let kernel = kernel(Arc::new(Tokio::new(host.handle().clone())));
    suite(&kernel, &|ticket| host.block_on(ticket));
    let refused = host.block_on(async {
        let mut ticket = kernel.call(Task::new("hang", "x"));
        ticket.wait().unwrap_err().code()
    });
    assert_eq!(refused, Code::WOULD_DEADLOCK);
    drop(kernel);
}
