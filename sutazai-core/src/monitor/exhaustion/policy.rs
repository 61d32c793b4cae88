//! What the watch over a resource is told: [`ExhaustionPolicy`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// Which way a resource is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Values rise to the limit: memory or disk in use, open file descriptors.
    #[default]
    Fills,
    /// Values fall to the limit: what is left of a budget, free space.
    RunsDown,
}

/// The limit of a resource, and when something is said about reaching it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ExhaustionPolicy {
    /// The value at which the resource is exhausted, in its unit. Without it, what the kernel knows of its own series: 1 of `…_used_ratio`, 0
    /// of `…_free_ratio` and of what is free or available, all of the memory that is used, and the files that may be open; of any other
    /// series it must be said.
    pub limit: Option<f64>,
    /// Which way it is used up. Default: as the kernel knows of its own series, else `fills`.
    pub direction: Option<Direction>,
    /// Points before it is called stable, 60 or more. Default 200. A rise that is very clear, and has its end near, is told from 60 on.
    pub warm_up: u32,
    /// The length of the season that use may have, in seconds; 0 for none. Default 86,400, a day. A rise that has
    /// lasted two of them is spoken of when it ends within 4 times its own length. A shorter one may be the season's: it is spoken of when it
    /// goes beyond all that was before it, but for the season that was known by then, and ends within 1.5 times its length; where
    /// less than a season was seen before it, within 0.45 times; from the start within 0.4 times (0.35 before 200 points), and 1.3 times
    /// once it has lasted for half a season. Without a season 4 times counts from the beginning.
    pub season_s: f64,
}

impl Default for ExhaustionPolicy {
    fn default() -> Self {
        Self { limit: None, direction: None, warm_up: 200, season_s: 86_400.0 }
    }
}

impl ExhaustionPolicy {
    /// One with a limit, and all else as usual.
    pub fn new(limit: f64, direction: Direction) -> Self {
        Self { limit: Some(limit), direction: Some(direction), ..Self::default() }
    }

    /// The limit and the direction.
    ///
    /// # Errors
    /// [`Code::INVALID`] where no limit is said.
    pub(super) fn end(&self) -> Result<(f64, Direction)> {
        match self.limit {
            Some(limit) => Ok((limit, self.direction.unwrap_or_default())),
            None => Err(Error::new(
                Code::INVALID,
                "nothing is known of where this is used up: a limit must be said",
            )
            .operation("monitor.exhaustion")
            .with("field", "limit")
            .advice(
                "the value at which it is used up, in the unit of the series; with the direction runs_down, where values tell of what is \
                 left: {\"limit\": 0, \"direction\": \"runs_down\"}",
            )),
        }
    }

    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let invalid = |field: &'static str, rule: &'static str, value: f64| {
            let error = Error::new(Code::INVALID, "the policy of exhaustion is not valid");
            let error = error.operation("monitor.exhaustion").with("field", field);
            Err(error.with("value", value).with("rule", rule))
        };
        if let Some(limit) = self.limit
            && !(-super::LARGEST..=super::LARGEST).contains(&limit)
        {
            return invalid("limit", "must be a number, no larger than 1e100", limit);
        }
        if self.warm_up < 60 {
            return invalid("warm_up", "must be at least 60", f64::from(self.warm_up));
        }
        if !(0.0..=1e9).contains(&self.season_s) {
            return invalid("season_s", "must be between 0 and 1e9", self.season_s);
        }
        Ok(())
    }
}
