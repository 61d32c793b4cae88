//! Sagas as plain data, whose steps are calls of agents: for every host alike.

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::handle::Kernel;
use super::shared::Shared;
use crate::base::payload::Payload;
use crate::port::{SagaContext, SagaStep, Task};
use crate::recovery::{Saga, SagaPolicy, StepPolicy};
use crate::{Code, Error, Result};

/// A saga whose steps are guarded calls.
///
/// An agent that is called for a step gets an object: `saga` (the identifier), `name`, `step`, `key` (the
/// idempotency key: the same for every call of this step in this direction), `attempt`, `direction`
/// (`do` or `undo`), `input` (what the saga was begun with) and `gave` (what the steps before gave, by
/// name); to undo also `result`, what the step gave, unless it is not known whether it took effect. What
/// the agent answers to `do` is what the step gives.
///
/// ```
/// use sutazai_core::agent;
/// use sutazai_core::kernel::{Kernel, SagaOfCalls};
/// use sutazai_core::port::{AgentCard, Task};
///
/// let kernel = Kernel::builder()
///     .agent(agent::from_fn(AgentCard::new("hotel", ["reserve", "release"]), |task: &Task| {
///         Ok(format!("{} with {}", task.skill(), task.input().value()?["key"]))
///     }))
///     .build()?;
/// kernel.start()?;
/// let saga: SagaOfCalls = serde_json::from_str(
///     r#"{"name": "trip", "steps": [{"name": "hotel", "do": {"skill": "reserve"}, "undo": {"skill": "release"}}]}"#,
/// ).unwrap();
/// kernel.define_saga_of_calls(&saga)?;
/// let (_, mut ticket) = kernel.sagas().run("trip", 2)?;
/// assert!(ticket.wait()?.to::<String>()?.starts_with("reserve with"));
/// # kernel.stop(std::time::Duration::from_secs(5))?;
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SagaOfCalls {
    /// Its name: 1 to 128 letters, digits, `_`, `-`, `.` and `:`.
    pub name: String,
    /// How it goes on after a crash, and how long it may take.
    #[serde(default)]
    pub policy: SagaPolicy,
    /// Its steps, 1 to 100.
    pub steps: Vec<SagaStepOfCalls>,
}

/// One step of such a saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SagaStepOfCalls {
    /// Its name, unique in the saga.
    pub name: String,
    /// What does it.
    #[serde(rename = "do")]
    pub act: SagaCall,
    /// What undoes it; nothing has to be undone without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<SagaCall>,
    /// How its failures are taken.
    #[serde(default)]
    pub policy: StepPolicy,
}

/// A guarded call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SagaCall {
    /// The skill that is asked for.
    pub skill: String,
    /// The agent that is asked for; any that has the skill without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Gives up after this many milliseconds; the agent's or the kernel's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

impl Kernel {
    /// Defines a saga whose steps are calls of this kernel's agents; as
    /// [`define_saga`](Kernel::define_saga).
    ///
    /// # Errors
    /// As [`Sagas::define`](crate::recovery::Sagas::define).
    pub fn define_saga_of_calls(&self, given: &SagaOfCalls) -> Result<()> {
        let mut saga = Saga::new(given.name.as_str()).policy(given.policy.clone());
        for step in &given.steps {
            let calls = Calls {
                kernel: Arc::downgrade(&self.shared),
                act: step.act.clone(),
                undo: step.undo.clone(),
            };
            saga = saga.step_with(step.name.as_str(), step.policy.clone(), calls);
        }
        self.define_saga(saga)
    }
}

struct Calls {
    kernel: Weak<Shared>,
    act: SagaCall,
    undo: Option<SagaCall>,
}

impl SagaStep for Calls {
    fn act(&self, ctx: &SagaContext<'_>) -> Result<Payload> {
        self.call(&self.act, ctx, request(ctx, "do"))
    }

    fn undo(&self, ctx: &SagaContext<'_>, gave: Option<&Payload>) -> Result<()> {
        let Some(undo) = &self.undo else { return Ok(()) };
        let mut request = request(ctx, "undo");
        if let Some(gave) = gave {
            request.insert("result".to_owned(), json!(gave));
        }
        self.call(undo, ctx, request).map(drop)
    }
}

impl Calls {
    fn call(
        &self,
        call: &SagaCall,
        ctx: &SagaContext<'_>,
        request: Map<String, Value>,
    ) -> Result<Payload> {
        let gone = || Error::new(Code::NOT_RUNNING, "the kernel is gone");
        let kernel = self.kernel.upgrade().ok_or_else(gone)?;
        let mut task = Task::new(call.skill.as_str(), Value::Object(request));
        if let Some(agent) = &call.agent {
            task = task.to_agent(agent.as_str());
        }
        // The saga's own deadline is for when no further step is begun; a call has no more time.
        let left = ctx.deadline.since(kernel.runtime.now());
        let timeout = call.timeout_ms.map(Duration::from_millis);
        match timeout {
            Some(timeout) => task = task.timeout(timeout.min(left)),
            None if ctx.deadline != crate::base::time::Moment::FAR => task = task.timeout(left),
            None => {}
        }
        let (_, mut ticket) = kernel.call(task, None);
        drop(kernel);
        Ok(ticket.wait()?.output)
    }
}

fn request(ctx: &SagaContext<'_>, direction: &str) -> Map<String, Value> {
    let gave: Map<_, _> =
        ctx.gave.iter().map(|(name, gave)| (name.to_string(), json!(gave))).collect();
    let fields = [
        ("saga", json!(ctx.saga)),
        ("name", json!(ctx.name)),
        ("step", json!(ctx.step)),
        ("key", json!(ctx.key)),
        ("attempt", json!(ctx.attempt)),
        ("direction", json!(direction)),
        ("input", json!(ctx.input)),
        ("gave", Value::Object(gave)),
    ];
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
