//! A line or a parabola with a daily season, through what was: [`Fit`].

use super::past::Span;
use crate::monitor::forecast::solve;

/// Rounds of the season from which one wave of it is part of a fit.
pub(super) const WAVE: f64 = 1.3;

/// Rounds from which all of it is.
pub(super) const SEASONS: f64 = 2.0;

/// Waves of the season: whole, half and third of it.
const WAVES: usize = 3;

/// Rounds of reweighting: errors beyond [`OUTLYING`] deviations count by their distance only (P. J. Huber,
/// "Robust Estimation of a Location Parameter", 1964).
const REWEIGHTED: usize = 2;
const OUTLYING: f64 = 1.5;

/// Factors, and the value.
const ROW: usize = 3 + 2 * WAVES + 1;

/// The share of a parameter's own weight that is added to it, so that the equations have a solution.
const RIDGE: f64 = 1e-9;

/// A curve through the spans of a window.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    start: f64,
    length: f64,
    centre: f64,
    unit: f64,
    degree: usize,
    season: f64,
    waves: usize,
    factors: Vec<f64>,
}

impl Fit {
    /// Through the spans, with a trend of degree 1 or 2. `season` in seconds.
    pub(super) fn new(spans: &[Span], degree: usize, season: f64) -> Option<Self> {
        let (first, last) = (spans.first()?, spans.last()?);
        let length = last.at - first.at;
        let centre = last.value;
        let far = |span: &Span| (span.value - centre).abs();
        let unit = spans.iter().map(far).fold(0.0, f64::max);
        let rounds = if season > 0.0 { length / season } else { 0.0 };
        let waves = match rounds {
            r if r < WAVE => 0,
            r if r < SEASONS => 1,
            _ => WAVES,
        };
        let size = degree + 1 + 2 * waves;
        if length <= 0.0 || spans.len() < 2 * size {
            return None;
        }
        let factors = vec![0.0; size];
        let mut fit =
            Self { start: first.at, length, centre, unit, degree, season, waves, factors };
        if unit <= 0.0 {
            return Some(fit);
        }
        let mut weights = vec![1.0; spans.len()];
        for _ in 0..REWEIGHTED {
            fit.factors = fit.solve(spans, &weights)?;
            let errors: Vec<f64> =
                spans.iter().map(|s| (s.value - fit.at(s.at)).abs() / unit).collect();
            let mut sorted = errors.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            let usual = 1.4826 * sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
            for (weight, error) in weights.iter_mut().zip(&errors) {
                *weight = (OUTLYING * usual.max(1e-9) / error.max(1e-12)).min(1.0);
            }
        }
        Some(fit)
    }

    fn solve(&self, spans: &[Span], weights: &[f64]) -> Option<Vec<f64>> {
        let size = self.factors.len();
        let mut sums = vec![vec![0.0; size + 1]; size];
        let mut before = self.start;
        for (span, weight) in spans.iter().zip(weights) {
            let mut row = self.row(span.at);
            if let Some(last) = row.get_mut(size) {
                *last = (span.value - self.centre) / self.unit;
            }
            // Spans count by the time that they stand for.
            let weight = weight * ((span.at - before) / self.length).max(1e-6);
            before = span.at;
            for (sums, a) in sums.iter_mut().zip(&row) {
                sums.iter_mut().zip(&row).for_each(|(sum, b)| *sum += weight * a * b);
            }
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            if let Some(own) = sums.get_mut(i) {
                *own *= 1.0 + RIDGE;
            }
        }
        solve(sums)
    }

    /// What the factors are for; zeros after it.
    fn row(&self, at: f64) -> [f64; ROW] {
        let x = (at - self.start) / self.length;
        let mut row = [0.0; ROW];
        let trend = [1.0, x, x * x].into_iter().take(self.degree + 1);
        let (sine, cosine) = match self.waves {
            0 => (0.0, 0.0),
            _ => (std::f64::consts::TAU * (at / self.season).fract()).sin_cos(),
        };
        let (mut s, mut c) = (0.0, 1.0);
        let waves = (0..self.waves).flat_map(|_| {
            (s, c) = (s * cosine + c * sine, c * cosine - s * sine);
            [s, c]
        });
        row.iter_mut().zip(trend.chain(waves)).for_each(|(to, value)| *to = value);
        row
    }

    /// The value expected at a time.
    pub(super) fn at(&self, at: f64) -> f64 {
        let sum: f64 = self.row(at).iter().zip(&self.factors).map(|(x, f)| x * f).sum();
        self.centre + self.unit * sum
    }

    /// What the season adds at a time; nothing where it is no part of the fit.
    pub(super) fn season(&self, at: f64) -> f64 {
        self.at(at) - self.trend(at)
    }

    /// The value expected at a time, but for the season.
    pub(super) fn trend(&self, at: f64) -> f64 {
        let row = self.row(at);
        let trend = row.iter().zip(&self.factors).take(self.degree + 1);
        self.centre + self.unit * trend.map(|(x, f)| x * f).sum::<f64>()
    }

    /// How fast the trend rises at a time, in units of the value a second.
    pub(super) fn slope(&self, at: f64) -> f64 {
        let x = (at - self.start) / self.length;
        let factor = |i: usize| self.factors.get(i).copied().unwrap_or(0.0);
        let bend = if self.degree > 1 { 2.0 * factor(2) * x } else { 0.0 };
        self.unit * (factor(1) + bend) / self.length
    }
}
