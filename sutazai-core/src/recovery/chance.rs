//! Chance that follows from a seed, for jitter.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::id::mix;

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
        // The 53 bits that an f64 keeps exactly.
        (mix(self.seed ^ drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 11) as f64
            / (1_u64 << 53) as f64
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
