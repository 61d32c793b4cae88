//! What is changed while a kernel runs is on its audit record, whoever changes it and by whichever door.
#![cfg(all(feature = "security", feature = "agent", feature = "recovery"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helper functions too")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sutazai_core::agent::from_fn;
use sutazai_core::base::runtime::Manual;
use sutazai_core::kernel::{CallsTo, Kernel};
use sutazai_core::port::{Agent, AgentCard, RunMode, Task};
use sutazai_core::recovery::{GuardPolicy, IsolatePolicy};
use sutazai_core::security::audit::{Query, Record};
use sutazai_core::surface::Surface;
use sutazai_core::{Code, Error};

fn agent(version: &str) -> impl Agent {
    let card = AgentCard::new("echo", ["read"]).run(RunMode::Inline).version(version);
    from_fn(card, |task: &Task| Ok(task.input().clone()))
}

fn records(kernel: &Kernel) -> Vec<Record> {
    let query = Query { limit: 1_000, ..Query::default() };
    let page = kernel.security().unwrap().audit().query(&query).unwrap();
    let mut records: Vec<Record> = page.records.into_iter().map(|found| found.record).collect();
    records.reverse();
    records
}

/// What was recorded since the kernel began, a line each.
fn told(kernel: &Kernel) -> Vec<String> {
    let line = |record: &Record| {
        let Record { class, action, principal, object, outcome, .. } = record;
        format!("{} {action} {object} by {principal}: {}", class.name(), outcome.name())
    };
    records(kernel).iter().map(line).collect()
}

#[track_caller]
fn tells(kernel: &Kernel, line: &str) {
    let told = told(kernel);
    assert!(told.iter().any(|there| there == line), "{line} is not among\n{}", told.join("\n"));
}

#[test]
fn what_is_deployed() {
    let kernel = Kernel::builder().agent(agent("1.0.0")).build().unwrap();
    kernel.start().unwrap();
    tells(&kernel, "deployment kernel.start kernel by kernel: success");
    tells(&kernel, "deployment agent.add echo by kernel: success");
    kernel.replace_agent(agent("2.0.0")).unwrap();
    kernel.switch_agent("echo", "1.0.0").unwrap();
    kernel.retire_agent("echo", "2.0.0", Duration::ZERO).unwrap();
    kernel.remove_agent("echo", Duration::ZERO).unwrap();
    kernel.add_agent(agent("3.0.0")).unwrap();
    for action in ["agent.replace", "agent.switch", "agent.retire", "agent.remove", "agent.add"] {
        tells(&kernel, &format!("deployment {action} echo by host: success"));
    }
    let version = |action: &str| {
        let found = records(&kernel).into_iter().rfind(|record| record.action == action);
        serde_json::to_value(found.unwrap().details).unwrap()
    };
    assert_eq!(version("agent.switch"), json!({"version": "1.0.0"}));
    assert_eq!(version("agent.add"), json!({"version": "3.0.0"}));
    let refused = kernel.remove_agent("nobody", Duration::ZERO).unwrap_err();
    assert_eq!(refused.code(), Code::NOT_FOUND);
    tells(&kernel, "deployment agent.remove nobody by host: failure");
    assert_eq!(version("agent.remove"), json!({"code": Code::NOT_FOUND.name()}));
    kernel.stop(Duration::from_secs(1)).unwrap();
    // It says so itself, and not that nothing can be recorded any more.
    let late = kernel.add_agent(agent("4.0.0")).unwrap_err();
    assert_eq!(late.code(), Code::DRAINING, "{late}");
}

#[test]
fn what_is_configured_and_what_is_forced() {
    let kernel = Kernel::builder().agent(agent("1.0.0")).build().unwrap();
    kernel.start().unwrap();
    kernel.guard(CallsTo::Skill("read".to_owned()), GuardPolicy::default()).unwrap();
    kernel.recovery().set_isolate_policy(IsolatePolicy::default()).unwrap();
    kernel.recovery().quarantine("echo", None, "ops").unwrap();
    kernel.recovery().release("echo", "ops").unwrap();
    let unknown = kernel.recovery().release("nothing", "ops").unwrap_err();
    assert_eq!(unknown.code(), Code::NOT_FOUND);
    for line in [
        "configuration recovery.guard_set skill:read by host: success",
        "configuration recovery.isolate_set_policy isolation by host: success",
        "override recovery.isolate_quarantine echo by ops: success",
        "override recovery.isolate_release echo by ops: success",
        "override recovery.isolate_release nothing by ops: failure",
    ] {
        tells(&kernel, line);
    }
    let surface = Surface::new(&kernel);
    let done = surface.invoke("observe.set_filter", r#"{"filter": "warn"}"#).wait();
    done.unwrap();
    tells(&kernel, "configuration observe.set_filter log by host: success");
    let wrong = surface.invoke("recovery.child_terminate", r#"{"path": "nothing"}"#).wait();
    assert_eq!(wrong.unwrap_err().code(), Code::NOT_FOUND);
    tells(&kernel, "override recovery.child_terminate nothing by host: failure");
    kernel.stop(Duration::from_secs(1)).unwrap();
}

/// In virtual time nothing can be waited for, and it is on the record all the same.
#[test]
fn in_virtual_time_as_well() {
    let kernel = Kernel::builder().runtime(Arc::new(Manual::new())).build().unwrap();
    kernel.start().unwrap();
    kernel.add_agent(agent("1.0.0")).unwrap();
    tells(&kernel, "deployment agent.add echo by host: success");
}

/// What cannot be put on the record is not done.
#[test]
fn no_record_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = Kernel::builder().data_dir(dir.path()).agent(agent("1.0.0")).build().unwrap();
    kernel.start().unwrap();
    kernel.security().unwrap().close(kernel.runtime().timestamp()).unwrap();
    let refused: Vec<Error> = [
        kernel.add_agent(agent("2.0.0")).unwrap_err(),
        kernel.remove_agent("echo", Duration::ZERO).unwrap_err(),
        kernel.recovery().quarantine("echo", None, "ops").unwrap_err(),
    ]
    .into();
    assert_eq!(refused[1].code(), Code::NOT_RUNNING, "{}", refused[1]);
    assert_eq!(refused[2].code(), Code::NOT_RUNNING, "{}", refused[2]);
    assert_eq!(
        *kernel.call(Task::new("read", 1)).wait().unwrap().output.value().unwrap(),
        json!(1)
    );
    assert!(kernel.recovery().targets().is_empty());
    drop(kernel.stop(Duration::from_secs(1)));
}
