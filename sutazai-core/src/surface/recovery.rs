//! Rows of recovery: classifying a failure.

use schemars::JsonSchema;
use serde::Deserialize;

use super::dispatch::Surface;
use super::operation::Operation;
use crate::recovery::{Classifier, Facts, Rule, Verdict};
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([Operation::now(
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
    /// Rules of the host's, which come before the built-in ones.
    #[serde(default)]
    rules: Vec<Rule>,
}

fn classify(surface: &Surface, request: Classify) -> Result<Verdict> {
    let now = surface.kernel().runtime().timestamp();
    Ok(Classifier::with_rules(request.rules)?.classify(&request.failure, now))
}
