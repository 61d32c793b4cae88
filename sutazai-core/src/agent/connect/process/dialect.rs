//! What is said over the pipes of a process: the part that differs between protocols.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::base::time::Moment;
use crate::observe::Level;
use crate::port::{AgentCard, Outcome, Task};
use crate::{Code, Error, Result};

/// A message to the process, with its `\n`.
pub(in crate::agent::connect) type Said = Cow<'static, str>;

/// A protocol of lines, as a state machine: it does no I/O and is told the time. What follows from a
/// line is handed out as [`Heard`]; the agent does it.
///
/// Called by the threads of the agent, also with the lock of its state held: it calls nobody and waits
/// for nothing.
pub(in crate::agent::connect) trait Dialect: Send + Sync {
    /// The operation that its errors name.
    fn operation(&self) -> &'static str;

    /// A process has been started: what it is told first.
    fn begin(&self, now: Moment) -> Vec<Said>;

    /// The process wrote a line.
    fn hear(&self, line: &[u8], now: Moment) -> Vec<Heard>;

    /// When [`tick`](Self::tick) is to be called if the process is not ready by then.
    fn due(&self) -> Option<Moment> {
        None
    }

    /// It is that late.
    fn tick(&self, now: Moment) -> Vec<Heard> {
        let _ = now;
        Vec::new()
    }

    /// The task's input as it goes into a message: JSON text.
    ///
    /// # Errors
    /// When it cannot be an input.
    fn input(&self, task: &Task) -> Result<Arc<str>> {
        Ok(task.input().to_text())
    }

    /// The length of the task's message, or a little more.
    fn task_length(&self, task: &Task, input: &str) -> usize;

    /// The message of a task.
    ///
    /// # Errors
    /// When the process is not one that can do it.
    fn task(&self, id: u64, task: &Task, input: &str, timeout_ms: Option<u64>) -> Result<Said>;

    /// Nobody wants the answer any more.
    fn cancel(&self, id: u64) -> Said;

    /// What asks a process that is ready whether it lives, and is answered whatever the process does;
    /// `None` where it would not be understood. Each is answered by [`Heard::Pong`].
    fn ping(&self) -> Option<Said>;

    /// It is to finish and exit; its input ends after this.
    fn stop(&self) -> Option<Said>;

    /// The task that a line answers which was too long to be read, given its beginning and its end.
    fn whose(&self, head: &[u8], tail: &[u8]) -> Option<u64>;

    /// The process ended before it was ready: whether it is started once more at once, because it will
    /// be talked to in another way.
    fn again(&self) -> bool {
        false
    }

    /// How long a cancelled task keeps its place while nothing is heard of it; `None` for ever.
    fn hold(&self) -> Option<Duration> {
        None
    }

    /// What to do about a process that does not get ready.
    fn advice(&self) -> &'static str;
}

/// What follows from a line.
#[derive(Debug)]
#[cfg_attr(not(feature = "mcp"), allow(dead_code, reason = "some of it only MCP says"))]
pub(in crate::agent::connect) enum Heard {
    /// Tasks may come.
    Ready,
    /// It introduced itself.
    Card(AgentCard),
    /// A partial result; of a task that has ended it is a breach unless it `may_be_late`.
    Progress { id: u64, part: Value, may_be_late: bool },
    /// The end of a task.
    Answer { id: u64, answer: Result<Outcome> },
    /// A line for the log.
    Log { level: Level, message: String },
    /// It is to be told this.
    Say(Said),
    /// It answers a ping.
    Pong,
    /// Not a message at all. Counted and logged, and not held against it.
    Noise(&'static str),
    /// A breach of the protocol.
    Breach(String),
    /// It cannot be talked to: why.
    Unusable(String),
}

/// JSON text as a part of one line: line breaks in it stand between tokens only.
pub(in crate::agent::connect) fn push_json(line: &mut String, json: &str) {
    if json.contains(['\n', '\r']) {
        line.extend(json.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
    } else {
        line.push_str(json);
    }
}

/// The error of a task whose answer was longer than a line may be.
pub(super) fn too_long(dialect: &dyn Dialect, agent: &str, length: u64, most: usize) -> Error {
    Error::new(Code::AGENT_PROTOCOL, "the agent's answer is too long")
        .operation(dialect.operation())
        .with("agent", agent)
        .with("bytes", length)
        .with("max_line", most)
        .advice("answer in several progress messages, or raise max_line")
}
