//! Seasons that show from one value to the next: [`folded`].
//!
//! For each candidate period the values are folded by it (a Buys-Ballot table), and the variance between the
//! phases is held against that within them: one-way analysis of variance, as in the search of pulsars by
//! epoch folding (D. A. Leahy et al., "On searches for pulsed emission", ApJ 266, 1983). The test takes
//! its noise to be independent, so a first-order autoregression is taken out before, and what correlation remains
//! widens the test. The strongest period is reduced to the shortest of its parts that says much the same, its
//! profile is taken away, and the search goes on.

use crate::monitor::forecast::number::{autocorrelation, mean, median, quantile_of};
use crate::monitor::forecast::solve;

/// Rounds of its season that a series must hold.
pub(super) const ROUNDS: usize = 3;

/// How rare in noise a fold must be, in standard deviations of the normal distribution: the test is made for up to
/// some thousands of periods.
const CERTAIN: f64 = 5.5;

/// As [`CERTAIN`], of the multiples of a season: there are few of them.
const CERTAIN_WITHIN: f64 = 4.0;

/// The least share of the variance that a season explains.
const LEAST: f64 = 0.02;

/// The least share of a period's explained variance that a part of it must explain to take its place, …
const PART_LEAST: f64 = 0.25;

/// … and so many times what half, a third … of a round explains of one peak a round.
const CHANCE: f64 = 1.2;

/// The share of what the best part explains that a shorter one must explain to take its place.
const PART: f64 = 0.6;

/// Deviations from the median after which a value counts no further.
const OUTLYING: f64 = 5.0;

/// The periods of up to `most` seasons, in steps, shortest first. Empty for noise, and for what is too short.
pub(super) fn folded(values: &[f64], most: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut rest = whitened(values);
    while found.len() < most {
        let Some(period) = strongest(&rest, found.last().copied()) else { break };
        if found.contains(&period) {
            break;
        }
        found.push(period);
        let usual = means(&rest, period);
        for (value, usual) in rest.iter_mut().zip(usual.iter().cycle()) {
            *value -= usual;
        }
    }
    found.sort_unstable();
    found
}

/// The mean of each phase.
pub(in crate::monitor) fn means(values: &[f64], period: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); period.max(1)];
    for chunk in values.chunks(period.max(1)) {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            sum.0 += value;
            sum.1 += 1.0;
        }
    }
    sums.into_iter().map(|(sum, count)| if count > 0.0 { sum / count } else { 0.0 }).collect()
}

/// The innovations of a first-order autoregression, outliers drawn in, with mean 0 and variance 1; empty
/// when there are none.
fn whitened(values: &[f64]) -> Vec<f64> {
    let centred = without_trend(values);
    let share = autocorrelation(&centred, 1);
    let mut new: Vec<f64> =
        centred.iter().zip(centred.iter().skip(1)).map(|(a, b)| b - share * a).collect();
    // The first one has no value before it; phases count from it on.
    let middle = median(&new);
    let far: Vec<f64> = new.iter().map(|v| (v - middle).abs()).collect();
    let mut scale = 1.4826 * median(&far);
    if scale <= 0.0 {
        scale = quantile_of(&far, 0.95);
    }
    if scale <= 1e-9 * values.iter().fold(0.0, |most: f64, v| most.max(v.abs())) {
        return Vec::new();
    }
    for value in &mut new {
        *value = ((*value - middle) / scale).clamp(-OUTLYING, OUTLYING);
    }
    let centre = mean(&new);
    let variance = new.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / new.len().max(1) as f64;
    if variance <= 0.0 {
        return Vec::new();
    }
    new.iter().map(|v| (v - centre) / variance.sqrt()).collect()
}

/// What remains of the values without the polynomial of degree three nearest to them. By a trend the
/// autoregression would take all values for a random walk.
fn without_trend(values: &[f64]) -> Vec<f64> {
    let centre = mean(values);
    let far = values.iter().fold(0.0, |most: f64, v| most.max((v - centre).abs()));
    if far <= 0.0 {
        return vec![0.0; values.len()];
    }
    let powers = |i: usize| {
        let x = 2.0 * i as f64 / values.len() as f64 - 1.0;
        [1.0, x, x * x, x * x * x]
    };
    let mut sums = vec![vec![0.0; 5]; 4];
    for (i, value) in values.iter().enumerate() {
        let powers = powers(i);
        for (row, a) in sums.iter_mut().zip(powers) {
            let others = powers.into_iter().chain([(value - centre) / far]);
            row.iter_mut().zip(others).for_each(|(sum, b)| *sum += a * b);
        }
    }
    let factors = solve(sums).unwrap_or_else(|| vec![0.0; 4]);
    let rest = |(i, value): (usize, &f64)| {
        let trend: f64 = powers(i).iter().zip(&factors).map(|(p, f)| p * f).sum();
        value - centre - trend * far
    };
    values.iter().enumerate().map(rest).collect()
}

