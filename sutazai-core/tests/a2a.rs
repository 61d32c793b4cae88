//! The A2A connector against servers that nobody here wrote.

#![cfg(feature = "a2a")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod peer;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use peer::real::{self, Server};
use serde_json::{Value, json};
use sutazai_core::agent::connect::a2a::{A2aAgent, A2aBinding, A2aSpec, Refreshed};
use sutazai_core::agent::connect::http::{HttpCall, HttpClient, HttpRequest};
use sutazai_core::base::payload::Payload;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Agent, Task};
use sutazai_core::{Class, Code, Error};

const LONG: Duration = Duration::from_secs(30);

fn python(options: &[&str]) -> Option<Server> {
    let python = real::installed("venv-a2a/bin/python")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/servers.d/a2a_server.py");
    let port = real::free_port();
    let mut command = Command::new(python);
    command.arg(script).arg(port.to_string()).args(options);
    Some(real::start(command, port))
}

fn kernel(server: &Server, binding: A2aBinding) -> (Kernel, String) {
    let spec = A2aSpec::new(format!("http://{}", server.at)).name("peer").binding(binding);
    let agent = A2aAgent::connect(spec).unwrap();
    let card = agent.card();
    assert_eq!(
        (card.version.as_str(), card.skills.join(",")),
        ("1.2.3", "ask,echo,look-up".into())
    );
    let version = card.labels["a2a"].clone();
    let kernel = Kernel::builder().agent(agent).build().unwrap();
    kernel.start().unwrap();
    (kernel, version)
}

/// What is answered, and the partial results on the way.
fn call(kernel: &Kernel, input: impl Into<Payload>) -> (Result<Payload, Error>, Vec<Value>) {
    let mut ticket = kernel.call(Task::new("look-up", input).timeout(LONG));
    let mut parts = Vec::new();
    while let Ok(Some(part)) = ticket.wait_part(LONG) {
        parts.push((*part.value().unwrap()).clone());
    }
    (ticket.wait().map(|outcome| outcome.output), parts)
}

fn output(kernel: &Kernel, input: impl Into<Payload>) -> Value {
    let answer = call(kernel, input).0.unwrap();
    (*answer.value().unwrap()).clone()
}

fn failure(kernel: &Kernel, input: impl Into<Payload>) -> Error {
    call(kernel, input).0.unwrap_err()
}

fn context(error: &Error, key: &str) -> String {
    error.context().find(|(name, _)| *name == key).map_or(String::new(), |(_, value)| value.into())
}

fn get(server: &Server, path: &str) -> Value {
    let request = HttpRequest::get(&format!("http://{}{path}", server.at)).unwrap();
    HttpClient::new().send(&request, &HttpCall::within(LONG)).unwrap().json(1 << 20).unwrap()
}

/// Everything that the library's own agent does, over one binding.
fn everything(server: &Server, binding: A2aBinding, streams: bool) {
    let (kernel, version) = kernel(server, binding);
    let (answer, parts) = call(&kernel, "echo a b c");
    assert_eq!(answer.unwrap(), Payload::from("a b c"));
    let artifacts = parts.iter().filter(|part| part.get("artifact").is_some()).count();
    assert_eq!(artifacts, if streams { 3 } else { 0 }, "{parts:?}");
    assert!(parts.iter().any(|part| part["status"]["state"] == "working"), "{parts:?}");
    assert!(!parts.iter().any(|part| part.get("gap").is_some()), "{parts:?}");

    assert_eq!(output(&kernel, "skill"), "look up", "the card's own name of the skill");
    assert_eq!(output(&kernel, json!({"any": "data"}))["parts"].as_f64(), Some(1.0));
    assert_eq!(output(&kernel, "message"), "no task");
    assert_eq!(output(&kernel, "hello there"), "you said hello there");
    let parts = json!({"parts": [{"text": "hello"}, {"data": {"x": 1}}]});
    assert_eq!(output(&kernel, parts)["parts"], json!([{"text": "you said hello"}]));

    let asked = failure(&kernel, "ask");
    assert_eq!(
        (asked.code(), asked.class(), asked.message()),
        (Code::AGENT_FAILED, Class::Persistent, "which city?")
    );
    let more = json!({"parts": [{"text": "echo Rome"}], "task": context(&asked, "task"), "context": context(&asked, "context")});
    let answer = output(&kernel, more);
    assert_eq!(
        (&answer["parts"], &answer["task"]),
        (&json!([{"text": "Rome"}]), &json!(context(&asked, "task")))
    );

    let failed = failure(&kernel, "fail");
    assert_eq!(
        (failed.code(), failed.class(), failed.message()),
        (Code::AGENT_FAILED, Class::Transient, "it broke")
    );
    let rejected = failure(&kernel, "reject");
    assert_eq!(
        (rejected.code(), rejected.class(), rejected.message()),
        (Code::AGENT_FAILED, Class::Persistent, "not my job")
    );
    // The library's 0.3 over HTTP+JSON closes the connection instead of saying so.
    if version != "0.3" || binding == A2aBinding::JsonRpc {
        let unknown = failure(&kernel, json!({"parts": [{"text": "x"}], "task": "no-such-task"}));
        let told = (context(&unknown, "rpc"), context(&unknown, "rpc_code"));
        assert_eq!(told, ("a2a".into(), "-32001".into()), "{unknown:#}");
    }

    // Cancelled by its caller, and by its deadline: there too.
    let before = get(server, "/cancelled").as_array().unwrap().len();
    let (id, mut ticket) = kernel.submit(Task::new("echo", "slow 30"), None);
    let started = ticket.wait_part(LONG).unwrap();
    assert!(started.is_some());
    let begun = Instant::now();
    assert!(kernel.cancel(id));
    assert_eq!(ticket.wait().unwrap_err().code(), Code::CANCELLED);
    let late = kernel.call(Task::new("echo", "slow 30").timeout(Duration::from_millis(400))).wait();
    assert_eq!(late.unwrap_err().code(), Code::DEADLINE_EXCEEDED);
    while get(server, "/cancelled").as_array().unwrap().len() < before + 2 {
        assert!(begun.elapsed() < LONG, "the agent was not told");
        std::thread::sleep(Duration::from_millis(10));
    }
    println!(
        "{version} {binding:?} streams={streams}: fine; two tasks cancelled in {:?}; {asked:#}",
        begun.elapsed()
    );
    kernel.stop(LONG).unwrap();
}

