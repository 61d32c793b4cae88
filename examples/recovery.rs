//! What is done about failures, part by part. `cargo run --example recovery`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use sutazai_core::base::payload::Payload;
use sutazai_core::kernel::{CallsTo, Kernel};
use sutazai_core::port::{
    ActionContext, AgentCard, Checkpointed, FailsafeStage, PlaybookAction, SafeContext,
    SagaContext, Task, WorkerMessage,
};
use sutazai_core::recovery::supervise::{ChildSpec, Strategy, SupervisorSpec};
use sutazai_core::recovery::{EntryState, Evidence, Facts, Guard, GuardPolicy, Saga, step_fn};
use sutazai_core::{Code, Error, Result, agent};

fn main() -> Result<()> {
    let kernel = Kernel::builder().build()?;
    kernel.start()?;
    guarded_calls(&kernel)?;
    a_guarded_function()?;
    what_failures_are(&kernel)?;
    supervision(&kernel)?;
    rollback(&kernel)?;
    graceful_degradation(&kernel)?;
    isolation(&kernel)?;
    playbooks(&kernel)?;
    failsafe(&kernel)?;
    kernel.stop(Duration::from_secs(5))
}

/// Policies are plain data: in code, as JSON, or in the manifest.
fn policy<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> Result<T> {
    serde_json::from_value(json).map_err(|e| Error::new(Code::INVALID, e.to_string()))
}

/// A call is tried again on another agent; an agent that keeps failing is left alone.
fn guarded_calls(kernel: &Kernel) -> Result<()> {
    // By load alone: a router that learns would hardly ask the first one again.
    kernel.set_route_policy(policy(json!({"strategy": "least_loaded"}))?, None, 0)?;
    let translate = |name: &str| AgentCard::new(name, ["translate"]);
    kernel.add_agent(agent::from_fn(translate("first"), |_: &Task| -> Result<Payload> {
        Err(Error::new(Code::AGENT_FAILED, "the model hung up"))
    }))?;
    kernel.add_agent(agent::from_fn(translate("second"), |task: &Task| {
        Ok(task.input().to::<String>()?.chars().rev().collect::<String>())
    }))?;
    // Retry, budget, timeout and hedge are the call's, the other parts each agent's own.
    let guard: GuardPolicy = policy(json!({
        "timeout_ms": 5000,
        "retry": {"attempts": 3, "base_ms": 1},
        "budget": {"capacity": 100},
        "hedge": {"min_ms": 50},
        "breaker": {"consecutive": 3},
        "bulkhead": {"concurrency": 8, "queue": 100},
    }))?;
    kernel.guard(CallsTo::Skill("translate".into()), guard)?;
    for _ in 0..10 {
        let urgent = Task::new("translate", "olleh").priority(200);
        assert_eq!(kernel.call(urgent).wait()?.output, Payload::from("hello"));
    }
    let breaker = kernel.guard_of("first").and_then(|guard| guard.breaker());
    println!("guarded calls: breaker of first: {:?}", breaker.map(|breaker| breaker.state()));
    Ok(())
}

/// The same around any function; `Guard::call` is for what is awaited.
fn a_guarded_function() -> Result<()> {
    let json = json!({"timeout_ms": 5000, "retry": {"base_ms": 1}, "breaker": {}});
    let guard = Guard::new("fetch", policy(json)?)?;
    let page = guard.run(|attempt| match attempt.number {
        1 | 2 => Err(Error::new(Code::TIMEOUT, "not yet")),
        tries => Ok(format!("page after {tries} tries")),
    })?;
    println!("a guarded function: {page}");
    Ok(())
}

/// Every failure is transient, persistent or critical, by built-in rules and your own.
fn what_failures_are(kernel: &Kernel) -> Result<()> {
    kernel.classification(policy(json!({"rules": [
        {"name": "index is building", "class": "transient", "text": "still indexing"},
    ]}))?)?;
    let now = kernel.runtime().timestamp();
    let limited = Facts { http_status: Some(429), ..Facts::text("retry in 7s") };
    for failure in [Facts::text("still indexing"), Facts::text("permission denied"), limited] {
        println!("classified: {}", kernel.classifier().classify(&failure, now));
    }
    Ok(())
}

/// Work that is started again when it fails, and messages that outlive it.
fn supervision(kernel: &Kernel) -> Result<()> {
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let index = move |message: &WorkerMessage<'_>| -> Result<()> {
        if *message.body == Payload::from("poison") {
            return Err(Error::new(Code::INVALID, "no way to index this"));
        }
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    kernel.workers().add_messages("index", policy(json!({"kills": 2}))?, Arc::new(index))?;
    let child = ChildSpec::worker("indexer").does("index");
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(10, Duration::from_secs(5));
    kernel.supervise("background", spec.child(child))?;
    for message in ["a", "poison", "b"] {
        kernel.push_message("background>indexer", message.into())?;
    }
    until(|| done.load(Ordering::SeqCst) == 2);
    let aside = kernel.workers().mailbox("background>indexer")?.poison();
    println!("supervision: 2 done, {} set aside", aside.len());
    Ok(())
}

