//! Random numbers of a seed, and the distributions that the simulation draws from.

/// SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Above 0 and below 1.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// How long calls take to serve; each has mean 1.
#[derive(Clone, Copy, Debug)]
pub enum Service {
    /// Always the same, up to a tenth.
    Even,
    Exponential,
    /// With this standard deviation of the logarithm.
    LogNormal(f64),
    /// With this exponent, above 1.
    Pareto(f64),
}

impl Service {
    pub fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Even => random.between(0.9, 1.1),
            Self::Exponential => random.exponential(1.0),
            Self::LogNormal(sigma) => (sigma * random.normal() - sigma * sigma / 2.0).exp(),
            Self::Pareto(alpha) => (alpha - 1.0) / alpha * random.unit().powf(-1.0 / alpha),
        }
    }
}
