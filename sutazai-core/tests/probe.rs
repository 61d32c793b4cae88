//! Probes of agents, in virtual time: what a right answer, a lie, a failure and silence come to, and that
//! nothing else of the kernel takes notice.
#![cfg(feature = "agent")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sutazai_core::agent::{self, ProbeReport, ProbeVerdict};
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::ticket::{Reply, Ticket};
use sutazai_core::kernel::{Kernel, ProbeOptions};
use sutazai_core::port::{Agent, AgentCard, Outcome, RunMode, SkillCard, SkillProbe, Task};
use sutazai_core::{Code, Error, Result};

fn kernel() -> Kernel {
    let kernel = Kernel::builder().runtime(Arc::new(Manual::new())).seed(1).build().unwrap();
    kernel.start().unwrap();
    kernel
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn report(kernel: &Kernel, name: &str, options: ProbeOptions) -> Result<ProbeReport> {
    let mut ticket: Ticket<ProbeReport> = kernel.probe_agent(name, options);
    kernel.advance(Duration::from_secs(60)).unwrap();
    ticket.try_take().unwrap()
}

fn verdicts(report: &ProbeReport) -> Vec<(&str, &str)> {
    report.skills.iter().map(|it| (it.skill.as_str(), it.verdict.name())).collect()
}

fn doubling() -> SkillCard {
    SkillCard::new("doubles")
        .output(json!({"type": "integer"}))
        .probe(SkillProbe::new(json!(21)).equals(json!(42)))
}

/// Doubles what it is given, or answers what it was told to.
fn doubler(card: AgentCard, instead: Option<Value>) -> impl Agent {
    agent::from_fn(card, move |task: &Task| match &instead {
        Some(Value::Null) => Err(Error::new(Code::AGENT_FAILED, "out of order")),
        Some(value) => Ok(value.clone()),
        None => Ok(json!(task.input().to::<i64>()? * 2)),
    })
}

/// Never answers, and keeps its replies.
struct Hang(AgentCard, Arc<Mutex<Vec<Reply<Outcome>>>>);

impl Agent for Hang {
    fn card(&self) -> AgentCard {
        self.0.clone()
    }
    fn handle(&self, _: Task, reply: Reply<Outcome>) {
        self.1.lock().unwrap().push(reply);
    }
}

#[test]
fn each_skill_is_told_by_what_its_probe_says() {
    for run in [RunMode::Inline, RunMode::Pool] {
        let kernel = kernel();
        let card =
            |name: &str| AgentCard::new(name, ["double"]).about("double", doubling()).run(run);
        kernel.add_agent(doubler(card("good"), None)).unwrap();
        kernel.add_agent(doubler(card("liar"), Some(json!(41)))).unwrap();
        kernel.add_agent(doubler(card("other"), Some(json!({"sum": 42})))).unwrap();
        kernel.add_agent(doubler(card("broken"), Some(Value::Null))).unwrap();
        let of = |name| report(&kernel, name, ProbeOptions::default()).unwrap();
        assert_eq!(of("good").verdict, ProbeVerdict::Right);
        let liar = of("liar");
        assert_eq!(liar.verdict, ProbeVerdict::Lies);
        assert_eq!(liar.worst().unwrap().why.as_deref(), Some("42 is wanted, not 41"));
        assert_eq!(liar.worst().unwrap().field.as_deref(), Some(""));
        let why = of("other").skills[0].why.clone().unwrap();
        assert!(why.starts_with("not as the card declares the output: "), "{why}");
        let broken = of("broken");
        assert_eq!(broken.verdict, ProbeVerdict::Fails);
        assert_eq!(broken.skills[0].error.as_ref().unwrap().code(), Code::AGENT_FAILED);

        let all = kernel.agents();
        assert!(all.iter().all(|view| view.stats.calls == 0 && view.in_flight == 0));
        assert_eq!(kernel.calls(), []);
    }
}

#[test]
fn silence_ends_with_the_probe_and_the_next_skill_has_its_turn() {
    let kernel = kernel();
    let held = Arc::new(Mutex::new(Vec::new()));
    let probe = |ms| SkillCard::default().probe(SkillProbe::new(1).within_ms(ms));
    let card =
        AgentCard::new("hang", ["a", "b", "c"]).about("a", probe(40)).about("c", probe(1_000));
    kernel.add_agent(Hang(card, Arc::clone(&held))).unwrap();
    let mut ticket = kernel.probe_agent("hang", ProbeOptions::default());
    kernel.advance(ms(39)).unwrap();
    assert_eq!(held.lock().unwrap().len(), 1, "one after the other");
    kernel.advance(ms(10)).unwrap();
    assert_eq!(held.lock().unwrap().len(), 2);
    assert!(held.lock().unwrap()[0].cancelled(), "the agent is told that nobody waits any more");
    kernel.advance(ms(1_010)).unwrap();
    let report = ticket.try_take().unwrap().unwrap();
    assert_eq!(verdicts(&report), [("a", "late"), ("b", "unproved"), ("c", "late")]);
    assert_eq!(report.skills[0].why.as_deref(), Some("it did not answer within 40 ms"));

    let within = ProbeOptions::default().within(ms(100));
    let bounded = self::report(&kernel, "hang", within).unwrap();
    assert_eq!(bounded.skills[2].why.as_deref(), Some("it did not answer within 60 ms"));
}

#[test]
fn a_probe_takes_a_place_and_waits_for_one() {
    let kernel = kernel();
    let held = Arc::new(Mutex::new(Vec::new()));
    let probe = SkillProbe::new(1).within_ms(50);
    let card =
        AgentCard::new("hang", ["a"]).concurrency(1).about("a", SkillCard::default().probe(probe));
    kernel.add_agent(Hang(card, Arc::clone(&held))).unwrap();
    let call = kernel.call(Task::new("a", 1));
    kernel.advance(ms(1)).unwrap();
    let report = report(&kernel, "hang", ProbeOptions::default()).unwrap();
    assert_eq!(report.skills[0].why.as_deref(), Some("none of its places was free in time"));
    assert_eq!(held.lock().unwrap().len(), 1, "it was not asked");

    let mut later = kernel.probe_agent("hang", ProbeOptions::default());
    kernel.advance(ms(5)).unwrap();
    let _ = held.lock().unwrap().pop().unwrap().send(Outcome::new(1));
    drop(call);
    kernel.advance(ms(20)).unwrap();
    let asked = held.lock().unwrap().pop().unwrap();
    assert_eq!(kernel.agent("hang").unwrap().in_flight, 1);
    asked.send(Outcome::new(1)).unwrap();
    assert_eq!(later.try_take().unwrap().unwrap().verdict, ProbeVerdict::Right);
    assert_eq!(kernel.agent("hang").unwrap().in_flight, 0);
}

#[test]
fn a_version_that_stands_by_is_asked_itself() {
    let kernel = kernel();
    let card = |version: &str| {
        AgentCard::new("d", ["double"]).version(version).about("double", doubling())
    };
    kernel.add_agent(doubler(card("1"), Some(json!(1)))).unwrap();
    kernel.replace_agent(doubler(card("2"), None)).unwrap();
    let of = |version| report(&kernel, "d", ProbeOptions::default().version(version)).unwrap();
    assert_eq!((of("1").verdict, of("2").verdict), (ProbeVerdict::Lies, ProbeVerdict::Right));
    let of = report(&kernel, "d", ProbeOptions::default().version("3"));
    assert_eq!(of.unwrap_err().code(), Code::NOT_FOUND);
}

#[test]
fn a_probe_of_the_caller_takes_the_place_of_the_cards() {
    let kernel = kernel();
    let card = AgentCard::new("d", ["double", "else"]).about("double", doubling());
    kernel.add_agent(doubler(card, None)).unwrap();
    let own = || SkillProbe::new(json!(2)).equals(json!(5));
    let options = ProbeOptions::default().skill("double").probe("double", own());
    let report = report(&kernel, "d", options).unwrap();
    assert_eq!(verdicts(&report), [("double", "lies")]);
    for (options, code) in [
        (ProbeOptions::default().skill("cook"), Code::NOT_FOUND),
        (ProbeOptions::default().probe("cook", own()), Code::NOT_FOUND),
        (ProbeOptions::default().probe("double", own().within_ms(0)), Code::INVALID),
    ] {
        assert_eq!(self::report(&kernel, "d", options).unwrap_err().code(), code);
    }
}

#[test]
fn a_probe_that_nobody_waits_for_is_cancelled_and_so_is_one_of_a_kernel_that_stops() {
    let kernel = kernel();
    let held = Arc::new(Mutex::new(Vec::new()));
    let about = SkillCard::default().probe(SkillProbe::new(1));
    let card = AgentCard::new("hang", ["a", "b"]).about("a", about.clone()).about("b", about);
    kernel.add_agent(Hang(card, Arc::clone(&held))).unwrap();
    drop(kernel.probe_agent("hang", ProbeOptions::default()));
    kernel.advance(ms(1)).unwrap();
    assert!(held.lock().unwrap().pop().unwrap().cancelled());
    assert!(held.lock().unwrap().is_empty(), "it is not asked for the rest");

    let ticket = kernel.probe_agent("hang", ProbeOptions::default());
    kernel.advance(ms(1)).unwrap();
    assert!(!held.lock().unwrap()[0].cancelled());
    drop(ticket);
    assert!(held.lock().unwrap()[0].cancelled());
    assert_eq!(held.lock().unwrap().len(), 1, "it is not asked for the rest");

    let mut ticket = kernel.probe_agent("hang", ProbeOptions::default().skill("b"));
    kernel.advance(ms(1)).unwrap();
    kernel.stop(Duration::ZERO).unwrap();
    let report = ticket.try_take().unwrap().unwrap();
    assert_eq!(report.skills[0].error.as_ref().unwrap().code(), Code::CANCELLED);
    let again = kernel.probe_agent("hang", ProbeOptions::default()).try_take().unwrap();
    assert!(again.is_err());
}

#[test]
fn many_skills_that_answer_at_once_do_not_pile_up() {
    let kernel = kernel();
    let skills: Vec<String> = (0..5_000).map(|n| format!("s{n}")).collect();
    let mut card = AgentCard::new("wide", &skills).run(RunMode::Inline);
    for skill in &skills {
        card = card.about(skill, doubling());
    }
    kernel.add_agent(doubler(card, None)).unwrap();
    let report = report(&kernel, "wide", ProbeOptions::default()).unwrap();
    assert_eq!((report.verdict, report.skills.len()), (ProbeVerdict::Right, skills.len()));
}
