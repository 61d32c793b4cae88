//! Rows of the room `monitor` about what holds tasks up.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::Operation;
use crate::monitor::{
    BottleneckPolicy, Bottlenecks, Improvement, ResourceFigures, WaitFor, WhatIf,
};
use crate::{Code, Error, Result};

/// Milliseconds that a step may have taken, at most: a day.
const TOOK_MAX: f64 = 86_400_000.0;

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "monitor.bottlenecks",
            "What holds tasks up: components by what they cost, with evidence, and what would change if they were better.",
            &[Code::INVALID],
            bottlenecks,
        ),
        Operation::blocking(
            "monitor.what_if",
            "What the recorded tasks would have done, had an agent or a step been faster, or had it more room.",
            &[Code::INVALID, Code::NOT_FOUND],
            what_if,
        ),
        Operation::now(
            "monitor.state_resource",
            "States how much a resource of the host's is used: what it holds up counts among the bottlenecks.",
            &[Code::INVALID],
            state_resource,
        ),
        Operation::now(
            "monitor.step",
            "Tells of a step of the host's own work, or of a wait in it, that has just ended.",
            &[Code::INVALID],
            step,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Look {
    /// How far is looked back, and when something is a bottleneck.
    #[serde(default)]
    policy: BottleneckPolicy,
}

fn bottlenecks(surface: &Surface, request: Look) -> Result<Bottlenecks> {
    surface.kernel().bottlenecks(&request.policy)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Suppose {
    /// The agent; or the step, where that is nobody's.
    component: String,
    /// Only this step of it.
    step: Option<String>,
    /// What is better.
    change: Improvement,
    /// How far is looked back.
    #[serde(default)]
    policy: BottleneckPolicy,
}

#[derive(Serialize, JsonSchema)]
struct Supposed {
    /// Nothing where no task has ended.
    estimate: Option<WhatIf>,
}

fn what_if(surface: &Surface, request: Suppose) -> Result<Supposed> {
    let Suppose { component, step, change, policy } = request;
    let estimate = surface.kernel().what_if(&component, step.as_deref(), change, &policy)?;
    Ok(Supposed { estimate })
}

#[derive(Serialize, JsonSchema)]
struct Told {}

fn state_resource(surface: &Surface, request: ResourceFigures) -> Result<Told> {
    surface.kernel().state_resource(request)?;
    Ok(Told {})
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Its name, 1 to 200 bytes without control characters; of a wait, what was waited for.
    name: String,
    /// Milliseconds that it took, up to now; 0 to 86,400,000.
    took_ms: f64,
    /// It was a wait within the present call, for this; without a call, nothing is kept of it.
    waited_for: Option<WaitFor>,
}

fn step(surface: &Surface, request: Step) -> Result<Told> {
    let Step { name, took_ms, waited_for } = request;
    let refused = |field: &'static str, rule: &'static str| {
        Err(Error::new(Code::INVALID, "a step has a name and a time")
            .operation("monitor.step")
            .with("field", field)
            .with("rule", rule))
    };
    if name.is_empty() || name.len() > 200 || name.contains(char::is_control) {
        return refused("name", "must have 1 to 200 bytes and no control characters");
    }
    if !(took_ms.is_finite() && (0.0..=TOOK_MAX).contains(&took_ms)) {
        return refused("took_ms", "must be 0 to 86,400,000");
    }
    let took = Duration::from_secs_f64(took_ms / 1e3);
    surface.kernel().told_step(&name, took, waited_for);
    Ok(Told {})
}
