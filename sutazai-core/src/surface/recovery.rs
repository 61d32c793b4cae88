//! Rows of recovery: classifying a failure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::Operation;
use crate::recovery::{Classifier, ClassifyPolicy, Facts, Rule, Verdict};
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
        "recovery.classify_set_policy",
        "Says what the failures of guarded calls are, from here on: rules, and what comes back too often.",
        &[Code::INVALID],
        set_policy,
    ),
        Operation::now(
        "recovery.classify",
        "Says of a failure whether it is transient, persistent or critical, why, and when to try \
         again.",
        &[Code::INVALID],
        classify,
    )]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Classify {
    /// What is known of the failure.
    failure: Facts<'static>,
    /// Rules that come before the built-in ones. Default: the kernel's.
    rules: Option<Vec<Rule>>,
}

fn classify(surface: &Surface, request: Classify) -> Result<Verdict> {
    let now = surface.kernel().runtime().timestamp();
    match request.rules {
        Some(rules) => Ok(Classifier::with_rules(rules)?.classify(&request.failure, now)),
        None => Ok(surface.kernel().classifier().classify(&request.failure, now)),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetPolicy {
    /// The rules and the history's policy.
    policy: ClassifyPolicy,
}

#[derive(Serialize, JsonSchema)]
struct Done {
    /// Always true; failing to is an error.
    set: bool,
}

fn set_policy(surface: &Surface, request: SetPolicy) -> Result<Done> {
    surface.kernel().classification(request.policy)?;
    Ok(Done { set: true })
}
