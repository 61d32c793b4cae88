//! How far forecasts are off, from trials inside the series: [`Spread`].
//!
//! Split conformal prediction (V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random World", 2005) with
//! errors in units of what is usual at their step: each trial is measured by what the others had there. Trials
//! overlap, so that there are fewer than they seem: as many as fit beside one another are the degrees of freedom of
//! Student's distribution, whose quantile over the normal one's widens the interval.

use super::Interval;
use super::number::{normal_quantile, quantile};

/// Neighbours, on either side, that a step's usual error is taken over. This and the next figure: chosen on the half of
/// M4's hourly series whose names have an even SHA-1; neither matters much.
const NEAR: usize = 3;

/// Trials that the usual error of all steps counts for.
const WHOLE: f64 = 4.0;

/// The size of errors by step, and the distribution of errors in that unit.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    /// The usual error of each step.
    steps: Vec<f64>,
    /// Absolute errors over the usual one, sorted.
    ratios: Vec<f64>,
    /// Trials that do not overlap.
    independent: f64,
}

impl Spread {
    pub(super) fn new(values: &[f64], origins: &[usize], tried: &[Vec<f64>]) -> Self {
        let ahead = tried.first().map_or(0, Vec::len);
        let error = |(origin, path): (&usize, &Vec<f64>)| -> Vec<f64> {
            let actual = values.iter().skip(*origin);
            actual.zip(path).map(|(value, said)| (value - said).abs()).collect()
        };
        let errors: Vec<Vec<f64>> = origins.iter().zip(tried).map(error).collect();
        let mut sums = vec![0.0; ahead];
        for row in &errors {
            sums.iter_mut().zip(row).for_each(|(sum, error)| *sum += error);
        }
        let count = errors.len() as f64;
        let mut ratios = Vec::new();
        for row in &errors {
            let others: Vec<f64> = match errors.len() {
                1 => sums.clone(),
                _ => sums.iter().zip(row).map(|(sum, error)| (sum - error).max(0.0)).collect(),
            };
            let usual = usual(&others, (count - 1.0).max(1.0));
            let ratio = |(error, usual): (&f64, f64)| if usual > 0.0 { error / usual } else { 0.0 };
            ratios.extend(row.iter().zip(usual).map(ratio));
        }
        ratios.sort_unstable_by(f64::total_cmp);
        let length = origins.last().zip(origins.first()).map_or(0, |(last, first)| last - first);
        let independent = (length + ahead) as f64 / ahead.max(1) as f64;
        Self { steps: usual(&sums, count.max(1.0)), ratios, independent }
    }

    /// The interval about a forecast that holds a value with probability `level`, and nothing below `least`.
    pub(super) fn interval(&self, point: &[f64], level: f64, least: f64) -> Interval {
        let ratio = quantile(&self.ratios, level) * student(level, self.independent);
        let known = self.steps.len();
        let wide = |(i, point): (usize, &f64)| {
            // Beyond the trials errors grow as those of a random walk.
            let farther = ((i + 1) as f64 / known.max(1) as f64).max(1.0).sqrt();
            let step = self.steps.get(i).or(self.steps.last()).copied().unwrap_or(0.0);
            let wide = ratio * step * farther;
            ((point - wide).max(least), point + wide)
        };
        let (lower, upper) = point.iter().enumerate().map(wide).unzip();
        Interval { level, lower, upper }
    }
}

/// The usual error of each step, from sums over some trials.
fn usual(sums: &[f64], trials: f64) -> Vec<f64> {
    let whole = sums.iter().sum::<f64>() / sums.len().max(1) as f64;
    let step = |i: usize| {
        let near = sums.get(i.saturating_sub(NEAR)..(i + NEAR + 1).min(sums.len())).unwrap_or(sums);
        let near_sum = near.iter().sum::<f64>() / near.len().max(1) as f64;
        (near_sum + whole / trials * WHOLE) / (trials + WHOLE)
    };
    (0..sums.len()).map(step).collect()
}

/// Student's quantile over the normal one: E. A. Cornish and R. A. Fisher's expansion, "Moments and Cumulants in the
/// Specification of Distributions", 1938.
fn student(level: f64, free: f64) -> f64 {
    let z = normal_quantile(0.5 + 0.5 * level);
    let free = free.max(1.0);
    let square = z * z;
    1.0 + (square + 1.0) / (4.0 * free)
        + ((5.0 * square + 16.0) * square + 3.0) / (96.0 * free * free)
}
