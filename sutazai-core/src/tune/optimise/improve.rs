//! Expected improvement, as a logarithm that stays meaningful where the improvement itself underflows (S. Ament et al., "Unexpected
//! improvements to expected improvement", NeurIPS 2023).

/// ½·ln(2π).
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

/// `ln E[max(best − f, 0)]` for `f` normal, with its slopes by mean and by variance.
pub(super) fn log_improvement(best: f64, mean: f64, variance: f64) -> (f64, f64, f64) {
    let deviation = variance.sqrt();
    let z = (best - mean) / deviation;
    let (log_h, ratio) = log_h(z);
    // EI = σ·h(z), h' = Φ: d/dμ ln EI = −Φ/(σh), d/dσ ln EI = φ/(σh).
    let phi = (-0.5 * z * z - HALF_LN_TAU - log_h).exp();
    (log_h + deviation.ln(), -ratio / deviation, phi / (2.0 * variance))
}

/// `ln h(z)` with `h(z) = φ(z) + z·Φ(z)`, and `Φ(z)/h(z)`.
fn log_h(z: f64) -> (f64, f64) {
    if z > -4.0 {
        let phi = (-0.5 * z * z - HALF_LN_TAU).exp();
        let cdf = normal_cdf(z);
        let h = (phi + z * cdf).max(f64::MIN_POSITIVE);
        (h.ln(), cdf / h)
    } else {
        // Mills' ratio by its continued fraction.
        let t = -z;
        let mut f = t;
        for k in (1..=24).rev() {
            f = t + f64::from(k) / f;
        }
        // Φ = φ/f; h = φ(1 − t/f).
        let share = (1.0 - t / f).max(1e-300);
        (-0.5 * z * z - HALF_LN_TAU + share.ln(), 1.0 / (f * share))
    }
}

/// The standard normal distribution function, to a relative error of 10⁻⁷ above −4 (W. J. Cody's rational form would do
/// no better here; this is Numerical Recipes' Chebyshev fit of erfc, 3rd edition, 6.2.2).
pub(in crate::tune) fn normal_cdf(z: f64) -> f64 {
    let x = z.abs() * std::f64::consts::FRAC_1_SQRT_2;
    let t = 2.0 / (2.0 + x);
    let series = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let poly = series.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let tail = 0.5 * t * (poly - x * x).exp();
    if z > 0.0 { 1.0 - tail } else { tail }
}
