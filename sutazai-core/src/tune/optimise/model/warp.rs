//! What the model sees of the objective: values are compressed upwards, so that the bad ones do not hide the differences
//! between the good ones.

/// `ln(1 + (y − least)/knee)`, standardised; the identity (standardised) without a knee.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Warp {
    /// As it is.
    Plain,
    /// The knee at this multiple of the median's distance from the least.
    Log(f64),
}

/// Values after a warp.
#[derive(Clone, Debug, Default)]
pub(super) struct Warped {
    /// Mean 0, standard deviation 1.
    pub(super) y: Vec<f64>,
    /// The logarithm of the warp's Jacobian, to compare likelihoods of different warps.
    pub(super) jacobian: f64,
}

impl Warp {
    /// Warps finite values.
    pub(super) fn apply(self, values: &[f64]) -> Warped {
        let n = values.len() as f64;
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(least);
        let most = sorted.last().copied().unwrap_or(least);
        let mut jacobian = 0.0;
        let mut y: Vec<f64> = match self {
            Self::Plain => values.to_vec(),
            Self::Log(share) => {
                let typical = if median > least { median - least } else { most - least };
                let knee = (share * typical).max(f64::MIN_POSITIVE);
                jacobian -= values.iter().map(|v| (knee + (v - least)).ln()).sum::<f64>();
                values.iter().map(|v| ((v - least) / knee).ln_1p()).collect()
            }
        };
        let mean = y.iter().map(|v| v / n).sum::<f64>();
        let deviation = y.iter().map(|v| (v - mean) * (v - mean) / n).sum::<f64>().sqrt();
        if deviation > 0.0 && deviation.is_finite() {
            y.iter_mut().for_each(|v| *v = (*v - mean) / deviation);
            jacobian -= n * deviation.ln();
        } else {
            y.iter_mut().for_each(|v| *v = 0.0);
        }
        Warped { y, jacobian }
    }
}
