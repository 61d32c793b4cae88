//! MCP over HTTP: against a peer that does what it is told, and against real servers.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sutazai_core::agent::connect::mcp::{Era, McpAgent, McpHttp, McpSpec};
use sutazai_core::base::time::Moment;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Agent, Task};
use sutazai_core::{Class, Code};

use crate::common::{LONG, answer, ask, context, failure, host, output, servers};
use crate::peer::{Asked, Line, Peer, nobody};

fn at(peer: &Peer) -> McpSpec {
    McpSpec::http("subject", McpHttp::new(peer.url("/mcp")).header("x-key", "Bearer k3yk3y"))
}

fn result(asked: &Asked, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": asked.json()["id"], "result": result})
}

fn refusal(asked: &Asked, code: i64, data: Value) -> Value {
    let error = json!({"code": code, "message": "no", "data": data});
    json!({"jsonrpc": "2.0", "id": asked.json()["id"], "error": error})
}

fn tools() -> Value {
    let marked = json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"}}});
    let wrong = json!({"type": "object", "properties": {
        "x": {"type": "number", "x-mcp-header": "X"}}});
    json!({"tools": [
        {"name": "echo", "inputSchema": {"type": "object"}},
        {"name": "größe", "inputSchema": marked},
        {"name": "wrong", "inputSchema": wrong},
    ]})
}

/// Answers what a server of 2026 answers, but for `tools/call`: false for that.
fn modern(asked: &Asked, line: &mut Line) -> bool {
    match asked.json()["method"].as_str() {
        Some("server/discover") => {
            let found = json!({"supportedVersions": ["2026-07-28"], "resultType": "complete"});
            line.json(200, &result(asked, found));
        }
        Some("tools/list") => line.json(200, &result(asked, tools())),
        _ => return false,
    }
    true
}

/// Answers what a server of 2025 answers, but for `tools/call`: false for that.
fn legacy(asked: &Asked, line: &mut Line, session: &str) -> bool {
    match asked.json()["method"].as_str() {
        Some("server/discover") => line.answer(400, &[], "Bad Request: no session"),
        Some("initialize") => {
            let found = json!({"protocolVersion": "2025-06-18", "serverInfo": {"name": "old"}});
            let body = result(asked, found).to_string();
            let kind = ("content-type", "application/json");
            line.answer(200, &[kind, ("mcp-session-id", session)], &body);
        }
        Some("tools/list") => line.json(200, &result(asked, tools())),
        Some(method) if method.starts_with("notifications/") => line.answer(202, &[], ""),
        None => line.answer(202, &[], ""),
        _ => return false,
    }
    true
}

fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

fn methods(peer: &Peer) -> Vec<String> {
    let method = |asked: &Asked| {
        asked.json()["method"].as_str().map_or_else(|| asked.method.clone(), str::to_owned)
    };
    peer.asked().iter().map(method).collect()
}

