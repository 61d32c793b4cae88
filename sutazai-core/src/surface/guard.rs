//! Rows of the guards: what stands between calls and trouble.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use crate::kernel::{CallsTo, Change, GuardView};
use crate::recovery::{Forced, GuardPolicy};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "recovery.guard_set",
            "Puts a guard around calls, in the place of the one that they had, or takes it away.",
            &[Code::INVALID],
            set,
        ),
        Operation::now(
            "recovery.guard_list",
            "The guards of calls and of the agents that were called, with their figures, and the policies.",
            &[Code::REQUEST_INVALID],
            list,
        ),
        Operation::now(
            "recovery.guard_force",
            "Opens or closes an agent's breaker by hand, or gives it back to itself.",
            &[Code::NOT_FOUND],
            force,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Which calls it is for: `"all"`, `{"skill": "…"}` or `{"agent": "…"}`.
    calls: CallsTo,
    /// The policy; null takes the guard away.
    policy: Option<GuardPolicy>,
}

#[derive(Serialize, JsonSchema)]
struct Done {
    /// Always true; failing to is an error.
    set: bool,
}

fn set(surface: &Surface, request: Set) -> Result<Done> {
    if let CallsTo::Skill(name) | CallsTo::Agent(name) = &request.calls
        && name.is_empty()
    {
        return Err(Error::new(
            Code::INVALID,
            "a guard is for a skill or an agent that has a name",
        )
        .operation("recovery.guard_set")
        .with("field", "calls"));
    }
    surface.kernel().guard(request.calls, request.policy)?;
    Ok(Done { set: true })
}

#[derive(Serialize, JsonSchema)]
struct Listed {
    /// Sorted by what they are for.
    guards: Vec<GuardView>,
    /// What was set, sorted by what it is for.
    policies: Vec<Given>,
}

#[derive(Serialize, JsonSchema)]
struct Given {
    /// Which calls it is for.
    calls: CallsTo,
    /// The policy.
    policy: GuardPolicy,
}

fn list(surface: &Surface, _: Nothing) -> Result<Listed> {
    let kernel = surface.kernel();
    let policies = kernel.guard_policies().into_iter();
    let policies = policies.map(|(calls, policy)| Given { calls, policy }).collect();
    Ok(Listed { guards: kernel.guards(), policies })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Force {
    /// The agent whose breaker it is.
    agent: String,
    /// The state that it is not to leave by itself; null gives it back to itself, closed.
    state: Option<Forced>,
}

#[derive(Serialize, JsonSchema)]
struct Forcing {
    /// Always true; failing to is an error.
    forced: bool,
}

fn force(surface: &Surface, request: Force) -> Result<Forcing> {
    let guard = surface.kernel().guard_of(&request.agent);
    let breaker = guard.and_then(|guard| guard.breaker()).ok_or_else(|| {
        Error::new(
            Code::NOT_FOUND,
            "there is no agent of this name, or no guard gives it a breaker",
        )
        .operation("recovery.guard_force")
        .with("agent", &request.agent)
    })?;
    let change = Change::forced("recovery.guard_force", &request.agent);
    let force = || {
        breaker.force(request.state);
        Ok(())
    };
    surface.kernel().changes(change, force)?;
    Ok(Forcing { forced: true })
}
