//! Long because: one test for each way in which a process can misbehave.
//!
//! Process agents against real processes that behave well and badly. The other side is
//! `process_agent.py`; nothing here depends on how fast anything is, only that it happens.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(unix, feature = "agent"))]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sutazai_core::agent::connect::process::{
    ProcessAgent, ProcessPhase, ProcessSpec, RestartPolicy,
};
use sutazai_core::base::id::{CallId, SpanId, TraceId};
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Threads;
use sutazai_core::base::ticket::{Ticket, pair};
use sutazai_core::base::time::Moment;
use sutazai_core::observe::{Log, system_clock};
use sutazai_core::port::{Agent, AgentCard, AgentHost, Outcome, Task, Trace};
use sutazai_core::{Class, Code, Error};

const LONG: Duration = Duration::from_secs(60);

fn spec(start: &str) -> ProcessSpec {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process_agent.py");
    ProcessSpec::new("python3")
        .args([script, start])
        .start_timeout(LONG)
        .restart(RestartPolicy::at_most(5, LONG).pauses(Duration::ZERO, Duration::ZERO))
}

fn host() -> AgentHost {
    AgentHost::new(Arc::new(Threads::default()), Log::new(100, system_clock()))
}

fn started(spec: ProcessSpec) -> ProcessAgent {
    let agent = ProcessAgent::new(AgentCard::new("subject", ["any"]), spec);
    agent.start(&host()).unwrap();
    agent
}

fn ask(agent: &ProcessAgent, skill: &str, input: impl Into<Payload>) -> Ticket<Outcome> {
    let (ticket, reply) = pair();
    agent.handle(Task::new(skill, input), reply);
    ticket
}

fn json(value: serde_json::Value) -> Payload {
    Payload::from(value)
}

fn output(mut ticket: Ticket<Outcome>) -> serde_json::Value {
    (*ticket.wait_timeout(LONG).expect("an answer").unwrap().output.value().unwrap()).clone()
}

fn failure(mut ticket: Ticket<Outcome>) -> Error {
    ticket.wait_timeout(LONG).expect("an answer").unwrap_err()
}

fn context(error: &Error, key: &str) -> String {
    error.context().find(|(k, _)| *k == key).map(|(_, v)| v.to_owned()).unwrap_or_default()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Moment::now() + LONG;
    while !condition() {
        assert!(Moment::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn stop(agent: &ProcessAgent) {
    agent.stop(Moment::now() + LONG);
    assert_eq!(agent.status().phase, ProcessPhase::Stopped);
}

/// Whether there is a process (that is not a zombie) of this number.
fn lives(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
    })
}

#[test]
fn tasks_go_there_and_answers_come_back() {
    let agent = started(spec("ready"));
    let tickets: Vec<_> = (0..200).map(|n| ask(&agent, "echo", json(n.into()))).collect();
    for (n, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(output(ticket), n);
    }
    let text = Payload::json_text("{\n  \"pretty\": [1,\r\n 2, \"é\\n😀\"]\n}").unwrap();
    assert_eq!(output(ask(&agent, "echo", text.clone())), *text.value().unwrap());
    let status = agent.status();
    assert_eq!((status.phase, status.under_way, status.waiting), (ProcessPhase::Ready, 0, 0));
    assert_eq!((status.breaches, status.restarts), (0, 0));
    stop(&agent);
    assert_eq!(failure(ask(&agent, "echo", "late")).code(), Code::NOT_RUNNING);
    assert_eq!(agent.status().last_exit.unwrap().status, Some(0));
}

#[test]
fn a_task_carries_timeout_and_trace() {
    let agent = ProcessAgent::new(AgentCard::new("subject", ["any"]), spec("ready"));
    let host = host();
    agent.start(&host).unwrap();
    let place = Trace { trace: TraceId(0xabc), span: SpanId(0xdef) };
    let deadline = host.runtime.now() + Duration::from_secs(1000);
    let (ticket, reply) = pair();
    agent
        .handle(Task::new("whole", "x").called(&"whole".into(), CallId(1), place, deadline), reply);
    let seen = output(ticket);
    assert_eq!(seen["trace"], "00000000000000000000000000000abc");
    assert_eq!(seen["span"], "0000000000000def");
    let left = seen["timeout_ms"].as_u64().unwrap();
    assert!((1..=1_000_000).contains(&left), "{left}");
    assert_eq!(output(ask(&agent, "whole", "x"))["timeout_ms"], serde_json::Value::Null);
}

#[test]
fn answers_come_in_any_order() {
    let agent = started(spec("ready"));
    let tickets: Vec<_> = (0..10).map(|_| ask(&agent, "reverse", json(10.into()))).collect();
    let ids: Vec<_> = tickets.into_iter().map(|t| output(t).as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|w| w[0] < w[1]), "{ids:?}");
}

