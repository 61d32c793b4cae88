//! What a detector is told: [`AnomalyPolicy`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// When a detector raises an alarm, and when it raises the next one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AnomalyPolicy {
    /// The score from which a point is an alarm, above 0 and below 1. Default 0.5, at which noise without any
    /// anomaly has about one alarm in 15,000 points.
    pub alarm: f64,
    /// Points at the beginning without alarms, 50 or more: what is usual must have been seen. Default 200.
    pub warm_up: u32,
    /// Points after an anomaly in which only a clearly greater one counts, as a share of the points so far:
    /// 0 to 1. Default 0.05.
    pub rest_share: f64,
    /// At least so many points. Default 40.
    pub rest_least: u32,
    /// At most so many points; 0 switches the rest off. Default 300.
    pub rest_most: u32,
    /// Data are missing when the next point comes after so many usual intervals, 2 or more; 0 switches
    /// this off. Default 20.
    pub gap: f64,
    /// Data are missing when so many values in a row are not numbers; 0 switches this off. Default 3.
    pub missing: u32,
}

impl Default for AnomalyPolicy {
    fn default() -> Self {
        Self {
            alarm: 0.5,
            warm_up: 200,
            rest_share: 0.05,
            rest_least: 40,
            rest_most: 300,
            gap: 20.0,
            missing: 3,
        }
    }
}

impl AnomalyPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        if !(self.alarm > 0.0 && self.alarm < 1.0) {
            return Err(invalid("alarm", "must be above 0 and below 1", self.alarm));
        }
        if self.warm_up < 50 {
            return Err(invalid("warm_up", "must be at least 50", self.warm_up));
        }
        if !(0.0..=1.0).contains(&self.rest_share) {
            return Err(invalid("rest_share", "must be between 0 and 1", self.rest_share));
        }
        if self.rest_most != 0 && self.rest_most < self.rest_least {
            return Err(invalid("rest_most", "must not be less than rest_least", self.rest_most));
        }
        if self.gap != 0.0 && !(self.gap >= 2.0 && self.gap.is_finite()) {
            return Err(invalid("gap", "must be 2 or more, or 0", self.gap));
        }
        Ok(())
    }

    /// Points of rest after the point of this number.
    pub(super) fn rest(&self, point: u64) -> u64 {
        if self.rest_most == 0 {
            return 0;
        }
        let share = (point as f64 * self.rest_share) as u64;
        share.max(u64::from(self.rest_least)).min(u64::from(self.rest_most))
    }
}

fn invalid(field: &'static str, must: &'static str, value: impl std::fmt::Display) -> Error {
    Error::new(Code::INVALID, "the policy of anomaly detection is not valid")
        .operation("monitor.anomaly")
        .with("field", field)
        .with("value", value)
        .with("rule", must)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_make_no_sense_are_named() {
        assert!(AnomalyPolicy::default().check().is_ok());
        type Change = fn(&mut AnomalyPolicy);
        let wrong: [(&str, Change); 7] = [
            ("alarm", |p| p.alarm = 1.0),
            ("alarm", |p| p.alarm = f64::NAN),
            ("warm_up", |p| p.warm_up = 0),
            ("rest_share", |p| p.rest_share = -0.1),
            ("rest_most", |p| p.rest_most = 10),
            ("gap", |p| p.gap = 1.0),
            ("gap", |p| p.gap = f64::INFINITY),
        ];
        for (field, change) in wrong {
            let mut policy = AnomalyPolicy::default();
            change(&mut policy);
            let error = policy.check().expect_err(field);
            assert_eq!(error.code(), Code::INVALID);
            assert!(format!("{error:?}").contains(field), "{error:?}");
        }
    }

    #[test]
    fn rest_follows_the_length_of_the_past() {
        let policy = AnomalyPolicy::default();
        assert_eq!([100, 2_000, 1_000_000].map(|p| policy.rest(p)), [40, 100, 300]);
        assert_eq!(AnomalyPolicy { rest_most: 0, ..policy }.rest(1_000), 0);
    }
}
