//! Rows of the room `tune`: what is scarce, and divided among agents by what they make of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{DONE, Done, Nothing, Operation};
use super::who::By;
use crate::kernel::{ShareSpec, SharedOut};
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "tune.share",
            "Divides something scarce among agents, whose shares follow what one more unit is worth to each; said again, it begins anew.",
            &[
                Code::INVALID,
                Code::NOT_FOUND,
                Code::ALREADY_EXISTS,
                Code::OVERLOADED,
                Code::AUDIT_FAILED,
                Code::AUDIT_FULL,
            ],
            share,
        ),
        Operation::blocking(
            "tune.unshare",
            "Divides it no more: everybody keeps what they have.",
            &[Code::NOT_FOUND, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            unshare,
        ),
        Operation::now(
            "tune.shared",
            "What is divided, sorted by name: who has how much, what they make of it, and what one more would be worth.",
            &[Code::REQUEST_INVALID],
            shared,
        ),
        Operation::now(
            "tune.share_report",
            "Tells what members have made of their shares since this was told last, in one unit for all.",
            &[Code::NOT_FOUND, Code::INVALID],
            report,
        ),
        Operation::blocking(
            "tune.share_answer",
            "Answers what was asked: whether the units that wait to be approved may be given.",
            &[Code::NOT_FOUND, Code::INVALID, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            answer,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Share {
    /// What is divided: 1 to 128 bytes.
    name: String,
    /// Among whom, and how.
    spec: ShareSpec,
}

fn share(surface: &Surface, request: Share) -> Result<Done> {
    surface.kernel().share_out(&request.name, request.spec)?;
    Ok(DONE)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    /// What is divided.
    name: String,
}

fn unshare(surface: &Surface, request: Named) -> Result<Done> {
    surface.kernel().unshare(&request.name)?;
    Ok(DONE)
}

#[derive(Serialize, JsonSchema)]
struct All {
    /// Sorted by name.
    shares: Vec<SharedOut>,
}

fn shared(surface: &Surface, _: Nothing) -> Result<All> {
    Ok(All { shares: surface.kernel().shared_out() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Report {
    /// What is divided.
    name: String,
    /// By member: tasks done, value made.
    benefits: BTreeMap<String, f64>,
}

fn report(surface: &Surface, request: Report) -> Result<Done> {
    surface.kernel().report_benefits(&request.name, &request.benefits)?;
    Ok(DONE)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShareAnswer {
    /// What is divided.
    name: String,
    /// The number of what was asked.
    proposal: u64,
    /// Whether the units may be given.
    approved: bool,
    /// Who says so.
    #[serde(default)]
    by: By,
}

fn answer(surface: &Surface, request: ShareAnswer) -> Result<Done> {
    let ShareAnswer { name, proposal, approved, by } = request;
    surface.kernel().answer_shares(&name, proposal, approved, &by)?;
    Ok(DONE)
}
