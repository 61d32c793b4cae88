//! Versions of agents: a new one takes over, an old one takes over again, also by a checkpoint.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sutazai_core::agent::{AgentState, from_fn};
use sutazai_core::base::payload::Payload;
use sutazai_core::base::ticket::Reply;
use sutazai_core::base::time::Moment;
use sutazai_core::kernel::{CallsTo, Kernel, Limits};
use sutazai_core::port::{Agent, AgentCard, AgentHost, Outcome, RunMode, Task};
use sutazai_core::recovery::{BreakerState, GuardPolicy};
use sutazai_core::{Code, Error, Result};

/// Answers its version, and counts its starts and stops.
#[derive(Clone)]
struct Versioned {
    version: &'static str,
    lives: Arc<[AtomicU32; 2]>,
    broken: bool,
}

fn version(version: &'static str) -> Versioned {
    Versioned { version, lives: Arc::default(), broken: false }
}

impl Agent for Versioned {
    fn card(&self) -> AgentCard {
        AgentCard::new("a", ["s"]).version(self.version).run(RunMode::Inline)
    }

    fn handle(&self, _: Task, reply: Reply<Outcome>) {
        let answer = if self.broken {
            Err(Error::new(Code::AGENT_FAILED, "broken"))
        } else {
            Ok(self.version.into())
        };
        let _ = reply.answer(answer);
    }

    fn start(&self, _: &AgentHost) -> Result<()> {
        self.lives[0].fetch_add(1, Ordering::SeqCst);
        if self.version == "bad" {
            return Err(Error::new(Code::AGENT_START, "it does not start"));
        }
        Ok(())
    }

    fn stop(&self, _: Moment) {
        self.lives[1].fetch_add(1, Ordering::SeqCst);
    }
}

fn lives(agent: &Versioned) -> [u32; 2] {
    agent.lives.each_ref().map(|n| n.load(Ordering::SeqCst))
}

fn started() -> Kernel {
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    kernel
}

fn ask(kernel: &Kernel) -> Result<Payload> {
    kernel.call(Task::new("s", Payload::NULL)).wait().map(|outcome| outcome.output)
}

#[test]
fn a_new_version_takes_over_and_the_old_one_again() {
    let kernel = started();
    let (one, two) = (version("1"), version("2"));
    kernel.add_agent(one.clone()).unwrap();
    let mut events = kernel.bus().subscribe("agent.>").pull().unwrap();
    kernel.replace_agent(two.clone()).unwrap();
    assert_eq!(ask(&kernel).unwrap(), "2".into());
    let view = kernel.agent("a").unwrap();
    assert_eq!((view.card.version.as_str(), view.standby), ("2", vec!["1".to_owned()]));
    assert_eq!((lives(&one), lives(&two)), ([1, 0], [1, 0]), "the old one is still there");
    kernel.switch_agent("a", "1").unwrap();
    kernel.switch_agent("a", "1").unwrap();
    assert_eq!(ask(&kernel).unwrap(), "1".into());
    assert_eq!(kernel.agent("a").unwrap().stats.calls, 1, "each version has its own figures");
    kernel.retire_agent("a", "2", Duration::ZERO).unwrap();
    assert_eq!(lives(&two), [1, 1]);
    assert_eq!(ask(&kernel).unwrap(), "1".into());
    let gone = kernel.switch_agent("a", "2").unwrap_err();
    assert_eq!(gone.code(), Code::NOT_FOUND);
    assert_eq!(kernel.switch_agent("b", "2").unwrap_err().code(), Code::NOT_FOUND);
    assert_eq!(kernel.retire_agent("a", "1", Duration::ZERO).unwrap_err().code(), Code::NOT_FOUND);
    kernel.stop(Duration::from_secs(5)).unwrap();
    assert_eq!(lives(&one), [1, 1]);
    let heard: Vec<_> = std::iter::from_fn(|| events.try_next().unwrap_or(None))
        .map(|delivery| delivery.event.subject.to_string())
        .collect();
    for subject in ["agent.switched", "agent.retired", "agent.removed"] {
        assert!(heard.iter().any(|it| it == subject), "{subject}: {heard:?}");
    }
}

#[test]
fn one_that_does_not_start_does_not_take_over() {
    let kernel = started();
    kernel.add_agent(version("1")).unwrap();
    let error = kernel.replace_agent(version("bad")).unwrap_err();
    assert_eq!(error.code(), Code::AGENT_START);
    assert_eq!(ask(&kernel).unwrap(), "1".into());
    assert!(kernel.agent("a").unwrap().standby.is_empty());
    let again = kernel.replace_agent(version("1")).unwrap_err();
    assert_eq!(again.code(), Code::ALREADY_EXISTS);
}

