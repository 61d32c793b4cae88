//! Noise for tests: the same for the same seed.

use crate::base::random::SplitMix64;

/// Random numbers.
#[derive(Clone, Debug)]
pub(in crate::monitor) struct Rng(SplitMix64);

impl Rng {
    pub(in crate::monitor) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(1)))
    }

    pub(in crate::monitor) fn next(&mut self) -> u64 {
        self.0.bits()
    }

    pub(in crate::monitor) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Normally distributed, by Box and Muller.
    pub(in crate::monitor) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// A kind of noise without any anomaly.
#[derive(Clone, Copy, Debug)]
pub(in crate::monitor) enum Noise {
    /// Independent, normal.
    Independent,
    /// Autoregressive: nine tenths of the value before, and a normal innovation.
    Autoregressive,
    /// A sine with a round of 288 points, and normal noise of a fifth of its height.
    Daily,
}

pub(in crate::monitor) const NOISE: [Noise; 3] =
    [Noise::Independent, Noise::Autoregressive, Noise::Daily];

impl Noise {
    pub(in crate::monitor) fn series(self, seed: u64) -> impl Iterator<Item = f64> {
        let (mut rng, mut last) = (Rng::new(seed), 0.0);
        (0_u32..).map(move |i| {
            let new = rng.normal();
            last = match self {
                Self::Independent => new,
                Self::Autoregressive => 0.9 * last + new,
                Self::Daily => 5.0 * (std::f64::consts::TAU * f64::from(i) / 288.0).sin() + new,
            };
            last
        })
    }
}
