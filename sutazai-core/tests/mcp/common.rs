//! What the tests share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sutazai_core::agent::connect::mcp::{McpAgent, McpSpec};
use sutazai_core::agent::connect::process::{ProcessSpec, RestartPolicy};
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Threads;
use sutazai_core::base::ticket::{Ticket, pair};
use sutazai_core::base::time::Moment;
use sutazai_core::observe::{Log, system_clock};
use sutazai_core::port::{Agent, AgentHost, Outcome, Task};
use sutazai_core::{Error, Result};

pub const LONG: Duration = Duration::from_secs(60);

/// The server of ours that lives as it is told.
pub fn program(mode: &str) -> ProcessSpec {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/server.py");
    ProcessSpec::new("python3")
        .args([script, mode])
        .start_timeout(LONG)
        .restart(RestartPolicy::at_most(5, LONG).pauses(Duration::ZERO, Duration::ZERO))
}

pub fn spec(mode: &str) -> McpSpec {
    McpSpec::stdio("subject", program(mode)).probe_timeout(LONG)
}

pub fn connected(mode: &str) -> McpAgent {
    let agent = McpAgent::connect(spec(mode)).unwrap();
    agent.start(&host()).unwrap();
    agent
}

pub fn host() -> AgentHost {
    AgentHost::new(Arc::new(Threads::default()), Log::new(1000, system_clock()))
}

pub fn ask(agent: &McpAgent, skill: &str, input: impl Into<Payload>) -> Ticket<Outcome> {
    let (ticket, reply) = pair();
    agent.handle(Task::new(skill, input), reply);
    ticket
}

pub fn answer(mut ticket: Ticket<Outcome>) -> Result<Value> {
    let outcome = ticket.wait_timeout(LONG).expect("an answer")?;
    Ok((*outcome.output.value().unwrap()).clone())
}

pub fn output(ticket: Ticket<Outcome>) -> Value {
    answer(ticket).unwrap()
}

pub fn failure(ticket: Ticket<Outcome>) -> Error {
    answer(ticket).unwrap_err()
}

pub fn context(error: &Error, key: &str) -> String {
    error.context().find(|(k, _)| *k == key).map(|(_, v)| v.to_owned()).unwrap_or_default()
}

pub fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Moment::now() + LONG;
    while !condition() {
        assert!(Moment::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn pid(agent: &McpAgent) -> u32 {
    agent.status().process.unwrap().pid.expect("a process")
}

/// Whether there is a process of this number; a zombie is one.
pub fn exists(pid: u32) -> bool {
    std::fs::exists(format!("/proc/{pid}")).unwrap()
}

/// Stops it, and sees that nothing of it is left.
pub fn stop(agent: &McpAgent) {
    stop_within(agent, LONG);
}

/// As [`stop`], of a server that may have to be killed.
pub fn stop_within(agent: &McpAgent, time: Duration) {
    let pid = agent.status().process.and_then(|process| process.pid);
    agent.stop(Moment::now() + time);
    if let Some(pid) = pid {
        assert!(!exists(pid), "the process is still there");
        assert!(!in_group(pid), "something of its group is still there");
    }
}

/// Whether any process is of this group.
pub fn in_group(group: u32) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        fields.split_whitespace().nth(2) == Some(&group.to_string())
    })
}

/// Where `tests/servers` puts the real servers; `None`, with a word, where it has not been run.
pub fn servers() -> Option<PathBuf> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/servers");
    let root = std::env::var_os("SUTAZAI_SERVERS_DIR").map_or_else(|| own.into(), PathBuf::from);
    if root.join("node-mcp/made-of").exists() && root.join("venv-mcp/made-of").exists() {
        return root.canonicalize().ok();
    }
    let wanted = std::env::var("SUTAZAI_SERVERS").is_ok_and(|value| value == "1");
    assert!(!wanted, "the servers are not in {}: run tests/servers", root.display());
    eprintln!("skipped: no servers in {}; tests/servers installs them", root.display());
    None
}