#[test]
fn partial_results_come_before_the_answer() {
    let agent = started(spec("ready"));
    let mut ticket = ask(&agent, "progress", json(100.into()));
    let mut parts = Vec::new();
    while let Some(part) = ticket.wait_part(LONG).unwrap() {
        parts.push(part.to::<u64>().unwrap());
    }
    assert_eq!(parts, (0..100).collect::<Vec<_>>());
    assert_eq!(output(ticket), "done");
}

#[test]
fn a_cancelled_task_is_told_and_keeps_its_place_until_answered() {
    let agent = started(spec("ready"));
    let held = ask(&agent, "hold", "x");
    until("under way", || agent.status().under_way == 1);
    held.cancel();
    until("answered", || agent.status().under_way == 0);
    let ignored = ask(&agent, "ignore", "x");
    until("under way", || agent.status().under_way == 1);
    drop(ignored);
    let told = output(ask(&agent, "cancelled", "x"));
    assert_eq!(told.as_array().unwrap().len(), 2);
    assert_eq!(agent.status().under_way, 1, "the process has it still");
    assert_eq!(agent.status().breaches, 0);
}

#[test]
fn a_task_that_waits_is_cancelled_without_the_process() {
    let agent = started(spec("ready").in_flight(1));
    let first = ask(&agent, "hold", "x");
    until("under way", || agent.status().under_way == 1);
    let second = ask(&agent, "hold", "x");
    assert_eq!(agent.status().waiting, 1);
    drop(second);
    assert_eq!(agent.status().waiting, 0);
    drop(first);
    assert_eq!(output(ask(&agent, "cancelled", "x")).as_array().unwrap().len(), 1);
}

#[test]
fn whoever_ignores_a_cancellation_is_restarted_if_so_configured() {
    let agent = started(spec("ready").cancel_grace(Duration::ZERO));
    let other = ask(&agent, "ignore", "y");
    let ignored = ask(&agent, "ignore", "x");
    until("under way", || agent.status().under_way == 2);
    drop(ignored);
    let error = failure(other);
    assert_eq!(error.code(), Code::AGENT_EXITED);
    assert!(context(&error, "reason").contains("cancelled task"), "{error}");
    assert_eq!(output(ask(&agent, "echo", "again")), "again");
    assert_eq!(agent.restarts(), 1);
}

#[test]
fn errors_of_the_agent_keep_their_class_and_code() {
    let agent = started(spec("ready"));
    let host_code = Code::host(5).number();
    let fail = |given: serde_json::Value| failure(ask(&agent, "fail", json(given)));

    let plain = fail(serde_json::json!({"message": "no luck"}));
    assert_eq!((plain.code(), plain.class()), (Code::AGENT_FAILED, Class::Transient));
    assert_eq!(plain.message(), "no luck");
    let own = fail(serde_json::json!({"message": "m", "class": "critical", "code": host_code}));
    assert_eq!((own.code(), own.class()), (Code::host(5), Class::Critical));
    let forged = fail(serde_json::json!({"message": "m", "class": "persistent", "code": 3}));
    assert_eq!((forged.code(), forged.class()), (Code::AGENT_FAILED, Class::Persistent));
    assert_eq!(context(&forged, "agent_code"), "3");
    let named = fail(serde_json::json!({"message": "m", "code": "E42"}));
    assert_eq!(context(&named, "agent_code"), "E42");
    assert_eq!(agent.status().breaches, 0);
}

