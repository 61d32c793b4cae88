//! The kernel as a whole: components, data directories, manifests, events, several in one process.
#![cfg(all(feature = "agent", feature = "config", feature = "store"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::agent::from_fn;
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::ticket::Reply;
use sutazai_core::base::time::Moment;
use sutazai_core::config::Manifest;
use sutazai_core::kernel::inject::{Any, Lifetime, Provided};
use sutazai_core::kernel::{self, Kernel, Limits, Phase};
use sutazai_core::port::{
    Access, Agent, AgentCard, CallRecord, Component, Decision, Outcome, Policy, Recorder, Task,
};
use sutazai_core::store::Durability;
use sutazai_core::{Code, Error, Result};

const GRACE: Duration = Duration::from_secs(10);

type Diary = Arc<Mutex<Vec<String>>>;

struct Part {
    name: &'static str,
    needs: &'static [&'static str],
    fails: bool,
    diary: Diary,
}

impl Component for Part {
    fn name(&self) -> &str {
        self.name
    }
    fn needs(&self) -> Vec<String> {
        self.needs.iter().map(|n| (*n).to_owned()).collect()
    }
    fn start(&self, _deadline: Moment) -> Result<()> {
        if self.fails {
            return Err(Error::new(Code::IO, "no port is free"));
        }
        self.diary.lock().push(format!("+{}", self.name));
        Ok(())
    }
    fn stop(&self, _deadline: Moment) -> Result<()> {
        self.diary.lock().push(format!("-{}", self.name));
        Ok(())
    }
}

fn part(name: &'static str, needs: &'static [&'static str], diary: &Diary) -> Part {
    Part { name, needs, fails: false, diary: Arc::clone(diary) }
}

#[test]
fn components_start_in_order_and_stop_in_reverse() {
    let diary = Diary::default();
    let kernel = Kernel::builder()
        .component(part("web", &["cache"], &diary))
        .component(part("cache", &["disk"], &diary))
        .component(part("disk", &[], &diary))
        .build()
        .unwrap();
    let mut events = kernel.bus().subscribe("component.>").pull().unwrap();
    kernel.start().unwrap();
    kernel.stop(GRACE).unwrap();
    assert_eq!(*diary.lock(), ["+disk", "+cache", "+web", "-web", "-cache", "-disk"]);
    let mut seen = 0;
    while let Ok(Some(_)) = events.try_next() {
        seen += 1;
    }
    assert_eq!(seen, 12, "starting, running, stopping, stopped, three times");
}

#[test]
fn a_failed_start_names_the_component_and_unwinds() {
    let diary = Diary::default();
    let bad = Part { fails: true, ..part("web", &["disk"], &diary) };
    let kernel =
        Kernel::builder().component(part("disk", &[], &diary)).component(bad).build().unwrap();
    let error = kernel.start().unwrap_err();
    assert_eq!(error.code(), Code::COMPONENT_START);
    assert!(format!("{error:#}").contains("web") && format!("{error:#}").contains("no port"));
    assert_eq!(*diary.lock(), ["+disk", "-disk"]);
    assert_eq!(kernel.phase(), Phase::Stopped);
    assert_eq!(kernel.start().unwrap_err().code(), Code::NOT_RUNNING);
}

#[test]
fn a_circle_of_components_is_found_before_anything_starts() {
    let diary = Diary::default();
    let error = Kernel::builder()
        .component(part("a", &["b"], &diary))
        .component(part("b", &["a"], &diary))
        .build()
        .unwrap_err();
    assert_eq!(error.code(), Code::COMPONENT_CYCLE);
    assert!(diary.lock().is_empty());
}

/// A value that says in the diary when it is let go of.
struct Value(Diary);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.lock().push("value gone".to_owned());
    }
}

fn provide(provided: &Provided, name: &str, needs: &[&str], diary: &Diary) {
    let diary = Arc::clone(diary);
    let made = move |_| Ok(Arc::new(Value(Arc::clone(&diary))) as Arc<Any>);
    provided.provide(name, needs, Lifetime::Singleton, made).unwrap();
}

/// Asks for a value when it is stopped.
struct Asks(Provided, Diary);

impl Component for Asks {
    fn name(&self) -> &'static str {
        "asks"
    }
    fn start(&self, _deadline: Moment) -> Result<()> {
        Ok(())
    }
    fn stop(&self, _deadline: Moment) -> Result<()> {
        self.0.get("base").map(drop)?;
        self.1.lock().push("asked".to_owned());
        Ok(())
    }
}

