//! Degradation, isolation and playbooks as a kernel composes them, in virtual time.
#![cfg(all(feature = "agent", feature = "recovery"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sutazai_core::agent::from_fn;
use sutazai_core::agent::route::{RoutePolicy, Strategy};
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Manual;
use sutazai_core::event::Subscription;
use sutazai_core::kernel::{Builder, Kernel};
use sutazai_core::observe::{Level, LogQuery};
use sutazai_core::port::{ActionContext, AgentCard, PlaybookAction, RunMode, Task};
use sutazai_core::recovery::{
    DegradePolicy, EntryState, FeatureMode, IsolatePolicy, IsolateState, PlaybookPolicy,
};
use sutazai_core::{Code, Error, Result};

fn read<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn inline(name: &str, skill: &str) -> AgentCard {
    let mut card = AgentCard::new(name, [skill]);
    card.run = RunMode::Inline;
    card
}

fn started(builder: Builder) -> Kernel {
    let kernel = builder.runtime(Arc::new(Manual::new())).build().unwrap();
    kernel.start().unwrap();
    kernel
}

fn call(kernel: &Kernel, skill: &str) -> Result<String> {
    let mut ticket = kernel.call(Task::new(skill, "x"));
    kernel.advance(Duration::ZERO).unwrap();
    ticket.try_take().unwrap().and_then(|outcome| outcome.output.to::<String>())
}

fn subjects(events: &mut Subscription) -> Vec<String> {
    let next = || events.try_next().unwrap().map(|delivery| delivery.event.subject.to_string());
    std::iter::from_fn(next).collect()
}

#[test]
fn the_level_follows_its_signals_and_the_clock_and_is_told_on_the_bus() {
    let policy: DegradePolicy = read(json!({
        "rules": [{"level": "reduced", "signal": "load", "enter": 0.9, "leave": 0.7}],
        "features": {"fancy": {"reduced": "off"}}, "up_dwell_ms": 5_000,
    }));
    let fancy = from_fn(inline("fancy", "fancy"), |_: &Task| Ok("fancy"));
    let kernel = started(Kernel::builder().degradation(policy).agent(fancy));
    let mut events = kernel.bus().subscribe("recovery.degrade.changed").pull().unwrap();
    let recovery = kernel.recovery();
    assert_eq!(call(&kernel, "fancy").unwrap(), "fancy");
    assert!(recovery.signal("load", 0.95).unwrap());
    assert_eq!(call(&kernel, "fancy").unwrap_err().code(), Code::DEGRADED);
    recovery.signal("load", 0.1).unwrap();
    kernel.advance(Duration::from_millis(4_999)).unwrap();
    assert_eq!(&*recovery.level().level, "reduced");
    // Nobody asks: the kernel's timer brings it back.
    kernel.advance(Duration::from_millis(1)).unwrap();
    assert_eq!(recovery.check("fancy").unwrap(), FeatureMode::On);
    let told: Vec<_> = std::iter::from_fn(|| events.try_next().unwrap())
        .map(|delivery| delivery.event.payload.value().unwrap()["why"].clone())
        .collect();
    assert_eq!(told, ["rule", "recovered"]);
}

#[test]
fn an_agent_that_is_off_is_passed_over_for_one_that_is_on() {
    let policy: DegradePolicy = read(json!({"features": {"costly": {"reduced": "off"}}}));
    let agent = |name: &'static str| from_fn(inline(name, "work"), move |_: &Task| Ok(name));
    let builder = Kernel::builder().degradation(policy);
    let kernel = started(builder.agent(agent("costly")).agent(agent("cheap")));
    let who = || (0..10).map(|_| call(&kernel, "work").unwrap()).collect::<Vec<_>>();
    assert!(who().contains(&"costly".to_owned()));
    kernel.recovery().force_level(Some("reduced"), "ops").unwrap();
    assert_eq!(who(), ["cheap"; 10]);
    kernel.recovery().force_level(Some("full"), "ops").unwrap();
    assert!(who().contains(&"costly".to_owned()));
}