#[test]
fn whoever_dies_leaves_evidence_and_is_started_again() {
    let agent = started(spec("ready"));
    let beside = ask(&agent, "ignore", "x");
    until("under way", || agent.status().under_way == 1);
    let error = failure(ask(&agent, "die", json(3.into())));
    assert_eq!((error.code(), error.class()), (Code::AGENT_EXITED, Class::Transient));
    assert_eq!(context(&error, "exit_status"), "3");
    let stderr = context(&error, "stderr");
    assert!(stderr.ends_with("| the last words"), "{stderr}");
    assert!(stderr.contains("line 19") && !stderr.contains("line 2 "), "{stderr}");
    assert!(stderr.len() < 8 * 410, "{}", stderr.len());
    assert_eq!(failure(beside).code(), Code::AGENT_EXITED);

    let error = failure(ask(&agent, "killed", json(11.into())));
    assert!(context(&error, "signal").starts_with("11 (SIGSEGV)"), "{error}");
    assert_eq!(output(ask(&agent, "echo", "alive")), "alive");
    assert_eq!(agent.restarts(), 2);
}

#[test]
fn an_answer_that_was_written_before_death_counts() {
    let agent = started(spec("ready"));
    assert_eq!(output(ask(&agent, "answer-and-die", "x")), "made it");
}

#[test]
fn tasks_that_the_process_did_not_have_wait_for_the_next() {
    let agent = started(spec("ready").in_flight(1));
    let dying = ask(&agent, "die", json(1.into()));
    let waiting: Vec<_> = (0..5).map(|n| ask(&agent, "echo", json(n.into()))).collect();
    assert_eq!(failure(dying).code(), Code::AGENT_EXITED);
    for (n, ticket) in waiting.into_iter().enumerate() {
        assert_eq!(output(ticket), n);
    }
}

#[test]
fn whoever_dies_too_often_is_given_up_with_evidence() {
    let policy = RestartPolicy::at_most(2, LONG).pauses(Duration::ZERO, Duration::ZERO);
    let agent = started(spec("ready").restart(policy));
    for _ in 0..3 {
        assert_eq!(failure(ask(&agent, "die", json(3.into()))).code(), Code::AGENT_EXITED);
    }
    until("given up", || agent.status().phase == ProcessPhase::Failed);
    let error = failure(ask(&agent, "echo", "x"));
    assert_eq!((error.code(), error.class()), (Code::AGENT_EXITED, Class::Persistent));
    assert_eq!(context(&error, "exit_status"), "3");
    assert!(context(&error, "stderr").contains("the last words"));
    assert_eq!(agent.restarts(), 2);
    agent.stop(Moment::now() + LONG);
}

#[test]
fn a_second_start_that_fails_counts_as_a_death() {
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("started");
    let policy = RestartPolicy::at_most(2, LONG).pauses(Duration::ZERO, Duration::ZERO);
    let agent = started(spec("once").arg(marker.to_str().unwrap()).restart(policy));
    assert_eq!(failure(ask(&agent, "die", json(1.into()))).code(), Code::AGENT_EXITED);
    until("given up", || agent.status().phase == ProcessPhase::Failed);
    let error = failure(ask(&agent, "echo", "x"));
    assert_eq!(context(&error, "exit_status"), "9");
    assert!(context(&error, "stderr").contains("second start refused"), "{error}");
}

#[test]
fn a_process_that_never_reads_blocks_nobody() {
    let agent = started(spec("deaf").queue(50).queue_bytes(10 << 20).in_flight(4));
    let big = "x".repeat(1 << 20);
    let mut tickets = Vec::new();
    let refused = loop {
        let mut ticket = ask(&agent, "echo", big.as_str());
        match ticket.try_take() {
            Some(answer) => break answer.unwrap_err(),
            None => tickets.push(ticket),
        }
        assert!(tickets.len() < 100, "never refused");
    };
    assert_eq!((refused.code(), refused.class()), (Code::OVERLOADED, Class::Transient));
    assert!(agent.status().under_way <= 4);
    // It does not read its input, so it neither hears `stop` nor sees the end.
    agent.stop(Moment::now() + Duration::from_millis(200));
    assert_eq!(agent.status().phase, ProcessPhase::Stopped);
    for ticket in tickets {
        assert!(matches!(failure(ticket).code(), Code::AGENT_EXITED | Code::NOT_RUNNING));
    }
}

#[test]
fn a_queue_of_none_still_lets_an_idle_process_work() {
    let agent = started(spec("ready").queue(0).in_flight(1));
    let held = ask(&agent, "hold", "x");
    until("under way", || agent.status().under_way == 1);
    assert_eq!(failure(ask(&agent, "echo", "x")).code(), Code::OVERLOADED);
    drop(held);
    until("answered", || agent.status().under_way == 0);
    assert_eq!(output(ask(&agent, "echo", "x")), "x");
}