#[test]
fn what_is_provided_is_sealed_by_the_start_and_gone_after_the_stop() {
    let diary = Diary::default();
    let kernel = Kernel::builder().build().unwrap();
    let provided = kernel.provided().clone();
    kernel.lifecycle().add(Arc::new(Asks(provided.clone(), Arc::clone(&diary)))).unwrap();
    provide(&provided, "top", &["base"], &diary);
    assert_eq!(kernel.start().unwrap_err().code(), Code::INJECT_MISSING);
    assert_eq!(kernel.phase(), Phase::Built);
    provide(&provided, "base", &[], &diary);
    kernel.start().unwrap();
    let late = provided.provide("late", &[], Lifetime::Singleton, |_| Ok(Arc::new(())));
    assert_eq!(late.unwrap_err().code(), Code::NOT_RUNNING);
    provided.get("base").unwrap();
    kernel.stop(GRACE).unwrap();
    assert_eq!(*diary.lock(), ["asked", "value gone"]);
    assert_eq!(provided.get("base").unwrap_err().code(), Code::NOT_RUNNING);
}

#[test]
fn what_is_provided_goes_with_a_start_that_failed_and_with_the_last_handle() {
    let diary = Diary::default();
    let bad = Part { fails: true, ..part("bad", &[], &diary) };
    let kernel = Kernel::builder().component(bad).build().unwrap();
    provide(kernel.provided(), "base", &[], &diary);
    kernel.provided().get("base").unwrap();
    assert_eq!(kernel.start().unwrap_err().code(), Code::COMPONENT_START);
    assert_eq!(*diary.lock(), ["value gone"]);
    assert_eq!(kernel.provided().get("base").unwrap_err().code(), Code::NOT_RUNNING);

    let unstarted = Kernel::builder().build().unwrap();
    provide(unstarted.provided(), "base", &[], &diary);
    let scope = unstarted.provided().scope().unwrap();
    scope.get("base").unwrap();
    drop(unstarted);
    assert_eq!(scope.get("base").unwrap_err().code(), Code::NOT_RUNNING);
    drop(scope);
    assert_eq!(*diary.lock(), ["value gone", "value gone"]);
}

#[test]
fn a_data_directory_has_one_kernel_in_a_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = Kernel::builder().data_dir(dir.path()).build().unwrap();
    first.start().unwrap();
    let error = Kernel::builder().data_dir(dir.path()).build().unwrap_err();
    assert_eq!(error.code(), Code::STORE_LOCKED);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    let other = Kernel::builder().build().unwrap();
    other.start().unwrap();
    first.stop(GRACE).unwrap();
    drop(first);
    other.stop(GRACE).unwrap();
    Kernel::builder().data_dir(dir.path()).build().unwrap();
}

/// Not a test of its own: what the next one runs in another process.
#[test]
fn helper_that_holds_a_data_directory() {
    let Ok(dir) = std::env::var("SUTAZAI_TEST_HOLD") else { return };
    let kernel = Kernel::builder().data_dir(dir).build().unwrap();
    kernel.start().unwrap();
    println!("holding");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    kernel.stop(GRACE).unwrap();
}

#[test]
fn a_data_directory_has_one_kernel_among_processes() {
    use std::io::{BufRead as _, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_that_holds_a_data_directory", "--nocapture"])
        .env("SUTAZAI_TEST_HOLD", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("holding")));
    let error = Kernel::builder().data_dir(dir.path()).build().unwrap_err();
    assert_eq!(error.code(), Code::STORE_LOCKED);
    assert!(error.to_string().contains(&child.id().to_string()), "{error}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    Kernel::builder().data_dir(dir.path()).build().unwrap();
}

#[test]
fn the_example_of_a_manifest_is_one_and_says_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/sutazai.toml");
    let example = kernel::grammar().read(path).unwrap();
    let plain = Manifest::parse("sutazai.toml", "").unwrap();
    assert_eq!((&example.limits, &example.log), (&plain.limits, &plain.log));
    assert_eq!(example.agents.len(), 1);
}

#[test]
fn a_manifest_makes_a_kernel_with_its_agents() {
    let dir = tempfile::tempdir().unwrap();
    let script = "import json,sys\n\
        def say(**m): print(json.dumps({'v':1,**m}),flush=True)\n\
        say(type='ready')\n\
        for line in sys.stdin:\n\
        \x20   t=json.loads(line)\n\
        \x20   if t['type']=='task': say(type='result',id=t['id'],output=t['input'][::-1])\n\
        \x20   elif t['type']=='stop': break\n";
    std::fs::write(dir.path().join("reverse.py"), script).unwrap();
    let path = dir.path().join("sutazai.toml");
    std::fs::write(
        &path,
        "data_dir = 'state'\n[limits]\ntimeout = '20s'\n[[agent]]\nname = 'reverse'\n\
         command = ['python3', 'reverse.py']\nskills = ['reverse']\n",
    )
    .unwrap();
    let manifest = Manifest::read(&path).unwrap();
    let kernel = Kernel::builder().manifest(&manifest).build().unwrap();
    kernel.start().unwrap();
    let outcome = kernel.call(Task::new("reverse", "abc")).wait().unwrap();
    assert_eq!(outcome.output, "cba".into());
    kernel.stop(GRACE).unwrap();
    assert!(dir.path().join("state/state.db").exists());
    assert!(dir.path().join("state/logs/kernel.jsonl").exists());
}

