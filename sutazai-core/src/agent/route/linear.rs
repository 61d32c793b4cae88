//! A Bayesian linear model of one figure, learned one observation at a time.
//!
//! Conjugate normal regression with a noise variance of its own (Bishop, *Pattern Recognition and Machine
//! Learning*, 3.3): what is kept is the weights' mean and their covariance in units of the noise variance,
//! so that one estimate of the noise, whoever makes it, scales everything. An observation is a rank-one
//! update (Sherman and Morrison): O(d²), no inversion, and only `+ − × ÷`, which IEEE 754 rounds the same
//! on every machine.

/// Weights and their covariance. The first coordinate of what it is given is 1, the intercept.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    weights: Vec<f64>,
    /// The lower triangle, row by row.
    covariance: Vec<f64>,
    /// Observations so far.
    count: u64,
}

impl Linear {
    /// Knows nothing but the intercept's mean: `intercept` and `slope` are the prior variances of the
    /// intercept and of each other weight, in units of the noise variance.
    pub(super) fn new(size: usize, mean: f64, intercept: f64, slope: f64) -> Self {
        let mut new = Self {
            weights: vec![0.0; size],
            covariance: vec![0.0; size * (size + 1) / 2],
            count: 0,
        };
        if let Some(first) = new.weights.first_mut() {
            *first = mean;
        }
        new.widen(intercept, slope);
        new
    }

    /// Makes all weights less certain, as if they could have changed by that much.
    pub(super) fn widen(&mut self, intercept: f64, slope: f64) {
        let mut added = intercept;
        for row in 0..self.weights.len() {
            if let Some(variance) = self.covariance.get_mut(row * (row + 1) / 2 + row) {
                *variance += added;
            }
            added = slope;
        }
    }

    /// Becomes what `other` is, in the memory that it has.
    pub(super) fn copy(&mut self, other: &Self) {
        self.weights.clone_from(&other.weights);
        self.covariance.clone_from(&other.covariance);
        self.count = other.count;
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) const fn count_from_zero(&mut self) {
        self.count = 0;
    }

    pub(super) const fn size(&self) -> usize {
        self.weights.len()
    }

    pub(super) fn mean(&self, at: &[f64]) -> f64 {
        dot(&self.weights, at)
    }

    /// The variance of the mean at a point, in units of the noise variance.
    pub(super) fn variance(&self, at: &[f64]) -> f64 {
        let mut sum = 0.0;
        let mut rest = self.covariance.as_slice();
        for (row, &x) in at.iter().enumerate() {
            let Some((before, after)) = rest.split_at_checked(row + 1) else { break };
            rest = after;
            let (Some((diagonal, left)), Some(known)) = (before.split_last(), at.get(..row)) else {
                break;
            };
            sum += x * (2.0 * dot(left, known) + diagonal * x);
        }
        sum.max(MIN_VARIANCE)
    }

    /// Learns that `value` was seen at a point. `scratch` is memory to work in.
    pub(super) fn learn(&mut self, at: &[f64], value: f64, scratch: &mut Vec<f64>) {
        let error = value - self.mean(at);
        // Covariance times point: each row adds its left part to its own sum, and, being symmetric, its
        // value to the sums of the columns.
        scratch.clear();
        scratch.resize(at.len(), 0.0);
        let mut rest = self.covariance.as_slice();
        for (row, &x) in at.iter().enumerate() {
            let Some((this, after)) = rest.split_at_checked(row + 1) else { break };
            rest = after;
            let Some((diagonal, left)) = this.split_last() else { break };
            let mut own = diagonal * x + dot(left, at);
            for (sum, entry) in scratch.iter_mut().zip(left) {
                *sum += entry * x;
            }
            if let Some(sum) = scratch.get_mut(row) {
                own += *sum;
                *sum = own;
            }
        }
        let gain = 1.0 / (1.0 + dot(scratch, at).max(MIN_VARIANCE));
        for (weight, g) in self.weights.iter_mut().zip(scratch.iter()) {
            *weight += g * (error * gain);
        }
        let mut rest = self.covariance.as_mut_slice();
        for (row, &g) in scratch.iter().enumerate() {
            let Some((this, after)) = rest.split_at_mut_checked(row + 1) else { break };
            rest = after;
            let down = g * gain;
            for (entry, h) in this.iter_mut().zip(scratch.iter()) {
                *entry -= down * h;
            }
        }
        self.count += 1;
    }

