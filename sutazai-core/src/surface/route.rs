//! Rows of the allocation: how agents are chosen, why, and making decisions again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use crate::agent::route::{Decision, Input, RouteLog, RoutePolicy, replay};
use crate::base::id::CallId;
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "agent.explain",
            "Why a call went to the agent that answered it: candidates, scores, exploration or not.",
            &[Code::NOT_FOUND],
            explain,
        ),
        Operation::now(
            "agent.route_set_policy",
            "Has the kernel's router begin anew with another policy; what it has learned is forgotten.",
            &[Code::INVALID, Code::UNSUPPORTED],
            set_policy,
        ),
        Operation::now(
            "agent.route_log",
            "The router's policy and seed, and what it was told, if that is recorded.",
            &[Code::UNSUPPORTED],
            log,
        ),
        Operation::now(
            "agent.route_replay",
            "The decisions that an allocator makes when it is told what a log says; the same everywhere.",
            &[Code::INVALID],
            again,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Explain {
    /// The call's number; one of the last 4,096 or so.
    call: CallId,
}

#[derive(Serialize, JsonSchema)]
struct Explained {
    /// As the router says it; null where there was nothing to choose.
    explanation: Option<serde_json::Value>,
}

fn explain(surface: &Surface, request: Explain) -> Result<Explained> {
    Ok(Explained { explanation: surface.kernel().explain_call(request.call)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetPolicy {
    /// The policy; what is left out is as by default.
    policy: RoutePolicy,
    /// The seed; the one before without it.
    seed: Option<u64>,
    /// So many of the things that it is told are kept, for route_log; none without it. At most 1,000,000.
    #[serde(default)]
    record: u32,
}

#[derive(Serialize, JsonSchema)]
struct Done {
    /// Always true; failing to is an error.
    set: bool,
}

const MOST_RECORDED: u32 = 1_000_000;

fn set_policy(surface: &Surface, request: SetPolicy) -> Result<Done> {
    if request.record > MOST_RECORDED {
        return Err(Error::new(Code::INVALID, "at most 1,000,000 things are recorded")
            .operation("agent.route_set_policy")
            .with("field", "record"));
    }
    let record = usize::try_from(request.record).unwrap_or(0);
    surface.kernel().set_route_policy(request.policy, request.seed, record)?;
    Ok(Done { set: true })
}

fn log(surface: &Surface, _: Nothing) -> Result<RouteLog> {
    surface.kernel().route_log()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Replay {
    /// The policy; the default without it.
    #[serde(default)]
    policy: RoutePolicy,
    /// The seed.
    seed: u64,
    /// What the allocator is told, one thing after the other.
    log: Vec<Input>,
    /// Whether the log begins with the allocator's beginning, as agent.route_log says. Without that what had been
    /// learned before is not in it, and the decisions are others.
    #[serde(default = "yes")]
    whole: bool,
}

fn yes() -> bool {
    true
}

#[derive(Serialize, JsonSchema)]
struct Decisions {
    /// Of each `decide` of the log; null where nobody could be chosen.
    decisions: Vec<Option<Decision>>,
}

fn again(_: &Surface, request: Replay) -> Result<Decisions> {
    if !request.whole {
        return Err(Error::new(
            Code::INVALID,
            "the log does not begin with the allocator's beginning",
        )
        .operation("agent.route_replay")
        .with("field", "whole")
        .advice(
            "record more of it: agent.route_set_policy begins anew, with `record` long enough",
        ));
    }
    let mut lines = Vec::new();
    for input in &request.log {
        serde_json::to_writer(&mut lines, input).map_err(|error| {
            Error::new(Code::INVALID, "the log cannot be read")
                .operation("agent.route_replay")
                .because(error)
        })?;
        lines.push(b'\n');
    }
    Ok(Decisions { decisions: replay(request.policy, request.seed, lines.as_slice())? })
}
