//! What is wanted of an agent, and what there is to make it with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Code, Error, Result};

/// What is wanted of an agent that is not there yet.
///
/// ```
/// use sutazai_core::agent::create::Want;
///
/// let want = Want::new("review").max_cost(0.02).label("region", "eu");
/// # let _ = want;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Want {
    /// The skill that it must have.
    pub skill: String,
    /// What a call of it may cost, in the host's unit of account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<f64>,
    /// How long a call of it may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<f64>,
    /// Labels that it must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Templates that it must not be made from.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exclude: BTreeSet<String>,
    /// What is said of it: values for the template's parameters. A template that does not have one of them is
    /// refused.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// How much success, cost and latency count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Its name; as the template says without it. Where there is an agent of this name already that was made
    /// from a template for this skill, nothing is made: it is the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How much success, cost and latency count against one another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Weights {
    /// What a success is worth. Default 1.
    pub success: f64,
    /// What it takes away when a call costs as much as it may, or as much as the most expensive. Default 0.25.
    pub cost: f64,
    /// What it takes away when a call takes as long as it may, or as the slowest. Default 0.25.
    pub latency: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { success: 1.0, cost: 0.25, latency: 0.25 }
    }
}

impl Weights {
    /// These weights.
    pub fn new(success: f64, cost: f64, latency: f64) -> Self {
        Self { success, cost, latency }
    }
}

impl Want {
    /// An agent with this skill, of whatever kind.
    pub fn new(skill: impl Into<String>) -> Self {
        Self { skill: skill.into(), ..Self::default() }
    }

    /// Bounds what a call may cost.
    #[must_use]
    pub fn max_cost(mut self, cost: f64) -> Self {
        self.max_cost = Some(cost);
        self
    }

    /// Bounds how long a call may take, in milliseconds.
    #[must_use]
    pub fn max_latency_ms(mut self, ms: f64) -> Self {
        self.max_latency_ms = Some(ms);
        self
    }

    /// Asks for a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Excludes a template.
    #[must_use]
    pub fn exclude(mut self, template: impl Into<String>) -> Self {
        self.exclude.insert(template.into());
        self
    }

    /// Gives a parameter its value.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.insert(name.into(), value.into());
        self
    }

    /// Says how much success, cost and latency count.
    #[must_use]
    pub fn weights(mut self, weights: Weights) -> Self {
        self.weights = Some(weights);
        self
    }

    /// Names the agent.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let bad = |field: &'static str| {
            Err(Error::new(Code::INVALID, "a number from 0 is needed").with("field", field))
        };
        let weights = self.weights.unwrap_or_default();
        for (field, figure) in [
            ("max_cost", self.max_cost),
            ("max_latency_ms", self.max_latency_ms),
            ("weights.success", Some(weights.success)),
            ("weights.cost", Some(weights.cost)),
            ("weights.latency", Some(weights.latency)),
        ] {
            if figure.is_some_and(|figure| !figure.is_finite() || figure < 0.0) {
                return bad(field);
            }
        }
        Ok(())
    }
}

/// What there is to make an agent with. What is `None` is not known, and holds nothing up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Surroundings {
    /// Programs that can be started.
    pub executables: BTreeSet<String>,
    /// Environment variables that are set.
    pub env: BTreeSet<String>,
    /// Files and directories that are there.
    pub files: BTreeSet<PathBuf>,
    /// Features of this build.
    pub features: BTreeSet<String>,
    /// Factories that the host has registered.
    pub factories: BTreeSet<String>,
    /// Bytes of memory that are free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Processors that have nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
}
