//! A Bayesian linear model of one figure, learned one observation at a time.
//!
//! Conjugate normal regression with a noise variance of its own (Bishop, *Pattern Recognition and Machine
//! Learning*, 3.3): what is kept is the weights' mean and their covariance in units of the noise variance,
//! so that one estimate of the noise, whoever makes it, scales everything. An observation is a rank-one
//! update (Sherman and Morrison): O(d²), no inversion, and only `+ − × ÷`, which IEEE 754 rounds the same
//! on every machine.

use serde::{Deserialize, Serialize};

/// Four coordinates: what the processor works on at once.
type Quad = [f64; 4];

/// Four rows of four.
type Block = [Quad; 4];

/// Memory to work in.
pub(super) type Scratch = Vec<Quad>;

/// Where a task stands: 1, then its features, scaled.
#[derive(Clone, Debug, Default)]
pub(super) struct Point {
    /// Filled up with zeros.
    quads: Vec<Quad>,
    /// Mean square of the features: 1 for a usual task, and where there are none.
    spread: f64,
}

impl Point {
    pub(super) fn set(&mut self, features: impl Iterator<Item = f64>) {
        self.quads.clear();
        let (mut quad, mut at, mut squares, mut count) = ([1.0, 0.0, 0.0, 0.0], 1, 0.0, 0.0);
        for x in features {
            if at == quad.len() {
                self.quads.push(quad);
                (quad, at) = ([0.0; 4], 0);
            }
            if let Some(place) = quad.get_mut(at) {
                *place = x;
            }
            at += 1;
            squares += x * x;
            count += 1.0;
        }
        self.quads.push(quad);
        self.spread = if count > 0.0 { squares / count } else { 1.0 };
    }

    pub(super) const fn spread(&self) -> f64 {
        self.spread
    }

    #[cfg(test)]
    pub(super) fn coordinates(&self) -> Vec<f64> {
        self.quads.concat()
    }
}

/// Weights and their covariance. The first coordinate of a point, 1, makes the first weight an intercept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Linear {
    size: usize,
    weights: Vec<Quad>,
    /// The blocks on and below the diagonal, by rows: block (i, j), j ≤ i, stands at i·(i+1)/2 + j. Rows and
    /// columns beyond the size are 0.
    covariance: Vec<Block>,
    /// Observations so far.
    count: u64,
}

impl Linear {
    /// Knows nothing but the intercept's mean: `intercept` and `slope` are the prior variances of the
    /// intercept and of each other weight, in units of the noise variance. `size` counts the weights.
    pub(super) fn new(size: usize, mean: f64, intercept: f64, slope: f64) -> Self {
        let mut new = Self {
            size,
            weights: vec![[0.0; 4]; size.div_ceil(4)],
            covariance: vec![[[0.0; 4]; 4]; triangle(size.div_ceil(4))],
            count: 0,
        };
        if let Some([first, ..]) = new.weights.first_mut() {
            *first = mean;
        }
        new.widen(intercept, slope);
        new
    }

    /// Whether it can be a model of so many weights.
    pub(super) fn is_sound(&self, size: usize) -> bool {
        let quads = size.div_ceil(4);
        self.size == size
            && self.weights.len() == quads
            && self.covariance.len() == triangle(quads)
            && self.weights.iter().flatten().all(|weight| weight.is_finite())
            && self.covariance.iter().flatten().flatten().all(|entry| entry.is_finite())
    }