#[test]
fn the_protocols_own_library_over_both_bindings() {
    let Some(server) = python(&[]) else { return };
    everything(&server, A2aBinding::JsonRpc, true);
    everything(&server, A2aBinding::HttpJson, true);
}

#[test]
fn the_protocols_own_library_without_streams() {
    let Some(server) = python(&["--plain"]) else { return };
    everything(&server, A2aBinding::JsonRpc, false);
    everything(&server, A2aBinding::HttpJson, false);
}

#[test]
fn the_protocols_own_library_as_0_3() {
    let Some(server) = python(&["--03"]) else { return };
    everything(&server, A2aBinding::JsonRpc, true);
    everything(&server, A2aBinding::HttpJson, true);
}

#[test]
fn a_card_is_asked_for_again_by_its_tag() {
    let Some(server) = python(&[]) else { return };
    let agent = A2aAgent::connect(A2aSpec::new(format!("http://{}/", server.at))).unwrap();
    assert_eq!(&*agent.card().name, "Test-agent");
    assert!(matches!(agent.refresh(), Refreshed::Unchanged));
    drop(server);
    let Refreshed::Unreachable(error) = agent.refresh() else { panic!("it is gone") };
    assert_eq!((error.code(), error.class()), (Code::IO, Class::Transient), "{error:#}");
}

#[test]
fn a_server_that_speaks_0_3_only_and_says_1_0() {
    let Some(main) = real::installed("node-openai/node_modules/@dwmkerr/mock-llm/dist/main.js")
    else {
        return;
    };
    let port = real::free_port();
    let mut node = Command::new("node");
    node.arg(main)
        .env("HOST", "127.0.0.1")
        .env("PORT", port.to_string())
        .current_dir(PathBuf::from("/"));
    let server = real::start(node, port);
    let url = format!("http://{}/a2a/agents/countdown-agent", server.at);
    let agent = A2aAgent::connect(A2aSpec::new(url)).unwrap();
    assert_eq!(
        (agent.card().labels["a2a"].as_str(), agent.card().skills.join(",")),
        ("0.3", "countdown".into())
    );
    let kernel = Kernel::builder().agent(agent).build().unwrap();
    kernel.start().unwrap();
    let ask = |text: &str| {
        let mut ticket = kernel.call(Task::new("countdown", text).timeout(LONG));
        let mut said = Vec::new();
        while let Ok(Some(part)) = ticket.wait_part(LONG) {
            said.push(
                part.value().unwrap()["status"]["text"].as_str().unwrap_or_default().to_owned(),
            );
        }
        (ticket.wait(), said)
    };
    let (answer, said) = ask("Countdown from 1");
    assert_eq!(answer.unwrap().output, Payload::from("Countdown complete!"));
    assert!(said.iter().any(|text| text.starts_with("0 seconds")), "{said:?}");
    println!("{said:?}");
    let error = ask("Countdown from -5").0.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::AGENT_FAILED, "Cannot countdown from negative number -5")
    );
    kernel.stop(LONG).unwrap();
}
