//! The conformance corpus in the Rust host: every operation, success and failure, canonical answers.
//! The format is described in `tests/conformance/README.md`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::ticket::{Reply, Ticket};
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Agent, AgentCard, Outcome, Task, WorkerMessage};
use sutazai_core::recovery::supervise::mailbox::MailboxPolicy;
use sutazai_core::surface::{self, Surface};
use sutazai_core::{Class, Code, Error, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    room: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    given: Given,
    op: String,
    #[serde(default = "empty")]
    request: Value,
    #[serde(default)]
    advance_ms: u64,
    expect: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    clock: String,
    seed: u64,
    agents: Vec<String>,
    workers: Vec<String>,
    start: bool,
    data_dir: bool,
    before: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    op: String,
    #[serde(default = "empty")]
    request: Value,
    #[serde(default)]
    save: BTreeMap<String, String>,
    #[serde(default)]
    pending: bool,
    #[serde(default)]
    advance_ms: u64,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            clock: "virtual".into(),
            seed: 1,
            agents: Vec::new(),
            workers: Vec::new(),
            start: true,
            data_dir: false,
            before: Vec::new(),
        }
    }
}

fn empty() -> Value {
    json!({})
}

/// One of the test agents that each host writes in its own language.
struct TestAgent {
    name: String,
    held: Mutex<Vec<Reply<Outcome>>>,
}

impl Agent for TestAgent {
    fn card(&self) -> AgentCard {
        AgentCard::new(&self.name, [&self.name])
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        let _ = match self.name.as_str() {
            "echo" => reply.send(task.input().clone().into()),
            "fail" => reply.fail(
                Error::new(Code::AGENT_FAILED, "failed on purpose").classed(Class::Transient),
            ),
            _ => {
                self.held.lock().push(reply);
                Ok(())
            }
        };
    }
}

struct Bench {
    surface: Surface,
    virtual_time: bool,
    saved: BTreeMap<String, Value>,
    pending: Vec<Ticket<Payload>>,
    _dir: Option<tempfile::TempDir>,
}

impl Bench {
    fn new(given: &Given) -> Self {
        let virtual_time = given.clock == "virtual";
        let dir = given.data_dir.then(|| tempfile::tempdir().unwrap());
        let mut builder = Kernel::builder().seed(given.seed);
        if virtual_time {
            builder = builder.runtime(Arc::new(Manual::new()));
        }
        if let Some(dir) = &dir {
            builder = builder.data_dir(dir.path());
        }
        for name in &given.agents {
            builder = builder.agent(TestAgent { name: name.clone(), held: Mutex::default() });
        }
        let kernel = builder.build().unwrap();
        for name in &given.workers {
            let fails = name == "crash";
            assert!(fails || name == "note", "no test worker is called {name}");
            let work = move |_: &WorkerMessage<'_>| -> Result<()> {
                if fails {
                    return Err(Error::new(Code::AGENT_FAILED, "failed on purpose"));
                }
                Ok(())
            };
            let policy = MailboxPolicy::default();
            kernel.workers().add_messages(name, policy, Arc::new(work)).unwrap();
        }
        if given.start {
            kernel.start().unwrap();
        }
        Self {
            surface: Surface::new(&kernel),
            virtual_time,
            saved: BTreeMap::new(),
            pending: Vec::new(),
            _dir: dir,
        }
    }

    fn submit(&self, op: &str, request: &Value, advance_ms: u64) -> Ticket<Payload> {
        let request = self.fill(request);
        let ticket = self.surface.invoke(op, &request.to_string());
        if self.virtual_time {
            self.surface.kernel().advance(Duration::from_millis(advance_ms)).unwrap();
        }
        ticket
    }

    fn answer(&self, ticket: &mut Ticket<Payload>) -> Option<Result<Payload>> {
        if self.virtual_time {
            ticket.try_take()
        } else {
            ticket.wait_timeout(Duration::from_secs(30))
        }
    }

    /// Saved values stand in requests as `"$name"`.
    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match text.strip_prefix('$').and_then(|n| self.saved.get(n)) {
                Some(saved) => saved.clone(),
                None => value.clone(),
            },
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(map) => {
                map.iter().map(|(key, item)| (key.clone(), self.fill(item))).collect()
            }
            other => other.clone(),
        }
    }

    fn step(&mut self, step: &Step) -> std::result::Result<(), String> {
        let mut ticket = self.submit(&step.op, &step.request, step.advance_ms);
        if step.pending {
            self.pending.push(ticket);
            return Ok(());
        }
        let answer = match self.answer(&mut ticket) {
            Some(Ok(answer)) => answer.value().map_err(|e| e.to_string())?,
            Some(Err(error)) => return Err(format!("{} before: {error:#}", step.op)),
            None => return Err(format!("{} before: no answer", step.op)),
        };
        for (name, pointer) in &step.save {
            let value = answer.pointer(pointer).ok_or_else(|| format!("nothing at {pointer}"))?;
            self.saved.insert(name.clone(), value.clone());
        }
        Ok(())
    }
}

