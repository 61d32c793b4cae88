//! Rows of the agents: who there is, calling them, cancelling.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
#[cfg(unix)]
use crate::agent::connect::process::{ProcessAgent, ProcessSpec};
use crate::agent::{AgentStats, AgentView, SkillStats};
use crate::base::id::CallId;
use crate::base::payload::Payload;
use crate::base::ticket::Ticket;
use crate::kernel::BatchAnswer;
#[cfg(unix)]
use crate::port::{Agent as _, AgentCard};
use crate::port::{Outcome, Task, Terms, Usage};
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
                Code::AGENT_LOOP,
                Code::AGENT_NONE_FITS,
                Code::INVALID,
                Code::AGENT_TOO_DEEP,
                Code::IO,
                Code::BREAKER_OPEN,
                Code::BULKHEAD_FULL,
                Code::RATE_LIMITED,
                Code::ABANDONED,
                Code::NOT_RUNNING,
                Code::DRAINING,
                Code::DEGRADED,
                Code::QUARANTINED,
                Code::SAFE_STATE,
            ],
            call,
        ),
        Operation::later(
            "agent.batch",
            "Makes many calls, so many side by side, and answers when all have their answers.",
            &[Code::INVALID, Code::CANCELLED],
            batch,
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
            "agent.ledger",
            "How an agent's calls went: all of them, and those for each of its skills.",
            &[Code::NOT_FOUND],
            ledger,
        ),
        Operation::now(
            "agent.score",
            "Says how good the answer of a call was, or of an agent: the router learns by it, and the ledger has it.",
            &[Code::NOT_FOUND, Code::INVALID, Code::ALREADY_EXISTS],
            score,
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
    /// What else is wanted of the call.
    terms: Option<Terms>,
    /// On behalf of whoever this token belongs to; the local session without it.
    token: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Called {
    /// The call's number.
    call: CallId,
    /// What the agent gave.
    output: Payload,
    /// What it took, where the agent says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

fn call(surface: &Surface, request: Call) -> Result<Ticket<Called>> {
    let token = request.token.clone();
    let (call, ticket) = surface.kernel().submit(request.task(), token.as_deref());
    Ok(ticket.map(Some(surface.hook()), move |answer: Result<Outcome>| {
        let called =
            |it: Outcome| Called { call, output: it.output, usage: it.usage.map(|it| *it) };
        answer.map(called)
    }))
}

impl Call {
    fn task(self) -> Task {
        let mut task = Task::new(self.skill, self.input);
        if let Some(agent) = self.agent {
            task = task.to_agent(agent);
        }
        if let Some(ms) = self.timeout_ms {
            task = task.timeout(Duration::from_millis(ms));
        }
        if let Some(priority) = self.priority {
            task = task.priority(priority.get());
        }
        if let Some(terms) = self.terms {
            task = task.terms(terms);
        }
        task
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Batch {
    /// The calls; at most 10,000. Their own tokens are not looked at.
    calls: Vec<Call>,
    /// How many are made side by side, at most; 16 without it.
    side_by_side: Option<NonZeroUsize>,
    /// On behalf of whoever this token belongs to; the local session without it.
    token: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Answers {
    /// In the order of the calls.
    answers: Vec<Answer>,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    /// The call's number.
    call: CallId,
    /// What the agent gave; null where the call failed.
    output: Payload,
    /// Why it failed; null where it did not.
    error: Option<serde_json::Value>,
}

/// Calls of one batch, at most.
const MOST_CALLS: usize = 10_000;

fn batch(surface: &Surface, request: Batch) -> Result<Ticket<Answers>> {
    if request.calls.len() > MOST_CALLS {
        return Err(Error::new(Code::INVALID, "a batch has at most 10,000 calls")
            .operation("agent.batch")
            .with("calls", request.calls.len()));
    }
    let tasks = request.calls.into_iter().map(Call::task);
    let token = request.token.as_deref();
    let ticket = surface.kernel().call_all(tasks, request.side_by_side, token);
    let answer = |it: BatchAnswer| match it.answer {
        Ok(outcome) => Answer { call: it.call, output: outcome.output, error: None },
        Err(error) => Answer {
            call: it.call,
            output: Payload::NULL,
            error: Some(serde_json::to_value(error).unwrap_or_default()),
        },
    };
    Ok(ticket.map(Some(surface.hook()), move |answers: Result<Vec<BatchAnswer>>| {
        answers.map(|all| Answers { answers: all.into_iter().map(answer).collect() })
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

#[derive(Serialize, JsonSchema)]
struct LedgerView {
    /// The agent's name.
    name: String,
    /// All its calls.
    stats: AgentStats,
    /// Those for each of its skills, in the order of its card.
    skills: Vec<SkillStats>,
}

fn ledger(surface: &Surface, request: Get) -> Result<LedgerView> {
    let kernel = surface.kernel();
    let operation = |error: Error| error.operation("agent.ledger");
    let skills = kernel.skill_stats(&request.name).map_err(operation)?;
    let stats = get(surface, Get { name: request.name.clone() }).map_err(operation)?.stats;
    Ok(LedgerView { name: request.name, stats, skills })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Score {
    /// The call's number; one of the last 4,096 or so.
    call: Option<CallId>,
    /// Without a call: the agent's name.
    name: Option<String>,
    /// Without a call: the skill that it was asked for; any without it.
    skill: Option<String>,
    /// How good the answer was, from 0 to 1.
    score: f64,
}

#[derive(Serialize, JsonSchema)]
struct Scored {
    /// Always true; failing to is an error.
    scored: bool,
}

fn score(surface: &Surface, request: Score) -> Result<Scored> {
    let kernel = surface.kernel();
    match (request.call, &request.name) {
        (Some(call), None) if request.skill.is_none() => kernel.score_call(call, request.score)?,
        (None, Some(name)) => kernel.score(name, request.skill.as_deref(), request.score)?,
        _ => {
            return Err(Error::new(Code::INVALID, "a score is for a call, or else for an agent")
                .operation("agent.score")
                .with("field", "call")
                .advice("give the call's number alone, or the agent's name, and the skill"));
        }
    }
    Ok(Scored { scored: true })
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
