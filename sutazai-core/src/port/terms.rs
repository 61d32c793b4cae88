//! What else a caller wants of a call: who may do it, at what cost, and whose work it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// What else a caller wants of a call. Every field may be left out.
///
/// ```
/// use sutazai_core::port::{Task, Terms};
///
/// let terms = Terms::default().label("region", "eu").max_cost(0.02).affinity("conversation 7");
/// let task = Task::new("summarise", "…").terms(terms);
/// assert_eq!(task.given_terms().unwrap().labels["region"], "eu");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Terms {
    /// Whose work it is: where calls wait for a place, callers have their turns. Default: whoever's work makes
    /// the call, or else the session that calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Arc<str>>,
    /// Calls of one key go to the same agent for as long as that takes calls, and a router that learns does not
    /// think much more of another; a policy that gives each its turn or its share takes no notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Arc<str>>,
    /// A call with the key of one that is under way, or that succeeded within the last ten minutes, is not made:
    /// it gets the answer of that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Arc<str>>,
    /// Agents that cost more a call get none; one of which nothing is known costs nothing. In the host's unit of
    /// account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<f64>,
    /// Labels that an agent's card must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Agents that do not get it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Where parts of the input come from, by JSON pointer (RFC 6901; empty for all of it): `user`, `agent`,
    /// `tool`, `web`, or another word that policies know. What is not told of comes from the user, within a call
    /// from the agent that makes it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, String>,
    /// What is known of the task, for routers that learn by it; always as many, in one order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<f64>,
}

/// The longest key, in bytes.
const LONGEST: usize = 1_024;
/// Features of a task, at most.
const MOST_FEATURES: usize = 1_024;

impl Terms {
    /// Says whose work it is.
    #[must_use]
    pub fn caller(mut self, caller: impl Into<Arc<str>>) -> Self {
        self.caller = Some(caller.into());
        self
    }

    /// Keeps calls of this key with one agent.
    #[must_use]
    pub fn affinity(mut self, key: impl Into<Arc<str>>) -> Self {
        self.affinity = Some(key.into());
        self
    }

    /// Makes the call once, however often it is asked for.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Bounds what it may cost.
    #[must_use]
    pub fn max_cost(mut self, cost: f64) -> Self {
        self.max_cost = Some(cost);
        self
    }

    /// Asks for a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Leaves an agent out.
    #[must_use]
    pub fn exclude(mut self, agent: impl Into<String>) -> Self {
        self.exclude.push(agent.into());
        self
    }

    /// Says what is known of the task.
    #[must_use]
    pub fn features(mut self, features: impl Into<Vec<f64>>) -> Self {
        self.features = features.into();
        self
    }

    /// Whether they make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let invalid = |field: &'static str, rule: &'static str| {
            Err(Error::new(Code::INVALID, "the call's terms are not valid")
                .operation("kernel.call")
                .with("field", field)
                .with("rule", rule))
        };
        let keys = [
            ("caller", &self.caller),
            ("affinity", &self.affinity),
            ("idempotency_key", &self.idempotency_key),
        ];
        for (field, key) in keys {
            if key.as_ref().is_some_and(|key| !(1..=LONGEST).contains(&key.len())) {
                return invalid(field, "must have 1 to 1,024 bytes");
            }
        }
        if self.max_cost.is_some_and(|cost| !cost.is_finite() || cost < 0.0) {
            return invalid("max_cost", "must be a number from 0");
        }
        if !self.sources.keys().all(|pointer| is_pointer(pointer)) {
            return invalid("sources", "must be by JSON pointers: \"\" for all, or \"/to/0\"");
        }
        if self.features.len() > MOST_FEATURES {
            return invalid("features", "must be 1,024 numbers at most");
        }
        if self.features.iter().any(|feature| !feature.is_finite()) {
            return invalid("features", "must be numbers, not infinite");
        }
        Ok(())
    }

    /// Whether they leave agents out.
    pub fn constrain(&self) -> bool {
        self.max_cost.is_some() || !self.labels.is_empty() || !self.exclude.is_empty()
    }
}

/// Whether it is a JSON pointer (RFC 6901).
fn is_pointer(text: &str) -> bool {
    let mut escaped = text.split('~').skip(1);
    (text.is_empty() || text.starts_with('/')) && escaped.all(|rest| rest.starts_with(['0', '1']))
}