#[test]
fn a_modern_server_is_told_in_headers_too() {
    let peer = Peer::start(|asked, line| {
        if !modern(asked, line) {
            // A stream, with progress of this call and of another.
            line.begin_events();
            let token = &asked.json()["params"]["_meta"]["progressToken"];
            for token in [token, &json!(77)] {
                let params = json!({"progressToken": token, "progress": 1, "total": 2});
                let method = "notifications/progress";
                line.event(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
            }
            line.chunk(": still there\n\n");
            line.event(&result(asked, text("done")));
            line.end_events();
        }
        true
    });
    let agent = McpAgent::connect(at(&peer)).unwrap();
    agent.start(&host()).unwrap();
    assert_eq!(agent.status().era, Some(Era::Modern));
    // The one whose mark may not be is left out.
    assert_eq!(agent.card().skills, ["echo", "größe"]);
    assert_eq!(agent.card().concurrency, Some(16));
    let mut ticket = ask(&agent, "größe", json!({"region": "Köln"}));
    let part = ticket.wait_part(LONG).unwrap().unwrap();
    assert_eq!(*part.value().unwrap(), json!({"progress": 1, "total": 2}));
    assert!(ticket.wait_part(LONG).unwrap().is_none());
    assert_eq!(output(ticket), "done");
    assert_eq!(methods(&peer), ["server/discover", "tools/list", "tools/call"]);
    let asked = &peer.asked()[2];
    for (name, value) in [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "=?base64?Z3LDtsOfZQ==?="),
        ("mcp-param-region", "=?base64?S8O2bG4=?="),
        ("accept", "application/json, text/event-stream"),
        ("x-key", "Bearer k3yk3y"),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    let meta = &asked.json()["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    agent.stop(Moment::now() + LONG);
    assert_eq!(failure(ask(&agent, "echo", json!({}))).code(), Code::NOT_RUNNING);
}

#[test]
fn a_session_that_is_over_is_begun_anew() {
    let (session, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (now, loses) = (Arc::clone(&session), Arc::clone(&lost));
    let peer = Peer::start(move |asked, line| {
        if asked.method == "DELETE" {
            line.answer(200, &[], "");
        } else if asked.json()["method"] == "tools/call" {
            let present = format!("s{}", now.load(Ordering::SeqCst));
            if loses.swap(false, Ordering::SeqCst) || asked.header("mcp-session-id") != present {
                line.answer(404, &[], "");
            } else {
                line.json(200, &result(asked, text(asked.header("mcp-session-id"))));
            }
        } else {
            if asked.json()["method"] == "initialize" {
                now.fetch_add(1, Ordering::SeqCst);
            }
            legacy(asked, line, &format!("s{}", now.load(Ordering::SeqCst)));
        }
        true
    });
    let agent = McpAgent::connect(at(&peer)).unwrap();
    assert_eq!(agent.status().revision.as_deref(), Some("2025-06-18"));
    assert_eq!(output(ask(&agent, "echo", json!({}))), "s1");
    lost.store(true, Ordering::SeqCst);
    assert_eq!(output(ask(&agent, "echo", json!({}))), "s2");
    agent.stop(Moment::now() + LONG);
    let begin = ["initialize", "notifications/initialized", "tools/list", "tools/call"];
    let expected =
        [&["server/discover"][..], &begin, &["tools/call"], &begin, &["DELETE"]].concat();
    assert_eq!(methods(&peer), expected, "the era is remembered");
    let asked = peer.asked();
    assert_eq!(asked[1].header("mcp-protocol-version"), "", "before there is one");
    assert_eq!(asked[3].header("mcp-protocol-version"), "2025-06-18");
    assert_eq!(asked[3].header("mcp-method"), "");
    assert_eq!(asked.last().unwrap().header("mcp-session-id"), "s2");
}

#[test]
fn a_server_that_is_silent_about_the_probe_is_of_the_older_era() {
    let peer = Peer::start(|asked, line| {
        if asked.json()["method"] == "server/discover" {
            line.stall(LONG);
            return false;
        }
        if !legacy(asked, line, "s") {
            line.json(200, &result(asked, text("here")));
        }
        true
    });
    let spec = at(&peer).probe_timeout(Duration::from_millis(100));
    let agent = McpAgent::connect(spec).unwrap();
    assert_eq!(output(ask(&agent, "echo", json!({}))), "here");
}

#[test]
fn what_goes_wrong_is_told_with_its_facts() {
    let peer = Peer::start(|asked, line| {
        if modern(asked, line) {
            return true;
        }
        match asked.json()["params"]["arguments"]["do"].as_str().unwrap() {
            "close" => {
                line.begin_events();
                line.chunk("data: {\"jsonrpc\":");
                return false;
            }
            "end" => {
                line.begin_events();
                line.end_events();
            }
            "busy" => line.answer(429, &[("retry-after", "7")], "slow down"),
            "rpc" => line.json(400, &refusal(asked, -32602, json!({"why": "x"}))),
            "html" => line.answer(200, &[("content-type", "text/html")], "<p>Hello"),
            "huge" => line.answer(200, &[], &"x".repeat(9 << 20)),
            "twice" => {
                line.begin_events();
                line.event(&result(asked, text("one")));
                line.event(&result(asked, text("two")));
                line.end_events();
            }
            _ => line.answer(500, &[], "not for k3yk3y"),
        }
        true
    });
    let agent = McpAgent::connect(at(&peer)).unwrap();
    let told = |what: &str| failure(ask(&agent, "echo", json!({"do": what})));
    for what in ["close", "end"] {
        let error = told(what);
        println!("{what}: {error}");
        assert_eq!((error.code(), error.class()), (Code::IO, Class::Transient), "{error}");
    }
    let error = told("busy");
    println!("busy: {error}");
    assert_eq!((error.code(), error.class()), (Code::AGENT_FAILED, Class::Transient));
    assert_eq!((&*context(&error, "http_status"), &*context(&error, "retry_after")), ("429", "7"));
    let error = told("rpc");
    assert_eq!((error.code(), error.class()), (Code::AGENT_FAILED, Class::Persistent));
    assert_eq!(
        (&*context(&error, "http_status"), &*context(&error, "rpc_code")),
        ("400", "-32602")
    );
    for what in ["html", "huge"] {
        assert_eq!(told(what).code(), Code::AGENT_PROTOCOL);
    }
    let error = told("boom");
    assert_eq!((error.code(), &*context(&error, "http_status")), (Code::AGENT_FAILED, "500"));
    assert_eq!(context(&error, "body"), "not for ***");
    assert_eq!(output(ask(&agent, "echo", json!({"do": "twice"}))), "one");
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let peer = Peer::start(|asked, line| {
        match asked.path.as_str() {
            "/locked" => line.answer(401, &[], "who are you?"),
            "/page" => line.answer(200, &[("content-type", "text/html")], "<p>"),
            "/down" => line.json(503, &refusal(asked, -32603, Value::Null)),
            _ => line.answer(404, &[], "nothing here"),
        }
        true
    });
    for (path, status, class) in [
        ("/locked", "401", Class::Persistent),
        ("/page", "200", Class::Persistent),
        ("/down", "503", Class::Transient),
        ("/nothing", "404", Class::Persistent),
    ] {
        let spec = McpSpec::http("subject", McpHttp::new(peer.url(path)));
        let error = McpAgent::connect(spec).unwrap_err();
        println!("{path}: {error}");
        assert_eq!((error.code(), error.class()), (Code::AGENT_START, class), "{error}");
        assert_eq!(context(&error, "http_status"), status);
    }
    let nobody = McpSpec::http("subject", McpHttp::new(format!("http://{}/mcp", nobody())));
    let error = McpAgent::connect(nobody).unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::AGENT_START, Class::Transient));
    let error = McpAgent::connect(McpSpec::http("subject", McpHttp::new("mcp"))).unwrap_err();
    assert_eq!(error.code(), Code::INVALID);
}

#[test]
fn a_cancellation_is_told_in_the_way_of_the_era() {
    for era in [Era::Modern, Era::Legacy] {
        let gone = Arc::new(AtomicBool::new(false));
        let went = Arc::clone(&gone);
        let peer = Peer::start(move |asked, line| {
            let known = match era {
                Era::Modern => modern(asked, line),
                Era::Legacy => legacy(asked, line, "s"),
            };
            if !known {
                line.begin_events();
                let token = &asked.json()["params"]["_meta"]["progressToken"];
                let params = json!({"progressToken": token, "progress": 1});
                let method = "notifications/progress";
                line.event(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
                went.store(line.stall(LONG), Ordering::SeqCst);
                return false;
            }
            true
        });
        let agent = Arc::new(McpAgent::connect(at(&peer)).unwrap());
        let (mut ticket, reply) = sutazai_core::base::ticket::pair();
        let worker = {
            let agent = Arc::clone(&agent);
            std::thread::spawn(move || agent.handle(Task::new("echo", json!({})), reply))
        };
        ticket.wait_part(LONG).unwrap().unwrap();
        let began = Instant::now();
        ticket.cancel();
        assert_eq!(answer(ticket).unwrap_err().code(), Code::CANCELLED);
        worker.join().unwrap();
        println!("{era:?}: the thread went on after {:?}", began.elapsed());
        crate::common::until("its connection is closed", || gone.load(Ordering::SeqCst));
        let told = methods(&peer).iter().any(|method| method == "notifications/cancelled");
        assert_eq!(told, era == Era::Legacy);
    }
}

#[test]
fn a_stalled_call_ends_at_its_deadline_and_blocks_nobody() {
    let peer = Peer::start(|asked, line| {
        if !modern(asked, line) {
            if asked.json()["params"]["arguments"]["stall"] == true {
                line.stall(LONG);
                return false;
            }
            line.json(200, &result(asked, text("quick")));
        }
        true
    });
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    kernel.add_agent(McpAgent::connect(at(&peer)).unwrap()).unwrap();
    let given = Duration::from_millis(400);
    let began = Moment::now();
    let stalled: Vec<_> = (0..12)
        .map(|_| kernel.call(Task::new("echo", json!({"stall": true})).timeout(given)))
        .collect();
    let mut quick = kernel.call(Task::new("echo", json!({})).timeout(LONG));
    assert_eq!(*quick.wait().unwrap().output.value().unwrap(), json!("quick"));
    println!("a quick one beside twelve stalled ones: {:?}", Moment::now().since(began));
    for mut ticket in stalled {
        let error = ticket.wait_timeout(LONG).expect("an answer").unwrap_err();
        assert_eq!(error.code(), Code::DEADLINE_EXCEEDED);
    }
    let late = Moment::now().since(began).saturating_sub(given);
    println!("twelve stalled calls ended {late:?} after their deadline");
    assert!(late <= Duration::from_millis(500), "{late:?}");
    kernel.stop(Duration::from_secs(5)).unwrap();
}

#[test]
fn what_a_server_asks_on_a_stream_is_answered() {
    let peer = Peer::start(|asked, line| {
        if !legacy(asked, line, "s") {
            line.begin_events();
            for (id, method) in [("a", "ping"), ("b", "elicitation/create")] {
                line.event(&json!({"jsonrpc": "2.0", "id": id, "method": method}));
            }
            line.event(&result(asked, text("asked")));
            line.end_events();
        }
        true
    });
    let agent = McpAgent::connect(at(&peer)).unwrap();
    assert_eq!(output(ask(&agent, "echo", json!({}))), "asked");
    let answers: Vec<Value> = peer.asked().iter().map(Asked::json).collect();
    assert!(answers.contains(&json!({"jsonrpc": "2.0", "id": "a", "result": {}})));
    let refused = answers.iter().find(|answer| answer["id"] == "b").unwrap();
    assert_eq!(refused["error"]["code"], -32601);
}

/// A program that serves HTTP, ended when dropped.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Connects as soon as it listens.
fn reached(name: &str, url: &str) -> McpAgent {
    let end = Instant::now() + LONG;
    loop {
        match McpAgent::connect(McpSpec::http(name, McpHttp::new(url)).probe_timeout(LONG)) {
            Ok(agent) => {
                agent.start(&host()).unwrap();
                println!("{name}: {:?} {:?}", agent.status().revision, agent.card().skills);
                return agent;
            }
            Err(error) if error.class() == Class::Transient && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn real_everything_over_http() {
    let Some(folder) = servers() else { return };
    let port = nobody().port();
    let index = "node-mcp/node_modules/@modelcontextprotocol/server-everything/dist/index.js";
    let mut served = Command::new("node");
    served.arg(folder.join(index)).arg("streamableHttp").env("PORT", port.to_string());
    let served = Served(served.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let agent = reached("everything", &format!("http://127.0.0.1:{port}/mcp"));
    assert_eq!(agent.status().era, Some(Era::Legacy));
    assert_eq!(output(ask(&agent, "echo", json!({"message": "hello"}))), "Echo: hello");
    let work = json!({"duration": 1, "steps": 4});
    let mut ticket = ask(&agent, "trigger-long-running-operation", work);
    let part = ticket.wait_part(LONG).unwrap().unwrap();
    println!("everything: progress {part}");
    assert_eq!(part.value().unwrap()["total"], 4);
    answer(ticket).unwrap();
    agent.stop(Moment::now() + LONG);
    drop(served);
}

#[test]
fn real_python_sdk_over_http() {
    let Some(folder) = servers() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/http_server.py");
    let mut served = Command::new(folder.join("venv-mcp/bin/python"));
    served.arg(script).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut served = Served(served.spawn().unwrap());
    let mut port = String::new();
    BufReader::new(served.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let agent = reached("sdk", &format!("http://127.0.0.1:{}/mcp", port.trim()));
    assert_eq!(agent.status().era, Some(Era::Modern));
    assert_eq!(output(ask(&agent, "add", json!({"a": 2, "b": 3}))), json!({"result": 5}));
    let error = failure(ask(&agent, "add", json!({"a": "two"})));
    println!("sdk: {error}");
    assert_eq!(error.code(), Code::AGENT_FAILED);
    let mut ticket = ask(&agent, "work", json!({"steps": 3}));
    let part = ticket.wait_part(LONG).unwrap().unwrap();
    println!("sdk: progress {part}");
    assert_eq!(output(ticket), json!({"result": "worked"}));
    let (ticket, reply) = sutazai_core::base::ticket::pair();
    std::thread::scope(|scope| {
        scope.spawn(|| agent.handle(Task::new("work", json!({"steps": 1000})), reply));
        std::thread::sleep(Duration::from_millis(200));
        ticket.cancel();
    });
    assert_eq!(output(ask(&agent, "add", json!({"a": 1, "b": 1}))), json!({"result": 2}));
    agent.stop(Moment::now() + LONG);
}