#[test]
fn where_an_agent_has_a_fallback_its_calls_go_there() {
    let policy: DegradePolicy = read(json!({"features": {
        "costly": {"reduced": {"fallback": "middling"}},
        "middling": {"essential": {"fallback": "cheap"}},
        "gone": {"reduced": {"fallback": "nobody"}},
    }}));
    let agent = |name: &'static str| from_fn(inline(name, "work"), move |_: &Task| Ok(name));
    let builder = Kernel::builder().degradation(policy);
    let builder = builder.agent(agent("costly")).agent(agent("middling")).agent(agent("cheap"));
    let kernel = started(builder.agent(from_fn(inline("gone", "go"), |_: &Task| Ok("gone"))));
    let asked = |name: &str| {
        let mut ticket = kernel.call(Task::new("work", "x").to_agent(name));
        kernel.advance(Duration::ZERO).unwrap();
        ticket.try_take().unwrap().map(|outcome| outcome.output.to::<String>().unwrap())
    };
    for (level, stands_in) in [("full", "costly"), ("reduced", "middling"), ("essential", "cheap")]
    {
        kernel.recovery().force_level(Some(level), "test").unwrap();
        assert_eq!(asked("costly").unwrap(), stands_in, "{level}");
        let gets: Vec<_> = (0..12).map(|_| call(&kernel, "work").unwrap()).collect();
        assert_eq!(gets.iter().any(|got| got == "costly"), level == "full", "{level}: {gets:?}");
        assert!(gets.iter().any(|got| got == stands_in), "{level}: {gets:?}");
    }
    // What leads to nobody says so.
    kernel.recovery().force_level(Some("reduced"), "test").unwrap();
    let error = call(&kernel, "go").unwrap_err();
    assert_eq!(error.code(), Code::DEGRADED);
    assert!(error.context().any(|pair| pair == ("fallback", "nobody")), "{error:?}");
    assert!(asked("gone").is_err());
}

#[test]
fn what_stands_in_does_not_lead_back() {
    let policy = |features| read::<DegradePolicy>(json!({ "features": features }));
    let round = policy(json!({
        "a": {"reduced": {"fallback": "b"}},
        "b": {"reduced": {"fallback": "c"}},
        "c": {"full": "on", "reduced": {"fallback": "b"}, "essential": "on"},
    }));
    let error = round.check().unwrap_err();
    assert_eq!(error.code(), Code::INVALID);
    assert!(error.context().any(|pair| pair == ("value", "b → c → b")), "{error:?}");
    // At another level each way ends.
    policy(json!({
        "a": {"reduced": {"fallback": "b"}, "essential": "on"},
        "b": {"essential": {"fallback": "a"}},
    }))
    .check()
    .unwrap();
}

#[test]
fn without_a_policy_only_what_was_set_apart_by_hand_is_judged_by_its_calls() {
    let fails = from_fn(inline("fails", "fail"), |_: &Task| {
        Err::<&str, _>(Error::new(Code::AGENT_FAILED, "x"))
    });
    let works = from_fn(inline("works", "work"), |_: &Task| Ok("done"));
    let kernel = started(Kernel::builder().agent(fails).agent(works));
    kernel.recovery().quarantine("works", Some(Duration::from_secs(1)), "test").unwrap();
    for _ in 0..100 {
        assert_eq!(call(&kernel, "fail").unwrap_err().code(), Code::AGENT_FAILED);
    }
    kernel.advance(Duration::from_secs(1)).unwrap();
    (0..3).for_each(|_| drop(call(&kernel, "work").unwrap()));
    let targets = kernel.recovery().targets();
    let states: Vec<_> = targets.iter().map(|it| (&*it.target, it.state)).collect();
    assert_eq!(states, [("works", IsolateState::Healthy)]);
}

