//! The forecaster that chooses by itself: [`AutoForecaster`].
//!
//! Methods are weighed by a rolling origin: their parameters are fitted to the first half of the series, and forecasts are
//! made from many moments of the second (L. J. Tashman, "Out-of-sample tests of forecasting accuracy", International
//! Journal of Forecasting 16, 2000). A method's weight falls with a power of its mean absolute error (J. M. Bates and
//! C. W. J. Granger, "The Combination of Forecasts", OR 20, 1969, without the covariances). The final forecast is
//! fitted to all values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clean::clean;
use super::interval::Spread;
use super::methods::{Method, methods};
use super::scale::Scale;
use super::{Forecast, Forecaster, HORIZON_MOST, Interval, Share, Task, check};
use crate::monitor::season;
use crate::{Code, Error, Result};

/// Forecasts made inside the series, at most. This and the next figure were chosen on one half of the corpus's hourly
/// series of the M4 competition (those whose name has an even SHA-1); neither matters much.
const TRIALS: usize = 36;

/// By which power of its error a method loses weight.
const POWER: i32 = 6;

/// Seasons that are looked for.
const SEASONS: usize = 2;

/// What the automatic forecaster is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ForecastPolicy {
    /// The periods of the seasons in steps, 2 or more each, two at most, where they are known. Default none: they
    /// are found. What the values do not hold two rounds of is left out.
    pub seasons: Vec<usize>,
    /// Only the last so many values count, 64 or more. Default 5,000, of which a season of 1,440 steps can be
    /// found. Cost grows with it.
    pub values: usize,
}

impl Default for ForecastPolicy {
    fn default() -> Self {
        Self { seasons: Vec::new(), values: 5_000 }
    }
}

impl ForecastPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let invalid = |field: &'static str, rule: &'static str| {
            let error = Error::new(Code::INVALID, "the policy of forecasts is not valid");
            Err(error.operation("monitor.forecast").with("field", field).with("rule", rule))
        };
        if self.seasons.len() > SEASONS || self.seasons.iter().any(|s| *s < 2) {
            return invalid("seasons", "must be two at most, of 2 or more steps");
        }
        if self.values < 64 {
            return invalid("values", "must be at least 64");
        }
        Ok(())
    }
}

/// Finds the seasons, tries several methods inside the series, and combines them.
#[derive(Clone, Debug, Default)]
pub struct AutoForecaster {
    policy: ForecastPolicy,
}

impl AutoForecaster {
    /// One with a policy.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the policy makes no sense.
    pub fn new(policy: ForecastPolicy) -> Result<Self> {
        policy.check()?;
        Ok(Self { policy })
    }

    /// The periods of the seasons that it sees in a series, in steps, shortest first: up to two, the longer a multiple of
    /// the shorter. A season must have come round three times and be clearly rarer than chance; noise has none,
    /// however autocorrelated. Values that are not numbers are filled as for forecasts.
    ///
    /// # Errors
    /// [`Code::INVALID`] for fewer than eight numbers.
    pub fn seasons(&self, values: &[f64]) -> Result<Vec<usize>> {
        Ok(self.seasons_of(&clean(self.last(measured(values)))?))
    }

    fn last<'a>(&self, values: &'a [f64]) -> &'a [f64] {
        values.get(values.len().saturating_sub(self.policy.values)..).unwrap_or(values)
    }

    fn seasons_of(&self, values: &[f64]) -> Vec<usize> {
        if self.policy.seasons.is_empty() {
            return season::find(values, SEASONS);
        }
        let mut told = self.policy.seasons.clone();
        told.retain(|period| 2 * period <= values.len());
        told.sort_unstable();
        told.dedup();
        told
    }
}

impl Forecaster for AutoForecaster {
    fn name(&self) -> &str {
        "auto"
    }