struct Panicky;

impl Recorder for Panicky {
    fn record(&self, _call: &CallRecord<'_>) {
        panic!("a recorder's own fault")
    }
}

impl Policy for Panicky {
    fn decide(&self, access: &Access<'_>) -> Decision {
        assert!(access.task.skill() != "b", "a policy's own fault");
        Decision::Allow
    }
}

#[test]
fn a_step_that_panics_keeps_no_call_from_its_answer() {
    let kernel = Kernel::builder()
        .recorder(Panicky)
        .policy(Panicky)
        .agent(from_fn(AgentCard::new("a", ["a", "b"]), |_: &Task| Ok("x")))
        .build()
        .unwrap();
    kernel.start().unwrap();
    kernel.call(Task::new("a", "x")).wait().unwrap();
    assert_eq!(kernel.call(Task::new("b", "x")).wait().unwrap_err().code(), Code::PANIC);
    kernel.stop(GRACE).unwrap();
    assert_eq!(kernel.status().calls, 0);
}

#[test]
fn a_kernel_whose_pool_is_full_stops_all_the_same() {
    struct Stops(Diary);
    impl Agent for Stops {
        fn card(&self) -> AgentCard {
            AgentCard::new("stops", ["stops"])
        }
        fn handle(&self, _task: Task, _reply: Reply<Outcome>) {}
        fn stop(&self, _deadline: Moment) {
            self.0.lock().push("stopped".into());
        }
    }
    let mut limits = Limits::default();
    limits.pool = Some(1);
    let diary = Diary::default();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let kernel = Kernel::builder()
        .limits(limits)
        .component(part("part", &[], &diary))
        .agent(Stops(Arc::clone(&diary)))
        .agent(from_fn(AgentCard::new("hangs", ["hangs"]), move |_: &Task| {
            let _ = held.lock().recv();
            Ok("late")
        }))
        .build()
        .unwrap();
    kernel.start().unwrap();
    let mut ticket = kernel.call(Task::new("hangs", "x").timeout(Duration::from_millis(20)));
    assert_eq!(ticket.wait().unwrap_err().code(), Code::DEADLINE_EXCEEDED);
    kernel.stop(Duration::from_millis(200)).unwrap();
    assert_eq!(*diary.lock(), ["+part", "stopped", "-part"]);
    drop(release);
}

#[test]
fn a_write_that_hangs_does_not_hold_up_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let build = || Kernel::builder().data_dir(folder.path()).build();
    let diary = Diary::default();
    let kernel =
        Kernel::builder().data_dir(folder.path()).component(part("part", &[], &diary)).build();
    let kernel = kernel.unwrap();
    kernel.start().unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let mut write = kernel.store().write("notes", Durability::Process, move |_| {
        let _ = wait.recv();
        Ok(())
    });
    let error = kernel.stop(Duration::ZERO).unwrap_err();
    assert_eq!(error.code(), Code::STORE_HANGS, "{error:#}");
    assert!(error.context().any(|pair| pair == ("room", "notes")), "{error:#}");
    assert_eq!(kernel.phase(), Phase::Stopped);
    assert_eq!(*diary.lock(), ["+part", "-part"]);
    assert_eq!(build().unwrap_err().code(), Code::STORE_LOCKED);
    drop(go);
    write.wait().unwrap();
    // The lock is free when the writer has ended, though the old handle is still there.
    while let Err(error) = build() {
        assert_eq!(error.code(), Code::STORE_LOCKED, "{error:#}");
        std::thread::yield_now();
    }
    drop(kernel);
}

#[test]
fn a_second_stop_ends_the_waiting_of_the_first() {
    let kernel = Kernel::builder()
        .agent(Miser { _held: Arc::new(()), replies: Mutex::default() })
        .build()
        .unwrap();
    kernel.start().unwrap();
    let mut ticket = kernel.call(Task::new("keep", "x").timeout(Duration::MAX));
    let first = std::thread::spawn({
        let kernel = kernel.clone();
        // Nobody answers: it would wait for ever.
        move || kernel.stop(Duration::MAX)
    });
    while kernel.phase() != Phase::Draining {
        std::thread::yield_now();
    }
    assert_eq!(ticket.try_take(), None);
    kernel.stop(Duration::ZERO).unwrap();
    first.join().unwrap().unwrap();
    assert_eq!(kernel.phase(), Phase::Stopped);
    assert_eq!(ticket.wait().unwrap_err().code(), Code::CANCELLED);
}

