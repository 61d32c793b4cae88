//! From each trigger to the safe state, with a thousand calls in flight: a critical error, a panic that
//! nobody catches, SIGTERM. The latter two belong to a process, so they have one of their own.
#![cfg(all(unix, feature = "agent", feature = "recovery", feature = "store"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use sutazai_core::agent::from_fn;
use sutazai_core::base::ticket::{Reply, Ticket};
use sutazai_core::kernel::Kernel;
use sutazai_core::kernel::inject::{Lifetime, Provided};
use sutazai_core::port::{Agent, AgentCard, FailsafeStage, Outcome, RunMode, SafeContext, Task};
use sutazai_core::recovery::{FailsafePolicy, FailsafeStatus, SafeState, StageOutcome};
use sutazai_core::{Class, Code, Error, Result};

const IN_FLIGHT: usize = 1_000;
const LONG: Duration = Duration::from_secs(120);
/// What a child is told by.
const DIR: &str = "SUTAZAI_FAILSAFE_DIR";

/// Keeps its replies and never answers.
#[derive(Default)]
struct Hangs(Mutex<Vec<Reply<Outcome>>>);

impl Agent for Hangs {
    fn card(&self) -> AgentCard {
        let mut card = AgentCard::new("hangs", ["hang"]);
        card.run = RunMode::Inline;
        card
    }
    fn handle(&self, _: Task, reply: Reply<Outcome>) {
        self.0.lock().push(reply);
    }
}

/// The host's own stage, which hangs as well.
struct Valve;

impl FailsafeStage for Valve {
    fn name(&self) -> &str {
        "valve"
    }
    fn within(&self) -> Duration {
        Duration::from_millis(100)
    }
    fn run(&self, _: &SafeContext<'_>) -> Result<()> {
        loop {
            std::thread::park();
        }
    }
}

fn policy() -> FailsafePolicy {
    let mut policy = FailsafePolicy::default();
    policy.drain_ms = 2_000;
    // A machine that is busy with other tests must not be taken for a stage that hangs.
    (policy.admit_ms, policy.flush_ms, policy.dump_ms) = (10_000, 15_000, 15_000);
    policy.total_ms = 45_000;
    policy
}

/// A running kernel with a thousand calls in flight.
fn kernel(dir: &Path, policy: FailsafePolicy) -> (Kernel, Vec<Ticket<Outcome>>) {
    let kernel = Kernel::builder()
        .data_dir(dir)
        .failsafe(policy)
        .failsafe_stage(Valve)
        .agent(Hangs::default())
        .agent(from_fn(AgentCard::new("echo", ["echo"]), |task: &Task| Ok(task.input().clone())))
        .agent(from_fn(AgentCard::new("panics", ["panic"]), |_: &Task| -> Result<&str> {
            panic!("on purpose, and the kernel catches it")
        }))
        .agent(from_fn(AgentCard::new("breaks", ["break"]), |_: &Task| -> Result<&str> {
            Err(Error::new(Code::STORE_CORRUPT, "the index is damaged"))
        }))
        .build()
        .unwrap();
    kernel.start().unwrap();
    let tickets = (0..IN_FLIGHT).map(|_| kernel.call(Task::new("hang", "x"))).collect();
    assert_eq!(kernel.calls().len(), IN_FLIGHT);
    (kernel, tickets)
}

/// The safe state was taken within its bound, every caller has an answer, and no new one gets in.
fn check(kernel: &Kernel, tickets: Vec<Ticket<Outcome>>, trigger: &str) {
    let status = kernel.recovery().wait_safe(LONG);
    check_status(&status, trigger);
    for mut ticket in tickets {
        assert_eq!(ticket.try_take().unwrap().unwrap_err().code(), Code::SAFE_STATE);
    }
    let late = kernel.call(Task::new("echo", "x")).wait().unwrap_err();
    assert_eq!((late.code(), late.class()), (Code::SAFE_STATE, Class::Persistent));
    let bundle = kernel.recovery().bundle().unwrap();
    check_bundle(&serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap(), trigger);
    let note = kernel.store().get("recovery", "safe_state").unwrap().unwrap();
    assert_eq!(note.value.value().unwrap()["trigger"], trigger);
}

