//! How much is remembered, and when something is a bottleneck.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// How bottlenecks are looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BottleneckPolicy {
    /// Seconds that are looked back, above 0 to 86,400. Default 60.
    pub window_s: f64,
    /// Spans that are gone by, the newest, 10 to 100,000. Default 4,096.
    pub spans: u32,
    /// Components that are named, at most, 1 to 1,000. Default 10.
    pub ranked: u32,
    /// Share by which the step is made faster in the estimates, above 0 and below 1. Default 0.2.
    pub faster: f64,
    /// Tasks under way on average, below which the load is light where nothing waits. Default 0.5.
    pub light_load: f64,
    /// Tasks that wait on average, and share of the tasks' time that is lost to failures or held up by a stated resource: below this
    /// nothing does. Default 0.1.
    pub light_wait: f64,
}

impl Default for BottleneckPolicy {
    fn default() -> Self {
        Self {
            window_s: 60.0,
            spans: 4_096,
            ranked: 10,
            faster: 0.2,
            light_load: 0.5,
            light_wait: 0.1,
        }
    }
}

impl BottleneckPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let within = |value: f64, most: f64| value.is_finite() && value > 0.0 && value <= most;
        let checks = [
            ("window_s", within(self.window_s, 86_400.0), "must be above 0, and 86,400 at most"),
            ("spans", (10..=100_000).contains(&self.spans), "must be 10 to 100,000"),
            ("ranked", (1..=1_000).contains(&self.ranked), "must be 1 to 1,000"),
            ("faster", within(self.faster, 0.99), "must be above 0, and 0.99 at most"),
            ("light_load", (0.0..=1e6).contains(&self.light_load), "must be 0 to 1,000,000"),
            ("light_wait", (0.0..=1.0).contains(&self.light_wait), "must be 0 to 1"),
        ];
        match checks.iter().find(|(_, fits, _)| !fits) {
            None => Ok(()),
            Some((field, _, rule)) => {
                Err(Error::new(Code::INVALID, "the policy for bottlenecks is not valid")
                    .operation("monitor.bottlenecks")
                    .with("field", *field)
                    .with("rule", *rule))
            }
        }
    }
}
