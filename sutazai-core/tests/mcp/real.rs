//! Servers that nobody here wrote, as `tests/servers` installs them: found out, called, cancelled, stopped.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sutazai_core::agent::connect::mcp::{Era, McpAgent, McpSpec};
use sutazai_core::agent::connect::process::ProcessSpec;
use sutazai_core::port::Agent;
use sutazai_core::{Code, Error};

use crate::common::{
    LONG, answer, ask, context, failure, host, output, servers, stop, stop_within, until,
};

struct Expected<'a> {
    era: Era,
    skills: &'a [&'a str],
    call: (&'a str, Value),
}

fn node(folder: &Path, name: &str) -> ProcessSpec {
    let package = format!("node-mcp/node_modules/@modelcontextprotocol/{name}/dist/index.js");
    ProcessSpec::new("node").arg(folder.join(package).to_str().unwrap()).start_timeout(LONG)
}

fn python(folder: &Path, name: &str) -> ProcessSpec {
    let program = folder.join("venv-mcp/bin").join(name);
    ProcessSpec::new(program.to_str().unwrap()).start_timeout(LONG)
}

fn connect(name: &str, process: ProcessSpec) -> Result<McpAgent, Error> {
    let agent = McpAgent::connect(McpSpec::stdio(name, process).probe_timeout(LONG))?;
    agent.start(&host())?;
    let (card, status) = (agent.card(), agent.status());
    println!(
        "{name}: {} ({}), {} {:?}",
        status.revision.unwrap_or_default(),
        card.labels.get("mcp.server").map_or("", String::as_str),
        card.version,
        card.skills
    );
    Ok(agent)
}

/// Finds it out, calls it, cancels a call, calls it again, and stops it.
fn exercise(name: &str, process: ProcessSpec, expected: &Expected<'_>) -> Value {
    let agent = connect(name, process).unwrap();
    let (card, status) = (agent.card(), agent.status());
    assert_eq!(status.era, Some(expected.era));
    for skill in expected.skills {
        assert!(card.skills.iter().any(|s| s == skill), "{name} lacks {skill}: {:?}", card.skills);
        assert!(card.about[*skill].input.is_some());
    }
    let (skill, input) = &expected.call;
    let first = output(ask(&agent, skill, input.clone()));
    // A server may be quicker than whoever cancels.
    let cancelled = (0..50).find_map(|_| {
        let ticket = ask(&agent, skill, input.clone());
        ticket.cancel();
        answer(ticket).err()
    });
    assert_eq!(cancelled.unwrap().code(), Code::CANCELLED);
    assert_eq!(output(ask(&agent, skill, input.clone())), first, "{name}, after the cancellation");
    until("no place is taken", || agent.status().process.unwrap().under_way == 0);
    assert_eq!((agent.restarts(), agent.status().process.unwrap().breaches), (0, 0));
    stop(&agent);
    first
}

#[test]
fn everything() {
    let Some(folder) = servers() else { return };
    let echo = exercise(
        "everything",
        node(&folder, "server-everything"),
        &Expected {
            era: Era::Legacy,
            skills: &[
                "echo",
                "get-sum",
                "trigger-long-running-operation",
                "get-structured-content",
            ],
            call: ("echo", json!({"message": "hello"})),
        },
    );
    assert_eq!(echo, "Echo: hello");
    let agent = connect("everything", node(&folder, "server-everything")).unwrap();
    // A long operation with progress, cancelled in the middle of it.
    let work = json!({"duration": 60, "steps": 600});
    let mut ticket = ask(&agent, "trigger-long-running-operation", work);
    let part = ticket.wait_part(LONG).unwrap().unwrap();
    println!("everything: progress {part}");
    assert_eq!(part.value().unwrap()["total"], 600);
    ticket.cancel();
    assert_eq!(failure(ticket).code(), Code::CANCELLED);
    let sum = output(ask(&agent, "get-sum", json!({"a": 2, "b": 3})));
    assert_eq!(sum, "The sum of 2 and 3 is 5.");
    let weather = output(ask(&agent, "get-structured-content", json!({"location": "Chicago"})));
    assert!(weather["temperature"].is_number(), "{weather}");
    let image = output(ask(&agent, "get-tiny-image", json!({})));
    assert!(image.as_array().unwrap().iter().any(|part| part["type"] == "image"), "{image}");
    let error = failure(ask(&agent, "get-sum", json!({"a": "two"})));
    assert_eq!(error.code(), Code::AGENT_FAILED, "{error}");
    println!("everything: {error}");
    // It works on what was cancelled, and would for a minute.
    stop_within(&agent, Duration::from_secs(2));
}

