//! Chance that follows from a seed and is the same on every machine.

use crate::base::id::mix;

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). Not for secrets.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        let drawn = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        drawn
    }

    /// From 0 up to, but not including, 1.
    pub(super) fn unit(&mut self) -> f64 {
        // The 53 bits that an f64 keeps exactly.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly normal, of mean 0 and variance 1: the sum of eight uniform numbers of 16 bits (Irwin–Hall).
    /// No logarithm, sine or exponential, whose last bits differ between platforms; its tails end at
    /// 4.9 standard deviations.
    pub(super) fn normal(&mut self) -> f64 {
        let pairs =
            |bits: u64| (bits & 0x0000_ffff_0000_ffff) + ((bits >> 16) & 0x0000_ffff_0000_ffff);
        let both = pairs(self.next()) + pairs(self.next());
        let sum = (both & 0xffff_ffff) + (both >> 32);
        // Mean 8 · 65535/2, variance 8 · (65536² − 1)/12.
        (sum as f64 - 262_140.0) / 53_509.919_921_450_08
    }
}

/// A number for a text, the same on every machine (FNV-1a, then mixed): for rendezvous hashing.
pub(super) fn hash(text: &str) -> u64 {
    let fnv = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    mix(fnv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_sequence_of_splitmix64_comes_out() {
        // The reference implementation's first outputs for seed 1234567 (Vigna, splitmix64.c).
        let mut random = Random::new(1_234_567);
        let drawn = [random.next(), random.next(), random.next()];
        assert_eq!(drawn, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut random = Random::new(7);
        let drawn: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / 1e5;
        let variance = drawn.iter().map(|x| x * x).sum::<f64>() / 1e5;
        // Five standard errors.
        assert!(mean.abs() < 0.016 && (variance - 1.0).abs() < 0.022, "{mean} {variance}");
        let beyond_two = drawn.iter().filter(|x| x.abs() > 2.0).count();
        assert!(beyond_two.abs_diff(4_550) < 400, "{beyond_two}");
    }
}
