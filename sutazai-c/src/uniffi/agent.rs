//! Agents written in Swift, Kotlin or Ruby.

use std::sync::{Arc, Weak};

use sutazai_core::agent::{from_async, from_fn};
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::time::Moment;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{AgentCard, Outcome, Task};
use sutazai_core::{Code, Error, Result};

use super::error::KernelError;

/// What an agent is asked to do.
#[derive(Clone, Debug, uniffi::Record)]
pub struct AgentTask {
    /// The call's number within its kernel.
    pub call: u64,
    /// The skill that is asked for.
    pub skill: String,
    /// What to work on, JSON.
    pub input: String,
    /// Milliseconds that were left, at the start, until the caller stops waiting; absent when there
    /// is no deadline.
    pub left_ms: Option<u64>,
}

/// Does tasks, each on a thread that it may block. Several may run at once, unless the card says
/// `"concurrency": 1`.
#[uniffi::export(callback_interface)]
pub trait Agent: Send + Sync {
    /// Does a task and answers with JSON. Runs on the kernel's pool, or on the caller's thread for an
    /// agent whose card says `"run": "inline"`.
    ///
    /// What it throws is the call's error: a `KernelError` as it is, anything else as
    /// `agent.failed`.
    fn handle(&self, task: AgentTask) -> std::result::Result<String, KernelError>;
}

/// Does tasks without a thread for each: an `async` function in Swift, `suspend` in Kotlin. Ruby gives
/// each task a thread of its own. Cancelled with the call, or when its deadline passes.
#[uniffi::export(callback_interface)]
#[async_trait::async_trait]
pub trait AsyncAgent: Send + Sync {
    /// Does a task and answers with JSON; throws as `Agent` does.
    async fn handle(&self, task: AgentTask) -> std::result::Result<String, KernelError>;
}

/// Registers it, or another version of it.
pub(super) fn register(
    kernel: &Kernel,
    agent: impl sutazai_core::port::Agent,
    replace: bool,
) -> Result<()> {
    if replace { kernel.replace_agent(agent) } else { kernel.add_agent(agent) }
}

/// The agent in a form that the core knows.
pub(super) fn blocking(
    card: AgentCard,
    agent: Box<dyn Agent>,
    runtime: Weak<dyn Runtime>,
) -> impl sutazai_core::port::Agent {
    from_fn(card, move |task: &Task| outcome(agent.handle(shown(task, &runtime))?))
}

/// As [`blocking`].
pub(super) fn asynchronous(
    card: AgentCard,
    agent: Box<dyn AsyncAgent>,
    runtime: Weak<dyn Runtime>,
) -> impl sutazai_core::port::Agent {
    let agent: Arc<dyn AsyncAgent> = Arc::from(agent);
    from_async(card, move |task: Task| {
        let agent = Arc::clone(&agent);
        let task = shown(&task, &runtime);
        async move { outcome(agent.handle(task).await?) }
    })
}

fn shown(task: &Task, runtime: &Weak<dyn Runtime>) -> AgentTask {
    let left = |runtime: Arc<dyn Runtime>| task.deadline().since(runtime.now()).as_millis();
    let left_ms = (task.deadline() != Moment::FAR)
        .then(|| u64::try_from(runtime.upgrade().map_or(0, left)).unwrap_or(u64::MAX));
    AgentTask {
        call: task.id().0,
        skill: task.skill().to_owned(),
        input: task.input().to_text().as_ref().to_owned(),
        left_ms,
    }
}

/// What an agent answered. UniFFI takes a callback's text as it comes, and Ruby's may be anything:
/// whether it is UTF-8 is looked at here, before anybody relies on it.
fn outcome(answer: String) -> Result<Outcome> {
    if answer.is_empty() {
        // Also what is left of an agent that did not come back.
        return Err(Error::new(Code::AGENT_BAD_ANSWER, "the agent came back without an answer")
            .advice("answer with JSON, null for nothing"));
    }
    let text = String::from_utf8(answer.into_bytes()).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        Error::new(Code::AGENT_BAD_ANSWER, "the agent's answer is not UTF-8")
            .with("valid_up_to", valid)
    })?;
    let output = Payload::json_text(text).map_err(|error| {
        Error::new(Code::AGENT_BAD_ANSWER, "the agent's answer is not JSON").because(error)
    })?;
    Ok(Outcome::new(output))
}
