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

/// Chooses among the agents that could do a task.
pub trait Router: Send + Sync + 'static {
    /// The index of the chosen one, which must be [`available`](Candidate::available); `None` when
    /// none will do. Must be quick and must not block.
    fn route(&self, task: &Task, candidates: &dyn Candidates, now: Moment) -> Option<usize>;
}
