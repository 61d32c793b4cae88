//! The search in the unit box, smaller being better.

use super::acquire::{self, Candidate};
use super::model::{Model, Portfolio};
use super::random::Random;
use super::region::{Bounds, Region};

/// Points that are remembered.
const CAPACITY: usize = 100;
/// Values are held within this, so that squares of differences stay finite.
const HUGE: f64 = 1e150;
/// Below this side of the trust region the model is made of the points that are near.
const LOCAL: f64 = 0.2;
/// Multiplications that hyperparameters may cost in a proposal, in cubes of the number of points.
const BUDGET: f64 = 2e5;

/// A point and its value; the value of a failed one is not known.
#[derive(Clone, Debug)]
struct Point {
    x: Vec<f64>,
    y: Option<f64>,
}

/// Where a proposal comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    /// From a sequence that fills the box evenly.
    Design,
    /// The model expects the most of it.
    Model,
    /// Nothing else is allowed than the best point known.
    Best,
}

/// The state of a search.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    d: usize,
    random: Random,
    shift: Vec<f64>,
    designed: u64,
    points: Vec<Point>,
    portfolio: Portfolio,
    region: Region,
    best: f64,
}

/// What bounds a proposal.
pub(super) struct Limits<'a> {
    /// The part of the box that is allowed.
    pub(super) bounds: &'a Bounds,
    /// Makes a point one that there is: whole numbers, one of a choice.
    pub(super) snap: &'a dyn Fn(&mut [f64]),
    /// Whether each of the points (rows) may be tried.
    pub(super) safe: &'a dyn Fn(&[f64]) -> Vec<bool>,
    /// Points that are being tried.
    pub(super) pending: &'a [Vec<f64>],
}