/// What a fold says.
#[derive(Clone, Copy)]
struct Fold {
    /// How rare it is in noise, as a quantile of the normal distribution.
    rarity: f64,
    /// The share of the variance that it explains, adjusted for the number of phases.
    explains: f64,
}

impl Fold {
    const NOTHING: Self = Self { rarity: 0.0, explains: 0.0 };

    fn is_season(self, certain: f64) -> bool {
        self.rarity >= certain && self.explains >= LEAST
    }
}

/// The share of the variance that a fold by this period explains, of values without their trend.
pub(super) fn explains(values: &[f64], period: usize) -> f64 {
    let centred = without_trend(values);
    let total: f64 = centred.iter().map(|v| v * v).sum();
    if total > 0.0 { fold(&centred, period, total, 1.0).explains } else { 0.0 }
}

/// The strongest period, or the shortest of its parts that says much the same. After another one only its
/// multiples count: seasons are nested, as days are in weeks.
fn strongest(values: &[f64], within: Option<usize>) -> Option<usize> {
    let step = within.unwrap_or(1);
    let certain = if within.is_some() { CERTAIN_WITHIN } else { CERTAIN };
    let longest = values.len() / ROUNDS;
    let total: f64 = values.iter().map(|v| v * v).sum();
    if longest < 2 || total <= 0.0 {
        return None;
    }
    let spread = spread(values);
    let folds: Vec<Fold> = (0..=longest)
        .map(|period| match period % step == 0 && Some(period) != within {
            true => fold(values, period, total, spread),
            false => Fold::NOTHING,
        })
        .collect();
    let seasons = folds.iter().enumerate().filter(|(_, fold)| fold.is_season(certain));
    let (best, most) = seasons.max_by(|a, b| a.1.explains.total_cmp(&b.1.explains))?;
    // Three rounds of 60 may look like one of 179, so near parts count as well.
    let explains = |period: &usize| folds.get(*period).map_or(0.0, |f| f.explains);
    let part = |rounds: usize| {
        let (middle, count) = (best / rounds, values.len());
        // What one more or less changes at the end of the series is less than a quarter of a round.
        let around = middle * middle / (4 * count) + 1;
        let near = (middle.saturating_sub(around).max(2)..=middle + around).filter(|p| *p < best);
        let least = (CHANCE / rounds as f64).max(PART_LEAST) * most.explains;
        let seasons = near.filter(|p| folds.get(*p).is_some_and(|f| f.is_season(certain)));
        let part = seasons.max_by(|a, b| explains(a).total_cmp(&explains(b)))?;
        (explains(&part) >= least).then_some(part)
    };
    let parts: Vec<usize> = (2..=best / 2).rev().filter_map(part).collect();
    let most = parts.iter().map(explains).fold(0.0, f64::max);
    parts.into_iter().find(|part| explains(part) >= PART * most).or(Some(best))
}

/// By how much correlation that is left spreads the test, as a factor of its variance.
fn spread(values: &[f64]) -> f64 {
    let lags = (values.len() / 10).min(12);
    let sum: f64 = (1..=lags).map(|lag| autocorrelation(values, lag).powi(2)).sum();
    1.0 + 2.0 * sum
}

fn fold(values: &[f64], period: usize, total: f64, spread: f64) -> Fold {
    if period < 2 {
        return Fold::NOTHING;
    }
    let mut sums = vec![0.0; period];
    for chunk in values.chunks(period) {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    let (rounds, left) = (values.len() / period, values.len() % period);
    let square = |sums: &[f64], count: usize| -> f64 {
        sums.iter().map(|s| s * s).sum::<f64>() / count.max(1) as f64
    };
    let (long, short) = sums.split_at(left.min(period));
    let between = square(long, rounds + 1) + square(short, rounds);
    let (phases, free) = (period as f64 - 1.0, (values.len() - period) as f64);
    let within = ((total - between) / free).max(1e-12 * total);
    let ratio = between / phases / within;
    // Wilson and Hilferty's approximation of Fisher's distribution by the normal one.
    let (above, below) = (2.0 / (9.0 * (phases / spread).max(1.0)), 2.0 / (9.0 * free));
    let root = ratio.max(0.0).cbrt();
    Fold {
        rarity: ((1.0 - below) * root - (1.0 - above)) / (below * root * root + above).sqrt(),
        explains: 1.0 - within / (total / (phases + free)),
    }
}
