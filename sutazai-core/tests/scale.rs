//! What many agents and calls take: ten thousand agents and a thousand tasks at once, in 64 MiB.
#![cfg(all(feature = "agent", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::ticket::Reply;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Agent, AgentCard, Outcome, RunMode, Task};

const AGENTS: usize = 10_000;
const TASKS: usize = 1_000;
const MOST: u64 = 64 << 20;

/// Keeps its tasks until it is told to answer.
struct Keeps {
    number: usize,
    replies: Arc<Mutex<Vec<Reply<Outcome>>>>,
}

impl Agent for Keeps {
    fn card(&self) -> AgentCard {
        let skill = format!("skill-{}", self.number % 100);
        AgentCard::new(format!("agent-{}", self.number), [skill]).run(RunMode::Inline)
    }

    fn handle(&self, _: Task, reply: Reply<Outcome>) {
        self.replies.lock().push(reply);
    }
}

/// Bytes of memory that the process holds.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn ten_thousand_agents_and_a_thousand_tasks_fit_into_64_mib() {
    let before = resident();
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    let replies = Arc::new(Mutex::new(Vec::new()));
    for number in 0..AGENTS {
        kernel.add_agent(Keeps { number, replies: Arc::clone(&replies) }).unwrap();
    }
    let registered = resident() - before;
    // A subscriber that never takes anything, and an agent that never answers, are in nobody's way.
    let _slow = kernel.bus().subscribe(">").pull().unwrap();
    let mut stuck = kernel.call(Task::new("skill-0", "never").to_agent("agent-0"));
    let kept = replies.lock().pop().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let mut most = registered;
    // Ten rounds, so that each agent has been called and has its ledger.
    for round in 0..AGENTS / TASKS {
        for task in 0..TASKS {
            let agent = round * TASKS + task;
            let task = Task::new(format!("skill-{}", agent % 100), agent as u64);
            let answered = Arc::clone(&answered);
            kernel.call(task.to_agent(format!("agent-{agent}"))).on_done(move |answer| {
                answered.fetch_add(usize::from(answer.is_ok()), Ordering::Relaxed);
            });
        }
        assert_eq!(replies.lock().len(), TASKS, "all are under way at once");
        most = most.max(resident() - before);
        for reply in std::mem::take(&mut *replies.lock()) {
            reply.send(Payload::NULL.into()).unwrap();
        }
        assert_eq!(answered.load(Ordering::Relaxed), (round + 1) * TASKS);
    }
    println!("registered: {} KiB; called as well: {} KiB", registered >> 10, most >> 10);
    assert!(most <= MOST, "{registered} bytes of agents, {most} with calls");
    drop(kept);
    assert!(stuck.wait().is_err());
    kernel.stop(Duration::from_secs(60)).unwrap();
}
