//! Where to look next: the point of the largest expected improvement, found by random candidates and projected BFGS from the
//! best two.

use super::improve::log_improvement;
use super::model::Model;
use super::random::Random;
use super::region::Bounds;

/// Random candidates, of which the best `STARTS` are climbed from in at most `CLIMB` steps.
const CANDIDATES: usize = 96;
const STARTS: usize = 2;
const CLIMB: usize = 12;

/// A point and the logarithm of its expected improvement.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) x: Vec<f64>,
    pub(super) gain: f64,
}

/// Candidates in the box, the best first. `elites` are good points known.
pub(super) fn candidates(
    model: &Model,
    best: f64,
    bounds: &Bounds,
    elites: &[Vec<f64>],
    random: &mut Random,
) -> Vec<Candidate> {
    let d = bounds.low.len();
    let mut pool = Vec::with_capacity(CANDIDATES * d);
    for c in 0..CANDIDATES {
        let Some(elite) = elites.get(random.below(elites.len())) else { break };
        let scale = 0.5 * (-3.0 * random.unit()).exp();
        for (i, e) in elite.iter().enumerate() {
            // A third anywhere, a third off a good point in some coordinates, a third near one.
            let v = match c % 3 {
                1 if random.unit() < 0.5 => *e,
                0 | 1 => bounds.between(i, random.unit()),
                _ => e + scale * bounds.width(i) * random.normal(),
            };
            pool.push(bounds.clamp(i, v));
        }
    }
    let mut found = score(model, best, &pool, d);
    let climbed: Vec<Candidate> =
        found.iter().take(STARTS).map(|c| Climb::new(model, best, bounds).run(c)).collect();
    found.extend(climbed);
    found.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    found
}

fn score(model: &Model, best: f64, pool: &[f64], d: usize) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = (model.predict(pool).iter().zip(pool.chunks_exact(d)))
        .map(|((mean, variance), x)| Candidate {
            x: x.to_vec(),
            gain: log_improvement(best, *mean, *variance).0,
        })
        .collect();
    found.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    found
}

/// Projected BFGS (D. Bertsekas, SIAM Journal on Control and Optimization 20(2), 1982).
struct Climb<'a> {
    model: &'a Model,
    best: f64,
    bounds: &'a Bounds,
    d: usize,
    dm: Vec<f64>,
    dv: Vec<f64>,
    /// The inverse Hessian.
    h: Vec<f64>,
}

impl<'a> Climb<'a> {
    fn new(model: &'a Model, best: f64, bounds: &'a Bounds) -> Self {
        let d = bounds.low.len();
        Self { model, best, bounds, d, dm: vec![0.0; d], dv: vec![0.0; d], h: vec![0.0; d * d] }
    }

    fn run(mut self, start: &Candidate) -> Candidate {
        let d = self.d;
        let (mut x, mut slope, mut trial_slope) = (start.x.clone(), vec![0.0; d], vec![0.0; d]);
        let mut f = self.loss(&x, &mut slope);
        // As a first step, a tenth of the box downhill.
        let width: Vec<f64> = (0..d).map(|i| self.bounds.width(i)).collect();
        let norm = slope.iter().zip(&width).map(|(g, w)| (g * w).powi(2)).sum::<f64>().sqrt();
        for (i, w) in width.iter().enumerate() {
            self.h[i * d + i] = 0.1 * w * w / norm.max(1e-300);
        }
        for _ in 0..CLIMB {
            let direction = self.direction(&x, &slope);
            let descent: f64 = direction.iter().zip(&slope).map(|(p, g)| p * g).sum();
            // Not a number is no descent either.
            if descent.is_nan() || descent >= 0.0 {
                break;
            }
            let mut gained = 0.0;
            let mut step = 1.0;
            for _ in 0..5 {
                let next: Vec<f64> = (x.iter().zip(&direction).enumerate())
                    .map(|(i, (x, p))| self.bounds.clamp(i, x + step * p))
                    .collect();
                let value = self.loss(&next, &mut trial_slope);
                if value < f {
                    self.update(&x, &next, &slope, &trial_slope);
                    gained = f - value;
                    (x, f) = (next, value);
                    slope.copy_from_slice(&trial_slope);
                    break;
                }
                step *= 0.3;
            }
            if gained <= 1e-9 {
                break;
            }
        }
        Candidate { x, gain: -f }
    }

    fn loss(&mut self, x: &[f64], slope: &mut [f64]) -> f64 {
        let (mean, variance) = self.model.slope(x, &mut self.dm, &mut self.dv);
        let (gain, by_mean, by_variance) = log_improvement(self.best, mean, variance);
        for ((g, m), v) in slope.iter_mut().zip(&self.dm).zip(&self.dv) {
            *g = -(by_mean * m + by_variance * v);
        }
        -gain
    }

    /// Downhill, in the coordinates that are not held by a bound.
    fn direction(&self, x: &[f64], slope: &[f64]) -> Vec<f64> {
        let held = |i: usize| {
            (x[i] <= self.bounds.low[i] && slope[i] > 0.0)
                || (x[i] >= self.bounds.high[i] && slope[i] < 0.0)
        };
        let free: Vec<usize> = (0..self.d).filter(|i| !held(*i)).collect();
        let mut direction = vec![0.0; self.d];
        for i in &free {
            for j in &free {
                direction[*i] -= self.h[i * self.d + j] * slope[*j];
            }
        }
        direction
    }

    fn update(&mut self, x: &[f64], next: &[f64], slope: &[f64], next_slope: &[f64]) {
        let d = self.d;
        let s: Vec<f64> = next.iter().zip(x).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = next_slope.iter().zip(slope).map(|(a, b)| a - b).collect();
        let sy: f64 = s.iter().zip(&y).map(|(a, b)| a * b).sum();
        if sy.is_nan() || sy <= 1e-14 {
            return;
        }
        let hy: Vec<f64> = (self.h.chunks_exact(d))
            .map(|row| row.iter().zip(&y).map(|(h, y)| h * y).sum())
            .collect();
        let yhy: f64 = y.iter().zip(&hy).map(|(a, b)| a * b).sum();
        for (i, row) in self.h.chunks_exact_mut(d).enumerate() {
            for (j, h) in row.iter_mut().enumerate() {
                *h += (1.0 + yhy / sy) * s[i] * s[j] / sy - (hy[i] * s[j] + s[i] * hy[j]) / sy;
            }
        }
    }
}