struct Level(AtomicU64);

impl Checkpointed for Level {
    fn name(&self) -> &str {
        "level"
    }
    fn save(&self) -> Result<Payload> {
        Ok(self.0.load(Ordering::SeqCst).into())
    }
    fn restore(&self, state: &Payload) -> Result<()> {
        self.0.store(state.to()?, Ordering::SeqCst);
        Ok(())
    }
}

/// State is put back from a checkpoint; steps that were done are undone.
fn rollback(kernel: &Kernel) -> Result<()> {
    let level = Arc::new(Level(AtomicU64::new(1)));
    kernel.checkpoints().register(level.clone())?;
    let before = kernel.checkpoints().create("before", Some(&["level".to_owned()]))?;
    level.0.store(2, Ordering::SeqCst);
    kernel.checkpoints().restore(before.id, None)?;

    let reserve = step_fn(
        |_: &SagaContext<'_>| Ok("seat 7".into()),
        |_: &SagaContext<'_>, gave: Option<&Payload>| {
            println!("rollback: undone: {gave:?}");
            Ok(())
        },
    );
    let pay = step_fn(
        |_: &SagaContext<'_>| Err(Error::new(Code::AGENT_FAILED, "the card was declined")),
        |_: &SagaContext<'_>, _: Option<&Payload>| Ok(()),
    );
    kernel.define_saga(Saga::new("trip").step("reserve", reserve).step("pay", pay))?;
    let (_, mut trip) = kernel.sagas().run("trip", Payload::NULL)?;
    let undone = trip.wait().err().map(|error| error.code());
    println!("rollback: level {}, {undone:?}", level.0.load(Ordering::SeqCst));
    Ok(())
}

/// Levels, and what features do at each; entered and left with hysteresis.
fn graceful_degradation(kernel: &Kernel) -> Result<()> {
    kernel.recovery().set_degrade_policy(policy(json!({
        "features": {"search": {"reduced": {"reduced": {"results": 10}}}},
        "rules": [{"level": "reduced", "signal": "load", "enter": 0.9, "leave": 0.6}],
    }))?)?;
    kernel.recovery().signal("load", 0.95)?;
    let (level, mode) = (kernel.recovery().level().level, kernel.recovery().check("search")?);
    println!("degradation: {level}, search: {mode:?}");
    kernel.recovery().set_degrade_policy(policy(json!({}))?)
}

/// What harms the rest is set apart, probed and let in again.
fn isolation(kernel: &Kernel) -> Result<()> {
    for _ in 0..3 {
        kernel.recovery().observe("second", Evidence::Crash)?;
    }
    let state = |kernel: &Kernel| kernel.recovery().targets().first().map(|target| target.state);
    let apart = state(kernel);
    kernel.recovery().release("second", "the example")?;
    println!("isolation: {apart:?}, then {:?}", state(kernel));
    Ok(())
}

struct DropCaches;

impl PlaybookAction for DropCaches {
    fn name(&self) -> &str {
        "drop_caches"
    }
    fn schema(&self) -> serde_json::Value {
        json!({"type": "null"})
    }
    fn run(&self, _: &ActionContext<'_>, _: &Payload, dry: bool) -> Result<Payload> {
        Ok(if dry { "would drop 3 caches" } else { "3 caches dropped" }.into())
    }
}

/// On this condition, do that, within bounds, and with a record.
fn playbooks(kernel: &Kernel) -> Result<()> {
    kernel.recovery().add_action(Arc::new(DropCaches))?;
    kernel.recovery().set_playbooks(policy(json!({"playbooks": [
        {"name": "memory", "when": {"event": {"subject": "memory.low"}}, "action": "drop_caches"},
    ]}))?)?;
    kernel.bus().publish("memory.low", Payload::NULL)?;
    let last = || kernel.recovery().playbooks().record(1).into_iter().next();
    until(|| last().is_some_and(|entry| matches!(entry.state, EntryState::Done { .. })));
    println!("playbooks: {:?}", last().map(|entry| entry.state));
    Ok(())
}

struct CloseValve;

impl FailsafeStage for CloseValve {
    fn name(&self) -> &str {
        "close_valve"
    }
    fn within(&self) -> Duration {
        Duration::from_secs(5)
    }
    fn run(&self, _: &SafeContext<'_>) -> Result<()> {
        Ok(())
    }
}

/// The way to the safe state, within a bounded time.
fn failsafe(kernel: &Kernel) -> Result<()> {
    kernel.recovery().add_stage(Arc::new(CloseValve))?;
    kernel.recovery().take_safe_state("a drill");
    let status = kernel.recovery().wait_safe(Duration::from_secs(30));
    let stages: Vec<_> = status.stages.iter().map(|stage| &*stage.name).collect();
    println!("failsafe: {:?} {stages:?}", status.state);
    Ok(())
}

/// Waits for work that goes on in the background.
fn until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::sleep(Duration::from_millis(1));
    }
}