#[test]
fn a_flood_of_log_and_stderr_is_heard_and_bounded() {
    let lines = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&lines);
    let agent = ProcessAgent::new(AgentCard::new("subject", ["any"]), spec("ready"))
        .on_log(move |_, _| *counted.lock().unwrap() += 1);
    agent.start(&host()).unwrap();
    assert_eq!(output(ask(&agent, "flood", json(5000.into()))), "after the flood");
    stop(&agent);
    assert_eq!(*lines.lock().unwrap(), 10_001, "all of them, and how it ended");
}

#[test]
fn words_reach_the_log() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let agent = ProcessAgent::new(AgentCard::new("subject", ["any"]), spec("ready")).on_log(
        move |level, line| {
            kept.lock().unwrap().push(format!("{level} {line}"));
            panic!("a log that panics");
        },
    );
    agent.start(&host()).unwrap();
    assert!(output(ask(&agent, "log", "x")).is_null());
    stop(&agent);
    let lines = lines.lock().unwrap();
    assert!(lines.contains(&"warn careful".to_owned()), "{lines:?}");
    assert!(lines.contains(&"info plain words".to_owned()), "{lines:?}");
}

#[test]
fn garbage_is_counted_and_does_no_harm() {
    let agent = started(spec("ready"));
    let garbage = [
        "hello",
        "{",
        "[1,2]",
        "\u{ff}\u{fe}",
        "{\"v\":1}",
        "{\"v\":1,\"type\":\"ready\"}",
        "{\"v\":7,\"type\":\"ready\"}",
        "{\"v\":1,\"type\":\"task\",\"id\":1}",
        "\u{0}",
    ];
    for line in garbage {
        assert_eq!(output(ask(&agent, "garbage", line)), "after garbage");
    }
    assert_eq!(output(ask(&agent, "twice", "x")), 1);
    assert_eq!(output(ask(&agent, "unknown", "x")), "own");
    assert_eq!(output(ask(&agent, "garbage", " \t\r")), "after garbage");
    assert_eq!(output(ask(&agent, "echo", "x")), "x");
    let status = agent.status();
    assert_eq!((status.breaches, status.restarts), (garbage.len() as u64 + 2, 0));
}

#[test]
fn nothing_but_garbage_ends_in_a_restart() {
    let agent = started(spec("ready").breaches(3));
    let asked = ask(&agent, "garbage-only", json(2.into()));
    assert_eq!(output(ask(&agent, "echo", "x")), "x");
    assert_eq!(agent.restarts(), 0, "two in a row are allowed");
    let error = failure(ask(&agent, "garbage-only", json(3.into())));
    assert_eq!(error.code(), Code::AGENT_EXITED);
    assert!(context(&error, "reason").contains("3 breaches"), "{error}");
    assert_eq!(failure(asked).code(), Code::AGENT_EXITED);
    assert_eq!(output(ask(&agent, "echo", "x")), "x");
    assert_eq!(agent.restarts(), 1);
}

