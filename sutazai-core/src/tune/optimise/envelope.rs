//! Where it is safe to try: near what was measured to be well within the guard-rails (Y. Sui et al., ICML 2015).

use std::collections::VecDeque;

use super::knob::Setting;
use super::model::Margin;
use super::region::Bounds;
use super::space::Space;

/// Measurements that are remembered.
const CAPACITY: usize = 100;
/// A setting counts as safe when its least margin to be expected, so many standard deviations below the mean, is above zero.
const BETA: f64 = 2.0;
/// The variance of a measured margin, in squares of the margin at the beginning.
const NOISE: f64 = 0.01;

/// What was measured of the guard-rails, by setting.
#[derive(Clone, Debug)]
pub(in crate::tune) struct Envelope {
    space: Space,
    guards: usize,
    /// Points, and a margin a guard-rail: 1 as far from the bound as the first setting, 0 at the bound, negative beyond.
    seen: VecDeque<(Vec<f64>, Vec<f64>)>,
}

impl Envelope {
    pub(in crate::tune) fn new(space: Space, guards: usize) -> Self {
        Self { space, guards, seen: VecDeque::new() }
    }

    /// A setting had these margins, one a guard-rail.
    pub(in crate::tune) fn observe(&mut self, setting: &Setting, margins: Vec<f64>) {
        if margins.len() != self.guards || self.guards == 0 {
            return;
        }
        let x = self.space.encode(setting);
        // Measured again, it replaces what is known of the same setting.
        self.seen.retain(|(known, _)| *known != x);
        let margins = margins.iter().map(|m| if m.is_nan() { -1.0 } else { m.clamp(-3.0, 3.0) });
        self.seen.push_back((x, margins.collect()));
        if self.seen.len() > CAPACITY {
            self.seen.pop_front();
        }
    }

    /// Forgets what was measured.
    pub(in crate::tune) fn clear(&mut self) {
        self.seen.clear();
    }

    /// The part of the space that one step from `setting` reaches.
    pub(in crate::tune) fn reach(&self, setting: &Setting) -> Bounds {
        self.space.reach(&self.space.encode(setting))
    }

    /// Whether each of some points (rows) may be tried. Without guard-rails all may; with some, but nothing measured, none.
    pub(in crate::tune) fn safe(&self, points: &[f64]) -> Vec<bool> {
        let d = self.space.coordinates();
        let mut safe = vec![true; points.len() / d];
        let x: Vec<f64> = self.seen.iter().flat_map(|(x, _)| x.iter().copied()).collect();
        for guard in 0..self.guards {
            let margins: Vec<f64> =
                self.seen.iter().filter_map(|(_, m)| m.get(guard).copied()).collect();
            let model = if margins.is_empty() { None } else { Margin::new(d, &x, &margins, NOISE) };
            match model {
                Some(model) => {
                    for (safe, least) in safe.iter_mut().zip(model.least(points, BETA)) {
                        *safe &= least > 0.0;
                    }
                }
                None => safe.fill(false),
            }
        }
        safe
    }

    /// Whether one step from `from` reaches `setting`, and it is safe.
    pub(in crate::tune) fn admits(&self, from: &Setting, setting: &Setting) -> bool {
        let x = self.space.encode(setting);
        let bounds = self.reach(from);
        let near = bounds.low.iter().zip(&bounds.high).zip(&x);
        near.into_iter().all(|((l, h), x)| l - 1e-9 <= *x && *x <= h + 1e-9)
            && self.safe(&x).iter().all(|s| *s)
    }
}
