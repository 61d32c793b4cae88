//! What stands between a task and trouble: the guard step of the guarded call.

use std::time::Duration;

use super::agent::AgentCard;
use crate::base::id::CallId;
use crate::base::time::Moment;
use crate::{Error, Result};

/// A call that is about to be made, or has been.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallInfo<'a> {
    /// Its number.
    pub call: CallId,
    /// The skill that is asked for.
    pub skill: &'a str,
    /// How long the caller gives it, if the caller says.
    pub timeout: Option<Duration>,
    /// The agent that was chosen.
    pub agent: &'a AgentCard,
    /// Now.
    pub now: Moment,
}

impl<'a> CallInfo<'a> {
    /// A call of `skill` on `agent`.
    pub fn new(
        call: CallId,
        skill: &'a str,
        timeout: Option<Duration>,
        agent: &'a AgentCard,
        now: Moment,
    ) -> Self {
        Self { call, skill, timeout, agent, now }
    }
}

/// On what terms a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admission {
    /// When it is given up; [`Moment::FAR`] for never.
    pub deadline: Moment,
}

impl Admission {
    /// Until this deadline.
    pub fn until(deadline: Moment) -> Self {
        Self { deadline }
    }
}

/// Admits calls and learns how they went. A state machine: takes the time, does no I/O, never
/// blocks.
pub trait Guard: Send + Sync + 'static {
    /// Admits a call or refuses it.
    ///
    /// # Errors
    /// Why the call is refused; the caller gets this error.
    fn admit(&self, call: &CallInfo<'_>) -> Result<Admission>;

    /// An admitted call has its answer: `None` for success.
    fn settled(&self, call: &CallInfo<'_>, failure: Option<&Error>) {
        let _ = (call, failure);
    }
}
