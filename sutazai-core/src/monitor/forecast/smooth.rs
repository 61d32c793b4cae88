//! Exponential smoothing with any number of seasons: [`Smoothing`].
//!
//! The innovations form of Holt's and Winters' methods with a damped trend and an autoregressive error, all
//! additive: R. J. Hyndman et al., "Forecasting with Exponential Smoothing", 2008; for several seasons
//! J. W. Taylor, "Short-term electricity demand forecasting using double seasonal exponential smoothing",
//! JORS 54, 2003, and A. M. De Livera et al., "Forecasting time series with complex seasonal patterns using
//! exponential smoothing", JASA 106, 2011. On logarithms it is the multiplicative form.

use super::minimise::minimise;
use super::number::mean;
use super::{Model, Task};
use crate::monitor::season::means;

/// Exponential smoothing.
#[derive(Clone, Debug)]
pub(super) struct Smoothing {
    /// The periods of the seasons.
    pub seasons: Vec<usize>,
    /// Whether there is a (damped) trend.
    pub trend: bool,
    /// Whether errors carry over.
    pub carry: bool,
}

/// The parameters: of the level, the trend, its damping, the error that carries over, and the seasons.
#[derive(Clone, Debug)]
struct Weights {
    level: f64,
    trend: f64,
    damping: f64,
    carry: f64,
    seasons: Vec<f64>,
}

#[derive(Clone, Debug)]
struct State {
    level: f64,
    trend: f64,
    carried: f64,
    seasons: Vec<Vec<f64>>,
}

impl Model for Smoothing {
    fn paths(&self, task: &Task<'_>) -> Vec<Vec<f64>> {
        let fit = task.values.get(..task.known).unwrap_or(task.values);
        let start = self.start(fit);
        let skip = self.seasons.iter().copied().max().unwrap_or(1).min(fit.len() / 3);
        let free = self.free();
        let cost = |free: &[f64]| self.cost(fit, skip, &start, &self.weights(free));
        let best = minimise(&free, 0.6, 60 + 40 * free.len(), cost);
        self.follow(task, start, &self.weights(&best))
    }
}

impl Smoothing {
    /// Where the search of the parameters starts, on a scale without bounds.
    fn free(&self) -> Vec<f64> {
        let mut free = vec![-1.0];
        if self.trend {
            free.extend([-3.0, 1.0]);
        }
        if self.carry {
            free.push(0.5);
        }
        free.extend(self.seasons.iter().map(|_| -1.5));
        free
    }

    fn weights(&self, free: &[f64]) -> Weights {
        let share = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut free = free.iter().copied();
        let mut next = || free.next().unwrap_or(0.0);
        let level = 0.999 * share(next());
        let (trend, damping) = match self.trend {
            true => (level * share(next()), 0.8 + 0.19 * share(next())),
            false => (0.0, 0.0),
        };
        let carry = if self.carry { 0.98 * next().tanh() } else { 0.0 };
        let seasons = self.seasons.iter().map(|_| 0.999 * (1.0 - level) * share(next())).collect();
        Weights { level, trend, damping, carry, seasons }
    }

    /// The state before the first value: means of the first rounds.
    fn start(&self, fit: &[f64]) -> State {
        let longest = self.seasons.iter().copied().max().unwrap_or(5);
        let first = fit.get(..(2 * longest).min(fit.len())).unwrap_or(fit);
        let level = mean(first);
        let mut rest: Vec<f64> = first.iter().map(|v| v - level).collect();
        let mut seasons = Vec::new();
        for period in &self.seasons {
            let usual = means(&rest, *period);
            rest.iter_mut().zip(usual.iter().cycle()).for_each(|(v, u)| *v -= u);
            seasons.push(usual);
        }
        State { level, trend: 0.0, carried: 0.0, seasons }
    }

    fn cost(&self, fit: &[f64], skip: usize, start: &State, weights: &Weights) -> f64 {
        let mut state = start.clone();
        let mut sum = 0.0;
        for (i, value) in fit.iter().enumerate() {
            let error = state.step(i, *value, weights);
            if i >= skip {
                sum += error * error;
            }
        }
        if sum.is_finite() { sum } else { f64::MAX }
    }

    fn follow(&self, task: &Task<'_>, mut state: State, weights: &Weights) -> Vec<Vec<f64>> {
        let mut paths = Vec::new();
        let mut origins = task.origins.iter().copied().peekable();
        for i in 0..=task.values.len() {
            while origins.next_if_eq(&i).is_some() {
                paths.push(state.path(i, task.horizon, weights));
            }
            let Some(value) = task.values.get(i) else { break };
            state.step(i, *value, weights);
        }
        paths
    }
}

impl State {
    /// Takes the next value; hands back what it was off the forecast.
    #[inline]
    fn step(&mut self, i: usize, value: f64, weights: &Weights) -> f64 {
        let base = self.level + weights.damping * self.trend;
        let mut expected = base + weights.carry * self.carried;
        for season in &self.seasons {
            expected += season.get(i % season.len()).copied().unwrap_or(0.0);
        }
        let error = value - expected;
        self.level = base + weights.level * error;
        self.trend = weights.damping * self.trend + weights.trend * error;
        self.carried = weights.carry * self.carried + error;
        for (season, weight) in self.seasons.iter_mut().zip(&weights.seasons) {
            let phase = i % season.len();
            if let Some(season) = season.get_mut(phase) {
                *season += weight * error;
            }
        }
        error
    }

    fn path(&self, from: usize, horizon: usize, weights: &Weights) -> Vec<f64> {
        let (mut level, mut trend, mut carried) = (self.level, self.trend, self.carried);
        let step = |ahead: usize| {
            trend *= weights.damping;
            level += trend;
            carried *= weights.carry;
            let at = |s: &Vec<f64>| s.get((from + ahead) % s.len().max(1)).copied().unwrap_or(0.0);
            level + carried + self.seasons.iter().map(at).sum::<f64>()
        };
        (0..horizon).map(step).collect()
    }
}
