//! Why nobody does a task.

use std::sync::Arc;

use super::shared::Shared;
use crate::agent::{AgentState, Entry, SkillList};
use crate::port::{Candidates as _, Task};
use crate::{Class, Code, Error};

impl Shared {
    /// Nobody who has the skill is free.
    pub(super) fn busy(&self, task: &Task) -> Error {
        self.creation.pools.refused(task.skill());
        Error::new(
            Code::OVERLOADED,
            "every agent with the skill is at its concurrency or not ready",
        )
        .operation("kernel.call")
        .with("skill", task.skill())
        .advice(
            "try again later, register more agents, or have calls wait: a guard with a bulkhead queues them \
             (recovery.guard_set)",
        )
    }

    /// Nobody has the skill.
    pub(super) fn no_skill(&self, task: &Task) -> Error {
        if self.creation.pools.refused(task.skill()) {
            return Error::new(
                Code::OVERLOADED,
                "a pool makes agents with the skill, and has none at present",
            )
            .operation("kernel.call")
            .with("skill", task.skill())
            .advice("try again soon: the pool grows with those who want one");
        }
        let skills = self.agents.skills();
        let error = Error::new(Code::AGENT_NO_SKILL, "no registered agent has the skill")
            .operation("kernel.call")
            .with("skill", task.skill());
        match super::nearest(task.skill(), skills.iter().map(|s| &**s)) {
            Some(near) => error.advice(format!("did you mean '{near}'?")),
            None => error.advice("register an agent that has it"),
        }
    }
}

/// There is no agent of this name.
pub(super) fn no_agent(name: &str) -> Error {
    Error::new(Code::NOT_FOUND, "no agent of this name is registered")
        .operation("kernel.call")
        .with("agent", name)
}

/// Why none of these agents can do anything, when each of them has failed or cannot be reached; the last one
/// that may come back speaks for all.
pub(super) fn all_down(task: &Task, candidates: &SkillList) -> Option<Error> {
    let mut last: Option<&Arc<Entry>> = None;
    for index in 0..candidates.len() {
        let entry = candidates.entry(index)?;
        match entry.state() {
            AgentState::Unreachable => last = Some(entry),
            // It is started again, and as many wait for that as may.
            AgentState::Failed if entry.holds() => return None,
            AgentState::Failed => last = last.or(Some(entry)),
            _ => return None,
        }
    }
    last.map(|entry| down(task, entry))
}

/// The agent has failed, or cannot be reached.
pub(super) fn down(task: &Task, entry: &Entry) -> Error {
    let (class, message, advice) = match entry.state() {
        AgentState::Failed => (
            Class::Persistent,
            "the agent has failed and is not started again by itself",
            "see why, remove it, and register it again",
        ),
        _ => (
            Class::Transient,
            "the agent cannot be reached at present",
            "it takes tasks again when it answers; try later, or register another with the skill",
        ),
    };
    let error = Error::new(Code::AGENT_EXITED, message)
        .classed(class)
        .operation("kernel.call")
        .with("agent", entry.name())
        .with("skill", task.skill())
        .advice(advice);
    match entry.why() {
        Some(why) => error.with("why", why),
        None => error,
    }
}