impl Engine {
    pub(super) fn new(d: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            d,
            shift: (0..d).map(|_| random.unit()).collect(),
            random,
            designed: 0,
            points: Vec::new(),
            portfolio: Portfolio::new(d),
            region: Region::new(d),
            best: f64::INFINITY,
        }
    }

    /// The side of the trust region, as a share of the box.
    pub(super) fn side(&self) -> f64 {
        self.region.side
    }

    /// Points remembered.
    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    /// The best point measured, and its value.
    pub(super) fn best(&self) -> Option<(&[f64], f64)> {
        let measured = self.points.iter().filter_map(|p| Some((p.x.as_slice(), p.y?)));
        measured.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The next point to try.
    pub(super) fn propose(&mut self, limits: &Limits<'_>) -> (Vec<f64>, Source) {
        if self.points.len() + limits.pending.len() > self.d + 1
            && let Some((found, at)) = self.promising(limits)
        {
            if let Some(x) = self.allowed(found.into_iter().map(|c| c.x), limits) {
                return (x, Source::Model);
            }
            // Nearer and nearer to the best.
            for scale in [0.3, 0.1, 0.03, 0.01] {
                let near: Vec<Vec<f64>> = (0..16)
                    .map(|_| at.iter().map(|c| c + scale * self.random.normal()).collect())
                    .collect();
                if let Some(x) = self.allowed(near.into_iter(), limits) {
                    return (x, Source::Model);
                }
            }
        }
        let designed: Vec<Vec<f64>> = (0..16).map(|_| self.design()).collect();
        let start = self.best().map(|b| b.0.to_vec());
        // Where little is known to be safe, the sequence contracts around the best.
        for share in [1.0, 0.5, 0.25, 0.12, 0.06, 0.03] {
            let points = designed.iter().map(|x| match &start {
                Some(s) => s.iter().zip(x).map(|(s, x)| s + share * (x - s)).collect(),
                None => x.clone(),
            });
            if let Some(x) = self.allowed(points, limits) {
                return (x, Source::Design);
            }
        }
        let mut x = start.unwrap_or_else(|| self.design());
        (limits.snap)(&mut x);
        (x, Source::Best)
    }

    /// A point was measured, or failed.
    pub(super) fn observe(&mut self, x: Vec<f64>, y: Option<f64>) {
        let y = y.filter(|v| v.is_finite()).map(|v| v.clamp(-HUGE, HUGE));
        let better = y.is_some_and(|y| y < self.best);
        self.best = y.map_or(self.best, |y| y.min(self.best));
        if self.points.len() > self.d + 1 {
            self.region.observe(better);
        }
        self.points.push(Point { x, y });
        if self.points.len() > CAPACITY {
            self.forget();
        }
    }

    /// The first that is allowed, was not tried yet and is not being tried.
    fn allowed(
        &self,
        points: impl Iterator<Item = Vec<f64>>,
        limits: &Limits<'_>,
    ) -> Option<Vec<f64>> {
        let mut flat = Vec::new();
        for mut x in points {
            for (i, v) in x.iter_mut().enumerate() {
                *v = limits.bounds.clamp(i, *v);
            }
            (limits.snap)(&mut x);
            flat.extend(x);
        }
        let safe = (limits.safe)(&flat);
        let tried = |x: &[f64]| {
            self.points.iter().any(|p| p.x == x) || limits.pending.iter().any(|p| p == x)
        };
        let mut rows = flat.chunks_exact(self.d).zip(safe);
        rows.find(|(x, safe)| *safe && !tried(x)).map(|(x, _)| x.to_vec())
    }

    /// Points of a low-discrepancy sequence (M. Roberts' generalisation of the golden ratio), shifted at random.
    fn design(&mut self) -> Vec<f64> {
        self.designed = self.designed.wrapping_add(1) % (1 << 32);
        let mut ratio: f64 = 1.5;
        for _ in 0..40 {
            ratio = (1.0 + ratio).powf(1.0 / (self.d as f64 + 1.0));
        }
        let (mut power, k) = (1.0, self.designed as f64);
        let mut point = Vec::with_capacity(self.d);
        for shift in &self.shift {
            power /= ratio;
            point.push((shift + k * power).fract());
        }
        point
    }

    /// What the model promises, the best first; and the point around which it looks.
    fn promising(&mut self, limits: &Limits<'_>) -> Option<(Vec<Candidate>, Vec<f64>)> {
        let (model, x) = self.model(limits.pending)?;
        let mut order: Vec<usize> = (0..model.smoothed.len()).collect();
        order.sort_by(|a, b| model.smoothed[*a].total_cmp(&model.smoothed[*b]));
        let elites: Vec<Vec<f64>> = order
            .iter()
            .take(4)
            .filter_map(|i| Some(x.chunks_exact(self.d).nth(*i)?.to_vec()))
            .collect();
        let centre = elites.first()?;
        let best = *model.smoothed.get(*order.first()?)?;
        let Bounds { low, high } = limits.bounds;
        let bounds = self.region.bounds(centre, &model.lengths(), low, high);
        let found = acquire::candidates(&model, best, &bounds, &elites, &mut self.random);
        Some((found, centre.clone()))
    }

    /// The model and the points that it is made of.
    fn model(&mut self, pending: &[Vec<f64>]) -> Option<(Model, Vec<f64>)> {
        let known: Vec<f64> = self.points.iter().filter_map(|p| p.y).collect();
        let worst = known.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !worst.is_finite() {
            return None;
        }
        // A failed point is as bad as the worst; one that is being tried is as good as the mean.
        let mean = known.iter().map(|y| y / known.len() as f64).sum::<f64>();
        let mut all: Vec<(&[f64], f64)> =
            self.points.iter().map(|p| (p.x.as_slice(), p.y.unwrap_or(worst))).collect();
        let need = ((self.d + 1) * (self.d + 2)).max(20);
        if self.region.side < LOCAL && all.len() > need {
            let (centre, _) = all.iter().min_by(|a, b| a.1.total_cmp(&b.1)).copied()?;
            let mut by_distance: Vec<(f64, (&[f64], f64))> =
                all.iter().map(|p| (distance(p.0, centre), *p)).collect();
            by_distance.sort_by(|a, b| a.0.total_cmp(&b.0));
            let inside = by_distance.iter().filter(|p| p.0 < 2.0 * self.region.side).count();
            all = by_distance.into_iter().take(need.max(inside)).map(|p| p.1).collect();
        }
        all.extend(pending.iter().map(|x| (x.as_slice(), mean)));
        let x: Vec<f64> = all.iter().flat_map(|p| p.0.iter().copied()).collect();
        let values: Vec<f64> = all.iter().map(|p| p.1).collect();
        let effort = BUDGET / (values.len() as f64).powi(3);
        let model = self.portfolio.model(&x, &values, effort)?;
        Some((model, x))
    }

    /// Forgets the point that is farthest from the best one or, while the search is wide, the oldest.
    fn forget(&mut self) {
        let Some((best, _)) = self.best() else {
            self.points.remove(0);
            return;
        };
        let distances = self.points.iter().map(|p| distance(&p.x, best)).enumerate();
        let out = if self.region.side < LOCAL {
            distances.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
        } else {
            distances.into_iter().find(|(_, far)| *far > 0.0).map(|(i, _)| i)
        };
        self.points.remove(out.unwrap_or(0));
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}