    /// Makes all weights less certain, as if they could have changed by that much.
    pub(super) fn widen(&mut self, intercept: f64, slope: f64) {
        for i in 0..self.size {
            self.set(i, i, self.entry(i, i) + if i == 0 { intercept } else { slope });
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
        self.size
    }

    #[inline]
    pub(super) fn mean(&self, at: &Point) -> f64 {
        dot(&self.weights, &at.quads)
    }

    /// The variance of the mean at a point, in units of the noise variance.
    #[inline]
    pub(super) fn variance(&self, at: &Point) -> f64 {
        let (mut below, mut diagonal) = ([0.0; 4], [0.0; 4]);
        let mut rest = self.covariance.as_slice();
        for (i, x) in at.quads.iter().enumerate() {
            let Some((row, after)) = rest.split_at_checked(i + 1) else { break };
            rest = after;
            let Some((last, left)) = row.split_last() else { break };
            for (block, y) in left.iter().zip(&at.quads) {
                below = add_products(below, &times_left(x, block), y);
            }
            diagonal = add_products(diagonal, &times_left(x, last), x);
        }
        (2.0 * total(below) + total(diagonal)).max(MIN_VARIANCE)
    }

    /// Learns that `value` was seen at a point. `scratch` is memory to work in.
    pub(super) fn learn(&mut self, at: &Point, value: f64, scratch: &mut Scratch) {
        let error = value - self.mean(at);
        self.times(at, scratch);
        let gain = 1.0 / (1.0 + dot(scratch, &at.quads).max(MIN_VARIANCE));
        for (weights, change) in self.weights.iter_mut().zip(scratch.iter()) {
            *weights = add_products(*weights, change, &[error * gain; 4]);
        }
        let mut rest = self.covariance.as_mut_slice();
        for (i, down) in scratch.iter().enumerate() {
            let Some((row, after)) = std::mem::take(&mut rest).split_at_mut_checked(i + 1) else {
                break;
            };
            rest = after;
            for (block, across) in row.iter_mut().zip(scratch.iter()) {
                for (entries, by) in block.iter_mut().zip(down) {
                    *entries = add_products(*entries, across, &[-by * gain; 4]);
                }
            }
        }
        self.count += 1;
    }

    /// Covariance times point.
    fn times(&self, at: &Point, into: &mut Scratch) {
        into.clear();
        into.resize(at.quads.len(), [0.0; 4]);
        let mut rest = self.covariance.as_slice();
        for (i, x) in at.quads.iter().enumerate() {
            let Some((row, after)) = rest.split_at_checked(i + 1) else { break };
            rest = after;
            let Some((last, left)) = row.split_last() else { break };
            // A block on the diagonal is symmetric: from either side it is the same.
            let mut own = times_left(x, last);
            let mut sums = [[0.0; 4]; 4];
            for ((block, y), sum) in left.iter().zip(&at.quads).zip(into.iter_mut()) {
                for (products, entries) in sums.iter_mut().zip(block) {
                    *products = add_products(*products, entries, y);
                }
                *sum = add_products(*sum, &times_left(x, block), &[1.0; 4]);
            }
            own = add_products(own, &sums.map(total), &[1.0; 4]);
            if let Some(sum) = into.get_mut(i) {
                *sum = own;
            }
        }
    }

    /// Says the same in other coordinates: of the new point z', the old one's coordinate i was
    /// `stretch[i] · z'[i] + shift[i]`. Exact.
    pub(super) fn rebase(&mut self, stretch: &[f64], shift: &[f64]) {
        // New intercept = old intercept + Σ shift · weight; new weight = stretch · weight. Of both slices,
        // the first entry is the intercept's and not looked at.
        let into_intercept =
            |i: usize| if i == 0 { 1.0 } else { shift.get(i).copied().unwrap_or(0.0) };
        let scale = |i: usize| if i == 0 { 1.0 } else { stretch.get(i).copied().unwrap_or(1.0) };
        // The first row of the new covariance needs the whole old one.
        let first: Vec<f64> = (0..self.size)
            .map(|i| (0..self.size).map(|j| self.entry(i, j) * into_intercept(j)).sum())
            .collect();
        let corner = first.iter().enumerate().map(|(i, x)| x * into_intercept(i)).sum();
        for row in 0..self.size {
            for column in 0..=row {
                let by = scale(row) * scale(column);
                let new = match (row, column) {
                    (0, _) => corner,
                    (_, 0) => by * first.get(row).copied().unwrap_or(0.0),
                    _ => by * self.entry(row, column),
                };
                self.set(row, column, new);
            }
        }
        let weights = self.weights.iter_mut().flatten().take(self.size).enumerate();
        let mut intercept = 0.0;
        for (i, weight) in weights {
            intercept += into_intercept(i) * *weight;
            *weight *= scale(i);
        }
        if let Some([first, ..]) = self.weights.first_mut() {
            *first = intercept;
        }
    }

    fn entry(&self, row: usize, column: usize) -> f64 {
        let (row, column) = (row.max(column), row.min(column));
        let block = self.covariance.get(triangle(row / 4) + column / 4);
        block.map_or(0.0, |block| block[row % 4][column % 4])
    }

    /// Sets an entry and its mirror image.
    fn set(&mut self, row: usize, column: usize, to: f64) {
        let (row, column) = (row.max(column), row.min(column));
        if let Some(block) = self.covariance.get_mut(triangle(row / 4) + column / 4) {
            block[row % 4][column % 4] = to;
            if row / 4 == column / 4 {
                block[column % 4][row % 4] = to;
            }
        }
    }
}

/// Below this a variance is rounding error.
const MIN_VARIANCE: f64 = 1e-12;

/// Blocks in so many rows of blocks.
const fn triangle(rows: usize) -> usize {
    rows * (rows + 1) / 2
}

/// A row of four times a block.
#[inline]
fn times_left(x: &Quad, block: &Block) -> Quad {
    let ([x0, x1, x2, x3], [r0, r1, r2, r3]) = (x, block);
    let first = add_products([0.0; 4], r0, &[*x0; 4]);
    let second = add_products([0.0; 4], r2, &[*x2; 4]);
    let (first, second) = (add_products(first, r1, &[*x1; 4]), add_products(second, r3, &[*x3; 4]));
    add_products(first, &second, &[1.0; 4])
}

/// As long as the shorter one.
#[inline]
fn dot(a: &[Quad], b: &[Quad]) -> f64 {
    total(a.iter().zip(b).fold([0.0; 4], |sum, (x, y)| add_products(sum, x, y)))
}

#[inline]
fn total([w, x, y, z]: Quad) -> f64 {
    (w + x) + (y + z)
}

/// Lane by lane, and never reordered: the same on every machine.
#[inline]
fn add_products(sum: Quad, a: &Quad, b: &Quad) -> Quad {
    let [s0, s1, s2, s3] = sum;
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a, b);
    [s0 + a0 * b0, s1 + a1 * b1, s2 + a2 * b2, s3 + a3 * b3]
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn at(features: &[f64]) -> Point {
        let mut point = Point::default();
        point.set(features.iter().copied());
        point
    }

