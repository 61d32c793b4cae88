//! What is kept of a call: the record step of the guarded call.

use std::time::Duration;

use super::agent::AgentCard;
use super::session::Session;
use super::task::Task;
use crate::Error;
use crate::base::time::Timestamp;

/// A call that has its answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallRecord<'a> {
    /// The task.
    pub task: &'a Task,
    /// Who called.
    pub session: &'a Session,
    /// The agent that was chosen; `None` when the call was refused before.
    pub agent: Option<&'a AgentCard>,
    /// What went wrong, if anything did.
    pub failure: Option<&'a Error>,
    /// When it began.
    pub began: Timestamp,
    /// How long the caller waited.
    pub took: Duration,
}

impl<'a> CallRecord<'a> {
    /// A record of one call.
    pub fn new(
        task: &'a Task,
        session: &'a Session,
        agent: Option<&'a AgentCard>,
        failure: Option<&'a Error>,
        began: Timestamp,
        took: Duration,
    ) -> Self {
        Self { task, session, agent, failure, began, took }
    }
}

/// Keeps what is worth keeping of each call. Called before the caller sees the answer, on the
/// answering thread: must be quick and must not block.
pub trait Recorder: Send + Sync + 'static {
    /// A call has its answer.
    fn record(&self, call: &CallRecord<'_>);
}
