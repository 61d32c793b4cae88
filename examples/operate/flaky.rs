//! The agent `flaky`: fails one call in five, hangs in one of a hundred, and is down altogether for a
//! while, but when it answers it answers well. And `spare`, which always answers, and not as well: what answers
//! are worth is reported, and the kernel's router learns by it that flaky is to be preferred. What the guard is
//! for: calls that fail are tried again, on the other agent if need be; while flaky is down its breaker keeps calls
//! off it, and lets them back when it works again. And what isolation and playbooks are for: a breaker that opens
//! sets flaky apart for a moment, in which nobody is sent there; then it is probed and let in again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sutazai_core::agent::{FnAgent, from_async};
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::ticket;
use sutazai_core::kernel::{CallsTo, Kernel};
use sutazai_core::port::{AgentCard, Outcome};
use sutazai_core::recovery::GuardPolicy;
use sutazai_core::{Code, Error, Result};

/// The skill of both.
pub const SKILL: &str = "flake";

/// What spare says.
const ENOUGH: &str = "enough";

/// It either answers within a few milliseconds or never.
const TIMEOUT: Duration = Duration::from_millis(100);
/// As long as a fast answer takes across a network.
const WORK: Duration = Duration::from_millis(1);
/// The calls, by number, that find it down.
const DOWN: std::ops::Range<u64> = 60..68;

pub fn agent(runtime: Arc<dyn Runtime>) -> FnAgent {
    let card = AgentCard::new("flaky", [SKILL])
        .description("fails one call in five, sometimes hangs, and is down for a while")
        .timeout(TIMEOUT);
    let calls = AtomicU64::new(0);
    from_async(card, move |_| {
        // By its number, so that every run meets the same trouble.
        let number = calls.fetch_add(1, Ordering::Relaxed);
        let runtime = Arc::clone(&runtime);
        async move {
            after(&runtime, WORK).await;
            match number {
                n if DOWN.contains(&n) => Err(Error::new(Code::AGENT_FAILED, "down")),
                n if n % 100 == 42 => std::future::pending().await,
                n if n % 5 == 0 => Err(Error::new(Code::AGENT_FAILED, "out of luck")),
                _ => Ok("fine"),
            }
        }
    })
}

pub fn spare(runtime: Arc<dyn Runtime>) -> FnAgent {
    let card = AgentCard::new("spare", [SKILL]).description("stands in for flaky");
    from_async(card, move |_| {
        let runtime = Arc::clone(&runtime);
        async move {
            after(&runtime, WORK).await;
            Ok(ENOUGH)
        }
    })
}

/// How good an answer of theirs is: flaky's are worth the trouble that it makes, and spare's will do.
pub fn score(agent: &str, outcome: &Outcome) -> Option<f64> {
    let text = (agent == "flaky").then(|| outcome.output.to::<String>().ok()).flatten()?;
    Some(if text == ENOUGH { 0.3 } else { 1.0 })
}

/// Has flaky set apart for a while when its breaker opens, at most a few times a run.
pub fn heal(kernel: &Kernel) -> Result<()> {
    let recovery = kernel.recovery();
    // Nobody is set apart for how calls went: the breaker says enough of flaky, and the others are to be
    // heard to the end.
    recovery.set_isolate_policy(read(serde_json::json!({
        "crash_loop": {"crashes": 0},
        "error_storm": {"failure_rate": 0.0, "slow_rate": 0.0},
        "quarantine_ms": 50,
        "quarantine_max_ms": 100,
        "readmit_after": 2,
    }))?)?;
    recovery.set_playbooks(read(serde_json::json!({"playbooks": [{
        "name": "set flaky apart",
        "when": {"event": {
            "subject": "recovery.breaker.changed",
            "fields": [
                {"at": "/agent", "op": "eq", "value": "flaky"},
                {"at": "/to", "op": "eq", "value": "open"},
            ],
        }},
        "action": "quarantine",
        "params": {"target": "$/agent", "for_ms": 50},
        "cooldown_ms": 500,
        "max_actions": 5,
    }]}))?)
}

/// Puts a guard around the calls of their skill.
pub fn guard(kernel: &Kernel) -> Result<()> {
    let policy = serde_json::json!({
        "timeout_ms": 10_000,
        "retry": {"attempts": 6, "base_ms": 2, "max_ms": 50},
        // One call in five fails by design, so more than a tenth of them has to be affordable.
        "budget": {"capacity": 100, "per_success": 0.5},
        "breaker": {"consecutive": 6, "failure_rate": 0.7, "open_ms": 10, "open_max_ms": 40, "close_after": 3},
    });
    kernel.guard(CallsTo::Skill(SKILL.to_owned()), Some(read::<GuardPolicy>(policy)?))
}

fn read<T: serde::de::DeserializeOwned>(policy: serde_json::Value) -> Result<T> {
    serde_json::from_value(policy).map_err(|e| Error::new(Code::INVALID, "not a policy").because(e))
}

async fn after(runtime: &Arc<dyn Runtime>, time: Duration) {
    let (ticket, reply) = ticket::pair();
    runtime.spawn_at(runtime.now() + time, Box::new(move || drop(reply.send(()))));
    // A runtime that stops drops its timers, which ends the wait as well.
    let _ = ticket.await;
}
