//! Callers share what there is, without anybody having asked for it: by default, on the pool's threads.
#![cfg(feature = "agent")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::agent::from_fn;
use sutazai_core::base::runtime::{Threads, ThreadsConfig};
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{AgentCard, Task};

const LONG: Duration = Duration::from_secs(60);

/// A kernel with one thread for blocking work, and an agent that says whose task it has and then waits for leave.
struct One {
    kernel: Kernel,
    goes: mpsc::Sender<()>,
    begun: mpsc::Receiver<String>,
}

fn one() -> One {
    let config = ThreadsConfig { blocking: 1, ..ThreadsConfig::default() };
    let runtime = Arc::new(Threads::new(config));
    let kernel = Kernel::builder().runtime(runtime).build().unwrap();
    kernel.start().unwrap();
    let (goes, leave) = mpsc::channel::<()>();
    let (says, begun) = mpsc::channel();
    let (leave, says) = (Mutex::new(leave), Mutex::new(says));
    let agent = from_fn(AgentCard::new("a", ["s"]), move |task: &Task| {
        says.lock().send(task.input().to::<String>().unwrap()).unwrap();
        leave.lock().recv_timeout(LONG).unwrap();
        Ok("done")
    });
    kernel.add_agent(agent).unwrap();
    One { kernel, goes, begun }
}

impl One {
    fn ask(&self, who: &str, urgency: u8) {
        self.kernel.call(Task::new("s", who).caller(who).priority(urgency)).detach();
    }

    /// Whose the next `n` tasks are.
    fn next(&self, n: usize) -> Vec<String> {
        let next = || {
            self.goes.send(()).unwrap();
            self.begun.recv_timeout(LONG).unwrap()
        };
        (0..n).map(|_| next()).collect()
    }
}

#[test]
fn whoever_floods_leaves_the_others_their_share() {
    let one = one();
    one.ask("many", 128);
    // It is begun, and all others wait.
    assert_eq!(one.begun.recv_timeout(LONG).unwrap(), "many");
    (0..300).for_each(|_| one.ask("many", 128));
    (0..3).for_each(|_| one.ask("few", 128));
    let order = one.next(8);
    let few: Vec<_> = (0..8).filter(|at| order[*at] == "few").collect();
    assert_eq!(few.len(), 3, "{order:?}");
    assert!(few.iter().zip([1, 3, 5]).all(|(at, by)| *at <= by), "in its turn: {order:?}");
    (0..400).for_each(|_| {
        let _ = one.goes.send(());
    });
    one.kernel.stop(LONG).unwrap();
}

#[test]
fn the_more_urgent_go_first() {
    let one = one();
    one.ask("first", 128);
    assert_eq!(one.begun.recv_timeout(LONG).unwrap(), "first");
    for (who, urgency) in [("idle", 1), ("usual", 128), ("urgent", 255)] {
        (0..2).for_each(|_| one.ask(who, urgency));
    }
    assert_eq!(one.next(6), ["urgent", "urgent", "usual", "usual", "idle", "idle"]);
    one.goes.send(()).unwrap();
    one.kernel.stop(LONG).unwrap();
}
