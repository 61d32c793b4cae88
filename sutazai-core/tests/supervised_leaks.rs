//! Process agents under supervision that are killed again and again leave nothing behind: no zombie, no
//! orphan, no file, no thread. Alone in its own test binary: it counts what the whole process holds.
//! 20 lives; 1,000 with `SUTAZAI_LONG=1`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(all(target_os = "linux", feature = "agent", feature = "recovery"))]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sutazai_core::agent::connect::process::{ProcessAgent, ProcessSpec};
use sutazai_core::event::Subscription;
use sutazai_core::kernel::{Kernel, Supervision};
use sutazai_core::port::{Agent, AgentCard};

const LONG: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq)]
struct Held {
    files: usize,
    threads: usize,
    children: Vec<i32>,
}

fn held() -> Held {
    let count = |path: &str| std::fs::read_dir(path).unwrap().count();
    Held {
        files: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
        children: children(std::process::id()),
    }
}

fn children(process: u32) -> Vec<i32> {
    let mut children = Vec::new();
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        // A thread may end between listing and reading.
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(list.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
    }
    children
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait_ready(events: &mut Subscription) {
    loop {
        let delivery = events.wait(LONG).unwrap().expect("an agent that is started again");
        let event = delivery.event.payload.value().unwrap();
        assert_ne!(event["to"], "stopped", "{event}");
        if event["to"] == "ready" {
            return;
        }
    }
}

/// Whether a process is there and not dead: the children of one that died are the system's to reap, which takes
/// its time.
fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before the state stands in parentheses, and may hold any.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn lives_that_are_killed_leave_no_zombie_no_orphan_no_file() {
    let long = std::env::var_os("SUTAZAI_LONG").is_some();
    let rounds = if long { 1_000 } else { 20 };
    let before = held();
    assert_eq!(before.children, [0; 0]);
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    let mut events = kernel.bus().subscribe("agent.state").pull().unwrap();
    // A shell with a child of its own, which says that it is ready and listens until its input ends.
    let script = r#"sleep 1000 & echo '{"v":1,"type":"ready"}'; cat >/dev/null"#;
    let spec = ProcessSpec::new("sh").args(["-c", script]).start_timeout(LONG);
    let make = move || {
        let card = AgentCard::new("subject", ["any"]);
        Ok(Arc::new(ProcessAgent::new(card, spec.clone())) as Arc<dyn Agent>)
    };
    let spec = Supervision::default().intensity(u32::MAX, LONG).backoff(None);
    kernel.supervise_agent(spec, Arc::new(make)).unwrap();
    wait_ready(&mut events);
    for round in 0..rounds {
        let own = children(std::process::id());
        let [life] = own[..] else { panic!("round {round}: one child, and no zombie: {own:?}") };
        let below = children(life.unsigned_abs());
        assert!(!below.is_empty(), "round {round}: the life has children");
        let pid = rustix::process::Pid::from_raw(life).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        wait_ready(&mut events);
        assert!(!Path::new(&format!("/proc/{life}")).exists(), "round {round}: it was reaped");
        until("the children of a life that was killed go with it", || {
            !below.iter().any(|pid| lives(*pid))
        });
    }
    let view = kernel.agent("subject").unwrap();
    assert_eq!(view.restarts, rounds);
    kernel.stop(Duration::from_secs(5)).unwrap();
    drop((events, kernel));
    until(&format!("nothing is left: {before:?}, {:?}", held()), || held() == before);
}
