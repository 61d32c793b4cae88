//! What a tuner is asked to do: [`TuneSpec`].

use serde::{Deserialize, Serialize};

use super::every;
#[cfg(feature = "monitor")]
use super::measure::Measure;
use crate::Error;
use crate::tune::{KnobKind, KnobValue, TunerPolicy};

/// A knob that a tuner may try values of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TunedKnob {
    /// Its name. One that the kernel knows is set by the kernel; another one is the host's, which sets it when it is told to by
    /// the event `tune.apply` or by the answer to a report.
    pub name: String,
    /// Its type. Of one that the kernel knows: the values that may be tried, within those that it may take; without it from a
    /// quarter of what it is set to up to four times as much. The host's needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<KnobKind>,
    /// What the host's is set to now; the kernel asks its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<KnobValue>,
    /// The largest step that one trial may take, as a share of its range: above 0, at most 1.
    #[serde(default = "a_quarter")]
    pub max_step: f64,
}

fn a_quarter() -> f64 {
    0.25
}

impl TunedKnob {
    /// One that the kernel knows, within a quarter and four times of what it is set to, a quarter of that a trial.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: None, value: None, max_step: a_quarter() }
    }

    /// With these values to try.
    #[must_use]
    pub fn kind(mut self, kind: KnobKind) -> Self {
        self.kind = Some(kind);
        self
    }
}

/// What is tuned, by what, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TuneSpec {
    /// The knobs, 1 to 16, none of which another tuner has.
    pub knobs: Vec<TunedKnob>,
    /// Where the objective is measured. Without it the host reports it.
    #[cfg(feature = "monitor")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Measure>,
    /// Where guard-rails' metrics are measured, by name. The host reports the others.
    #[cfg(feature = "monitor")]
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub measures: std::collections::BTreeMap<String, Measure>,
    /// How it tries.
    #[serde(default)]
    pub policy: TunerPolicy,
    /// Milliseconds between looks at what is measured, 100 to a day. Default 1,000.
    #[serde(default = "a_second")]
    #[schemars(range(min = 100, max = 86_400_000))]
    pub every_ms: u64,
}

fn a_second() -> u64 {
    1_000
}

impl TuneSpec {
    /// These knobs, by what the host reports.
    pub fn new(knobs: Vec<TunedKnob>, policy: TunerPolicy) -> Self {
        Self {
            knobs,
            #[cfg(feature = "monitor")]
            objective: None,
            #[cfg(feature = "monitor")]
            measures: std::collections::BTreeMap::new(),
            policy,
            every_ms: a_second(),
        }
    }

    /// By this objective.
    #[cfg(feature = "monitor")]
    #[must_use]
    pub fn objective(mut self, measure: Measure) -> Self {
        self.objective = Some(measure);
        self
    }

    /// With a guard-rail's metric measured here.
    #[cfg(feature = "monitor")]
    #[must_use]
    pub fn measure(mut self, metric: impl Into<String>, measure: Measure) -> Self {
        self.measures.insert(metric.into(), measure);
        self
    }

    /// Whether it makes sense, as far as that can be told without its knobs; where not, and why not.
    pub(in crate::kernel) fn check(&self) -> Result<(), (&'static str, Error)> {
        every(self.every_ms).map_err(|error| ("every", error))?;
        self.policy.check().map_err(|error| ("policy", error))?;
        self.check_measures().map_err(|error| ("", error))
    }

    /// Looked at so often.
    #[must_use]
    pub fn every_ms(mut self, every_ms: u64) -> Self {
        self.every_ms = every_ms;
        self
    }
}