fn check_status(status: &FailsafeStatus, trigger: &str) {
    assert_eq!(status.state, SafeState::Safe, "{status:?}");
    assert_eq!(status.trigger.unwrap().name(), trigger);
    assert!(status.took_ms.unwrap() <= status.total_ms, "{status:?}");
    let outcomes: Vec<_> =
        status.stages.iter().map(|stage| (stage.name.as_str(), &stage.outcome)).collect();
    let expected = [
        ("valve", &StageOutcome::TimedOut),
        ("stop_admitting", &StageOutcome::Done),
        ("drain", &StageOutcome::Done),
        ("flush", &StageOutcome::Done),
        ("dump", &StageOutcome::Done),
    ];
    assert_eq!(outcomes, expected);
}

fn check_bundle(bundle: &Value, trigger: &str) {
    assert_eq!(bundle["failsafe"]["trigger"], trigger);
    assert_eq!(bundle["in_flight"].as_array().unwrap().len(), IN_FLIGHT);
    assert_eq!(bundle["version"], env!("CARGO_PKG_VERSION"));
    for part in ["kernel", "degradation", "health"] {
        assert!(bundle[part].is_object(), "{part}");
    }
    for part in ["agents", "isolation", "playbooks", "metrics", "spans", "logs_since"] {
        assert!(bundle[part].is_array(), "{part}");
    }
    let told = |record: &Value| record["message"] == "recovery.failsafe.triggered";
    assert!(bundle["logs"].as_array().unwrap().iter().any(told));
}

#[test]
fn a_critical_error_takes_the_safe_state() {
    let dir = tempfile::tempdir().unwrap();
    let (kernel, tickets) = kernel(dir.path(), policy());
    let mut events = kernel.bus().subscribe("recovery.failsafe.*").pull().unwrap();
    // A panic that the kernel catches is no reason, critical as its error is.
    let caught = kernel.call(Task::new("panic", "x")).wait().unwrap_err();
    assert_eq!((caught.code(), caught.class()), (Code::PANIC, Class::Critical));
    assert!(!kernel.recovery().failsafe().is_triggered());
    let error = kernel.call(Task::new("break", "x")).wait().unwrap_err();
    assert_eq!(error.class(), Class::Critical);
    check(&kernel, tickets, "critical");
    let told: Vec<_> =
        (0..2).map(|_| events.wait(LONG).unwrap().unwrap().event.subject.to_string()).collect();
    assert_eq!(told, ["recovery.failsafe.triggered", "recovery.failsafe.safe"]);
    // It can still be stopped, and its directory is free then.
    kernel.stop(Duration::from_secs(1)).unwrap();
    drop(kernel);
    sutazai_core::store::DataDir::open(dir.path()).unwrap();
}

#[test]
fn without_being_asked_a_kernel_takes_it_only_by_hand() {
    let agent = from_fn(AgentCard::new("breaks", ["break"]), |_: &Task| -> Result<&str> {
        Err(Error::new(Code::INTERNAL, "broken"))
    });
    let kernel = Kernel::builder().agent(agent).build().unwrap();
    kernel.start().unwrap();
    kernel.call(Task::new("break", "x")).wait().unwrap_err();
    assert!(!kernel.recovery().failsafe().is_triggered());
    assert!(kernel.recovery().take_safe_state("a drill"));
    assert!(!kernel.recovery().take_safe_state("another"));
    let status = kernel.recovery().wait_safe(LONG);
    assert_eq!((status.state, status.reason.as_deref()), (SafeState::Safe, Some("a drill")));
}

#[test]
fn calls_that_finish_in_time_have_their_own_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    let mut policy = FailsafePolicy::default();
    (policy.drain_ms, policy.total_ms) = (60_000, 120_000);
    let slow = from_fn(AgentCard::new("slow", ["slow"]), move |_: &Task| {
        let _ = released.recv();
        Ok("done all the same")
    });
    let kernel =
        Kernel::builder().data_dir(dir.path()).failsafe(policy).agent(slow).build().unwrap();
    kernel.start().unwrap();
    let mut ticket = kernel.call(Task::new("slow", "x"));
    kernel.recovery().take_safe_state("a drill");
    // It is refused once admitting has stopped; from then on the drain waits for the first.
    while kernel.call(Task::new("none", "x")).wait().unwrap_err().code() != Code::SAFE_STATE {
        std::thread::yield_now();
    }
    drop(release);
    assert_eq!(ticket.wait().unwrap().output.to::<String>().unwrap(), "done all the same");
    let status = kernel.recovery().wait_safe(LONG);
    assert!(status.stages.iter().all(|stage| stage.outcome == StageOutcome::Done), "{status:?}");
}

