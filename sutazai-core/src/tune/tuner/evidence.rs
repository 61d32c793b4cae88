//! Whether a difference is there: an anytime-valid t-test.

/// The variance of the size of effects that the test is made for, in squares of the standard deviation of a difference.
const EFFECT: f64 = 4.0;

/// Differences of pairs, seen one by one.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Evidence {
    /// One more difference; one that is not finite is left out.
    pub(super) fn add(&mut self, difference: f64) {
        if !difference.is_finite() {
            return;
        }
        let difference = difference.clamp(-1e150, 1e150);
        self.n += 1.0;
        let delta = difference - self.mean;
        self.mean += delta / self.n;
        self.squares += delta * (difference - self.mean);
    }

    pub(super) fn pairs(&self) -> u32 {
        self.n as u32
    }

    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// The standard error of the mean; infinite for fewer than two.
    pub(super) fn error(&self) -> f64 {
        self.deviation() / self.n.max(1.0).sqrt()
    }

    /// The standard deviation; infinite for fewer than two.
    pub(super) fn deviation(&self) -> f64 {
        if self.n < 2.0 {
            return f64::INFINITY;
        }
        (self.squares.max(0.0) / (self.n - 1.0)).sqrt()
    }

    /// The evidence against there being no difference: however often one looks, it exceeds `1/α` with a probability of at most
    /// `α` when there is none (the scale-invariant mixture of T. Lai, Annals of Statistics 4(2), 1976, in the form of H. Wang and
    /// A. Ramdas, "Anytime-valid t-tests", 2024; exact for normal differences).
    pub(super) fn against_none(&self) -> f64 {
        if self.n < 2.0 || self.mean == 0.0 {
            return 1.0;
        }
        let freedom = self.n - 1.0;
        let shrink = 1.0 + self.n * EFFECT;
        let t = self.mean / self.error();
        let square = t * t / freedom;
        let ratio =
            if square.is_finite() { (1.0 + square) / (1.0 + square / shrink) } else { shrink };
        ratio.powf(self.n / 2.0) / shrink.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::optimise::Random;

    #[test]
    fn no_difference_is_seldom_found_however_often_one_looks() {
        let mut random = Random::new(3);
        let found = (0..2000).filter(|_| {
            let mut evidence = Evidence::default();
            (0..60).any(|_| {
                evidence.add(random.normal());
                evidence.against_none() >= 20.0
            })
        });
        // 5 % at most; three standard deviations of the count above.
        assert!(found.count() <= 130);
    }

    #[test]
    fn a_difference_is_found_soon() {
        let mut random = Random::new(4);
        let mut pairs = Vec::new();
        for _ in 0..200 {
            let mut evidence = Evidence::default();
            while evidence.against_none() < 20.0 && evidence.pairs() < 100 {
                evidence.add(1.5 + random.normal());
            }
            pairs.push(evidence.pairs());
        }
        pairs.sort_unstable();
        assert!(pairs[100] <= 9, "{}", pairs[100]);
    }

    #[test]
    fn odd_values_have_an_answer() {
        let mut same = Evidence::default();
        for _ in 0..4 {
            same.add(2.0);
            same.add(f64::NAN);
        }
        assert!(same.pairs() == 4 && same.against_none() > 20.0);
        let mut huge = Evidence::default();
        for v in [f64::MAX, f64::MIN, f64::MAX] {
            huge.add(v);
        }
        assert!(huge.against_none().is_finite());
        assert_eq!(Evidence::default().against_none(), 1.0);
    }
}
