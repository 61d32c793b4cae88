//! What needs no parameters, or one: [`Repeat`] and [`Theta`].

use super::number::mean;
use super::{Model, Task};
use crate::monitor::season::means;

/// The last round again (seasonal naive), or the mean of some rounds.
#[derive(Clone, Debug)]
pub(super) struct Repeat {
    /// The period.
    pub period: usize,
    /// How many rounds the mean is taken of, at most.
    pub rounds: usize,
}

impl Model for Repeat {
    fn paths(&self, task: &Task<'_>) -> Vec<Vec<f64>> {
        let path = |origin: &usize| {
            let at = |ahead: usize| {
                let phase = ahead % self.period;
                let before = |round: usize| {
                    let back = (round * self.period).checked_sub(phase)?;
                    task.values.get(origin.checked_sub(back)?).copied()
                };
                let (mut sum, mut count) = (0.0, 0.0);
                for value in (1..=self.rounds).filter_map(before) {
                    sum += value;
                    count += 1.0;
                }
                if count > 0.0 { sum / count } else { 0.0 }
            };
            (0..task.horizon).map(at).collect()
        };
        task.origins.iter().map(path).collect()
    }
}

/// The theta method (V. Assimakopoulos and K. Nikolopoulos, International Journal of Forecasting 16, 2000) on what remains
/// without the seasons: exponential smoothing, with half of the slope as drift (R. J. Hyndman and B. Billah,
/// "Unmasking the Theta method", 2003); the smoothing is optimised.
#[derive(Clone, Debug)]
pub(super) struct Theta {
    /// The periods of the seasons.
    pub seasons: Vec<usize>,
}

impl Model for Theta {
    fn paths(&self, task: &Task<'_>) -> Vec<Vec<f64>> {
        let fit = task.values.get(..task.known).unwrap_or(task.values);
        let slope = slope(fit);
        let mut rest: Vec<f64> =
            fit.iter().enumerate().map(|(i, v)| v - slope * i as f64).collect();
        let mut usual = Vec::new();
        for period in &self.seasons {
            let mut of = means(&rest, *period);
            let centre = mean(&of);
            of.iter_mut().for_each(|u| *u -= centre);
            rest.iter_mut().zip(of.iter().cycle()).for_each(|(v, u)| *v -= u);
            usual.push(of);
        }
        let usual_at =
            |i: usize| usual.iter().filter_map(|u| u.get(i % u.len().max(1))).sum::<f64>();
        let adjusted: Vec<f64> =
            task.values.iter().enumerate().map(|(i, v)| v - usual_at(i)).collect();
        let weight = (1..=20).map(|i| f64::from(i) * 0.05).min_by(|a, b| {
            let cost =
                |w: f64| error(adjusted.get(..task.known).unwrap_or(&adjusted), w, 0.5 * slope);
            cost(*a).total_cmp(&cost(*b))
        });
        let weight = weight.unwrap_or(0.5);
        let path = |origin: &usize| {
            let past = adjusted.get(..*origin).unwrap_or(&adjusted);
            let level = level(past, weight, 0.5 * slope);
            (0..task.horizon)
                .map(|ahead| level + 0.5 * slope * (ahead + 1) as f64 + usual_at(origin + ahead))
                .collect()
        };
        task.origins.iter().map(path).collect()
    }
}

fn level(values: &[f64], weight: f64, drift: f64) -> f64 {
    let mut level = values.first().copied().unwrap_or(0.0);
    for value in values.iter().skip(1) {
        level += drift;
        level += weight * (value - level);
    }
    level
}

fn error(values: &[f64], weight: f64, drift: f64) -> f64 {
    let mut level = values.first().copied().unwrap_or(0.0);
    let mut sum = 0.0;
    for value in values.iter().skip(1) {
        level += drift;
        let error = value - level;
        sum += error * error;
        level += weight * error;
    }
    sum
}

/// The slope of the least squares.
fn slope(values: &[f64]) -> f64 {
    let centre = (values.len() as f64 - 1.0) / 2.0;
    let (mut both, mut own) = (0.0, 0.0);
    for (i, value) in values.iter().enumerate() {
        let x = i as f64 - centre;
        both += x * value;
        own += x * x;
    }
    if own > 0.0 { both / own } else { 0.0 }
}