    fn forecast(&self, values: &[f64], horizon: usize, levels: &[f64]) -> Result<Forecast> {
        check(horizon, levels)?;
        let all = values.len();
        let values = measured(values);
        // Steps that have gone by without a value are ahead of what is known, too.
        let silent = all - values.len();
        let asked = horizon;
        let horizon = horizon + silent;
        if horizon > HORIZON_MOST {
            return Err(Error::new(Code::INVALID, "the values are too old to forecast from")
                .operation("monitor.forecast")
                .with("steps_without_values", silent)
                .with("rule", "these and the steps ahead must be 10,000 at most")
                .advice("longer steps, or a past that ends earlier"));
        }
        let values = clean(self.last(values))?;
        let seasons = self.seasons_of(&values);
        let trials = Trials::new(&values, &seasons, horizon);
        let positive = values.iter().all(|v| *v > 0.0);
        let scales =
            [Some(Scale::new(&values, false)), positive.then(|| Scale::new(&values, true))];
        let mut runs = Vec::new();
        for scale in scales.iter().flatten() {
            let wanted = |method: &Method| !scale.is_logarithm() || method.on_logarithms;
            for method in methods(&seasons).into_iter().filter(wanted) {
                runs.extend(trials.run(&method, scale, values.len(), horizon));
            }
        }
        let best = runs.iter().map(|run| run.error).fold(f64::MAX, f64::min).max(f64::MIN_POSITIVE);
        let mut total = 0.0;
        for run in &mut runs {
            run.weight = (best / run.error.max(best)).powi(POWER);
            total += run.weight;
        }
        runs.iter_mut().for_each(|run| run.weight /= total);

        let least = if values.iter().all(|v| *v >= 0.0) { 0.0 } else { f64::MIN };
        let mut point = vec![0.0; horizon];
        let mut tried = vec![vec![0.0; trials.ahead]; trials.origins.len()];
        for run in &runs {
            add(&mut point, &run.path, run.weight);
            for (sum, path) in tried.iter_mut().zip(&run.tried) {
                add(sum, path, run.weight);
            }
        }
        point.iter_mut().for_each(|v| *v = v.max(least));
        let spread = Spread::new(&values, &trials.origins, &tried);
        let mut intervals: Vec<Interval> =
            levels.iter().map(|level| spread.interval(&point, *level, least)).collect();
        let paths = intervals.iter_mut().flat_map(|one| [&mut one.lower, &mut one.upper]);
        for path in paths.chain([&mut point]) {
            *path = path.split_off(path.len().saturating_sub(asked));
        }
        runs.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let share = |run: Run| Share { method: run.name, weight: run.weight };
        let methods = runs.into_iter().map(share).collect();
        Ok(Forecast { point, intervals, seasons, methods })
    }
}

/// The values up to the last number.
fn measured(values: &[f64]) -> &[f64] {
    let end = values.iter().rposition(|value| value.is_finite()).map_or(0, |last| last + 1);
    values.get(..end).unwrap_or(values)
}

/// Steps between trials: half a round, so that a step of the forecast has the phase that it had in every other trial, or a
/// quarter, an eighth … of it, until there are enough.
fn step(period: usize, span: usize) -> usize {
    let mut step = period / 2;
    while step > 1 && span / step < TRIALS / 2 {
        step /= 2;
    }
    if step < 4 { span.div_ceil(TRIALS).max(1) } else { step }
}

fn add(sums: &mut [f64], path: &[f64], weight: f64) {
    for (sum, value) in sums.iter_mut().zip(path) {
        *sum += weight * value;
    }
}

/// The moments inside a series that forecasts are tried from.
struct Trials<'a> {
    values: &'a [f64],
    origins: Vec<usize>,
    ahead: usize,
}

/// What a method said.
struct Run {
    name: String,
    tried: Vec<Vec<f64>>,
    path: Vec<f64>,
    /// Its mean absolute error in the trials.
    error: f64,
    weight: f64,
}

impl<'a> Trials<'a> {
    fn new(values: &'a [f64], seasons: &[usize], horizon: usize) -> Self {
        let count = values.len();
        let ahead = horizon.min(count / 4).max(1);
        let longest = seasons.last().copied().unwrap_or(1);
        let last = count.saturating_sub(ahead);
        let first = (count / 2).max(2 * longest + 2).min(last);
        let step = step(seasons.first().copied().unwrap_or(1), last - first);
        let back = |i: usize| last.checked_sub(i * step).filter(|origin| *origin >= first);
        let mut origins: Vec<usize> = (0..TRIALS).map_while(back).collect();
        origins.reverse();
        Self { values, origins, ahead }
    }

    fn run(&self, method: &Method, scale: &Scale, count: usize, horizon: usize) -> Option<Run> {
        let known = self.origins.first().copied()?;
        let values = scale.values();
        let tasks = Task { values, known, origins: &self.origins, horizon: self.ahead };
        let tried: Vec<Vec<f64>> =
            method.model.paths(&tasks).iter().map(|path| scale.back(path)).collect();
        let task = Task { values, known: count, origins: &[count], horizon };
        let path = scale.back(&method.model.paths(&task).pop()?);
        if tried.len() != self.origins.len() {
            return None;
        }
        let error = self.error(&tried);
        let of = if scale.is_logarithm() { " of logarithms" } else { "" };
        Some(Run { name: format!("{}{of}", method.name), tried, path, error, weight: 0.0 })
    }

    fn error(&self, tried: &[Vec<f64>]) -> f64 {
        let count = (tried.len() * self.ahead).max(1) as f64;
        let error = |(origin, path): (&usize, &Vec<f64>)| -> f64 {
            let actual = self.values.iter().skip(*origin);
            actual.zip(path).map(|(value, said)| (value - said).abs() / count).sum()
        };
        self.origins.iter().zip(tried).map(error).sum()
    }
}
