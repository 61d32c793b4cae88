//! Starting and ending process agents again and again leaves nothing behind. Alone in its own test
//! binary: it counts what the whole process holds.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(target_os = "linux", feature = "agent"))]

use std::sync::Arc;
use std::time::Duration;

use sutazai_core::agent::connect::process::{ProcessAgent, ProcessSpec};
use sutazai_core::base::runtime::Threads;
use sutazai_core::base::time::Moment;
use sutazai_core::observe::{Log, system_clock};
use sutazai_core::port::{Agent, AgentCard, AgentHost};

const LONG: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq)]
struct Held {
    files: usize,
    threads: usize,
    children: Vec<String>,
}

fn held() -> Held {
    let count = |path: &str| std::fs::read_dir(path).unwrap().count();
    let mut children = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        // A thread may end between listing and reading.
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(list.split_whitespace().map(str::to_owned));
    }
    Held { files: count("/proc/self/fd"), threads: count("/proc/self/task"), children }
}

#[test]
fn two_hundred_lives_leave_no_zombie_no_file_no_thread() {
    let host = AgentHost::new(Arc::new(Threads::default()), Log::new(100, system_clock()));
    let before = held();
    assert_eq!(before.children, [""; 0]);
    for round in 0..200 {
        // A shell that says it is ready, and then: waits for its input to end; does not listen;
        // dies at once; is never ready.
        let script = match round % 4 {
            0 => r#"echo '{"v":1,"type":"ready"}'; cat >/dev/null"#,
            1 => r#"trap '' TERM; echo '{"v":1,"type":"ready"}'; sleep 1000"#,
            2 => r#"echo '{"v":1,"type":"ready"}'"#,
            _ => "exit 1",
        };
        let spec = ProcessSpec::new("sh").args(["-c", script]).start_timeout(LONG);
        let agent = ProcessAgent::new(AgentCard::new("subject", ["any"]), spec);
        let started = agent.start(&host);
        assert_eq!(started.is_err(), round % 4 == 3, "{started:?}");
        match round % 3 {
            // Dropped without a stop.
            0 => {}
            1 => agent.stop(Moment::now()),
            _ => agent.stop(Moment::now() + Duration::from_millis(50)),
        }
        drop(agent);
    }
    // What was dropped ends on its own threads.
    let end = Moment::now() + LONG;
    while held() != before && Moment::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(held(), before);
}