#[test]
fn an_agent_that_keeps_failing_is_passed_over_probed_and_let_in() {
    let broken = Arc::new(AtomicBool::new(true));
    let calls = Arc::new(AtomicUsize::new(0));
    let (is_broken, counted) = (Arc::clone(&broken), Arc::clone(&calls));
    let bad = from_fn(inline("bad", "work"), move |_: &Task| {
        counted.fetch_add(1, Ordering::Relaxed);
        if is_broken.load(Ordering::Relaxed) {
            return Err(Error::new(Code::AGENT_FAILED, "on purpose"));
        }
        Ok("bad")
    });
    let good = from_fn(inline("good", "work"), |_: &Task| Ok("good"));
    let policy: IsolatePolicy =
        read(json!({"error_storm": {"minimum": 10, "failure_rate": 0.5, "window_ms": 10_000}}));
    // A router that learns would keep away from it, isolated or not.
    let by_load = RoutePolicy { strategy: Strategy::LeastLoaded, ..RoutePolicy::default() };
    let builder = Kernel::builder().isolation(policy).route_policy(by_load);
    let kernel = started(builder.agent(bad).agent(good));
    let mut events = kernel.bus().subscribe("recovery.isolate.*").pull().unwrap();
    let failed = (0..100).filter(|_| call(&kernel, "work").is_err()).count();
    assert_eq!((failed, calls.load(Ordering::Relaxed)), (10, 10), "then nobody asked it");
    let by_name = kernel.call(Task::new("work", "x").to_agent("bad")).try_take().unwrap();
    assert_eq!(by_name.unwrap_err().code(), Code::QUARANTINED);
    // Its first probe fails, so it is set apart for twice as long.
    kernel.advance(Duration::from_secs(30)).unwrap();
    (0..10).for_each(|_| drop(call(&kernel, "work")));
    assert_eq!(calls.load(Ordering::Relaxed), 11);
    broken.store(false, Ordering::Relaxed);
    kernel.advance(Duration::from_secs(60)).unwrap();
    (0..10).for_each(|_| drop(call(&kernel, "work").unwrap()));
    let targets = kernel.recovery().targets();
    let state = |name: &str| targets.iter().find(|t| &*t.target == name).unwrap().state;
    assert_eq!((state("bad"), state("good")), (IsolateState::Healthy, IsolateState::Healthy));
    let expected = ["quarantined", "probing", "quarantined", "probing", "healthy"];
    let expected = expected.map(|state| format!("recovery.isolate.{state}"));
    assert_eq!(subjects(&mut events), expected);
}

#[test]
fn by_hand_an_agent_is_set_apart_without_any_policy() {
    let agent = from_fn(inline("a", "work"), |_: &Task| Ok("a"));
    let kernel = started(Kernel::builder().agent(agent));
    kernel.recovery().quarantine("a", None, "ops").unwrap();
    assert_eq!(call(&kernel, "work").unwrap_err().code(), Code::QUARANTINED);
    kernel.recovery().release("a", "ops").unwrap();
    assert_eq!(call(&kernel, "work").unwrap(), "a");
    assert_eq!(kernel.recovery().targets().len(), 1, "no evidence is kept of anybody else");
}

/// Counts its runs.
struct Count(Arc<AtomicUsize>);

impl PlaybookAction for Count {
    fn name(&self) -> &str {
        "count"
    }
    fn schema(&self) -> Value {
        json!({"type": "object"})
    }
    fn run(&self, _: &ActionContext<'_>, _: &Payload, _: bool) -> Result<Payload> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Payload::NULL)
    }
}

#[test]
fn playbooks_hear_the_bus_once_an_event_and_act() {
    let policy: PlaybookPolicy = read(json!({"playbooks": [
        {"name": "any", "when": {"any": [{"event": {"subject": "a.*"}}, {"event": {"subject": "*.b"}}]},
         "action": "count", "cooldown_ms": 0, "max_actions": 100},
    ]}));
    let count = Arc::new(AtomicUsize::new(0));
    let kernel =
        started(Kernel::builder().playbooks(policy).playbook_action(Count(Arc::clone(&count))));
    for subject in ["a.b", "a.c", "c.b", "c.c"] {
        kernel.bus().publish(subject, Payload::NULL).unwrap();
        kernel.advance(Duration::ZERO).unwrap();
    }
    assert_eq!(count.load(Ordering::Relaxed), 3, "`a.b` counts once, `c.c` not at all");
}