#[test]
fn a_panic_that_nobody_catches_takes_the_safe_state() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, mut lines) = child("child_that_panics", dir.path());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    check_bundle(&bundle_in(dir.path()), "panic");
}

#[test]
fn sigterm_takes_the_safe_state_and_ends_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _lines) = child("child_that_is_terminated", dir.path());
    let told = Instant::now();
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let ended = child.wait().unwrap();
    // A second beyond the stages' time is the process' own.
    let bound = Duration::from_millis(policy().total_ms) + Duration::from_secs(1);
    assert!(told.elapsed() <= bound, "{:?}", told.elapsed());
    assert_eq!(ended.signal(), Some(15), "{ended:?}");
    check_bundle(&bundle_in(dir.path()), "signal");
}

#[test]
fn a_stage_of_the_hosts_comes_before_the_kernels_own_whenever_it_was_added() {
    let mut policy = FailsafePolicy::default();
    (policy.drain_ms, policy.total_ms) = (60_000, 120_000);
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    let recovery = kernel.recovery();
    recovery.set_failsafe_policy(policy.clone()).unwrap();
    recovery.add_stage(std::sync::Arc::new(Valve)).unwrap();
    recovery.take_safe_state("a drill");
    let status = recovery.wait_safe(LONG);
    check_status(&status, "host");
    assert_eq!(status.total_ms, 120_000);
    assert_eq!(recovery.set_failsafe_policy(policy).unwrap_err().code(), Code::SAFE_STATE);
}

#[test]
fn sigterm_has_its_own_effect_again_once_the_policy_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _lines) = child("child_that_is_no_longer_watched", dir.path());
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    assert!(!dir.path().join("diagnosis").exists(), "nothing was taken");
}

/// Runs one of the tests below in a process of its own, to the point where it says that it is ready.
fn child(name: &str, dir: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", name])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "{name} ended early");
    }
    (child, lines)
}

fn bundle_in(dir: &Path) -> Value {
    let mut files = std::fs::read_dir(dir.join("diagnosis")).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none(), "one bundle, and nothing half-written");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
#[ignore = "runs in a process of its own, by a_panic_that_nobody_catches_takes_the_safe_state"]
fn child_that_panics() {
    let dir = std::env::var_os(DIR).unwrap();
    let mut policy = policy();
    policy.on_panic = true;
    let (kernel, tickets) = kernel(Path::new(&dir), policy);
    // One that is caught is no reason, on whichever thread.
    kernel.call(Task::new("panic", "x")).wait().unwrap_err();
    let provided = Provided::default();
    provided.provide("broken", &[], Lifetime::Singleton, |_| panic!("a factory")).unwrap();
    assert!(provided.get("broken").is_err());
    assert!(!kernel.recovery().failsafe().is_triggered());
    println!("ready");
    let thread = std::thread::Builder::new().name("host".into());
    let panics = thread.spawn(|| panic!("nobody catches this")).unwrap();
    assert!(panics.join().is_err());
    check(&kernel, tickets, "panic");
    assert!(kernel.recovery().failsafe().status().reason.unwrap().contains("nobody catches this"));
}

#[test]
#[ignore = "runs in a process of its own, by sigterm_takes_the_safe_state_and_ends_the_process"]
fn child_that_is_terminated() {
    let dir = std::env::var_os(DIR).unwrap();
    let mut policy = policy();
    policy.on_sigterm = true;
    let (_kernel, _tickets) = kernel(Path::new(&dir), policy);
    println!("ready");
    loop {
        std::thread::park();
    }
}

#[test]
#[ignore = "runs in a process of its own, by sigterm_has_its_own_effect_again_once_the_policy_says_so"]
fn child_that_is_no_longer_watched() {
    let dir = std::env::var_os(DIR).unwrap();
    let mut policy = policy();
    (policy.on_sigterm, policy.on_panic) = (true, true);
    let (kernel, _tickets) = kernel(Path::new(&dir), policy.clone());
    (policy.on_sigterm, policy.on_panic) = (false, false);
    kernel.recovery().set_failsafe_policy(policy).unwrap();
    assert!(std::thread::spawn(|| panic!("nobody catches this")).join().is_err());
    assert!(!kernel.recovery().failsafe().is_triggered());
    println!("ready");
    loop {
        std::thread::park();
    }
}
