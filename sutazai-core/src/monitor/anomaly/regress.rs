//! What the last values let expect: a linear autoregression, fitted as values come.

/// Values that the next one is expected from.
const LAGS: usize = 8;
/// And a constant.
const TERMS: usize = LAGS + 1;
/// What a value weighs after another one: about a thousand count.
const FORGET: f64 = 0.999;
/// How far off an expectation may be and still be learned from in full, in deviations.
const FARTHEST: f64 = 4.0;
/// The mean of the matrix's diagonal beyond which it is made smaller: values that do not vary would let it grow for ever.
const LARGEST: f64 = 1e4;

/// Recursive least squares with forgetting (S. Haykin, "Adaptive Filter Theory", 1986), on values that were brought to a
/// scale of about one.
#[derive(Clone, Debug)]
pub(super) struct Regression {
    inverse: [[f64; TERMS]; TERMS],
    weights: [f64; TERMS],
}

impl Regression {
    pub(super) fn new() -> Self {
        let row = |i| std::array::from_fn(|j| if i == j { 10.0 } else { 0.0 });
        Self { inverse: std::array::from_fn(row), weights: [0.0; TERMS] }
    }

    /// How far the value is from what was expected of the last ones, the newest first; then it is learned from.
    pub(super) fn feed(&mut self, last: [f64; LAGS], value: f64) -> f64 {
        let mut terms = [1.0; TERMS];
        for (term, value) in terms.iter_mut().zip(last) {
            *term = value;
        }
        let error = value - dot(&self.weights, &terms);
        let gain: [f64; TERMS] = self.inverse.each_ref().map(|row| dot(row, &terms));
        let divisor = FORGET + dot(&terms, &gain);
        let step = error.clamp(-FARTHEST, FARTHEST) / divisor;
        for (weight, gain) in self.weights.iter_mut().zip(gain) {
            *weight += gain * step;
        }
        for (row, own) in self.inverse.iter_mut().zip(gain) {
            for (cell, other) in row.iter_mut().zip(gain) {
                *cell = (*cell - own * other / divisor) / FORGET;
            }
        }
        let trace: f64 = self.inverse.iter().enumerate().filter_map(|(i, row)| row.get(i)).sum();
        if !trace.is_finite() || !error.is_finite() {
            *self = Self::new();
            return 0.0;
        }
        if trace > LARGEST * TERMS as f64 {
            self.inverse.as_flattened_mut().iter_mut().for_each(|cell| *cell *= 0.5);
        }
        error
    }
}

fn dot(a: &[f64; TERMS], b: &[f64; TERMS]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recurrence_is_learned() {
        let mut regression = Regression::new();
        let (mut last, mut error) = ([0.0; LAGS], 1.0);
        for i in 0..2_000 {
            let value = (f64::from(i) * 0.7).sin();
            error = regression.feed(last, value);
            last.rotate_right(1);
            last[0] = value;
        }
        assert!(error.abs() < 0.01, "{error}");
    }

    #[test]
    fn values_that_do_not_vary_do_no_harm() {
        let mut regression = Regression::new();
        for _ in 0..100_000 {
            assert!(regression.feed([0.0; LAGS], 0.0).is_finite());
        }
        assert!(regression.feed([8.0; LAGS], -50.0).is_finite());
    }
}
