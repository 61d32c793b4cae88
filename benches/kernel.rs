//! The guarded call; start and stop.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod bar;

use std::hint::black_box;
use std::time::Duration;

use sutazai_core::agent;
use sutazai_core::base::ticket::Reply;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Agent, AgentCard, Outcome, RunMode, Task};

/// An agent that does nothing, in process.
struct Noop;

impl Agent for Noop {
    fn card(&self) -> AgentCard {
        AgentCard::new("noop", ["noop"]).run(RunMode::Inline)
    }
    fn handle(&self, _task: Task, reply: Reply<Outcome>) {
        let _ = reply.send(Outcome::default());
    }
}

const CALLS: u64 = 100_000;

fn main() {
    let kernel = Kernel::builder().agent(Noop).build().unwrap();
    kernel.start().unwrap();
    // Everything on: authenticate, authorise, route, guard, span, metrics, ledger.
    bar::alone("kernel.call", "ns", 500.0, &mut || {
        bar::timed(CALLS, || {
            for _ in 0..CALLS {
                let task = Task::new(black_box("noop"), sutazai_core::base::payload::Payload::NULL);
                kernel.call(task).try_take().unwrap().unwrap();
            }
        })
    });
    // The same across the blocking pool: two thread hops.
    kernel
        .add_agent(agent::from_fn(AgentCard::new("pool", ["pool"]), |_: &Task| {
            Ok(sutazai_core::base::payload::Payload::NULL)
        }))
        .unwrap();
    bar::alone("kernel.call_pool", "us", 100.0, &mut || {
        bar::timed(5_000, || {
            for _ in 0..5_000 {
                let task = Task::new("pool", sutazai_core::base::payload::Payload::NULL);
                kernel.call(task).wait().unwrap();
            }
        })
    });
    kernel.stop(Duration::from_secs(1)).unwrap();

    bar::alone("kernel.start_stop", "us", 20_000.0, &mut || {
        bar::timed(20, || {
            for _ in 0..20 {
                let kernel = Kernel::builder().agent(Noop).build().unwrap();
                kernel.start().unwrap();
                kernel.stop(Duration::from_secs(1)).unwrap();
            }
        })
    });
}