#[test]
fn an_answer_of_100_megabytes_fails_its_task_without_being_kept() {
    let agent = started(spec("ready"));
    let before = peak_memory();
    let error = failure(ask(&agent, "big", json(100.into())));
    assert_eq!(error.code(), Code::AGENT_PROTOCOL);
    assert!(context(&error, "bytes").parse::<u64>().unwrap() > 100 << 20);
    assert_eq!(output(ask(&agent, "echo", "next")), "next");
    assert_eq!(output(ask(&agent, "big", json(7.into()))).as_str().unwrap().len(), 7 << 20);
    // Other tests run beside this one: far less than 100 MB is what can be said.
    assert!(peak_memory() < before + (90 << 20));
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn an_input_that_is_too_long_is_refused_here() {
    let agent = started(spec("ready").max_line(4096));
    assert_eq!(failure(ask(&agent, "echo", "x".repeat(5000))).code(), Code::INVALID);
    assert_eq!(output(ask(&agent, "echo", "short")), "short");
}

#[test]
fn a_grandchild_of_the_group_dies_with_the_process() {
    let agent = started(spec("ready"));
    let grandchild = output(ask(&agent, "grandchild", "group")).as_u64().unwrap();
    assert!(lives(grandchild));
    stop(&agent);
    until("dead", || !lives(grandchild));
}

#[test]
fn a_grandchild_that_left_and_holds_the_pipes_holds_up_nothing() {
    let agent = started(spec("ready"));
    let grandchild = output(ask(&agent, "grandchild", "session")).as_u64().unwrap();
    // It has stdout and stderr: neither a death nor a stop may wait for their end.
    assert_eq!(failure(ask(&agent, "die", json(0.into()))).code(), Code::AGENT_EXITED);
    assert_eq!(output(ask(&agent, "echo", "x")), "x");
    stop(&agent);
    assert!(lives(grandchild), "documented: it left the group");
    let killed = std::process::Command::new("kill").arg(grandchild.to_string()).status();
    assert!(killed.unwrap().success());
}

#[test]
fn whoever_ignores_stop_and_sigterm_is_killed() {
    let agent = started(spec("term-proof"));
    let pid = output(ask(&agent, "pid", "x")).as_u64().unwrap();
    agent.stop(Moment::now() + Duration::from_millis(100));
    assert!(!lives(pid));
    let exit = agent.status().last_exit.unwrap();
    assert_eq!(exit.signal.as_deref(), Some("9 (SIGKILL)"));
    assert_eq!(exit.reason.as_deref(), Some("the agent was stopped"));
}

#[test]
fn whoever_has_nothing_to_do_is_not_waited_for() {
    let spec = spec("term-proof").stop_grace(Duration::ZERO).kill_grace(Duration::from_millis(20));
    let agent = started(spec);
    let began = Moment::now();
    agent.stop(began + LONG);
    assert!(Moment::now().since(began) < LONG / 2, "its grace counts, not the time there is");
    let exit = agent.status().last_exit.unwrap();
    assert_eq!(exit.signal.as_deref(), Some("9 (SIGKILL)"));
}

#[test]
fn whoever_closes_its_output_is_started_again() {
    let agent = started(spec("ready").kill_grace(Duration::from_millis(20)));
    let error = failure(ask(&agent, "close-output", "x"));
    assert_eq!(error.code(), Code::AGENT_EXITED);
    assert!(context(&error, "reason").contains("closed its output"), "{error}");
    assert_eq!(output(ask(&agent, "echo", "x")), "x");
}

#[test]
fn dropping_the_agent_kills_the_group() {
    let agent = started(spec("term-proof"));
    let pid = output(ask(&agent, "pid", "x")).as_u64().unwrap();
    let grandchild = output(ask(&agent, "grandchild", "group")).as_u64().unwrap();
    let under_way = ask(&agent, "ignore", "x");
    drop(agent);
    until("dead", || !lives(pid) && !lives(grandchild));
    assert!(matches!(failure(under_way).code(), Code::AGENT_EXITED | Code::NOT_RUNNING));
}

#[test]
fn the_last_handle_may_be_dropped_on_the_agents_own_thread() {
    let agent = Arc::new(started(spec("ready")));
    let mine = Arc::clone(&agent);
    let (done, told) = std::sync::mpsc::channel();
    ask(&agent, "echo", "x").on_done(move |_| {
        mine.stop(Moment::now() + LONG);
        drop(mine);
        let _ = done.send(());
    });
    drop(agent);
    told.recv_timeout(LONG).unwrap();
}

#[test]
fn a_slow_start_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let agent = Arc::new(ProcessAgent::new(
        AgentCard::new("subject", ["any"]),
        spec("gate").arg(gate.to_str().unwrap()),
    ));
    let starting = Arc::clone(&agent);
    let starter = std::thread::spawn(move || starting.start(&host()));
    until("starting", || agent.status().pid.is_some());
    // Tasks may come before it is ready, and wait.
    let early = ask(&agent, "echo", "early");
    assert_eq!(agent.status().waiting, 1);
    std::fs::write(&gate, "").unwrap();
    starter.join().unwrap().unwrap();
    assert_eq!(output(early), "early");
}

#[test]
fn whoever_is_not_ready_in_time_is_not_started() {
    let agent = ProcessAgent::new(
        AgentCard::new("subject", ["any"]),
        spec("never-ready").start_timeout(Duration::from_millis(50)),
    );
    let error = agent.start(&host()).unwrap_err();
    assert_eq!(error.code(), Code::AGENT_START);
    assert!(context(&error, "reason").contains("not ready within 50ms"), "{error}");
    assert_eq!(agent.status().phase, ProcessPhase::Failed);
    assert_eq!(agent.status().pid, None);
}