    fn drawn(random: &mut Random, features: usize) -> Vec<f64> {
        (0..features).map(|_| random.normal()).collect()
    }

    #[test]
    fn it_finds_the_line_that_data_lie_on() {
        let mut random = Random::new(1);
        let mut model = Linear::new(3, 0.0, 1e6, 1e6);
        let mut scratch = Vec::new();
        let truth = |x: &[f64]| 0.3 + 2.0 * x[0] - x[1];
        for _ in 0..200 {
            let x = drawn(&mut random, 2);
            model.learn(&at(&x), truth(&x), &mut scratch);
        }
        for x in [[0.0, 0.0], [3.0, 0.0], [-2.0, 5.0]] {
            assert!((model.mean(&at(&x)) - truth(&x)).abs() < 1e-6);
        }
    }

    #[test]
    fn an_average_is_as_certain_as_its_number_of_observations() {
        let mut model = Linear::new(1, 0.5, 1.0, 1.0);
        let mut scratch = Vec::new();
        for value in [1.0, 0.0, 1.0] {
            model.learn(&at(&[]), value, &mut scratch);
        }
        // The prior counts as one observation of 0.5.
        assert!((model.mean(&at(&[])) - 2.5 / 4.0).abs() < 1e-12);
        assert!((model.variance(&at(&[])) - 0.25).abs() < 1e-12);
        assert_eq!(model.count(), 3);
    }

    /// The textbook's form: the inverse of the sum of what was seen, by elimination.
    fn inverse(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let n = matrix.len();
        let mut inverse: Vec<Vec<f64>> =
            (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
        for pivot in 0..n {
            let by = matrix[pivot][pivot];
            for column in 0..n {
                matrix[pivot][column] /= by;
                inverse[pivot][column] /= by;
            }
            for row in (0..n).filter(|&row| row != pivot) {
                let by = matrix[row][pivot];
                for column in 0..n {
                    matrix[row][column] -= by * matrix[pivot][column];
                    inverse[row][column] -= by * inverse[pivot][column];
                }
            }
        }
        inverse
    }

    #[test]
    fn it_agrees_with_the_normal_equations_at_every_size() {
        let mut random = Random::new(4);
        let mut scratch = Vec::new();
        for size in 1..=11 {
            let mut model = Linear::new(size, 0.0, 0.5, 2.0);
            let mut precision: Vec<Vec<f64>> = (0..size)
                .map(|i| {
                    let prior = if i == 0 { 2.0 } else { 0.5 };
                    (0..size).map(|j| if i == j { prior } else { 0.0 }).collect()
                })
                .collect();
            let mut moments = vec![0.0; size];
            for _ in 0..15 {
                let features = drawn(&mut random, size - 1);
                let value = random.unit();
                model.learn(&at(&features), value, &mut scratch);
                let z: Vec<f64> = std::iter::once(1.0).chain(features).collect();
                for i in 0..size {
                    moments[i] += z[i] * value;
                    for j in 0..size {
                        precision[i][j] += z[i] * z[j];
                    }
                }
            }
            let covariance = inverse(precision);
            let features = drawn(&mut random, size - 1);
            let z: Vec<f64> = std::iter::once(1.0).chain(features.iter().copied()).collect();
            let (mut mean, mut variance) = (0.0, 0.0);
            for i in 0..size {
                for j in 0..size {
                    mean += z[i] * covariance[i][j] * moments[j];
                    variance += z[i] * covariance[i][j] * z[j];
                }
            }
            assert!((model.mean(&at(&features)) - mean).abs() < 1e-9, "size {size}");
            assert!((model.variance(&at(&features)) - variance).abs() < 1e-9, "size {size}");
        }
    }

    #[test]
    fn other_coordinates_change_nothing_that_is_said() {
        let mut random = Random::new(2);
        let mut model = Linear::new(6, 0.4, 1.0, 0.5);
        let mut scratch = Vec::new();
        for _ in 0..20 {
            model.learn(&at(&drawn(&mut random, 5)), random.unit(), &mut scratch);
        }
        let (stretch, shift) = ([0.0, 2.0, 0.5, 1.0, 3.0, 0.1], [0.0, 0.3, -1.0, 0.0, 2.0, 0.7]);
        let new = drawn(&mut random, 5);
        let old: Vec<f64> = (0..5).map(|i| stretch[i + 1] * new[i] + shift[i + 1]).collect();
        let (mean, variance) = (model.mean(&at(&old)), model.variance(&at(&old)));
        model.rebase(&stretch, &shift);
        assert!((model.mean(&at(&new)) - mean).abs() < 1e-9);
        assert!((model.variance(&at(&new)) - variance).abs() < 1e-9);
    }
}
