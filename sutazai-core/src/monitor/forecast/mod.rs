//! Forecasts of a series, with intervals, and without being told anything about it.
//!
//! [`AutoForecaster`] finds the [seasons](AutoForecaster::seasons) of the series, lets several methods (exponential
//! smoothing, autoregression, theta, the last rounds again; of the values and, where all are positive, of their logarithms)
//! forecast from many moments of the past what is known by now, and combines them by how well they did. The intervals come
//! from the errors of those trials. What another [`Forecaster`] does is its own matter.
//!
//! ```
//! use sutazai_core::monitor::forecast::{AutoForecaster, Forecaster};
//!
//! // Three weeks of hours: a busy and a quiet half of each day, and a little jitter.
//! let load = |hour: usize| {
//!     let busy = if hour % 24 < 12 { 80.0 } else { 20.0 };
//!     busy + (hour * 37 % 11) as f64 * 0.4
//! };
//! let past: Vec<f64> = (0..504).map(load).collect();
//! let forecast = AutoForecaster::default().forecast(&past, 24, &[0.95])?;
//! assert_eq!(forecast.seasons, [24]);
//! for (hour, expected) in forecast.point.iter().enumerate() {
//!     assert!((expected - load(504 + hour)).abs() < 5.0);
//! }
//! let [interval] = &forecast.intervals[..] else { unreachable!("one for each level") };
//! assert!(interval.lower[3] < load(507) && load(507) < interval.upper[3]);
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Input**: values at equal distances, oldest first; eight numbers at least. What is not a number is
//! filled with the straight line between its neighbours; at the end there is no line: what is not a number there is forecast as well, before
//! what is asked for, and intervals are as wide as that makes them. **Output** is always finite; nothing is forecast below 0
//! for a series that never was. **Cost**: about 10 ms for 900 values and 48 steps, growing with both. No state is
//! kept, and the same input gives the same output.

mod auto;
mod clean;
mod interval;
mod methods;
mod minimise;
pub(super) mod number;
mod regress;
mod scale;
mod simple;
mod smooth;
#[cfg(test)]
mod tests;

pub use auto::{AutoForecaster, ForecastPolicy};
pub(super) use regress::solve;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// Steps that may be forecast at once.
pub(super) const HORIZON_MOST: usize = 10_000;

/// Says how a series goes on.
pub trait Forecaster: Send + Sync + 'static {
    /// A short name of how it does so.
    fn name(&self) -> &str;

    /// The `horizon` values (1 to 10,000) that follow the last of these, also where the last ones are no numbers, with an interval for each of `levels`: the
    /// probability, above 0 and below 1, that a value is inside.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a horizon or level out of range, for fewer than eight numbers, and for more than 10,000 steps from the last
    /// number on.
    fn forecast(&self, values: &[f64], horizon: usize, levels: &[f64]) -> Result<Forecast>;
}

/// How a series is expected to go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Forecast {
    /// The expected values, in the unit of the series.
    pub point: Vec<f64>,
    /// An interval for each level that was asked for, in that order.
    pub intervals: Vec<Interval>,
    /// The periods of the seasons that the series has, in steps, shortest first.
    pub seasons: Vec<usize>,
    /// The methods that it comes from, those with the greatest weight first.
    pub methods: Vec<Share>,
}

/// Where values are expected to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Interval {
    /// The probability that a value is inside.
    pub level: f64,
    /// The lower end of each step.
    pub lower: Vec<f64>,
    /// The upper end of each step.
    pub upper: Vec<f64>,
}

/// A method's part of a forecast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Share {
    /// Its name.
    pub method: String,
    /// Its weight; all together have 1.
    pub weight: f64,
}

/// A method of forecasting.
trait Model {
    /// A path from each origin. Empty when the method does not suit the task.
    fn paths(&self, task: &Task<'_>) -> Vec<Vec<f64>>;
}

/// Intervals of one forecast, at most.
const LEVELS_MOST: usize = 16;

/// What a method is to forecast.
struct Task<'a> {
    /// The values, with mean 0 and variance 1.
    values: &'a [f64],
    /// How many of them the parameters may be fitted to: no more than the first origin.
    known: usize,
    /// Where forecasts start from: how many values each may know. In order.
    origins: &'a [usize],
    /// Steps ahead.
    horizon: usize,
}

/// Whether a horizon and levels can be asked for.
fn check(horizon: usize, levels: &[f64]) -> Result<()> {
    let error = || Error::new(Code::INVALID, "no such forecast").operation("monitor.forecast");
    if horizon == 0 || horizon > HORIZON_MOST {
        let error = error().with("field", "steps").with("value", horizon);
        return Err(
            error.with("rule", "steps ahead, each of step_ms milliseconds: 1 to 10,000 of them")
        );
    }
    if levels.len() > LEVELS_MOST {
        let error = error().with("field", "levels").with("value", levels.len());
        return Err(error.with("rule", "there are 16 of them at most"));
    }
    match levels.iter().find(|level| !(**level > 0.0 && **level < 1.0)) {
        Some(level) => {
            let error = error().with("field", "levels").with("value", level);
            Err(error.with("rule", "the probability that a value is inside: above 0 and below 1"))
        }
        None => Ok(()),
    }
}