#[test]
fn filesystem() {
    let Some(folder) = servers() else { return };
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.txt");
    std::fs::write(&file, "contents").unwrap();
    let process = node(&folder, "server-filesystem").arg(home.path().to_str().unwrap());
    let read = exercise(
        "filesystem",
        process,
        &Expected {
            era: Era::Legacy,
            skills: &["read_text_file", "write_file", "list_directory"],
            call: ("read_text_file", json!({"path": file})),
        },
    );
    assert_eq!(read, json!({"content": "contents"}));
}

#[test]
fn memory() {
    let Some(folder) = servers() else { return };
    let home = tempfile::tempdir().unwrap();
    let process = node(&folder, "server-memory")
        .env("MEMORY_FILE_PATH", home.path().join("memory.jsonl").to_str().unwrap());
    let graph = exercise(
        "memory",
        process,
        &Expected {
            era: Era::Legacy,
            skills: &["create_entities", "read_graph", "search_nodes"],
            call: ("read_graph", json!({})),
        },
    );
    assert_eq!(graph, json!({"entities": [], "relations": []}));
}

#[test]
fn sequential_thinking() {
    let Some(folder) = servers() else { return };
    let thought = json!({"thought": "so", "nextThoughtNeeded": false, "thoughtNumber": 1, "totalThoughts": 1});
    let process = node(&folder, "server-sequential-thinking");
    let agent = connect("thinking", process).unwrap();
    assert_eq!(agent.card().skills, ["sequentialthinking"]);
    let cancelled = ask(&agent, "sequentialthinking", thought.clone());
    cancelled.cancel();
    let thought = output(ask(&agent, "sequentialthinking", thought));
    assert_eq!(thought["totalThoughts"], 1, "{thought}");
    stop(&agent);
}

#[test]
fn time() {
    let Some(folder) = servers() else { return };
    let noon = json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"});
    let converted = exercise(
        "time",
        python(&folder, "mcp-server-time"),
        &Expected {
            era: Era::Modern,
            skills: &["get_current_time", "convert_time"],
            call: ("convert_time", noon),
        },
    );
    assert!(converted.to_string().contains("T21:00:00+09:00"), "{converted}");
}

#[test]
fn git() {
    let Some(folder) = servers() else { return };
    let home = tempfile::tempdir().unwrap();
    let mut init = std::process::Command::new("git");
    assert!(init.args(["init", "-q"]).current_dir(home.path()).status().unwrap().success());
    std::fs::write(home.path().join("new.txt"), "x").unwrap();
    let status = exercise(
        "git",
        python(&folder, "mcp-server-git"),
        &Expected {
            era: Era::Modern,
            skills: &["git_status", "git_log", "git_commit"],
            call: ("git_status", json!({"repo_path": home.path()})),
        },
    );
    assert!(status.to_string().contains("new.txt"), "{status}");
}

#[test]
fn sqlite_does_not_start_and_says_why() {
    let Some(folder) = servers() else { return };
    let home = tempfile::tempdir().unwrap();
    let database = home.path().join("x.db");
    let process = python(&folder, "mcp-server-sqlite")
        .args(["--db-path", database.to_str().unwrap()])
        .start_timeout(Duration::from_secs(30));
    let error = connect("sqlite", process).unwrap_err();
    println!("{error}");
    assert_eq!(error.code(), Code::AGENT_START);
    assert_eq!(context(&error, "exit_status"), "1");
    assert!(context(&error, "stderr").contains("Error"), "{error}");
}
