//! What docs/tuning.md and docs/monitoring.md print is true: each request is answered, the manifest starts all that it names, and no event or
//! kind of anomaly is left out.
#![cfg(all(
    feature = "tune",
    feature = "monitor",
    feature = "agent",
    feature = "recovery",
    feature = "security",
    feature = "plot"
))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helper functions too")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sutazai_core::agent::from_fn;
use sutazai_core::kernel::{CallsTo, Kernel, grammar};
use sutazai_core::monitor::AnomalyKind;
use sutazai_core::observe::LogQuery;
use sutazai_core::port::{Agent, AgentCard, AgentOrder, Task};
use sutazai_core::surface::{self, Surface};

/// What is no request of its own, and what it is a part of.
const PARTS: [(&str, &str, &str); 1] = [(
    r#"{"quantile": 0.99}"#,
    "monitor.query",
    r#"{"series": "queue_length", "from": "2026-01-01T08:00:00Z", "to": "2026-01-01T09:00:00Z", "step_ms": 60000, "aggregate": {"quantile": 0.99}}"#,
)];

/// How operations are called from each host is shown by one of these.
const CALLED: &str = "ingest";

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The requests of a page, each with the operation that was named last before it.
fn requests(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut operation = String::new();
    for (index, part) in page.split("```").enumerate() {
        if index % 2 == 1 {
            if let Some(request) = part.strip_prefix("json\n") {
                found.push((operation.clone(), request.to_owned()));
            }
            continue;
        }
        // Paragraphs may break a span.
        let part = part.replace('\n', " ");
        for (index, span) in part.split('`').enumerate() {
            if index % 2 == 0 {
                continue;
            }
            if surface::operation(span).is_some() {
                span.clone_into(&mut operation);
            } else if span.starts_with("{\"") {
                found.push((operation.clone(), span.to_owned()));
            }
        }
    }
    found
}

fn echo(name: &str) -> impl Agent {
    from_fn(AgentCard::new(name, ["work"]), |task: &Task| Ok(task.input().clone()))
}

/// What the pages take for granted: guards, samples, and series of the past.
fn world() -> Kernel {
    let kernel = Kernel::builder().agent(echo("search")).agent(echo("writer")).build().unwrap();
    kernel.start().unwrap();
    let guard = serde_json::from_value(json!({"bulkhead": {"concurrency": 16}})).unwrap();
    kernel.guard(CallsTo::Agent("search".into()), Some(guard)).unwrap();
    kernel
}

fn ask(kernel: &Kernel, operation: &str, request: &str) -> sutazai_core::Result<Value> {
    let answer = Surface::new(kernel).invoke_waiting(operation, request).wait()?;
    Ok((*answer.value()?).clone())
}

/// Series that requests may ask for; some of them let series go.
fn measured(kernel: &Kernel) {
    for series in ["queue_length", "budget_left", "memory_limit_used_ratio"] {
        kernel.measured(series, 0.5, None).unwrap();
    }
    kernel.measured("jobs{user=\"bob\"}", 1.0, None).unwrap();
}

#[test]
fn each_request_is_answered() {
    for (name, least) in [("tuning.md", 4), ("monitoring.md", 8)] {
        let kernel = world();
        let mut asked = 0;
        for (operation, request) in requests(&text(name)) {
            let part = PARTS.iter().find(|(part, ..)| *part == request);
            let (operation, request) = match part {
                Some((_, operation, whole)) => ((*operation).to_owned(), (*whole).to_owned()),
                None => (operation, request),
            };
            measured(&kernel);
            let answer = ask(&kernel, &operation, &request);
            assert!(answer.is_ok(), "{name}: {operation} {request}: {:#}", answer.unwrap_err());
            asked += 1;
        }
        assert!(asked >= least, "{name} has {asked} requests");
        kernel.stop(Duration::from_secs(5)).unwrap();
    }
}

