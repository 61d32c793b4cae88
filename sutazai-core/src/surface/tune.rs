//! Rows of the room `tune`: knobs, tuners that try values of them, and pools whose size follows their load.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{DONE, Done, Nothing, Operation};
use super::who::By;
use crate::Code;
use crate::Result;
use crate::kernel::{KnobView, TuneSpec, TunerReport, TunerStatus};
#[cfg(feature = "agent")]
use crate::kernel::{ScaledPool, Scaling};
use crate::tune::{Autonomy, KnobValue, TunerSample};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "tune.knobs",
            "The knobs that can be set now: of the guards and pools in force, of sampling, and those of the host.",
            &[Code::REQUEST_INVALID],
            knobs,
        ),
        Operation::blocking(
            "tune.set",
            "Sets a knob. A tuner that has it takes this for the setting in use, and learns anew.",
            &[Code::NOT_FOUND, Code::INVALID, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            set,
        ),
        Operation::blocking(
            "tune.add",
            "Has knobs tuned from here on: settings are tried within a safety envelope, adopted or rolled back, as far as its autonomy goes.",
            &[
                Code::INVALID,
                Code::NOT_FOUND,
                Code::ALREADY_EXISTS,
                Code::OVERLOADED,
                Code::AUDIT_FAILED,
                Code::AUDIT_FULL,
            ],
            add,
        ),
        Operation::blocking(
            "tune.remove",
            "Ends a tuner: a trial under way is rolled back, and the setting in use stays.",
            &[Code::NOT_FOUND, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            remove,
        ),
        Operation::now(
            "tune.list",
            "The tuners, sorted by name: what they do, have tried and changed, and why.",
            &[Code::REQUEST_INVALID],
            list,
        ),
        Operation::now("tune.get", "One tuner, with its trials.", &[Code::NOT_FOUND], get),
        Operation::blocking(
            "tune.report",
            "Tells a tuner what the host has measured, and answers with what its knobs are to be set to.",
            &[Code::NOT_FOUND, Code::INVALID],
            report,
        ),
        Operation::blocking(
            "tune.answer",
            "Answers what a tuner has asked: whether a trial may be made.",
            &[Code::NOT_FOUND, Code::INVALID, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            answer,
        ),
        Operation::blocking(
            "tune.autonomy",
            "Sets how far a tuner may go by itself; a trial under way is rolled back.",
            &[Code::NOT_FOUND, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            autonomy,
        ),
    ]);
    #[cfg(feature = "agent")]
    table.extend([
        Operation::blocking(
            "tune.scale",
            "Has a pool's size follow what comes in, what waits and what is forecast; said again, it is changed.",
            &[
                Code::NOT_FOUND,
                Code::INVALID,
                Code::OVERLOADED,
                Code::AUDIT_FAILED,
                Code::AUDIT_FULL,
            ],
            scale,
        ),
        Operation::blocking(
            "tune.unscale",
            "Leaves a pool to its own rule again.",
            &[Code::NOT_FOUND, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            unscale,
        ),
        Operation::now(
            "tune.scaled",
            "The pools that are scaled, sorted by name: their load, the size that would be right, and why.",
            &[Code::REQUEST_INVALID],
            scaled,
        ),
        Operation::blocking(
            "tune.scale_answer",
            "Answers what was asked of a pool: whether it may have the size that waits to be approved.",
            &[Code::NOT_FOUND, Code::INVALID, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            scale_answer,
        ),
    ]);
}

#[derive(Serialize, JsonSchema)]
struct Knobs {
    /// Sorted by name.
    knobs: Vec<KnobView>,
}

fn knobs(surface: &Surface, _: Nothing) -> Result<Knobs> {
    Ok(Knobs { knobs: surface.kernel().knobs() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// The knob.
    knob: String,
    /// What it is to be set to.
    value: KnobValue,
}

fn set(surface: &Surface, request: Set) -> Result<Done> {
    surface.kernel().set_knob(&request.knob, &request.value)?;
    Ok(DONE)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Add {
    /// Its name: 1 to 128 bytes.
    tuner: String,
    /// What it is to do.
    spec: TuneSpec,
}

fn add(surface: &Surface, request: Add) -> Result<TunerStatus> {
    surface.kernel().add_tuner(&request.tuner, request.spec)?;
    surface.kernel().tuner(&request.tuner)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfTuner {
    /// Its name.
    tuner: String,
}

fn remove(surface: &Surface, request: OfTuner) -> Result<Done> {
    surface.kernel().remove_tuner(&request.tuner)?;
    Ok(DONE)
}

#[derive(Serialize, JsonSchema)]
struct Tuners {
    /// Sorted by name.
    tuners: Vec<TunerStatus>,
}

fn list(surface: &Surface, _: Nothing) -> Result<Tuners> {
    Ok(Tuners { tuners: surface.kernel().tuners() })
}

fn get(surface: &Surface, request: OfTuner) -> Result<TunerStatus> {
    surface.kernel().tuner(&request.tuner)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Report {
    /// The tuner.
    tuner: String,
    /// What was measured since the last report.
    #[serde(default)]
    sample: TunerSample,
}

fn report(surface: &Surface, request: Report) -> Result<TunerReport> {
    surface.kernel().report(&request.tuner, &request.sample)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// The tuner.
    tuner: String,
    /// The trial that it asked for.
    trial: u64,
    /// Whether it may be made.
    approved: bool,
    /// Who says so.
    #[serde(default)]
    by: By,
}

fn answer(surface: &Surface, request: Answer) -> Result<TunerStatus> {
    let Answer { tuner, trial, approved, by } = request;
    surface.kernel().answer_tuner(&tuner, trial, approved, &by)?;
    surface.kernel().tuner(&tuner)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetAutonomy {
    /// The tuner.
    tuner: String,
    /// How far it may go.
    autonomy: Autonomy,
    /// Who says so.
    #[serde(default)]
    by: By,
}

fn autonomy(surface: &Surface, request: SetAutonomy) -> Result<TunerStatus> {
    surface.kernel().set_autonomy(&request.tuner, request.autonomy, &request.by)?;
    surface.kernel().tuner(&request.tuner)
}

#[cfg(feature = "agent")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Scale {
    /// The pool.
    pool: String,
    /// How it is scaled.
    #[serde(default)]
    scaling: Scaling,
}

#[cfg(feature = "agent")]
fn scale(surface: &Surface, request: Scale) -> Result<Done> {
    surface.kernel().scale_pool(&request.pool, request.scaling)?;
    Ok(DONE)
}

#[cfg(feature = "agent")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfPool {
    /// The pool.
    pool: String,
}

#[cfg(feature = "agent")]
fn unscale(surface: &Surface, request: OfPool) -> Result<Done> {
    surface.kernel().unscale_pool(&request.pool)?;
    Ok(DONE)
}

#[cfg(feature = "agent")]
#[derive(Serialize, JsonSchema)]
struct ScaledPools {
    /// Sorted by name.
    pools: Vec<ScaledPool>,
}

#[cfg(feature = "agent")]
fn scaled(surface: &Surface, _: Nothing) -> Result<ScaledPools> {
    Ok(ScaledPools { pools: surface.kernel().scaled_pools() })
}

#[cfg(feature = "agent")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ScaleAnswer {
    /// The pool.
    pool: String,
    /// The number of what was asked.
    proposal: u64,
    /// Whether it may have that size.
    approved: bool,
    /// Who says so.
    #[serde(default)]
    by: By,
}

#[cfg(feature = "agent")]
fn scale_answer(surface: &Surface, request: ScaleAnswer) -> Result<Done> {
    let ScaleAnswer { pool, proposal, approved, by } = request;
    surface.kernel().answer_scaling(&pool, proposal, approved, &by)?;
    Ok(DONE)
}
