//! How an agent can be asked whether it has a skill that it says it has: [`SkillProbe`].

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A task for a skill whose right answer is known, in part at least. All that it says of the answer must hold,
/// and what the card says of the skill's output besides.
///
/// ```
/// use serde_json::json;
/// use sutazai_core::port::{AgentCard, SkillCard, SkillProbe};
///
/// let probe = SkillProbe::new(json!({"a": 2, "b": 3})).contains(json!({"sum": 5})).within_ms(500);
/// let card = AgentCard::new("adder", ["add"]).about("add", SkillCard::new("adds").probe(probe));
/// assert_eq!(card.about["add"].probe.as_ref().unwrap().within_ms, 500);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SkillProbe {
    /// What it is asked: the input of the task. Default null.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// The JSON Schema (draft 2020-12 unless it says otherwise) that the output must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// What the output must be, exactly; 1 and 1.0 are the same.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    /// What must be in the output: a text stands in one of its texts; what an object has its object has too;
    /// each item of an array is in one of its array's items; anything else is equal.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub contains: Option<Value>,
    /// How long the answer may take, in milliseconds. Default 10,000, at least 1.
    #[serde(default = "ten_seconds")]
    pub within_ms: u64,
}

/// `null` that stands there is a value like any other.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn ten_seconds() -> u64 {
    10_000
}

impl SkillProbe {
    /// A task with this input, of whose answer nothing is known yet but that there must be one.
    pub fn new(input: impl Into<Value>) -> Self {
        Self {
            input: input.into(),
            schema: None,
            equals: None,
            contains: None,
            within_ms: ten_seconds(),
        }
    }

    /// Says what schema the output must fit.
    #[must_use]
    pub fn schema(mut self, schema: Value) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Says what the output must be.
    #[must_use]
    pub fn equals(mut self, output: impl Into<Value>) -> Self {
        self.equals = Some(output.into());
        self
    }

    /// Says what must be in the output.
    #[must_use]
    pub fn contains(mut self, part: impl Into<Value>) -> Self {
        self.contains = Some(part.into());
        self
    }

    /// Sets how long the answer may take.
    #[must_use]
    pub fn within_ms(mut self, ms: u64) -> Self {
        self.within_ms = ms;
        self
    }

    /// How long the answer may take.
    pub fn within(&self) -> Duration {
        Duration::from_millis(self.within_ms)
    }
}
