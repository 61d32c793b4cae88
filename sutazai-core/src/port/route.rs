//! Who does it: the route step of the guarded call.

use super::agent::AgentCard;
use super::task::Task;
use crate::base::time::Moment;

/// An agent that has the skill and takes tasks.
pub trait Candidate {
    /// Its card.
    fn card(&self) -> &AgentCard;
    /// Tasks that it has under way.
    fn in_flight(&self) -> u32;
}

/// Chooses among the agents that could do a task.
pub trait Router: Send + Sync + 'static {
    /// The index of the chosen one; `None` when none will do. `candidates` is never empty, holds
    /// only agents with room for one more task, and is in order of registration. Must be quick and
    /// must not block.
    fn route(&self, task: &Task, candidates: &[&dyn Candidate], now: Moment) -> Option<usize>;
}
