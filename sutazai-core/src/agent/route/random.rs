//! Chance that follows from a seed and is the same on every machine.

use crate::base::id::mix;
use crate::base::random::SplitMix64;

/// Numbers without secrets.
#[derive(Clone, Debug)]
pub(super) struct Random(SplitMix64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0.bits()
    }

    /// From 0 up to, but not including, 1.
    pub(super) fn unit(&mut self) -> f64 {
        self.0.unit()
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
