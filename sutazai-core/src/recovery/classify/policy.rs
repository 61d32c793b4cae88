//! What classification is told: [`ClassifyPolicy`].

use serde::{Deserialize, Serialize};

use super::classifier::Classifier;
use super::history::{History, HistoryPolicy};
use super::rules::Rule;
use crate::Result;

/// The host's rules, and when what keeps coming back is persistent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifyPolicy {
    /// Rules that are tried before the built-in ones, in this order; at most 1,000.
    pub rules: Vec<Rule>,
    /// When a transient failure that does not pass is persistent.
    pub history: HistoryPolicy,
}

impl ClassifyPolicy {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) with the rule and the field.
    pub fn check(&self) -> Result<()> {
        Classifier::with_rules(self.rules.clone())?;
        History::new(self.history.clone())?;
        Ok(())
    }
}
