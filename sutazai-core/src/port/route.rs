//! Who does it: the route step of the guarded call.

use super::agent::AgentCard;
use super::task::Task;
use crate::base::time::Moment;

/// An agent that has the skill.
pub trait Candidate {
    /// Its card.
    fn card(&self) -> &AgentCard;
    /// Tasks that it has under way.
    fn in_flight(&self) -> u32;
    /// Whether it takes one more task now.
    fn available(&self) -> bool;
    /// What this task is expected to cost with it, in the host's unit of account; `None` where nobody knows.
    fn expected_cost(&self, task: &Task, now: Moment) -> Option<f64> {
        let _ = (task, now);
        None
    }
}

/// The agents that have the skill, in order of registration.
pub trait Candidates {
    /// How many.
    fn len(&self) -> usize;
    /// The one at `index`, below [`len`](Self::len).
    fn get(&self, index: usize) -> Option<&dyn Candidate>;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A choice among candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The place of the chosen one.
    pub index: usize,
    /// The router's number for it, where it wants to hear what comes of it.
    pub decision: Option<u64>,
}

/// How a call ended, for whoever chose its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// With an outcome.
    Succeeded,
    /// With an error that tells of the agent, its deadline included.
    Failed,
    /// Otherwise: it tells nothing of the agent.
    Cancelled,
}

/// Chooses among the agents that could do a task.
pub trait Router: Send + Sync + 'static {
    /// The index of the chosen one, which must be [`available`](Candidate::available); `None` when
    /// none will do. Must be quick and must not block.
    fn route(&self, task: &Task, candidates: &dyn Candidates, now: Moment) -> Option<usize>;

    /// As [`route`](Self::route), by a router that learns: what comes of a choice with a number is told to
    /// [`settled`](Self::settled), once.
    fn choose(&self, task: &Task, candidates: &dyn Candidates, now: Moment) -> Option<Choice> {
        self.route(task, candidates, now).map(|index| Choice { index, decision: None })
    }

    /// The call that was decided upon has ended.
    fn settled(&self, decision: u64, now: Moment, end: CallEnd) {
        let _ = (decision, now, end);
    }

    /// How good what came of a decision was, from 0 to 1, early or late; whether that was learned.
    fn reward(&self, decision: u64, score: f64) -> bool {
        let _ = (decision, score);
        false
    }

    /// Why a decision was made, as JSON; `None` where nobody knows any more.
    fn explain(&self, decision: u64) -> Option<serde_json::Value> {
        let _ = decision;
        None
    }
}
