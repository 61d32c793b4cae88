//! Starting MCP servers, killing and stopping them again and again leaves nothing behind. Alone in its
//! own test binary: it counts what the whole process holds.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(target_os = "linux", feature = "mcp"))]

use std::time::Duration;

use serde_json::json;
use sutazai_core::agent::connect::mcp::{McpAgent, McpSpec};
use sutazai_core::agent::connect::process::{ProcessSpec, RestartPolicy};
use sutazai_core::base::ticket;
use sutazai_core::base::time::Moment;
use sutazai_core::port::{Agent, Task};

const LONG: Duration = Duration::from_secs(60);

/// A server of the older era in the shell, quick to start, with a grandchild in its group.
const SERVER: &str = r#"
sleep 1000 &
while read -r line; do
    id=${line#*'"id":'} id=${id%%,*}
    case $line in
    *server/discover*) echo '{"jsonrpc":"2.0","id":'$id',"error":{"code":-32601,"message":"no"}}' ;;
    *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-11-25"}}' ;;
    *tools/list*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"tools":[{"name":"t"}]}}' ;;
    *tools/call*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"content":[]}}' ;;
    esac
done
"#;

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

fn group_is_gone(group: u32) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().all(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        fields.split_whitespace().nth(2) != Some(&group.to_string())
    })
}

#[test]
fn a_thousand_lives_leave_no_zombie_no_orphan_no_file_no_thread() {
    let before = held();
    let mut groups = Vec::new();
    for round in 0..1000 {
        let process = ProcessSpec::new("sh")
            .args(["-c", SERVER])
            .start_timeout(LONG)
            .restart(RestartPolicy::at_most(0, LONG));
        let agent = McpAgent::connect(McpSpec::stdio("subject", process)).unwrap();
        let pid = agent.status().process.unwrap().pid.unwrap();
        groups.push(pid);
        let (mut ticket, reply) = ticket::pair();
        agent.handle(Task::new("t", json!({})), reply);
        ticket.wait_timeout(LONG).expect("an answer").unwrap();
        match round % 4 {
            // Dropped without a stop.
            0 => {}
            1 => agent.stop(Moment::now()),
            2 => agent.stop(Moment::now() + LONG),
            _ => {
                let mut kill = std::process::Command::new("kill");
                assert!(kill.args(["-9", &pid.to_string()]).status().unwrap().success());
            }
        }
    }
    let end = Moment::now() + LONG;
    while held() != before || !groups.iter().all(|group| group_is_gone(*group)) {
        assert!(Moment::now() < end, "{:?} and not {before:?}", held());
        std::thread::sleep(Duration::from_millis(10));
    }
}
