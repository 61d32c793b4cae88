//! What a little more is worth: the slope of benefit over share, from rounds lately.

/// How many rounds' worth of exploration the assumption weighs that the slope is half of the average.
const ASSUMED: f64 = 3.0;

/// Exponentially weighted linear regression.
#[derive(Clone, Debug, Default)]
pub(super) struct Slope {
    weight: f64,
    share: f64,
    benefit: f64,
    share_share: f64,
    share_benefit: f64,
    benefit_benefit: f64,
}

impl Slope {
    /// A round; what was before counts `keep` of what it did.
    pub(super) fn add(&mut self, share: f64, benefit: f64, keep: f64) {
        for sum in [
            &mut self.weight,
            &mut self.share_share,
            &mut self.share_benefit,
            &mut self.benefit_benefit,
        ] {
            *sum *= keep;
        }
        self.weight += 1.0;
        let (ds, db) = (share - self.share, benefit - self.benefit);
        self.share += ds / self.weight;
        self.benefit += db / self.weight;
        let rest = 1.0 - 1.0 / self.weight;
        self.share_share += rest * ds * ds;
        self.share_benefit += rest * ds * db;
        self.benefit_benefit += rest * db * db;
    }

    /// The slope and its standard error (infinite while nothing is known). `explore` is the part by which shares move.
    pub(super) fn estimate(&self, explore: f64) -> (f64, f64) {
        if self.weight == 0.0 || self.share <= 0.0 {
            return (0.0, f64::INFINITY);
        }
        let assumed = 0.5 * self.benefit / self.share;
        let ridge = ASSUMED * (explore * self.share).powi(2);
        let spread = self.share_share + ridge;
        let slope = (self.share_benefit + ridge * assumed) / spread;
        if !slope.is_finite() {
            return (0.0, f64::INFINITY);
        }
        let left = self.benefit_benefit - 2.0 * slope * self.share_benefit
            + slope * slope * self.share_share;
        let error = (left.max(0.0) / self.weight.max(1.0) / spread).sqrt();
        (slope, error)
    }
}