#[test]
fn a_start_that_fails_says_why() {
    let start = |spec: ProcessSpec| {
        let agent = ProcessAgent::new(AgentCard::new("subject", ["any"]), spec);
        agent.start(&host()).unwrap_err()
    };
    let error = start(ProcessSpec::new("no-such-program-here"));
    assert_eq!(error.code(), Code::AGENT_START);
    assert_eq!(context(&error, "program"), "no-such-program-here");
    assert!(error.remedy().unwrap().contains("PATH"), "{error}");

    let error = start(spec("ready").cwd("/no/such/directory"));
    assert!(error.remedy().unwrap().contains("working directory"), "{error}");

    let error = start(spec("exit"));
    assert_eq!(context(&error, "exit_status"), "7");
    assert_eq!(context(&error, "stderr"), "no licence found");

    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "#!/bin/sh\n").unwrap();
    let error = start(ProcessSpec::new(plain.to_str().unwrap()));
    assert!(error.remedy().unwrap().contains("chmod +x"), "{error}");

    assert_eq!(start(ProcessSpec::new("")).code(), Code::INVALID);
    assert_eq!(start(ProcessSpec::new("x").env("A=B", "")).code(), Code::INVALID);
}

#[test]
fn environment_and_directory_are_as_given() {
    let directory = tempfile::tempdir().unwrap();
    let real = std::fs::canonicalize(directory.path()).unwrap();
    let agent = started(
        spec("ready").cwd(&real).env("SUBJECT_ADDED", "yes").env_remove("CARGO_MANIFEST_DIR"),
    );
    let seen = output(ask(
        &agent,
        "env",
        json(serde_json::json!(["SUBJECT_ADDED", "CARGO_MANIFEST_DIR", "PATH"])),
    ));
    assert_eq!(seen["SUBJECT_ADDED"], "yes");
    assert!(seen["CARGO_MANIFEST_DIR"].is_null() && seen["PATH"].is_string());
    assert_eq!(Path::new(seen["cwd"].as_str().unwrap()), real);
}

#[test]
fn a_process_may_introduce_itself() {
    let agent = ProcessAgent::described(spec("ready")).unwrap();
    let card = agent.card();
    assert_eq!((&*card.name, &*card.version), ("self", "3"));
    assert_eq!(card.skills, ["echo", "hold"]);
    agent.start(&host()).unwrap();
    assert_eq!(output(ask(&agent, "echo", "x")), "x");

    let mute = ProcessAgent::described(spec("mute"));
    assert_eq!(mute.unwrap_err().code(), Code::AGENT_PROTOCOL);
}

#[test]
fn it_starts_once() {
    let agent = started(spec("ready"));
    assert_eq!(agent.start(&host()).unwrap_err().code(), Code::ALREADY_EXISTS);
    stop(&agent);
    let never = ProcessAgent::new(AgentCard::new("subject", ["any"]), spec("ready"));
    assert_eq!(failure(ask(&never, "echo", "x")).code(), Code::NOT_RUNNING);
    never.stop(Moment::now());
    assert_eq!(never.status().phase, ProcessPhase::Stopped);
}

#[test]
fn a_spec_reads_from_json_and_names_what_is_wrong() {
    let text = r#"{"command": ["python3", "a.py"], "start_timeout_ms": 250, "cancel_grace_ms": 5,
        "restart": {"most": 1, "within_ms": 1000}}"#;
    let read: ProcessSpec = serde_json::from_str(text).unwrap();
    assert_eq!(read.start_timeout, Duration::from_millis(250));
    assert_eq!(read.cancel_grace, Some(Duration::from_millis(5)));
    assert_eq!((read.restart.most, read.max_line), (1, 8 << 20));
    let again = serde_json::from_value(serde_json::to_value(&read).unwrap()).unwrap();
    assert_eq!(read, again);
    let error = serde_json::from_str::<ProcessSpec>(r#"{"command": ["x"], "shell": true}"#);
    assert!(error.unwrap_err().to_string().contains("shell"));
    let schema = serde_json::to_value(schemars::schema_for!(ProcessSpec)).unwrap();
    assert!(schema["properties"]["start_timeout_ms"].is_object(), "{schema}");
}
