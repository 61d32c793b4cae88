//! Rows of the agents: who there is, calling them, cancelling.

use std::num::NonZeroU8;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use crate::agent::AgentView;
#[cfg(unix)]
use crate::agent::connect::process::{ProcessAgent, ProcessSpec};
use crate::base::id::CallId;
use crate::base::payload::Payload;
use crate::base::ticket::Ticket;
#[cfg(unix)]
use crate::port::{Agent as _, AgentCard};
use crate::port::{Outcome, Task};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::later(
            "agent.call",
            "Takes a task all the way: authenticate, authorise, route, guard, the agent, record.",
            &[
                Code::AGENT_NO_SKILL,
                Code::NOT_FOUND,
                Code::OVERLOADED,
                Code::DEADLINE_EXCEEDED,
                Code::CANCELLED,
                Code::PANIC,
                Code::DENIED,
                Code::UNAUTHENTICATED,
                Code::AGENT_FAILED,
                Code::AGENT_EXITED,
                Code::AGENT_PROTOCOL,
                Code::AGENT_BAD_ANSWER,
                Code::INVALID,
                Code::IO,
                Code::BREAKER_OPEN,
                Code::BULKHEAD_FULL,
                Code::RATE_LIMITED,
                Code::ABANDONED,
                Code::INVALID,
                Code::IO,
                Code::NOT_RUNNING,
                Code::DRAINING,
                Code::DEGRADED,
                Code::QUARANTINED,
                Code::SAFE_STATE,
            ],
            call,
        ),
        Operation::now(
            "agent.cancel",
            "Cancels a call by its number; says whether it was in flight.",
            &[Code::REQUEST_INVALID],
            cancel,
        ),
        Operation::now(
            "agent.calls",
            "The numbers of the calls in flight, sorted.",
            &[Code::REQUEST_INVALID],
            calls,
        ),
        Operation::now(
            "agent.list",
            "The registered agents, sorted by name, with how their calls went.",
            &[Code::REQUEST_INVALID],
            list,
        ),
        Operation::now(
            "agent.get",
            "One agent: its card, state, and how its calls went.",
            &[Code::NOT_FOUND],
            get,
        ),
        #[cfg(unix)]
        Operation::blocking(
            "agent.add_process",
            "Registers an agent that is a process and speaks JSON lines, or another version of one, \
             and starts it when the kernel runs.",
            &[
                Code::INVALID,
                Code::ALREADY_EXISTS,
                Code::AGENT_START,
                Code::AGENT_PROTOCOL,
                Code::NOT_RUNNING,
                Code::DRAINING,
            ],
            add_process,
        ),
        Operation::now(
            "agent.switch",
            "Puts a version of an agent in charge that stands by; the one that was stands by then.",
            &[Code::NOT_FOUND],
            switch,
        ),
        Operation::blocking(
            "agent.retire",
            "Stops a version of an agent that stands by.",
            &[Code::NOT_FOUND],
            retire,
        ),
        Operation::blocking(
            "agent.remove",
            "Removes an agent: no more tasks, time to finish, then it is stopped.",
            &[Code::NOT_FOUND],
            remove,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Call {
    /// The skill that is asked for.
    skill: String,
    /// What to work on; any JSON.
    #[serde(default)]
    input: Payload,
    /// The agent that is asked for; any that has the skill without it.
    agent: Option<String>,
    /// Gives up after this many milliseconds; the agent's or the kernel's default without it.
    timeout_ms: Option<u64>,
    /// Where it has to wait for a place, it goes before those of a lower number. Without it it is as
    /// urgent as the work that calls, or else 128.
    priority: Option<NonZeroU8>,
    /// On behalf of whoever this token belongs to; the local session without it.
    token: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Called {
    /// The call's number.
    call: CallId,
    /// What the agent gave.
    output: Payload,
}

fn call(surface: &Surface, request: Call) -> Result<Ticket<Called>> {
    let mut task = Task::new(request.skill, request.input);
    if let Some(agent) = request.agent {
        task = task.to_agent(agent);
    }
    if let Some(ms) = request.timeout_ms {
        task = task.timeout(Duration::from_millis(ms));
    }
    if let Some(priority) = request.priority {
        task = task.priority(priority.get());
    }
    let (call, ticket) = surface.kernel().submit(task, request.token.as_deref());
    Ok(ticket.map(Some(surface.hook()), move |answer: Result<Outcome>| {
        answer.map(|outcome| Called { call, output: outcome.output })
    }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cancel {
    /// The call's number.
    call: CallId,
}

#[derive(Serialize, JsonSchema)]
struct Cancelled {
    /// Whether it was in flight.
    cancelled: bool,
}

fn cancel(surface: &Surface, request: Cancel) -> Result<Cancelled> {
    Ok(Cancelled { cancelled: surface.kernel().cancel(request.call) })
}

#[derive(Serialize, JsonSchema)]
struct Calls {
    calls: Vec<CallId>,
}

fn calls(surface: &Surface, _: Nothing) -> Result<Calls> {
    Ok(Calls { calls: surface.kernel().calls() })
}

#[derive(Serialize, JsonSchema)]
struct Agents {
    agents: Vec<AgentView>,
}

fn list(surface: &Surface, _: Nothing) -> Result<Agents> {
    Ok(Agents { agents: surface.kernel().agents() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Get {
    /// The agent's name.
    name: String,
}

fn get(surface: &Surface, request: Get) -> Result<AgentView> {
    surface.kernel().agent(&request.name).ok_or_else(|| {
        Error::new(Code::NOT_FOUND, "no agent of this name is registered")
            .operation("agent.get")
            .with("agent", request.name)
    })
}

#[cfg(unix)]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddProcess {
    /// Who it is; it is asked itself without this.
    card: Option<AgentCard>,
    /// The program and how it is run.
    process: ProcessSpec,
    /// Whether it may take the place of another version of its name, which stands by then; else a name
    /// that is taken is an error.
    #[serde(default)]
    replace: bool,
}

#[cfg(unix)]
#[derive(Serialize, JsonSchema)]
struct Added {
    /// The name it is registered under.
    agent: std::sync::Arc<str>,
}

#[cfg(unix)]
fn add_process(surface: &Surface, request: AddProcess) -> Result<Added> {
    let agent = match request.card {
        Some(card) => ProcessAgent::new(card, request.process),
        None => ProcessAgent::described(request.process)?,
    };
    let name = agent.card().name;
    if request.replace {
        surface.kernel().replace_agent(agent)?;
    } else {
        surface.kernel().add_agent(agent)?;
    }
    Ok(Added { agent: name })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Switch {
    /// The agent's name.
    name: String,
    /// The version that is to be in charge; the one that is already may be named too.
    version: String,
}

fn switch(surface: &Surface, request: Switch) -> Result<AgentView> {
    surface.kernel().switch_agent(&request.name, &request.version)?;
    get(surface, Get { name: request.name })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Retire {
    /// The agent's name.
    name: String,
    /// The version, which stands by.
    version: String,
    /// How long its tasks may take to finish, in milliseconds; 5,000 without it.
    #[serde(default = "five_seconds")]
    grace_ms: u64,
}

#[derive(Serialize, JsonSchema)]
struct Retired {
    /// Always true; a version that does not stand by is an error.
    retired: bool,
}

fn retire(surface: &Surface, request: Retire) -> Result<Retired> {
    let grace = Duration::from_millis(request.grace_ms);
    surface.kernel().retire_agent(&request.name, &request.version, grace)?;
    Ok(Retired { retired: true })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remove {
    /// The agent's name.
    name: String,
    /// How long its tasks may take to finish, in milliseconds; 5,000 without it.
    #[serde(default = "five_seconds")]
    grace_ms: u64,
}

fn five_seconds() -> u64 {
    5_000
}

#[derive(Serialize, JsonSchema)]
struct Removed {
    /// Always true; an agent that is not there is an error.
    removed: bool,
}

fn remove(surface: &Surface, request: Remove) -> Result<Removed> {
    let grace = Duration::from_millis(request.grace_ms);
    surface.kernel().remove_agent(&request.name, grace)?;
    Ok(Removed { removed: true })
}
