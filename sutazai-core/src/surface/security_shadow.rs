//! Rows of the room `security`: a candidate set of policies, judged beside the one that decides.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use super::security_policy::{Changed, SETTING};
use super::who::By;
use crate::security::authz::ShadowReport;
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.shadow_set",
            "Has every decision also made by a candidate set, and the differences counted; no answer changes.",
            &[
                Code::POLICY_INVALID,
                Code::POLICY_SCHEMA,
                Code::ROLE_INVALID,
                Code::AUDIT_FAILED,
                Code::AUDIT_FULL,
            ],
            shadow_set,
        ),
        Operation::blocking(
            "security.shadow",
            "Where the candidate set differs from the one that decides, since it was set.",
            &[Code::NOT_FOUND],
            shadow,
        ),
        Operation::blocking(
            "security.shadow_promote",
            "Lets the candidate set decide.",
            SETTING,
            shadow_promote,
        ),
        Operation::blocking(
            "security.shadow_drop",
            "Ends the comparison with the candidate set.",
            &[Code::AUDIT_FAILED, Code::AUDIT_FULL],
            shadow_drop,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Candidate {
    /// The policies, in Cedar's syntax; schema and roles are those that there are.
    cedar: String,
    /// Who sets it.
    by: By,
}

fn shadow_set(surface: &Surface, request: Candidate) -> Result<Changed> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    Ok(kernel.security()?.set_shadow(&request.cedar, &request.by, now)?.into())
}

fn shadow(surface: &Surface, _: Nothing) -> Result<ShadowReport> {
    surface.kernel().security()?.shadow_report()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Who.
    by: By,
}

fn shadow_promote(surface: &Surface, request: Asked) -> Result<Changed> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    Ok(kernel.security()?.promote_shadow(&request.by, now)?.into())
}

#[derive(Serialize, JsonSchema)]
struct Dropped {
    /// Whether there was one.
    dropped: bool,
}

fn shadow_drop(surface: &Surface, request: Asked) -> Result<Dropped> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    Ok(Dropped { dropped: kernel.security()?.drop_shadow(&request.by, now)? })
}
