//! The trust region: the part of the box that is searched, around the best point, larger after successes and smaller after failures
//! (D. Eriksson et al., "Scalable global optimization via local Bayesian optimization", NeurIPS 2019).

/// The side of the region in the beginning, as a share of the box.
const INITIAL: f64 = 0.8;
/// When it is as small as this there is nothing more to find here, and the search begins anew in the large.
const SMALLEST: f64 = 1e-4;
/// Successes in a row, after which it grows by `GROWTH`; it shrinks by `SHRINKAGE` after 0.6 failures a dimension.
const SUCCESSES: u32 = 2;
const GROWTH: f64 = 1.5;
const SHRINKAGE: f64 = 0.6;

/// Size of the trust region.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub(super) side: f64,
    tolerance: u32,
    successes: u32,
    failures: u32,
}

impl Region {
    pub(super) fn new(d: usize) -> Self {
        let tolerance = ((0.6 * d as f64).ceil() as u32).max(2);
        Self { side: INITIAL, tolerance, successes: 0, failures: 0 }
    }

    /// A point was measured that is the best so far, or is not.
    pub(super) fn observe(&mut self, better: bool) {
        if better {
            self.successes += 1;
            self.failures = 0;
        } else {
            self.failures += 1;
            self.successes = 0;
        }
        if self.successes >= SUCCESSES {
            self.successes = 0;
            self.side = (self.side * GROWTH).min(1.0);
        }
        if self.failures >= self.tolerance {
            self.failures = 0;
            self.side *= SHRINKAGE;
            if self.side < SMALLEST {
                self.side = INITIAL;
            }
        }
    }

    /// Its bounds around a point, within `low` to `high`; `lengths` are relative ones of geometric mean 1.
    pub(super) fn bounds(
        &self,
        centre: &[f64],
        lengths: &[f64],
        low: &[f64],
        high: &[f64],
    ) -> Bounds {
        let mut bounds = Bounds { low: low.to_vec(), high: high.to_vec() };
        for (((l, h), c), w) in bounds.low.iter_mut().zip(&mut bounds.high).zip(centre).zip(lengths)
        {
            let half = 0.5 * self.side * w;
            let (least, most) = (*l, *h);
            *l = (c - half).max(least).min(most);
            *h = (c + half).min(most).max(*l);
        }
        bounds
    }
}

/// A box, `low` to `high` in each dimension.
#[derive(Clone, Debug)]
pub(in crate::tune) struct Bounds {
    pub(in crate::tune) low: Vec<f64>,
    pub(in crate::tune) high: Vec<f64>,
}

impl Bounds {
    pub(in crate::tune) fn clamp(&self, i: usize, v: f64) -> f64 {
        match (self.low.get(i), self.high.get(i)) {
            (Some(l), Some(h)) => v.max(*l).min(*h),
            _ => v,
        }
    }

    pub(super) fn between(&self, i: usize, share: f64) -> f64 {
        match (self.low.get(i), self.high.get(i)) {
            (Some(l), Some(h)) => l + (h - l) * share,
            _ => share,
        }
    }

    pub(super) fn width(&self, i: usize) -> f64 {
        self.between(i, 1.0) - self.between(i, 0.0)
    }
}
