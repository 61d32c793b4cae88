//! The A2A connector against peers that misbehave, or are old.

#![cfg(feature = "a2a")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod peer;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use peer::{Asked, Line, Peer, nobody, promptly};
use serde_json::{Value, json};
use sutazai_core::agent::connect::a2a::{A2aAgent, A2aSpec, Refreshed};
use sutazai_core::base::payload::Payload;
use sutazai_core::base::ticket::pair;
use sutazai_core::kernel::Kernel;
use sutazai_core::observe::LogQuery;
use sutazai_core::port::{Agent, Outcome, Task};
use sutazai_core::{Class, Code, Error, Result};

const LONG: Duration = Duration::from_secs(20);

fn card(asked: &Asked, streaming: bool) -> Value {
    let url = format!("http://{}/rpc", asked.header("host"));
    json!({"name": "peer", "version": "1", "capabilities": {"streaming": streaming},
        "skills": [{"id": "work", "name": "work", "description": "works"}],
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]})
}

/// A peer of 1.0 over JSON-RPC: the handler sees the method.
fn peer_with(
    streaming: bool,
    handler: impl Fn(&str, &Asked, &mut Line) -> bool + Send + Sync + 'static,
) -> Peer {
    Peer::start(move |asked, line| {
        if asked.method == "GET" {
            line.json(200, &card(asked, streaming));
            return true;
        }
        let method = asked.json()["method"].as_str().unwrap_or_default().to_owned();
        handler(&method, asked, line)
    })
}

fn connect(peer: &Peer) -> A2aAgent {
    A2aAgent::connect(A2aSpec::new(peer.url(""))).unwrap()
}

/// The answer, and the partial results that came before.
fn ask(agent: &A2aAgent, input: impl Into<Payload>) -> (Result<Outcome>, Vec<Value>) {
    let (mut ticket, reply) = pair();
    agent.handle(Task::new("work", input), reply);
    let parts: Vec<_> = std::iter::from_fn(|| ticket.try_part())
        .map(|part| (*part.value().unwrap()).clone())
        .collect();
    (ticket.wait_timeout(LONG).unwrap_or_else(|| panic!("no answer")), parts)
}

fn failure(peer: &Peer) -> Error {
    ask(&connect(peer), "x").0.unwrap_err()
}

fn context<'e>(error: &'e Error, key: &str) -> &'e str {
    error.context().find(|(name, _)| *name == key).map_or("", |(_, value)| value)
}

fn result(asked: &Asked, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": asked.json()["id"], "result": result})
}

fn refusal(asked: &Asked, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": asked.json()["id"], "error": {"code": code, "message": message}})
}

fn status(state: &str) -> Value {
    json!({"statusUpdate": {"taskId": "t1", "contextId": "c1", "status": {"state": state}}})
}

fn artifact(text: &str, append: bool) -> Value {
    json!({"artifactUpdate": {"taskId": "t1", "contextId": "c1", "append": append,
        "artifact": {"artifactId": "a", "parts": [{"text": text}]}}})
}

fn task(state: &str, text: &str) -> Value {
    let artifacts = if text.is_empty() {
        json!([])
    } else {
        json!([{"artifactId": "a", "parts": [{"text": text}]}])
    };
    json!({"id": "t1", "contextId": "c1", "status": {"state": state}, "artifacts": artifacts})
}

