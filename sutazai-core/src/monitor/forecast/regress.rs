//! Autoregression on near values and on those of the rounds before: [`Autoregression`].

use super::{Model, Task};
use crate::monitor::season::means;

/// Ridge regression of a value on those some lags before, forecast step by step. With lags around the seasons it
/// comes near a seasonal ARIMA model (G. E. P. Box and G. M. Jenkins, "Time Series Analysis", 1970); with the seasons' profile
/// taken out it is the method Rho of J. A. Doornik, J. L. Castle and D. F. Hendry, "Card forecasts for M4",
/// International Journal of Forecasting 36, 2020.
#[derive(Clone, Debug)]
pub(super) struct Autoregression {
    /// The periods of the seasons.
    pub seasons: Vec<usize>,
    /// Whether the seasons' profile is taken out, so that only near values count.
    pub profile: bool,
}

/// The weight of the ridge, as a share of the values' variance.
const RIDGE: f64 = 1e-3;

impl Model for Autoregression {
    fn paths(&self, task: &Task<'_>) -> Vec<Vec<f64>> {
        let usual = self.usual(task);
        let values: Vec<f64> =
            task.values.iter().enumerate().map(|(i, v)| v - usual_at(&usual, i)).collect();
        let lags = self.lags(task.known);
        let Some(weights) = fit(values.get(..task.known).unwrap_or(&values), &lags) else {
            return Vec::new();
        };
        let path = |origin: &usize| {
            let mut past = values.get(..*origin).unwrap_or(&values).to_vec();
            for _ in 0..task.horizon {
                let now = past.len();
                let value = lags.iter().zip(&weights).map(|(lag, w)| {
                    w * now.checked_sub(*lag).and_then(|i| past.get(i)).copied().unwrap_or(0.0)
                });
                let value: f64 = value.sum::<f64>() + weights.last().copied().unwrap_or(0.0);
                past.push(value.clamp(-1e6, 1e6));
            }
            let ahead = past.iter().enumerate().skip(*origin);
            ahead.map(|(i, v)| v + usual_at(&usual, i)).collect()
        };
        task.origins.iter().map(path).collect()
    }
}

impl Autoregression {
    fn lags(&self, known: usize) -> Vec<usize> {
        let mut lags = vec![1, 2, 3];
        if !self.profile {
            for period in &self.seasons {
                lags.extend([period - 1, *period, period + 1]);
            }
            if let Some(first) = self.seasons.first() {
                lags.extend([2 * first]);
            }
        }
        lags.retain(|lag| *lag > 0 && 3 * lag <= 2 * known);
        lags.sort_unstable();
        lags.dedup();
        lags
    }

    /// The profiles of the seasons.
    fn usual(&self, task: &Task<'_>) -> Vec<Vec<f64>> {
        if !self.profile {
            return Vec::new();
        }
        let mut rest = task.values.get(..task.known).unwrap_or(task.values).to_vec();
        let mut all = Vec::new();
        for period in &self.seasons {
            let usual = means(&rest, *period);
            rest.iter_mut().zip(usual.iter().cycle()).for_each(|(v, u)| *v -= u);
            all.push(usual);
        }
        all
    }
}

fn usual_at(usual: &[Vec<f64>], i: usize) -> f64 {
    usual.iter().filter_map(|u| u.get(i % u.len().max(1))).sum()
}

/// The weights of the lags, and the constant.
fn fit(values: &[f64], lags: &[usize]) -> Option<Vec<f64>> {
    let longest = lags.iter().copied().max()?;
    let size = lags.len() + 1;
    if values.len() < longest + 2 * size {
        return None;
    }
    let mut sums = vec![vec![0.0; size + 1]; size];
    let mut row = vec![1.0; size + 1];
    for now in longest..values.len() {
        for (x, lag) in row.iter_mut().zip(lags) {
            *x = values.get(now - lag).copied().unwrap_or(0.0);
        }
        if let Some(last) = row.last_mut() {
            *last = values.get(now).copied().unwrap_or(0.0);
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            let x = row.get(i).copied().unwrap_or(0.0);
            for (sum, y) in sums.iter_mut().zip(&row) {
                *sum += x * y;
            }
        }
    }
    let ridge = RIDGE * (values.len() - longest) as f64;
    for (i, sums) in sums.iter_mut().enumerate().take(lags.len()) {
        if let Some(own) = sums.get_mut(i) {
            *own += ridge;
        }
    }
    solve(sums)
}

/// Solves a positive definite system, its right side in the last column (Gauss).
pub(in crate::monitor) fn solve(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = rows.len();
    for i in 0..size {
        let pivot = rows.get(i)?.clone();
        let own = *pivot.get(i)?;
        if own.abs() < 1e-12 {
            return None;
        }
        for row in rows.iter_mut().skip(i + 1) {
            let factor = row.get(i)? / own;
            for (x, p) in row.iter_mut().zip(&pivot).skip(i) {
                *x -= factor * p;
            }
        }
    }
    let mut solution = vec![0.0; size];
    for i in (0..size).rev() {
        let row = rows.get(i)?;
        let known: f64 = row.iter().zip(&solution).skip(i + 1).map(|(a, b)| a * b).sum();
        *solution.get_mut(i)? = (row.get(size)? - known) / row.get(i)?;
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_solved() {
        let rows =
            vec![vec![4.0, 1.0, 0.0, 6.0], vec![1.0, 3.0, 1.0, 10.0], vec![0.0, 1.0, 2.0, 8.0]];
        let solution = solve(rows).expect("it has one");
        for (x, expected) in solution.iter().zip([1.0, 2.0, 3.0]) {
            assert!((x - expected).abs() < 1e-12, "{solution:?}");
        }
        assert_eq!(solve(vec![vec![1.0, 1.0, 1.0], vec![1.0, 1.0, 2.0]]), None);
    }
}
