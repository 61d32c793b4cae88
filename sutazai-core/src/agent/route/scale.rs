//! Features of any scale, brought to one, while they come.
//!
//! A feature is centred on its mean and divided by the range that it was seen in (its greatest distance
//! from the mean), then all by one number that makes their mean square 1. Dividing by the range rather
//! than the standard deviation keeps rare features small: a pixel that is lit once in a thousand
//! pictures has a tiny deviation, and standardised it would outweigh all others. The result does not
//! depend on units.

use serde::{Deserialize, Serialize};

use super::linear::Point;

/// As many features are used; what comes after is ignored.
pub const MAX_FEATURES: usize = 64;

/// The first scale is set after as many points, and then whenever their number has doubled.
const FIRST: u64 = 8;

/// How far a scaled feature may be from its mean. The range keeps within it what was seen when the scale was
/// set; this bounds what a later outlier does.
const BOUND: f64 = 5.0;

/// Running moments of each feature, and the scale that is in use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Scale {
    points: u64,
    seen: Vec<Moments>,
    used: Vec<Affine>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Moments {
    count: f64,
    mean: f64,
    /// Sum of squared distances from the mean (Welford).
    squares: f64,
    range: f64,
}

/// A feature that is not scaled yet, having been constant so far, has `unit` and `per_unit` 0.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Affine {
    mean: f64,
    unit: f64,
    /// One divided by it.
    per_unit: f64,
}

/// How the old coordinates follow from the new ones: see `Linear::rebase`.
pub(super) struct Rebase {
    pub(super) stretch: Vec<f64>,
    pub(super) shift: Vec<f64>,
}

impl Scale {
    pub(super) fn new(features: usize) -> Self {
        let features = features.min(MAX_FEATURES);
        Self {
            points: 0,
            seen: vec![Moments::default(); features],
            used: vec![Affine::default(); features],
        }
    }

    /// The number of coordinates of a point: one more than there are features.
    pub(super) fn size(&self) -> usize {
        self.seen.len() + 1
    }

    /// Whether it can be a scale.
    pub(super) fn is_sound(&self) -> bool {
        self.seen.len() <= MAX_FEATURES && self.used.len() == self.seen.len()
    }

    /// Counts a point. Where it is time for another scale, answers how to change to it: it is in use from
    /// here.
    pub(super) fn see(&mut self, features: &[f64]) -> Option<Rebase> {
        if self.seen.is_empty() {
            return None;
        }
        for (seen, &x) in self.seen.iter_mut().zip(features).filter(|(_, x)| x.is_finite()) {
            seen.see(x);
        }
        self.points += 1;
        (self.points >= FIRST && self.points.is_power_of_two()).then(|| self.rescale())
    }

    /// Writes where a task stands. A feature that is missing or not finite stands at its mean.
    pub(super) fn point(&self, features: &[f64], into: &mut Point) {
        into.set(self.used.iter().enumerate().map(|(i, used)| match features.get(i) {
            Some(x) if x.is_finite() => ((x - used.mean) * used.per_unit).clamp(-BOUND, BOUND),
            _ => 0.0,
        }));
    }

    fn rescale(&mut self) -> Rebase {
        let (mut squares, mut varying) = (0.0, 0.0);
        for seen in self.seen.iter().filter(|s| s.range > 0.0) {
            squares += (seen.squares / seen.count) / (seen.range * seen.range);
            varying += 1.0;
        }
        let common = if varying > 0.0 { (squares / varying).sqrt() } else { 1.0 };
        let (mut stretch, mut shift) = (vec![1.0], vec![0.0]);
        for (used, seen) in self.used.iter_mut().zip(&self.seen) {
            let unit = seen.range * common;
            let per_unit = if unit > 0.0 { 1.0 / unit } else { 0.0 };
            let new = Affine { mean: seen.mean, unit, per_unit };
            // What was constant has no weight yet that would have to be changed.
            let (by, plus) = if used.unit > 0.0 && new.unit > 0.0 {
                (new.unit / used.unit, (new.mean - used.mean) / used.unit)
            } else {
                (1.0, 0.0)
            };
            stretch.push(by);
            shift.push(plus);
            *used = new;
        }
        Rebase { stretch, shift }
    }
}

impl Moments {
    fn see(&mut self, x: f64) {
        // So that no square overflows, here or in what is made of it.
        let x = x.clamp(-1e100, 1e100);
        self.count += 1.0;
        let before = x - self.mean;
        self.mean += before / self.count;
        self.squares += before * (x - self.mean);
        self.range = self.range.max((x - self.mean).abs());
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn scaled(factors: [f64; 3]) -> Vec<Vec<f64>> {
        let mut random = Random::new(3);
        let mut scale = Scale::new(3);
        let mut points = Vec::new();
        for n in 0..64 {
            let raw = [random.normal(), f64::from(n % 2), random.unit()];
            let raw: Vec<f64> = raw.iter().zip(factors).map(|(x, f)| x * f + 7.0 * f).collect();
            scale.see(&raw);
            let mut point = Point::default();
            scale.point(&raw, &mut point);
            points.push(point.coordinates());
        }
        points
    }

    #[test]
    fn units_do_not_matter() {
        let (plain, odd) = (scaled([1.0, 1.0, 1.0]), scaled([1e6, 1e-9, 42.0]));
        for (a, b) in plain.iter().flatten().zip(odd.iter().flatten()) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn what_is_missing_or_no_number_stands_at_the_mean() {
        let mut scale = Scale::new(2);
        for n in 0..16 {
            scale.see(&[f64::from(n), f64::NAN]);
        }
        let mut point = Point::default();
        scale.point(&[f64::INFINITY], &mut point);
        assert_eq!(point.coordinates(), [1.0, 0.0, 0.0, 0.0]);
        scale.point(&[1e300, 3.0], &mut point);
        assert_eq!(point.coordinates(), [1.0, 5.0, 0.0, 0.0]);
    }

    #[test]
    fn as_many_features_as_are_used() {
        assert_eq!(Scale::new(1000).size(), MAX_FEATURES + 1);
        assert_eq!(Scale::new(0).size(), 1);
        assert!(Scale::new(0).see(&[]).is_none());
    }
}