fn methods(peer: &Peer) -> Vec<String> {
    let asked = peer.asked();
    asked
        .iter()
        .filter(|asked| asked.method == "POST")
        .map(|asked| asked.json()["method"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_peer_that_knows_0_3_only() {
    let peer = Peer::start(|asked, line| {
        match asked.path.as_str() {
            // Before 0.3 the card had another name.
            "/.well-known/agent.json" => {
                let url = format!("http://{}/", asked.header("host"));
                line.json(
                    200,
                    &json!({"name": "old", "protocolVersion": "0.3.0", "url": url, "version": "0.1",
                    "capabilities": {"streaming": true}, "skills": [{"id": "work"}]}),
                );
            }
            "/" => {
                let body = asked.json();
                let message = &body["params"]["message"];
                let fits = body["method"] == "message/stream"
                    && message["kind"] == "message"
                    && message["role"] == "user"
                    && message["parts"] == json!([{"kind": "text", "text": "x"}])
                    && asked.header("a2a-version").is_empty();
                if !fits {
                    line.json(200, &refusal(asked, -32601, "Method not found"));
                    return true;
                }
                line.begin_events();
                let update = |state: &str, last: bool| {
                    json!({"kind": "status-update", "taskId": "t", "contextId": "c",
                    "status": {"state": state}, "final": last})
                };
                line.event(&result(asked, json!({"kind": "task", "id": "t", "contextId": "c", "status": {"state": "submitted"}})));
                line.event(&result(asked, update("working", false)));
                line.event(&result(asked, json!({"kind": "artifact-update", "taskId": "t", "contextId": "c",
                    "artifact": {"artifactId": "a", "parts": [{"kind": "data", "data": {"sum": 3}}]}})));
                line.event(&result(asked, update("completed", true)));
                line.end_events();
            }
            _ => line.answer(404, &[], ""),
        }
        true
    });
    let agent = connect(&peer);
    assert_eq!(agent.card().labels["a2a"], "0.3");
    let (answer, parts) = ask(&agent, "x");
    assert_eq!(*answer.unwrap().output.value().unwrap(), json!({"sum": 3}));
    assert_eq!(parts[0], json!({"status": {"state": "working", "text": null}}));
    println!("0.3 only: {parts:?}");
}

#[test]
fn a_task_that_goes_on_after_its_end_is_a_breach() {
    for later in [false, true] {
        let peer = peer_with(true, move |_, asked, line| {
            line.begin_events();
            line.event(&result(asked, json!({"task": task("TASK_STATE_WORKING", "")})));
            line.event(&result(asked, artifact("done", false)));
            line.event(&result(asked, status("TASK_STATE_COMPLETED")));
            if later {
                std::thread::sleep(Duration::from_millis(30));
            }
            line.event(&result(asked, status("TASK_STATE_WORKING")));
            line.end_events();
            true
        });
        let error = failure(&peer);
        assert_eq!(error.code(), Code::AGENT_PROTOCOL, "{error:#}");
        assert_eq!((context(&error, "from"), context(&error, "to")), ("completed", "working"));
        println!("{error:#}");
    }
    // One that only keeps the connection open is waited for no longer than that.
    let peer = peer_with(true, |_, asked, line| {
        line.begin_events();
        line.event(&result(asked, json!({"task": task("TASK_STATE_COMPLETED", "all")})));
        line.stall(LONG);
        false
    });
    let agent = connect(&peer);
    promptly("a stream that stays open", || {
        let begun = Instant::now();
        assert_eq!(ask(&agent, "x").0.unwrap().output, Payload::from("all"));
        begun.elapsed().saturating_sub(Duration::from_millis(100))
    });
}

#[test]
fn a_stream_that_breaks_off_is_taken_up_again_and_the_gap_is_told() {
    for resubscribes in [true, false] {
        let looked = AtomicUsize::new(0);
        let peer = peer_with(true, move |method, asked, line| match method {
            "SendStreamingMessage" => {
                line.begin_events();
                line.event(&result(asked, json!({"task": task("TASK_STATE_WORKING", "")})));
                line.event(&result(asked, artifact("one ", false)));
                false
            }
            "GetTask" => {
                // What was said while nobody listened shows at the end only.
                let state = match looked.fetch_add(1, Ordering::SeqCst) {
                    0 => task("TASK_STATE_WORKING", "one two "),
                    1 if !resubscribes => task("TASK_STATE_WORKING", "one two "),
                    _ => task("TASK_STATE_COMPLETED", "one two three"),
                };
                line.json(200, &result(asked, state));
                true
            }
            "SubscribeToTask" if resubscribes => {
                line.begin_events();
                line.event(&result(asked, artifact("three", true)));
                line.event(&result(asked, status("TASK_STATE_COMPLETED")));
                line.end_events();
                true
            }
            _ => {
                line.json(200, &refusal(asked, -32004, "This operation is not supported"));
                true
            }
        });
        let kernel = Kernel::builder().agent(connect(&peer)).build().unwrap();
        kernel.start().unwrap();
        let mut ticket = kernel.call(Task::new("work", "x"));
        let mut gaps = Vec::new();
        while let Ok(Some(part)) = ticket.wait_part(LONG) {
            let part = part.value().unwrap();
            if part["gap"] == true {
                gaps.push((*part).clone());
            }
        }
        assert_eq!(ticket.wait().unwrap().output, Payload::from("one two three"));
        assert_eq!((gaps.len(), &gaps[0]["task"]), (1, &json!("t1")), "{gaps:?}");
        let expected: &[&str] = if resubscribes {
            &["SendStreamingMessage", "GetTask", "SubscribeToTask", "GetTask"]
        } else {
            &["SendStreamingMessage", "GetTask", "SubscribeToTask", "GetTask", "GetTask", "GetTask"]
        };
        assert_eq!(methods(&peer), expected);
        let told = kernel
            .log()
            .recent(&LogQuery::default())
            .iter()
            .any(|record| record.message.contains("broke off"));
        assert!(told, "the log says nothing of the gap");
        println!("resubscribes={resubscribes}: {gaps:?}");
        kernel.stop(LONG).unwrap();
    }
}

#[test]
fn what_cannot_be_taken_up_again_is_no_answer() {
    let silent = peer_with(true, |_, _, line| {
        line.begin_events();
        false
    });
    let error = failure(&silent);
    assert_eq!((error.code(), error.class()), (Code::IO, Class::Transient), "{error:#}");
    let forgets = peer_with(true, |method, asked, line| {
        if method == "SendStreamingMessage" {
            line.begin_events();
            line.event(&result(asked, artifact("one ", false)));
            return false;
        }
        line.json(200, &refusal(asked, -32001, "Task not found"));
        true
    });
    let error = failure(&forgets);
    assert_eq!(
        (error.class(), context(&error, "rpc_code")),
        (Class::Persistent, "-32001"),
        "{error:#}"
    );
    let dies = peer_with(true, |method, asked, line| {
        if method == "SendStreamingMessage" {
            line.begin_events();
            line.event(&result(asked, status("TASK_STATE_WORKING")));
        }
        false
    });
    let error = failure(&dies);
    assert_eq!((error.code(), error.class()), (Code::IO, Class::Transient), "{error:#}");
    println!("gave up after {:?}", methods(&dies));
}

#[test]
fn a_long_task_without_streams_is_looked_at_until_it_ends() {
    let looked = AtomicUsize::new(0);
    let peer = peer_with(false, move |method, asked, line| {
        if method == "SendMessage" {
            line.json(200, &result(asked, json!({"task": task("TASK_STATE_SUBMITTED", "")})));
        } else if looked.fetch_add(1, Ordering::SeqCst) < 3 {
            line.json(200, &result(asked, task("TASK_STATE_WORKING", "")));
        } else {
            line.json(200, &result(asked, task("TASK_STATE_COMPLETED", "there")));
        }
        true
    });
    let (answer, parts) = ask(&connect(&peer), "x");
    assert_eq!(answer.unwrap().output, Payload::from("there"));
    let states: Vec<_> =
        parts.iter().map(|part| part["status"]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["working", "completed"]);
    assert_eq!(
        peer.asked()[1].json()["params"]["configuration"],
        json!({"returnImmediately": true})
    );
    assert_eq!(peer.asked()[1].header("a2a-version"), "1.0");
}

#[test]
fn cancelling_reaches_the_agent_and_is_bounded() {
    let cancelled = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&cancelled);
    let peer = peer_with(true, move |method, asked, line| {
        if method == "CancelTask" {
            seen.lock().unwrap().push((asked.json()["params"]["id"].clone(), Instant::now()));
        } else {
            line.begin_events();
            line.event(&result(asked, status("TASK_STATE_WORKING")));
        }
        // It answers neither.
        line.stall(LONG);
        false
    });
    let kernel = Kernel::builder().agent(connect(&peer)).build().unwrap();
    kernel.start().unwrap();
    let after = promptly("cancelling", || {
        let (id, mut ticket) = kernel.submit(Task::new("work", "x"), None);
        ticket.wait_part(LONG).unwrap();
        let at = Instant::now();
        assert!(kernel.cancel(id));
        assert_eq!(ticket.wait().unwrap_err().code(), Code::CANCELLED);
        let settled = at.elapsed();
        // The thread is free once the two seconds for the agent are over.
        while kernel.agent("peer").unwrap().in_flight > 0 {
            assert!(at.elapsed() < LONG, "the thread is not free");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(at.elapsed() < Duration::from_secs(5), "it took {:?}", at.elapsed());
        let told = std::mem::take(&mut *cancelled.lock().unwrap());
        assert_eq!((told.len(), &told[0].0), (1, &json!("t1")));
        settled.max(told[0].1 - at)
    });
    let time = Duration::from_millis(150);
    let beyond = promptly("the deadline", || {
        let begun = Instant::now();
        let error = kernel.call(Task::new("work", "x").timeout(time)).wait().unwrap_err();
        assert_eq!(error.code(), Code::DEADLINE_EXCEEDED);
        assert!(begun.elapsed() >= time);
        begun.elapsed() - time
    });
    println!("told {after:?} after it was cancelled; {beyond:?} beyond a deadline");
    kernel.stop(LONG).unwrap();
}

#[test]
fn refusals_carry_what_classifying_them_takes() {
    let refuses = |answer: fn(&Asked, &mut Line)| {
        let peer = peer_with(false, move |_, asked, line| {
            answer(asked, line);
            true
        });
        failure(&peer)
    };
    let error = refuses(|asked, line| {
        line.json(200, &refusal(asked, -32005, "Incompatible content types"))
    });
    assert_eq!((error.message(), error.class()), ("Incompatible content types", Class::Persistent));
    assert_eq!((context(&error, "rpc"), context(&error, "rpc_code")), ("a2a", "-32005"));
    let error = refuses(|_, line| {
        line.json(404, &json!({"error": {"code": 404, "status": "NOT_FOUND", "message": "no task",
            "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TASK_NOT_FOUND"}]}}));
    });
    assert_eq!(
        (context(&error, "http_status"), context(&error, "rpc_code")),
        ("404", "-32001"),
        "{error:#}"
    );
    assert_eq!(
        (context(&error, "provider_type"), context(&error, "provider_code")),
        ("NOT_FOUND", "TASK_NOT_FOUND")
    );
    let error = refuses(|_, line| line.answer(503, &[("retry-after", "2")], "busy"));
    assert_eq!(
        (error.class(), context(&error, "retry_after"), context(&error, "body")),
        (Class::Transient, "2", "busy")
    );
    for body in [
        "not json",
        "[]",
        "{}",
        r#"{"result": 7}"#,
        r#"{"result": {"kind": "dance"}}"#,
        r#"{"result": {"task": {"id": "t", "status": {"state": "dancing"}}}}"#,
    ] {
        let peer = peer_with(false, move |_, _, line| {
            line.answer(200, &[("content-type", "application/json")], body);
            true
        });
        assert_eq!(failure(&peer).code(), Code::AGENT_PROTOCOL, "{body}");
    }
}

#[test]
fn a_card_that_changes_goes_or_cannot_be_had() {
    let (version, asked_with) = (Arc::new(AtomicUsize::new(1)), Arc::new(Mutex::new(Vec::new())));
    let (served, tags) = (Arc::clone(&version), Arc::clone(&asked_with));
    let peer = Peer::start(move |asked, line| {
        let version = served.load(Ordering::SeqCst);
        let tag = format!("\"v{version}\"");
        tags.lock().unwrap().push(asked.header("if-none-match").to_owned());
        match version {
            0 => line.answer(404, &[], ""),
            9 => line.answer(500, &[], "oops"),
            8 => line.json(200, &json!({"nonsense": true})),
            _ if asked.header("if-none-match") == tag => line.answer(304, &[("etag", &tag)], ""),
            _ => {
                let mut card = card(asked, false);
                card["version"] = version.to_string().into();
                card["skills"] = json!([{"id": format!("skill-{version}")}]);
                line.answer(
                    200,
                    &[("etag", &tag), ("content-type", "application/json")],
                    &card.to_string(),
                );
            }
        }
        true
    });
    let agent = connect(&peer);
    assert_eq!(agent.card().skills, ["skill-1"]);
    assert!(matches!(agent.refresh(), Refreshed::Unchanged));
    version.store(2, Ordering::SeqCst);
    let Refreshed::Changed(card) = agent.refresh() else { panic!("it has changed") };
    assert_eq!((card.skills, card.version.as_str()), (vec!["skill-2".to_owned()], "2"));
    assert!(matches!(agent.refresh(), Refreshed::Unchanged));
    assert_eq!(*asked_with.lock().unwrap(), ["", "\"v1\"", "\"v1\"", "\"v2\""]);
    for broken in [9, 8] {
        version.store(broken, Ordering::SeqCst);
        assert!(matches!(agent.refresh(), Refreshed::Unreachable(_)), "{broken}");
    }
    version.store(0, Ordering::SeqCst);
    assert!(matches!(agent.refresh(), Refreshed::Gone(_)));
    assert_eq!(agent.card().skills, ["skill-2"], "the card before holds");
    let error = A2aAgent::connect(A2aSpec::new(peer.url(""))).err().unwrap();
    assert_eq!((error.code(), error.class()), (Code::NOT_FOUND, Class::Persistent), "{error:#}");
    let error = A2aAgent::connect(A2aSpec::new(format!("http://{}", nobody()))).err().unwrap();
    assert_eq!((error.code(), error.class()), (Code::IO, Class::Transient), "{error:#}");
}

#[test]
fn credentials_are_sent_and_not_shown() {
    let peer = peer_with(false, |_, asked, line| {
        let key = format!("{} {}", asked.header("authorization"), asked.header("x-key"));
        line.json(401, &json!({"error": format!("who is {}?", key.len())}));
        true
    });
    let spec = A2aSpec::new(peer.url("")).bearer("t0ken-123").header("x-key", "k3y-456");
    let shown = format!("{spec:?} {}", serde_json::to_string(&spec).unwrap());
    let error = ask(&A2aAgent::connect(spec).unwrap(), "x").0.unwrap_err();
    assert_eq!(error.class(), Class::Persistent);
    assert!(peer.asked().iter().all(|asked| asked.header("authorization") == "Bearer t0ken-123"
        && asked.header("x-key") == "k3y-456"));
    let shown = format!("{shown} {error:#} {error:?}");
    assert!(!shown.contains("t0ken") && !shown.contains("k3y-4"), "{shown}");
}
