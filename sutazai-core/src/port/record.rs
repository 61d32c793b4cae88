//! What is kept of a call: the record step of the guarded call.

use std::sync::Arc;
use std::time::Duration;

use super::agent::AgentCard;
use super::session::Session;
use super::task::Trace;
use crate::Error;
use crate::base::id::CallId;
use crate::base::time::Timestamp;

/// A call that has its answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallRecord<'a> {
    /// Its number.
    pub call: CallId,
    /// The skill that was asked for.
    pub skill: &'a Arc<str>,
    /// Its place in its trace.
    pub trace: Trace,
    /// What it is a part of.
    pub parent: Option<Trace>,
    /// Who called; `None` when that could not be told.
    pub session: Option<&'a Session>,
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
    /// A record of a call that nothing is known of but its skill.
    pub fn new(call: CallId, skill: &'a Arc<str>, began: Timestamp) -> Self {
        Self {
            call,
            skill,
            trace: Trace::default(),
            parent: None,
            session: None,
            agent: None,
            failure: None,
            began,
            took: Duration::ZERO,
        }
    }
}

/// Keeps what is worth keeping of each call. Called before the caller sees the answer, on the
/// answering thread: must be quick and must not block.
pub trait Recorder: Send + Sync + 'static {
    /// A call has its answer.
    fn record(&self, call: &CallRecord<'_>);
}
