//! Chance that follows from a seed, for jitter.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::id::{GAMMA, mix};
use crate::base::random::unit;

/// Draws numbers from any thread without a lock: a counter through SplitMix64 (Steele, Lea and Flood,
/// OOPSLA 2014). Not for secrets.
#[derive(Debug)]
pub(crate) struct Chance {
    seed: u64,
    drawn: AtomicU64,
}

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed: mix(seed), drawn: AtomicU64::new(0) }
    }

    /// A number from 0 up to, but not including, 1.
    pub(crate) fn unit(&self) -> f64 {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        unit(mix(self.seed ^ drawn.wrapping_mul(GAMMA)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_even_and_follows_from_the_seed() {
        let (a, b) = (Chance::new(7), Chance::new(7));
        let mut tenths = [0_u32; 10];
        for _ in 0..100_000 {
            let drawn = a.unit();
            assert_eq!(drawn, b.unit());
            tenths[(drawn * 10.0) as usize] += 1;
        }
        // Six standard deviations of a binomial with p = 0.1.
        assert!(tenths.iter().all(|&n| n.abs_diff(10_000) < 570), "{tenths:?}");
    }
}
