//! Servers that do what they must not.

use std::time::Duration;

use serde_json::json;
use sutazai_core::agent::connect::mcp::{Era, McpAgent, McpSpec};
use sutazai_core::agent::connect::process::{ProcessPhase, ProcessSpec, RestartPolicy};
use sutazai_core::port::Agent;
use sutazai_core::{Class, Code};

use crate::common::{
    LONG, answer, ask, connected, context, exists, failure, host, in_group, output, pid, program,
    spec, stop, until,
};

/// That it still answers, and is the same process.
fn survives(agent: &McpAgent, before: u32) {
    assert_eq!(output(ask(agent, "echo", json!({"still": "there"}))), r#"{"still": "there"}"#);
    assert_eq!((pid(agent), agent.restarts()), (before, 0));
}

#[test]
fn garbage_on_stdout_is_no_harm() {
    let agent = connected("noisy");
    let before = pid(&agent);
    assert_eq!(output(ask(&agent, "garbage", json!({}))), "and yet");
    survives(&agent, before);
    let breaches = agent.status().process.unwrap().breaches;
    assert!(breaches > 100, "{breaches}");
    stop(&agent);
}

#[test]
fn what_comes_before_the_reply_or_twice_or_for_nobody_is_no_harm() {
    for mode in ["legacy", "modern"] {
        let agent = connected(mode);
        let before = pid(&agent);
        assert_eq!(output(ask(&agent, "notes_first", json!({}))), "after the notes");
        assert_eq!(output(ask(&agent, "twice", json!({}))), "first");
        assert_eq!(output(ask(&agent, "unknown_id", json!({}))), "mine");
        assert_eq!(output(ask(&agent, "string_id", json!({}))), "named");
        survives(&agent, before);
        stop(&agent);
    }
}

#[test]
fn a_line_that_is_too_long_fails_its_call_only() {
    let process = program("modern").max_line(64 << 10);
    let agent = McpAgent::connect(McpSpec::stdio("subject", process)).unwrap();
    let before = pid(&agent);
    for skill in ["huge", "huge_late"] {
        let fits = output(ask(&agent, skill, json!({"bytes": 60_000})));
        assert_eq!(fits.as_str().unwrap().len(), 60_000);
        let error = failure(ask(&agent, skill, json!({"bytes": 50_000_000})));
        assert_eq!(error.code(), Code::AGENT_PROTOCOL, "{error}");
        assert_eq!(context(&error, "max_line"), "65536");
    }
    let error = failure(ask(&agent, "echo", json!({"x": "y".repeat(100_000)})));
    assert_eq!(error.code(), Code::INVALID);
    survives(&agent, before);
    stop(&agent);
}

#[test]
fn another_json_rpc_is_an_error_and_no_hang() {
    let agent = connected("legacy");
    let before = pid(&agent);
    let error = failure(ask(&agent, "wrong_version", json!({})));
    assert_eq!((error.code(), &*context(&error, "version")), (Code::AGENT_PROTOCOL, "1.0"));
    survives(&agent, before);
    stop(&agent);
}

#[test]
fn a_server_that_dies_in_mid_answer_fails_with_evidence_and_comes_back() {
    for (mode, era) in [("modern", Era::Modern), ("dies_at_discover", Era::Legacy)] {
        let agent = connected(mode);
        let before = pid(&agent);
        let other = ask(&agent, "hang", json!({}));
        let error = failure(ask(&agent, "half", json!({})));
        assert_eq!((error.code(), error.class()), (Code::AGENT_EXITED, Class::Transient));
        assert_eq!(context(&error, "exit_status"), "7");
        assert!(context(&error, "stderr").contains("out of ink"), "{error}");
        assert_eq!(error.failed_operation(), Some("agent.mcp"));
        assert_eq!(failure(other).code(), Code::AGENT_EXITED);
        assert_eq!(output(ask(&agent, "echo", json!({}))), "{}");
        assert_ne!(pid(&agent), before);
        assert_eq!((agent.restarts(), agent.status().era), (1, Some(era)));
        let seen = output(ask(&agent, "seen", json!({})));
        let first = if era == Era::Modern { "server/discover" } else { "initialize" };
        assert_eq!(seen[0]["method"], first, "the era is remembered");
        assert!(!exists(before));
        stop(&agent);
    }
}

#[test]
fn what_a_server_forked_does_not_outlive_it() {
    let agent = connected("modern");
    let before = pid(&agent);
    let mut ticket = ask(&agent, "orphan", json!({}));
    let part = ticket.wait_part(LONG).unwrap().unwrap();
    let child = part.value().unwrap()["progress"].as_u64().unwrap();
    assert_eq!(failure(ticket).code(), Code::AGENT_EXITED);
    assert_eq!(output(ask(&agent, "echo", json!({}))), "{}");
    until("the grandchild is gone", || !exists(child.try_into().unwrap()));
    assert!(!in_group(before));
    stop(&agent);
}

#[test]
fn a_server_that_dies_too_often_is_given_up_with_evidence() {
    let process = program("legacy")
        .restart(RestartPolicy::at_most(1, LONG).pauses(Duration::ZERO, Duration::ZERO));
    let agent = McpAgent::connect(McpSpec::stdio("subject", process)).unwrap();
    for _ in 0..2 {
        assert_eq!(failure(ask(&agent, "die", json!({}))).code(), Code::AGENT_EXITED);
    }
    until("it is given up", || agent.status().process.unwrap().phase == ProcessPhase::Failed);
    let error = failure(ask(&agent, "echo", json!({})));
    assert_eq!((error.code(), error.class()), (Code::AGENT_EXITED, Class::Persistent));
    assert_eq!(context(&error, "stderr"), "goodbye");
    assert_eq!(agent.start(&host()).unwrap_err(), error);
    stop(&agent);
}

#[test]
fn a_start_that_cannot_be_fails_and_says_why() {
    for (mode, key, part) in [
        ("crash", "stderr", "ImportError: no module named 'fastness'"),
        ("future", "reason", "it speaks 2030-01-01; this side speaks 2026-07-28, 2025-11-25"),
        ("ancient", "reason", "it answered with the revision \"1999-12-31\""),
        ("flood", "reason", "8 breaches of the protocol in a row"),
    ] {
        let error = McpAgent::connect(spec(mode)).unwrap_err();
        assert_eq!(error.code(), Code::AGENT_START, "{mode}: {error}");
        assert!(context(&error, key).contains(part), "{mode}: {error}");
        println!("{mode}: {error}");
    }
    let error = McpAgent::connect(spec("empty")).unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::AGENT_START, "the MCP server has no tools"));
    let never = program("never").start_timeout(Duration::from_millis(300));
    let error = McpAgent::connect(McpSpec::stdio("subject", never)).unwrap_err();
    assert!(context(&error, "reason").contains("not ready within"), "{error}");
    let nowhere = ProcessSpec::new("/nowhere/to/be/found");
    let error = McpAgent::connect(McpSpec::stdio("subject", nowhere)).unwrap_err();
    assert_eq!(error.code(), Code::AGENT_START);
    let error = McpAgent::connect(McpSpec::stdio("a name", program("both"))).unwrap_err();
    assert_eq!(error.code(), Code::INVALID);
}

#[test]
fn a_server_that_does_not_listen_does_not_hold_up_the_stop() {
    let agent = connected("modern");
    let ticket = ask(&agent, "block", json!({}));
    until("it has it", || agent.status().process.unwrap().under_way == 1);
    let pid = pid(&agent);
    agent.stop(sutazai_core::base::time::Moment::now() + Duration::from_millis(500));
    assert!(answer(ticket).is_err());
    assert!(!exists(pid));
}

#[test]
fn a_dropped_agent_leaves_nothing() {
    let agent = connected("legacy");
    let pid = pid(&agent);
    drop(agent);
    until("it is gone", || !exists(pid) && !in_group(pid));
}