#[test]
fn a_request_as_each_host_writes_it_is_answered() {
    let kernel = world();
    let page = text("tuning.md");
    let called = page.lines().filter(|line| line.starts_with('|') && line.contains("\"tune.get\""));
    assert_eq!(called.clone().count(), 5);
    assert!(called.clone().all(|line| line.contains(CALLED) && !line.contains("\"op\"")));
    let spec = json!({"tuner": CALLED, "spec": {"knobs": [
        {"name": "batch", "kind": {"type": "integer", "low": 1, "high": 9}, "value": 2}]}});
    ask(&kernel, "tune.add", &spec.to_string()).unwrap();
    assert_eq!(ask(&kernel, "tune.get", r#"{"tuner": "ingest"}"#).unwrap()["name"], "ingest");
    assert_eq!(r#"{"tuner": "ingest"}"#.len(), 19, "as the call from C says");
    let refused = ask(&kernel, "tune.get", r#"{"op": "tune.get", "tuner": "ingest"}"#);
    assert_eq!(refused.unwrap_err().code(), sutazai_core::Code::REQUEST_INVALID);
}

/// The block of TOML.
fn manifest() -> String {
    let page = text("tuning.md");
    let [block] = page.split("```toml\n").skip(1).collect::<Vec<_>>()[..] else {
        panic!("one block of a manifest");
    };
    block.split("```").next().unwrap().to_owned()
}

fn started(text: &str) -> Kernel {
    let manifest = grammar().parse("sutazai.toml", text).unwrap();
    let kernel = Kernel::builder().manifest(&manifest).build().unwrap();
    let factory = |order: &AgentOrder| Ok(Arc::new(echo(&order.name)) as Arc<dyn Agent>);
    kernel.add_agent_factory("worker", factory).unwrap();
    kernel.start().unwrap();
    kernel
}

fn trouble(kernel: &Kernel) -> Vec<String> {
    let logged = kernel.log().recent(&LogQuery::default()).into_iter();
    let told = logged.filter(|one| one.message == "what was planned is not tuned");
    told.map(|one| format!("{one:?}")).collect()
}

#[test]
fn the_manifest_tunes_all_that_it_names() {
    let data = format!("data_dir = \":memory:\"\n{}", manifest());
    let kernel = started(&data);
    assert!(trouble(&kernel).is_empty(), "{:?}", trouble(&kernel));
    assert_eq!(kernel.tuners().len(), 1);
    assert_eq!(kernel.scaled_pools().len(), 1);
    assert_eq!(kernel.shared_out().len(), 1);
    kernel.stop(Duration::from_secs(5)).unwrap();
    // What is not there is left out alone, and the log says so.
    let kernel = started(
        &data.replace("[recovery.guards.all]\nbulkhead", "[recovery.guards.skill.other]\nbulkhead"),
    );
    let told = trouble(&kernel);
    assert!(told.len() == 1 && told[0].contains("there is no knob of this name"), "{told:?}");
    assert!(kernel.tuners().is_empty() && kernel.scaled_pools().len() == 1);
    kernel.stop(Duration::from_secs(5)).unwrap();
}

#[test]
fn each_kind_of_anomaly_has_its_line() {
    let schema = serde_json::to_value(schemars::schema_for!(AnomalyKind)).unwrap();
    let kinds: Vec<_> = schema["oneOf"].as_array().unwrap().iter().collect();
    assert!(kinds.len() >= 8);
    let page = text("monitoring.md");
    for kind in kinds {
        let name = kind["const"].as_str().or(kind["enum"][0].as_str()).unwrap();
        assert!(page.contains(&format!("\n| `{name}` | ")), "{name} is not in docs/monitoring.md");
    }
}

/// The events that a folder of the kernel's sources publishes under a subject that begins so.
fn published(folder: &Path, room: &str, subjects: &mut std::collections::BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            published(&path, room, subjects);
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for call in source.split("publish(").skip(1) {
            let Some(subject) = call.trim_start().strip_prefix('"') else { continue };
            let subject = subject.split('"').next().unwrap();
            if subject.starts_with(room) {
                subjects.insert(subject.to_owned());
            }
        }
    }
}

#[test]
fn each_event_is_listed() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernel");
    for (room, page, least) in [("tune.", "tuning.md", 6), ("monitor.", "monitoring.md", 2)] {
        let mut subjects = std::collections::BTreeSet::new();
        published(&sources, room, &mut subjects);
        assert!(subjects.len() >= least, "{subjects:?}");
        let page = text(page);
        for subject in subjects {
            assert!(page.contains(&format!("`{subject}`")), "{subject} is in no document");
        }
    }
}
