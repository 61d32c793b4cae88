//! Whether processes live: those that hang are told from those that work.
#![cfg(all(unix, feature = "agent"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::{Duration, Instant};

use sutazai_core::agent::connect::process::{ProcessAgent, ProcessSpec};
use sutazai_core::agent::{AgentState, Vitality};
use sutazai_core::event::Subscription;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{AgentCard, LivenessPolicy, Task};

const LONG: Duration = Duration::from_secs(60);

/// Answers pings on the thread that listens, and does tasks on others: `pid` at once, `hang` never, `work` with
/// progress until it is asked to stop.
const AGENT: &str = r#"
import json, os, sys, threading, time
lock = threading.Lock()
def say(**m):
    with lock: print(json.dumps({"v": 1, **m}), flush=True)
def work(t):
    n = 0
    while True:
        n += 1
        say(type="progress", id=t["id"], part=n)
        time.sleep(0.02)
say(type="ready", pings=(sys.argv[1] == "pings"))
for line in sys.stdin:
    t = json.loads(line)
    if t["type"] == "ping": say(type="pong")
    elif t["type"] == "stop": break
    elif t["type"] == "task":
        if t["skill"] == "pid": say(type="result", id=t["id"], output=os.getpid())
        elif t["skill"] == "work": threading.Thread(target=work, args=(t,), daemon=True).start()
os._exit(0)
"#;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn bench(pings: &str, policy: LivenessPolicy) -> (Kernel, Subscription) {
    let card = AgentCard::new("subject", ["pid", "hang", "work"]);
    let spec = ProcessSpec::new("python3").args(["-c", AGENT, pings]).start_timeout(LONG);
    let kernel = Kernel::builder().agent(ProcessAgent::new(card, spec)).build().unwrap();
    kernel.start().unwrap();
    let events = kernel.bus().subscribe("agent.liveness").pull().unwrap();
    kernel.set_liveness("subject", Some(policy)).unwrap();
    (kernel, events)
}

fn next(events: &mut Subscription) -> serde_json::Value {
    let delivery = events.wait(LONG).unwrap().expect("what is thought of it changes");
    serde_json::Value::clone(&delivery.event.payload.value().unwrap())
}

fn pid(kernel: &Kernel) -> i32 {
    let outcome = kernel.call(Task::new("pid", 0).timeout(LONG)).wait().unwrap();
    outcome.output.to().unwrap()
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn a_process_that_answers_no_pings_any_more_is_ended_and_started_again() {
    let policy = LivenessPolicy::default().interval(ms(50)).pauses(ms(200), Some(ms(200)));
    let (kernel, mut events) = bench("pings", policy);
    let before = pid(&kernel);
    // It is there, and does nothing any more: SIGSTOP cannot be caught.
    signal(before, rustix::process::Signal::STOP);
    let mut told = next(&mut events);
    while told["to"] != "dead" {
        assert_eq!(told["to"], "slow", "{told}");
        told = next(&mut events);
    }
    assert!(told["why"].as_str().unwrap().contains("no sign of life"), "{told}");
    assert!(told["phi"].as_f64().unwrap() >= 8.0, "{told}");
    while told["to"] != "alive" {
        told = next(&mut events);
    }
    assert_ne!(pid(&kernel), before);
    let view = kernel.agent("subject").unwrap();
    assert_eq!((view.state, view.restarts), (AgentState::Ready, 1));
    kernel.stop(LONG).unwrap();
}

#[test]
fn a_process_that_hangs_over_a_task_is_slow_with_or_without_pings() {
    for pings in ["pings", "none"] {
        let policy = LivenessPolicy::default().interval(ms(20)).stall(ms(100));
        let (kernel, mut events) = bench(pings, policy);
        let before = pid(&kernel);
        let hangs = kernel.call(Task::new("hang", 0).timeout(LONG));
        let mut told = next(&mut events);
        while !told["why"].as_str().is_some_and(|why| why.contains("nothing has come of it")) {
            told = next(&mut events);
        }
        assert_eq!(told["to"], "slow");
        assert_eq!(kernel.agent("subject").unwrap().state, AgentState::Ready);
        assert_eq!(pid(&kernel), before, "it does what it is asked besides");
        drop(hangs);
        kernel.stop(LONG).unwrap();
    }
}

#[test]
fn progress_is_a_sign_of_life() {
    // Without pings the progress is all there is.
    let policy = LivenessPolicy::default().interval(ms(20)).pauses(ms(100), Some(ms(100)));
    let (kernel, _events) = bench("none", policy.stall(LONG));
    let working = kernel.call(Task::new("work", 0).timeout(LONG));
    let until = Instant::now() + ms(1_000);
    while Instant::now() < until {
        std::thread::sleep(ms(10));
        let view = kernel.agent("subject").unwrap();
        assert_eq!(view.state, AgentState::Ready);
        assert_ne!(view.liveness.unwrap().state, Vitality::Dead);
    }
    drop(working);
    kernel.stop(LONG).unwrap();
}

#[test]
fn a_process_that_dies_too_often_has_failed_at_once() {
    use sutazai_core::agent::connect::process::RestartPolicy;
    let card = AgentCard::new("subject", ["pid", "hang", "work"]);
    let spec = ProcessSpec::new("python3").args(["-c", AGENT, "none"]).start_timeout(LONG);
    let spec = spec.restart(RestartPolicy::at_most(0, LONG));
    let kernel = Kernel::builder().agent(ProcessAgent::new(card, spec)).build().unwrap();
    kernel.start().unwrap();
    let mut events = kernel.bus().subscribe("agent.state").pull().unwrap();
    signal(pid(&kernel), rustix::process::Signal::KILL);
    let told = next(&mut events);
    assert_eq!((&told["from"], &told["to"]), (&"ready".into(), &"failed".into()));
    assert!(told["why"].as_str().unwrap().contains("SIGKILL"), "{told}");
    let error = kernel.call(Task::new("pid", 0)).wait().unwrap_err();
    assert_eq!(error.class(), sutazai_core::Class::Persistent, "{error}");
    kernel.stop(LONG).unwrap();
}
