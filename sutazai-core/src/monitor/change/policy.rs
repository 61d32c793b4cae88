//! What the detector of change points is told: [`ChangePolicy`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// When a change of level counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ChangePolicy {
    /// Twice the logarithm of the likelihood ratio from which a change counts, 10 or more. Default 36, at which noise
    /// without any change has less than one alarm in 10,000 points.
    pub threshold: f64,
    /// Points after the beginning, and after each change, that what is usual is learned from: 30 to 1,000. Default 100.
    pub learn: u32,
    /// The period of a season that is taken out before, in points: 2 to 100,000, of which two rounds are learned from first; 0 for
    /// none. Default: a season is found by itself, once it has come round three times, up to 1,466 points long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub season: Option<u32>,
}

impl Default for ChangePolicy {
    fn default() -> Self {
        Self { threshold: 36.0, learn: 100, season: None }
    }
}

impl ChangePolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let invalid = |field: &'static str, rule: &'static str| {
            let error = Error::new(Code::INVALID, "the policy of change points is not valid");
            Err(error.operation("monitor.change").with("field", field).with("rule", rule))
        };
        if !(self.threshold >= 10.0 && self.threshold.is_finite()) {
            return invalid("threshold", "must be at least 10");
        }
        if !(30..=1_000).contains(&self.learn) {
            return invalid("learn", "must be between 30 and 1,000");
        }
        if self.season.is_some_and(|season| season == 1 || season > 100_000) {
            return invalid("season", "must be between 2 and 100,000, or 0");
        }
        Ok(())
    }
}
