//! What can be set: [`Knob`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// A value of a knob.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum KnobValue {
    /// Of a switch.
    Switch(bool),
    /// Of an integer.
    Integer(i64),
    /// Of a float or a level.
    Number(f64),
    /// Of a choice.
    Name(String),
}

/// Values by the names of their knobs.
pub type Setting = BTreeMap<String, KnobValue>;

/// Whether equal differences or equal ratios of a knob's values are the same step.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum KnobScale {
    /// Equal differences.
    #[default]
    Linear,
    /// Equal ratios; both bounds are above zero.
    Log,
}

/// The type of a knob, with the values that it may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub enum KnobKind {
    /// A number from `low` to `high`.
    Float {
        /// The least.
        low: f64,
        /// The most.
        high: f64,
        /// What is an equal step.
        #[serde(default)]
        scale: KnobScale,
    },
    /// A whole number from `low` to `high`, both within ±2⁵³.
    Integer {
        /// The least.
        low: i64,
        /// The most.
        high: i64,
        /// What is an equal step.
        #[serde(default)]
        scale: KnobScale,
    },
    /// One of these numbers, which rise; 2 to 1,024.
    Levels {
        /// The numbers.
        levels: Vec<f64>,
    },
    /// One of these names, of which none is between two others; 2 to 16.
    Choice {
        /// The names.
        names: Vec<String>,
    },
    /// On or off.
    Switch,
}

/// Something that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Knob {
    /// Its name, 1 to 256 bytes without control characters, like no other's of the space.
    pub name: String,
    /// Its type.
    pub kind: KnobKind,
    /// What it is set to now.
    pub value: KnobValue,
    /// The largest step that one trial may take, as a share of the way from `low` to `high` on the knob's scale: above 0, at most
    /// 1. A level and a whole number may always go to the next one; a choice and a switch know no steps.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub max_step: f64,
}

/// A name as it is shown: cut, and without what a terminal would act upon.
pub(super) fn shown(name: &str) -> String {
    let shown = |c: char| -> String {
        if c.is_control() { c.escape_default().collect() } else { c.to_string() }
    };
    name.chars().take(128).map(shown).collect()
}

fn whole() -> f64 {
    1.0
}

fn is_whole(step: &f64) -> bool {
    *step == 1.0
}

impl Knob {
    /// A knob that may be set to any allowed value in one step.
    pub fn new(name: impl Into<String>, kind: KnobKind, value: KnobValue) -> Self {
        Self { name: name.into(), kind, value, max_step: 1.0 }
    }

    /// With a largest step, as a share of the range.
    #[must_use]
    pub fn max_step(mut self, share: f64) -> Self {
        self.max_step = share;
        self
    }

    /// Whether the knob makes sense and its value is allowed.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the knob and the rule.
    pub fn check(&self) -> Result<()> {
        let positive = |scale: KnobScale, low: f64| scale == KnobScale::Linear || low > 0.0;
        let rule = match &self.kind {
            _ if self.name.is_empty()
                || self.name.len() > 256
                || self.name.contains(char::is_control) =>
            {
                "a name has 1 to 256 bytes without control characters"
            }
            _ if !(self.max_step > 0.0 && self.max_step <= 1.0) => {
                "max_step must be above 0, and at most 1"
            }
            KnobKind::Float { low, high, scale }
                if !(low < high && (high - low).is_finite() && positive(*scale, *low)) =>
            {
                "low must be below high, and above zero on a logarithmic scale"
            }
            KnobKind::Integer { low, high, scale }
                if !(low < high
                    && low.unsigned_abs().max(high.unsigned_abs()) <= 1 << 53
                    && positive(*scale, *low as f64)) =>
            {
                "low must be below high, both within ±2⁵³, and above zero on a logarithmic scale"
            }
            KnobKind::Levels { levels }
                if !((2..=1024).contains(&levels.len())
                    && levels.iter().all(|l| l.is_finite())
                    && levels.windows(2).all(|w| matches!(w, [a, b] if a < b))) =>
            {
                "2 to 1,024 finite levels must rise"
            }
            KnobKind::Choice { names }
                if !((2..=16).contains(&names.len())
                    && names
                        .iter()
                        .enumerate()
                        .all(|(i, n)| !names.iter().skip(i + 1).any(|m| m == n))) =>
            {
                "2 to 16 names must differ"
            }
            _ if !self.allows(&self.value) => "the value must be one that the knob may take",
            _ => return Ok(()),
        };
        let error = Error::new(Code::INVALID, "the knob is not valid")
            .operation("tune.knob")
            .with("knob", shown(&self.name))
            .with("rule", rule);
        let word = |of: serde_json::Result<String>| of.unwrap_or_default();
        Err(error
            .with("value", word(serde_json::to_string(&self.value)))
            .with("kind", word(serde_json::to_string(&self.kind))))
    }

    /// Whether the knob may be set to `value`, however far that is.
    pub fn allows(&self, value: &KnobValue) -> bool {
        match (&self.kind, value) {
            (KnobKind::Float { low, high, .. }, KnobValue::Number(v)) => low <= v && v <= high,
            (KnobKind::Float { low, high, .. }, KnobValue::Integer(v)) => {
                *low <= *v as f64 && *v as f64 <= *high
            }
            (KnobKind::Integer { low, high, .. }, KnobValue::Integer(v)) => low <= v && v <= high,
            (KnobKind::Levels { levels }, KnobValue::Number(v)) => levels.contains(v),
            (KnobKind::Levels { levels }, KnobValue::Integer(v)) => levels.contains(&(*v as f64)),
            (KnobKind::Choice { names }, KnobValue::Name(v)) => names.contains(v),
            (KnobKind::Switch, KnobValue::Switch(_)) => true,
            _ => false,
        }
    }
}