#[test]
fn versions_may_be_given_before_the_start_and_all_are_stopped() {
    let kernel = Kernel::builder().build().unwrap();
    let (one, two) = (version("1"), version("2"));
    kernel.replace_agent(one.clone()).unwrap();
    kernel.replace_agent(two.clone()).unwrap();
    kernel.start().unwrap();
    assert_eq!(ask(&kernel).unwrap(), "2".into());
    assert_eq!(kernel.agent("a").unwrap().state, AgentState::Ready);
    kernel.switch_agent("a", "1").unwrap();
    assert_eq!(ask(&kernel).unwrap(), "1".into());
    kernel.stop(Duration::from_secs(5)).unwrap();
    assert_eq!((lives(&one), lives(&two)), ([1, 1], [1, 1]));
}

#[test]
fn the_version_that_stood_by_for_longest_makes_room() {
    let kernel = started();
    let all = ["1", "2", "3", "4"].map(version);
    for agent in &all {
        kernel.replace_agent(agent.clone()).unwrap();
    }
    assert_eq!(lives(&all[0]), [1, 1]);
    assert_eq!(kernel.agent("a").unwrap().standby, ["2", "3"]);
    kernel.remove_agent("a", Duration::ZERO).unwrap();
    assert!(all.iter().all(|agent| lives(agent) == [1, 1]));
    assert!(kernel.agent("a").is_none());
}

#[test]
fn no_call_is_refused_while_versions_change() {
    let kernel = started();
    kernel.add_agent(version("0")).unwrap();
    let done = Arc::new(AtomicU32::new(0));
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let (kernel, done) = (kernel.clone(), Arc::clone(&done));
            std::thread::spawn(move || {
                while done.load(Ordering::SeqCst) == 0 {
                    ask(&kernel).unwrap();
                }
            })
        })
        .collect();
    for n in 0..200 {
        let name: &'static str = Box::leak(format!("v{n}").into_boxed_str());
        kernel.replace_agent(version(name)).unwrap();
        if n % 3 == 0 {
            let before = kernel.agent("a").unwrap().standby.pop().unwrap();
            kernel.switch_agent("a", &before).unwrap();
        }
    }
    done.store(1, Ordering::SeqCst);
    for caller in callers {
        caller.join().unwrap();
    }
}

#[test]
fn a_checkpoint_puts_versions_back() {
    let kernel = started();
    kernel.add_agent(version("1")).unwrap();
    let policy: GuardPolicy =
        Payload::json_text(r#"{"breaker": {"consecutive": 1}}"#).unwrap().to().unwrap();
    kernel.guard(CallsTo::All, Some(policy)).unwrap();
    let good = kernel.checkpoints().create("good", None).unwrap();
    kernel.replace_agent(Versioned { broken: true, ..version("2") }).unwrap();
    ask(&kernel).unwrap_err();
    let open = |kernel: &Kernel| {
        let breaker = kernel.guard_of("a").unwrap().breaker().unwrap();
        breaker.status(kernel.runtime().now()).state == BreakerState::Open
    };
    assert!(open(&kernel));
    kernel.checkpoints().restore(good.id, None).unwrap();
    assert!(!open(&kernel), "what the bad version did is not held against the good one");
    assert_eq!(ask(&kernel).unwrap(), "1".into());
    // Agents that came or went since are left alone.
    let other = AgentCard::new("other", ["other"]);
    let other = from_fn(other, |task: &Task| Ok(task.input().clone()));
    kernel.add_agent(other).unwrap();
    kernel.checkpoints().restore(good.id, None).unwrap();
    assert!(kernel.agent("other").is_some());
    // A version that is not there any more is named, and nothing else is changed.
    kernel.switch_agent("a", "2").unwrap();
    kernel.retire_agent("a", "1", Duration::ZERO).unwrap();
    let error = kernel.checkpoints().restore(good.id, None).unwrap_err();
    assert_eq!(error.code(), Code::RESTORE_FAILED);
    assert!(format!("{error:#}").contains("no such version"), "{error:#}");
    assert_eq!(kernel.agent("a").unwrap().card.version, "2");
    kernel.remove_agent("a", Duration::ZERO).unwrap();
    kernel.checkpoints().restore(good.id, None).unwrap();
}

#[test]
fn a_call_that_an_agent_is_removed_before_says_so() {
    let mut limits = Limits::default();
    limits.pool = Some(1);
    let kernel = Kernel::builder().limits(limits).build().unwrap();
    kernel.start().unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = parking_lot::Mutex::new(held);
    let slow = from_fn(AgentCard::new("slow", ["slow"]), move |_: &Task| {
        let _ = held.lock().recv();
        Ok(Payload::NULL)
    });
    kernel.add_agent(slow).unwrap();
    kernel.add_agent(from_fn(AgentCard::new("a", ["s"]), |_: &Task| Ok(Payload::NULL))).unwrap();
    let slow = kernel.call(Task::new("slow", 0_u32));
    let mut waits = kernel.call(Task::new("s", 0_u32));
    kernel.remove_agent("a", Duration::ZERO).unwrap();
    release.send(()).unwrap();
    let error = waits.wait().unwrap_err();
    assert_eq!(error.code(), Code::AGENT_EXITED);
    assert!(error.context().any(|pair| pair == ("agent", "a")), "{error:?}");
    drop(slow);
}
