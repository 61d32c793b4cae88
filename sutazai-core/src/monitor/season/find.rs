//! Which seasons a series has: [`find`].

use std::f64::consts::TAU;

use super::fold::{ROUNDS, explains, folded};
use crate::monitor::forecast::number::mean;
use crate::monitor::forecast::solve;

/// Values of a block, at first: twice as many in the next attempt.
const BLOCK: usize = 4;

/// Blocks without which nothing is looked for.
const BLOCKS: usize = 24;

/// The least period that may be off by some steps.
const LONG: usize = 40;

/// Blocks to a round, of which a long period is made more exact; and the overtones that it may have.
const FINE: usize = 32;
const OVERTONES: usize = 3;

/// How much more a fold explains by its own period than by the one that waves say, where that is not exact.
const SHARP: f64 = 1.1;

/// What is fitted: a polynomial, and two waves each.
const FIGURES: usize = 4 + 2 * OVERTONES;

/// The periods of up to `most` seasons, in steps, shortest first, the longer ones multiples of the shortest. Empty for noise, and for
/// what is too short.
///
/// Seasons that are slow beside their noise hardly show from one value to the next; so, where none is found, it is looked for in
/// the means of blocks of values, which are longer and longer. A long period, which a fold knows up to some steps only, is the one
/// at which a wave and its first overtones explain most.
pub(in crate::monitor) fn find(values: &[f64], most: usize) -> Vec<usize> {
    let mut found = folded(values, most);
    let mut block = 1;
    let mut next = BLOCK;
    while found.is_empty() && values.len() / next >= BLOCKS {
        let blocks = values.get(values.len() % next..).unwrap_or_default().chunks(next);
        found = folded(&blocks.map(mean).collect::<Vec<f64>>(), most);
        block = next;
        next *= 2;
    }
    let Some(shortest) = found.first().copied() else { return found };
    let folded = shortest * block;
    let exact = sharpened(values, folded, block - 1);
    // What is sharp has more overtones than are looked at, and a fold knows it to the step.
    let sharp = block == 1 && explains(values, folded) > SHARP * explains(values, exact);
    let exact = if sharp { folded } else { exact };
    found.into_iter().map(|period| period / shortest * exact).collect()
}

/// The period near this one, which is known up to a part of a round over all rounds and `more`, that explains most.
fn sharpened(values: &[f64], period: usize, more: usize) -> usize {
    if period < LONG {
        return period;
    }
    let around = period * period / (2 * values.len()) + 1 + more;
    let block = (period / FINE).max(1);
    let means: Vec<f64> = values.chunks(block).map(mean).collect();
    let middle = mean(&means);
    let centred: Vec<f64> = means.iter().map(|value| value - middle).collect();
    let most = (period + around).min(values.len() / ROUNDS);
    let near = period.saturating_sub(around).max(2)..=most;
    let explained = |period| explained(&centred, TAU * block as f64 / period as f64);
    let best = near.map(|period| (explained(period), period)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(period, |(_, period)| period)
}

/// How much of the values' squares a trend (a polynomial of degree three), a wave that turns so far from one value to the next, and
/// its overtones explain together. Both at once, as of few rounds a trend takes a part.
fn explained(values: &[f64], turn: f64) -> f64 {
    let mut sums = vec![[0.0; FIGURES + 1]; FIGURES];
    for (i, value) in values.iter().enumerate() {
        let x = 2.0 * i as f64 / values.len() as f64 - 1.0;
        let mut row = [1.0, x, x * x, x * x * x, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, *value];
        let waves = row.iter_mut().skip(4).take(2 * OVERTONES).enumerate();
        for (n, place) in waves {
            let angle = turn * (i * (n / 2 + 1)) as f64;
            *place = if n % 2 == 0 { angle.sin() } else { angle.cos() };
        }
        for (sum, a) in sums.iter_mut().zip(row) {
            sum.iter_mut().zip(row).for_each(|(sum, b)| *sum += a * b);
        }
    }
    let right = |row: &[f64; FIGURES + 1]| row.last().copied().unwrap_or(0.0);
    let Some(factors) = solve(sums.iter().map(|row| row.to_vec()).collect()) else { return 0.0 };
    sums.iter().zip(factors).map(|(row, factor)| right(row) * factor).sum()
}