#[test]
fn an_action_may_come_while_the_kernel_runs() {
    let kernel = started(Kernel::builder());
    let recovery = kernel.recovery();
    recovery
        .set_playbooks(read(json!({"playbooks": [
            {"name": "b", "when": {"event": {"subject": "a"}}, "action": "count", "cooldown_ms": 0},
        ]})))
        .unwrap();
    assert!(!recovery.playbooks().list()[0].known);
    let count = Arc::new(AtomicUsize::new(0));
    recovery.add_action(Arc::new(Count(Arc::clone(&count)))).unwrap();
    let again = recovery.add_action(Arc::new(Count(Arc::clone(&count)))).unwrap_err();
    assert_eq!(again.code(), Code::ALREADY_EXISTS);
    kernel.bus().publish("a", Payload::NULL).unwrap();
    kernel.advance(Duration::ZERO).unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn an_action_that_is_not_there_is_told_of_at_once() {
    let playbook = |name: &str, action: &str| {
        json!({"name": name, "when": {"event": {"subject": "a"}},
        "action": action, "escalate": {"action": "publsh"}})
    };
    let policy = json!({"playbooks": [playbook("b", "count"), playbook("c", "quarantin")]});
    let kernel = started(Kernel::builder().playbooks(read(policy.clone())));
    let warned = |kernel: &Kernel| -> Vec<String> {
        let records = kernel.log().recent(&LogQuery { level: Level::Warn, ..LogQuery::default() });
        let about = records.iter().filter(|record| record.message.starts_with("a playbook names"));
        about.map(|record| format!("{record:?}")).collect()
    };
    let warnings = warned(&kernel);
    assert_eq!(warnings.len(), 4, "{warnings:#?}");
    assert!(warnings[0].contains("playbooks[0].action"), "{warnings:#?}");

    let recovery = kernel.recovery();
    let before = recovery.playbooks().policy();
    let other = json!({"playbooks": [playbook("b", "count"), playbook("d", "quarantin")]});
    let error = recovery.set_playbooks(read(other)).unwrap_err();
    let told: Vec<_> = error
        .problems()
        .iter()
        .map(|one| {
            let field = one.context().find(|(key, _)| *key == "field").unwrap().1.to_owned();
            (one.code(), field, one.remedy().unwrap_or_default().to_owned())
        })
        .collect();
    let expected = [
        ("playbooks[0].escalate.action", "did you mean 'publish'?"),
        ("playbooks[1].action", "did you mean 'quarantine'?"),
        ("playbooks[1].escalate.action", "did you mean 'publish'?"),
    ];
    assert_eq!(
        told,
        expected.map(|(field, advice)| (Code::NOT_FOUND, field.to_owned(), advice.to_owned()))
    );
    assert_eq!(recovery.playbooks().policy(), before, "the old ones stay");
}

#[test]
fn a_failing_agent_is_degraded_by_a_playbook_and_what_that_sets_off_ends() {
    let bad = from_fn(inline("bad", "work"), |_: &Task| -> Result<&str> {
        Err(Error::new(Code::AGENT_FAILED, "on purpose"))
    });
    // The second hears of what the first does, and the other way round.
    let policy: PlaybookPolicy = read(json!({"playbooks": [
        {"name": "degrade", "when": {"event": {"subject": "call.failed",
            "fields": [{"at": "/agent", "op": "eq", "value": "bad"}]}},
         "action": "degrade", "params": {"level": "essential"}},
        {"name": "undo", "when": {"event": {"subject": "recovery.degrade.changed"}},
         "action": "degrade", "params": {"level": null}},
    ]}));
    let kernel = started(Kernel::builder().playbooks(policy).agent(bad));
    let mut events = kernel.bus().subscribe("recovery.playbook.>").pull().unwrap();
    for _ in 0..50 {
        call(&kernel, "work").unwrap_err();
        kernel.advance(Duration::from_millis(10)).unwrap();
    }
    let record = kernel.recovery().playbooks().record(100);
    let done: Vec<_> = record
        .iter()
        .filter(|entry| matches!(entry.state, EntryState::Done { .. }))
        .map(|entry| &*entry.playbook)
        .collect();
    assert_eq!(done, ["degrade", "undo"]);
    assert!(record.len() <= 4, "refusals are one line each: {record:#?}");
    assert_eq!(subjects(&mut events).iter().filter(|s| s.ends_with(".running")).count(), 2);
}

#[test]
fn a_condition_over_time_is_looked_at_when_it_is_due() {
    let policy: PlaybookPolicy = read(json!({"playbooks": [
        {"name": "b", "when": {"signal": {"name": "health", "op": "lt", "value": 0.5}}, "for_ms": 2_000,
         "action": "quarantine", "params": {"target": "x"}, "approval_ms": 10_000},
    ]}));
    let kernel = started(Kernel::builder());
    let recovery = kernel.recovery();
    recovery.set_playbooks(policy).unwrap();
    recovery.signal("health", 0.1).unwrap();
    kernel.advance(Duration::from_millis(2_000)).unwrap();
    let pending = recovery.playbooks().record(1).remove(0);
    assert_eq!(pending.state.name(), "pending");
    recovery.playbooks().approve(pending.id, "ops").unwrap();
    kernel.advance(Duration::ZERO).unwrap();
    assert_eq!(recovery.targets()[0].state, IsolateState::Quarantined);
}

#[test]
fn a_kernel_whose_policies_make_no_sense_is_not_built() {
    let degrade: DegradePolicy = read(json!({"levels": []}));
    assert_eq!(Kernel::builder().degradation(degrade).build().unwrap_err().code(), Code::INVALID);
    let count = || Count(Arc::default());
    let twice = Kernel::builder().playbook_action(count()).playbook_action(count()).build();
    assert_eq!(twice.unwrap_err().code(), Code::ALREADY_EXISTS);
}
