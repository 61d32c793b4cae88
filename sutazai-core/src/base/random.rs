//! Chance that follows from a seed, and is the same on every machine.

use super::id::{GAMMA, mix};

/// SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014). Not for
/// secrets.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    #[inline]
    pub(crate) const fn bits(&mut self) -> u64 {
        let drawn = mix(self.0);
        self.0 = self.0.wrapping_add(GAMMA);
        drawn
    }

    /// From 0 up to, but not including, 1.
    #[inline]
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.bits())
    }
}

/// The number from 0 up to, but not including, 1 that random bits come to.
#[inline]
pub(crate) fn unit(bits: u64) -> f64 {
    // The 53 bits that an f64 keeps exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_sequence_of_splitmix64_comes_out() {
        // The reference implementation's first outputs for seed 1234567 (Vigna, splitmix64.c).
        let mut random = SplitMix64::new(1_234_567);
        let drawn = [random.bits(), random.bits(), random.bits()];
        assert_eq!(drawn, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
        assert!((0.0..1.0).contains(&random.unit()));
        assert!((0.0..1.0).contains(&unit(u64::MAX)));
    }
}