#[test]
fn mixed_deadlines_need_one_timer() {
    let kernel = Kernel::builder()
        .runtime(Arc::new(Manual::new()))
        .agent(Miser { _held: Arc::new(()), replies: Mutex::default() })
        .build()
        .unwrap();
    kernel.start().unwrap();
    // What was measured is put in order now and then.
    let others = kernel.runtime().stats().timers;
    let call = |ms| kernel.call(Task::new("keep", "x").timeout(Duration::from_millis(ms)));
    let long = call(30_000);
    for _ in 0..100 {
        let mut short = call(50);
        kernel.advance(Duration::from_millis(100)).unwrap();
        assert_eq!(short.try_take().unwrap().unwrap_err().code(), Code::DEADLINE_EXCEEDED);
        assert!(kernel.runtime().stats().timers <= others + 1);
    }
    assert!(!long.is_done());
    kernel.advance(Duration::from_millis(30_000)).unwrap();
    assert!(long.is_done());
}

/// Keeps every reply for ever, which keep the books of their calls.
struct Miser {
    _held: Arc<()>,
    replies: Mutex<Vec<Reply<Outcome>>>,
}

impl Agent for Miser {
    fn card(&self) -> AgentCard {
        AgentCard::new("miser", ["keep"])
    }
    fn handle(&self, _task: Task, reply: Reply<Outcome>) {
        self.replies.lock().push(reply);
    }
}

#[test]
fn an_agent_that_keeps_its_replies_goes_with_the_kernel() {
    let held = Arc::new(());
    let kernel = Kernel::builder()
        .agent(Miser { _held: Arc::clone(&held), replies: Mutex::default() })
        .build()
        .unwrap();
    kernel.start().unwrap();
    let mut ticket = kernel.call(Task::new("keep", "x").timeout(Duration::from_millis(10)));
    assert_eq!(ticket.wait().unwrap_err().code(), Code::DEADLINE_EXCEEDED);
    kernel.stop(GRACE).unwrap();
    drop(kernel);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn closing_stops_whoever_else_has_a_handle() {
    let kernel = Kernel::builder().build().unwrap();
    let other = kernel.clone();
    kernel.start().unwrap();
    kernel.close();
    assert_eq!(other.phase(), Phase::Stopped);
}

#[test]
fn what_happens_is_published() {
    let kernel = Kernel::builder().build().unwrap();
    let mut events = kernel.bus().subscribe(">").pull().unwrap();
    kernel.start().unwrap();
    let card = AgentCard::new("a", ["a"]);
    let fails = |_: &Task| -> Result<String> { Err(Error::new(Code::AGENT_FAILED, "no")) };
    kernel.add_agent(from_fn(card, fails)).unwrap();
    kernel.call(Task::new("a", "x")).wait().unwrap_err();
    kernel.remove_agent("a", GRACE).unwrap();
    kernel.stop(GRACE).unwrap();
    let (mut seen, mut states) = (Vec::new(), Vec::new());
    while let Ok(Some(delivery)) = events.try_next() {
        let event = delivery.event;
        if event.subject.as_str() == "agent.state" {
            let change = event.payload.value().unwrap();
            assert_eq!(change["agent"], "a");
            states.push(change["to"].as_str().unwrap().to_owned());
        } else {
            seen.push(event.subject.as_str().to_owned());
        }
    }
    assert_eq!(states, ["starting", "ready", "draining", "stopped"]);
    assert_eq!(
        seen,
        [
            "kernel.started",
            "agent.registered",
            "call.failed",
            "agent.removed",
            "kernel.draining",
            "kernel.stopped"
        ]
    );
}

#[test]
fn calls_are_spans_metrics_and_log_records() {
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    kernel.add_agent(from_fn(AgentCard::new("a", ["a"]), |_: &Task| Ok("x"))).unwrap();
    kernel.call(Task::new("a", "x")).wait().unwrap();
    kernel.call(Task::new("b", "x")).wait().unwrap_err();
    let spans = kernel.spans().recent(10);
    assert_eq!(spans.len(), 2);
    assert!(spans[0].status.is_ok() && spans[0].agent.as_deref() == Some("a"));
    let text = kernel.metrics().prometheus();
    assert!(text.contains("sutazai_calls_total{outcome=\"ok\"} 1"), "{text}");
    assert!(text.contains("sutazai_calls_total{outcome=\"persistent\"} 1"));
    assert!(text.contains("sutazai_agent_calls_total{agent=\"a\",outcome=\"ok\"} 1"));
    assert!(text.contains("sutazai_call_seconds_count 2"));
    let logs = kernel.log().recent(&sutazai_core::observe::LogQuery::default());
    assert_eq!(logs.len(), 1);
    kernel.stop(GRACE).unwrap();
}
