//! What is known of how agents did: by skill, with what it cost, and from one process to the next.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sutazai_core::agent::from_fn;
use sutazai_core::base::payload::Payload;
use sutazai_core::kernel::{CallsTo, Kernel};
use sutazai_core::port::{AgentCard, Outcome, RunMode, Task, Terms, Usage};
use sutazai_core::recovery::GuardPolicy;
use sutazai_core::{Code, Error, Result};

/// An agent that says what it costs.
fn costs(name: &str, cost: f64) -> impl sutazai_core::port::Agent {
    let card = AgentCard::new(name, ["write", "read"]).run(RunMode::Inline);
    let name = Payload::from(name);
    from_fn(card, move |_: &Task| Ok(Outcome::new(name.clone()).used(Usage::new(100, 20, cost))))
}

fn call(kernel: &Kernel, terms: Terms) -> Result<String> {
    let outcome = kernel.call(Task::new("write", 1_u32).terms(terms)).wait()?;
    outcome.output.to()
}

#[test]
fn figures_outlive_their_process() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let kernel = Kernel::builder().data_dir(dir.path().join("state")).build().unwrap();
        kernel.add_agent(costs("a", 0.25)).unwrap();
        kernel.start().unwrap();
        kernel
    };
    let kernel = start();
    for _ in 0..3 {
        call(&kernel, Terms::default()).unwrap();
    }
    kernel.score("a", Some("write"), 0.5).unwrap();
    kernel.stop(Duration::from_secs(5)).unwrap();
    let kernel = start();
    let stats = kernel.agent("a").unwrap().stats;
    assert_eq!((stats.calls, stats.usage), (3, Some(Usage::new(300, 60, 0.75))));
    assert!(stats.latency.is_some() && stats.recent.is_none());
    call(&kernel, Terms::default()).unwrap();
    let skills = kernel.skill_stats("a").unwrap();
    let calls: Vec<_> = skills.iter().map(|it| (it.skill.as_str(), it.stats.calls)).collect();
    assert_eq!(calls, [("write", 4), ("read", 0)]);
    assert_eq!(skills[0].stats.quality.unwrap().mean, 0.5);
    kernel.stop(Duration::from_secs(5)).unwrap();
}

#[test]
fn who_costs_too_much_gets_no_call() {
    let kernel = Kernel::builder().build().unwrap();
    kernel.add_agent(costs("dear", 2.0)).unwrap();
    kernel.add_agent(costs("cheap", 0.1)).unwrap();
    kernel.start().unwrap();
    // Nothing is known of them yet; then their calls have shown it.
    for name in ["dear", "cheap"] {
        let task = Task::new("write", 1_u32).to_agent(name);
        kernel.call(task).wait().unwrap();
    }
    for _ in 0..20 {
        assert_eq!(call(&kernel, Terms::default().max_cost(0.5)).unwrap(), "cheap");
    }
    let error = call(&kernel, Terms::default().max_cost(0.01)).unwrap_err();
    assert_eq!(error.code(), Code::AGENT_NONE_FITS);
    let unfit = error.context().find(|(key, _)| *key == "unfit").unwrap().1;
    assert!(unfit.contains("dear: a call costs 2") && unfit.contains("cheap: "), "{unfit}");
}

#[test]
fn labels_and_exclusions_hold_with_guards_too() {
    let kernel = Kernel::builder().build().unwrap();
    for (name, region) in [("a", "eu"), ("b", "us"), ("c", "eu")] {
        let card = AgentCard::new(name, ["write"]).run(RunMode::Inline).label("region", region);
        let agent = from_fn(card, move |_: &Task| match name {
            "a" => Err(Error::new(Code::TIMEOUT, "slow")),
            name => Ok(Payload::from(name)),
        });
        kernel.add_agent(agent).unwrap();
    }
    let policy = Payload::json_text(r#"{"retry": {"base_ms": 1}, "bulkhead": {}}"#).unwrap();
    kernel.guard(CallsTo::All, policy.to::<GuardPolicy>().unwrap()).unwrap();
    kernel.start().unwrap();
    for _ in 0..2 {
        let terms = Terms::default().label("region", "eu");
        assert_eq!(call(&kernel, terms).unwrap(), "c", "another try keeps to the terms");
        let terms = Terms::default().exclude("c").exclude("a");
        assert_eq!(call(&kernel, terms).unwrap(), "b");
    }
    let terms = Terms::default().label("region", "eu").exclude("c");
    assert_eq!(call(&kernel, terms).unwrap_err().code(), Code::TIMEOUT);
}

#[test]
fn calls_of_one_key_stay_with_one_agent_while_it_takes_calls() {
    let kernel = Kernel::builder().build().unwrap();
    for name in ["a", "b", "c", "d"] {
        kernel.add_agent(costs(name, 0.0)).unwrap();
    }
    kernel.start().unwrap();
    let who = |key: &str| call(&kernel, Terms::default().affinity(key)).unwrap();
    let homes: Vec<_> = (0..40).map(|key| who(&key.to_string())).collect();
    for (key, home) in homes.iter().enumerate() {
        assert!((0..5).all(|_| who(&key.to_string()) == *home));
    }
    let mut all = homes.clone();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4, "keys are spread: {homes:?}");
    // Only what was at home with the one that goes moves.
    kernel.remove_agent("b", Duration::ZERO).unwrap();
    for (key, home) in homes.iter().enumerate().filter(|(_, home)| *home != "b") {
        assert_eq!(who(&key.to_string()), *home);
    }
}