fn outcome(answer: Option<Result<Payload>>) -> Value {
    match answer {
        None => json!({"pending": true}),
        Some(Ok(answer)) => json!({"answer": *answer.value().unwrap()}),
        Some(Err(error)) => json!({"error": serde_json::to_value(&error).unwrap()}),
    }
}

/// What of the outcome an expectation speaks of.
fn agrees(expected: &Value, actual: &Value) -> bool {
    match (expected.get("error"), actual.get("error")) {
        (Some(expected), Some(actual)) => expected
            .as_object()
            .is_some_and(|map| map.iter().all(|(key, value)| actual.get(key) == Some(value))),
        (None, None) => matches(expected, actual),
        _ => false,
    }
}

fn matches(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::String(text), _) if text == "$any" => true,
        (Value::String(text), actual) if text == "$number" => actual.is_number(),
        (Value::String(text), actual) if text == "$string" => actual.is_string(),
        (Value::String(text), actual) if text == "$array" => actual.is_array(),
        (Value::Object(expected), Value::Object(actual)) => {
            let partial = expected.contains_key("$partial");
            let wanted = expected.len() - usize::from(partial);
            (partial || wanted == actual.len())
                && expected
                    .iter()
                    .filter(|(key, _)| *key != "$partial")
                    .all(|(key, value)| actual.get(key).is_some_and(|a| matches(value, a)))
        }
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len()
                && expected.iter().zip(actual).all(|(e, a)| matches(e, a))
        }
        (expected, actual) => expected == actual,
    }
}

fn files() -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let file: File =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            file
        })
        .collect()
}

fn run(case: &Case) -> std::result::Result<(), String> {
    let mut bench = Bench::new(&case.given);
    for step in &case.given.before {
        bench.step(step)?;
    }
    let mut ticket = bench.submit(&case.op, &case.request, case.advance_ms);
    let actual = outcome(bench.answer(&mut ticket));
    let expected = bench.fill(&case.expect);
    if !agrees(&expected, &actual) {
        return Err(format!("expected {expected}\n     got {actual}"));
    }
    match actual.pointer("/error/name").and_then(Value::as_str) {
        Some(code) if !declares(&case.op, code) => Err(format!("{code} is not declared")),
        _ => Ok(()),
    }
}

/// Whether the operation's row names the code, or any operation may answer with it.
fn declares(op: &str, code: &str) -> bool {
    surface::COMMON.iter().any(|common| common.name() == code)
        || surface::operation(op).is_some_and(|row| row.view().errors.contains(&code))
}

#[test]
fn every_case_gets_its_answer() {
    let mut failed = Vec::new();
    let mut count = 0;
    for file in files() {
        for case in &file.cases {
            count += 1;
            assert!(case.op.starts_with(&format!("{}.", file.room)), "{}: {}", file.room, case.op);
            if let Err(problem) = run(case) {
                failed.push(format!("{}: {} ({})\n     {problem}", file.room, case.name, case.op));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {count} cases:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_operation_has_a_success_and_a_failure() {
    let (mut succeeds, mut fails) = (BTreeSet::new(), BTreeSet::new());
    for file in files() {
        for case in file.cases {
            if case.expect.get("answer").is_some() {
                succeeds.insert(case.op);
            } else if case.expect.get("error").is_some() {
                fails.insert(case.op);
            }
        }
    }
    let table: BTreeSet<_> =
        surface::operations().iter().map(|row| row.name().to_owned()).collect();
    let missing = |have: &BTreeSet<String>| table.difference(have).cloned().collect::<Vec<_>>();
    assert_eq!(missing(&succeeds), Vec::<String>::new(), "no case that succeeds");
    assert_eq!(missing(&fails), Vec::<String>::new(), "no case that fails");
    assert!(succeeds.union(&fails).all(|op| table.contains(op)), "a case of no operation");
}

#[test]
fn answers_fit_their_schemas() {
    for file in files() {
        for case in &file.cases {
            let mut bench = Bench::new(&case.given);
            if case.given.before.iter().any(|step| bench.step(step).is_err()) {
                continue;
            }
            let mut ticket = bench.submit(&case.op, &case.request, case.advance_ms);
            let Some(Ok(answer)) = bench.answer(&mut ticket) else { continue };
            let view = surface::operation(&case.op).unwrap().view();
            let validator = jsonschema::validator_for(&view.answer).unwrap();
            let answer = answer.value().unwrap();
            let problems: Vec<_> = validator.iter_errors(&answer).map(|e| e.to_string()).collect();
            assert!(problems.is_empty(), "{}: {problems:?}\n{answer}", case.name);
        }
    }
}