    /// Says the same in other coordinates: of the new point z', the old one's coordinate i was
    /// `stretch[i] · z'[i] + shift[i]`. Exact.
    pub(super) fn rebase(&mut self, stretch: &[f64], shift: &[f64]) {
        let size = self.weights.len();
        // New intercept = old intercept + Σ shift · weight; new weight = stretch · weight.
        let into_intercept: Vec<f64> = (0..size)
            .map(|i| if i == 0 { 1.0 } else { shift.get(i).copied().unwrap_or(0.0) })
            .collect();
        let scale = |i: usize| if i == 0 { 1.0 } else { stretch.get(i).copied().unwrap_or(1.0) };
        let intercept = dot(&self.weights, &into_intercept);
        // The first row of the new covariance needs the whole old one.
        let mut first: Vec<f64> = vec![0.0; size];
        for i in 0..size {
            for j in 0..size {
                if let (Some(sum), Some(&by)) = (first.get_mut(i), into_intercept.get(j)) {
                    *sum += self.entry(i, j) * by;
                }
            }
        }
        let corner = dot(&first, &into_intercept);
        for row in 0..size {
            for column in 0..=row {
                let new = match (row, column) {
                    (0, _) => corner,
                    (_, 0) => scale(row) * first.get(row).copied().unwrap_or(0.0),
                    _ => scale(row) * scale(column) * self.entry(row, column),
                };
                if let Some(entry) = self.covariance.get_mut(row * (row + 1) / 2 + column) {
                    *entry = new;
                }
            }
        }
        for (i, weight) in self.weights.iter_mut().enumerate() {
            *weight = if i == 0 { intercept } else { *weight * scale(i) };
        }
    }

    fn entry(&self, row: usize, column: usize) -> f64 {
        let (low, high) = (row.min(column), row.max(column));
        self.covariance.get(high * (high + 1) / 2 + low).copied().unwrap_or(0.0)
    }
}

/// Below this a variance is rounding error.
const MIN_VARIANCE: f64 = 1e-12;

/// In four sums, always the same four: quick, and equal on every machine. As long as the shorter one.
#[inline]
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let length = a.len().min(b.len());
    let (a, b) = (a.get(..length).unwrap_or(a), b.get(..length).unwrap_or(b));
    let (quads_a, quads_b) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = quads_a.remainder().iter().zip(quads_b.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [0.0; 4];
    for (x, y) in quads_a.zip(quads_b) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    let [p, q, r, s] = sums;
    (p + q) + (r + s) + tail
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn it_finds_the_line_that_data_lie_on() {
        let mut random = Random::new(1);
        let mut model = Linear::new(3, 0.0, 1e6, 1e6);
        let mut scratch = Vec::new();
        for _ in 0..200 {
            let at = [1.0, random.normal(), random.normal()];
            model.learn(&at, 0.3 + 2.0 * at[1] - at[2], &mut scratch);
        }
        for at in [[1.0, 0.0, 0.0], [1.0, 3.0, 0.0], [1.0, -2.0, 5.0]] {
            assert!((model.mean(&at) - (0.3 + 2.0 * at[1] - at[2])).abs() < 1e-6);
        }
    }

    #[test]
    fn an_average_is_as_certain_as_its_number_of_observations() {
        let mut model = Linear::new(1, 0.5, 1.0, 1.0);
        let mut scratch = Vec::new();
        for value in [1.0, 0.0, 1.0] {
            model.learn(&[1.0], value, &mut scratch);
        }
        // The prior counts as one observation of 0.5.
        assert!((model.mean(&[1.0]) - 2.5 / 4.0).abs() < 1e-12);
        assert!((model.variance(&[1.0]) - 0.25).abs() < 1e-12);
        assert_eq!(model.count(), 3);
    }

    #[test]
    fn other_coordinates_change_nothing_that_is_said() {
        let mut random = Random::new(2);
        let mut model = Linear::new(6, 0.4, 1.0, 0.5);
        let mut scratch = Vec::new();
        for _ in 0..20 {
            let at: Vec<f64> = (0..6).map(|i| if i == 0 { 1.0 } else { random.normal() }).collect();
            model.learn(&at, random.unit(), &mut scratch);
        }
        let (stretch, shift) = ([0.0, 2.0, 0.5, 1.0, 3.0, 0.1], [0.0, 0.3, -1.0, 0.0, 2.0, 0.7]);
        let new: Vec<f64> = (0..6).map(|i| if i == 0 { 1.0 } else { random.normal() }).collect();
        let old: Vec<f64> =
            (0..6).map(|i| if i == 0 { 1.0 } else { stretch[i] * new[i] + shift[i] }).collect();
        let (mean, variance) = (model.mean(&old), model.variance(&old));
        model.rebase(&stretch, &shift);
        assert!((model.mean(&new) - mean).abs() < 1e-9);
        assert!((model.variance(&new) - variance).abs() < 1e-9);
    }
}
