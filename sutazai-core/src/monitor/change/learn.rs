//! What is usual: [`Usual`].

use std::collections::VecDeque;

use super::OUTLYING;
use crate::base::time::Timestamp;

/// Standard errors by which values are thought to follow more closely from one another than it seems: what is left of that
/// would look like a change.
const CAREFUL: f64 = 2.0;

/// Deviations of values to which they are drawn in.
const FAR: f64 = 6.0;

/// Points after which a value is learned from.
const LATE: usize = 256;

/// The closest that they follow.
const CLOSEST: f64 = 0.99;

/// How far a value is off the one that follows from the value before, in deviations: a first-order
/// autoregression with the values' robust scale.
#[derive(Clone, Debug)]
pub(super) struct Usual {
    learn: usize,
    first: Vec<(Timestamp, f64)>,
    centre: f64,
    /// The scale of the values, for drawing in what is far out.
    scale: f64,
    /// The value before, and the last one that was learned from.
    last: f64,
    learned: f64,
    late: VecDeque<f64>,
    count: f64,
    own: f64,
    both: f64,
    /// The mean square of what is new, drawn in.
    square: f64,
}

impl Usual {
    pub(super) fn new(learn: usize) -> Self {
        Self {
            learn,
            first: Vec::with_capacity(learn),
            centre: 0.0,
            scale: 0.0,
            last: 0.0,
            learned: 0.0,
            late: VecDeque::new(),
            count: 0.0,
            own: 0.0,
            both: 0.0,
            square: 0.0,
        }
    }

    /// Points that are learned from and were not handed back yet.
    pub(super) fn learning(&self) -> &[(Timestamp, f64)] {
        &self.first
    }

    /// Takes a point; hands back those whose news are known, which is nothing while it learns.
    pub(super) fn feed(&mut self, at: Timestamp, value: f64) -> Vec<(Timestamp, f64, f64)> {
        if self.scale > 0.0 {
            let new = self.news(value);
            return vec![(at, value, new)];
        }
        self.first.push((at, value));
        if self.first.len() < self.learn {
            return Vec::new();
        }
        self.centre = median(self.first.iter().map(|(_, v)| *v));
        let far = self.first.iter().map(|(_, v)| (v - self.centre).abs());
        let largest = self.first.iter().map(|(_, v)| v.abs()).fold(0.0, f64::max);
        let mean = far.clone().sum::<f64>() / self.learn as f64;
        let scale = (1.4826 * median(far)).max(0.3 * mean);
        // Constant values: whatever else comes is a change, but for errors of rounding.
        self.scale = scale.max(1e-9 * largest).max(1e-300);
        let first = std::mem::take(&mut self.first);
        for (_, value) in &first {
            self.learn_from(*value);
        }
        let mut news = Vec::with_capacity(first.len());
        for (at, value) in first {
            let new = self.scaled(value) - self.follows() * self.last;
            self.last = self.scaled(value).clamp(-FAR, FAR);
            news.push((at, value, new / self.square.sqrt().max(1e-3)));
        }
        news
    }

    fn scaled(&self, value: f64) -> f64 {
        ((value - self.centre) / self.scale).clamp(-1e6, 1e6)
    }

    fn learn_from(&mut self, value: f64) {
        let x = self.scaled(value).clamp(-FAR, FAR);
        if self.count > 0.0 {
            self.own += self.learned * self.learned;
            self.both += self.learned * x;
            let new = (x - self.follows() * self.learned).clamp(-OUTLYING, OUTLYING);
            self.square += (new * new - self.square) / self.count;
        }
        self.count += 1.0;
        self.learned = x;
    }

    /// How much of a value follows from the one before.
    fn follows(&self) -> f64 {
        let raw =
            if self.own > 0.0 { (self.both / self.own).clamp(-CLOSEST, CLOSEST) } else { 0.0 };
        let count = self.count.max(1.0);
        // Kendall's correction of what comes out too small, 1954.
        let error = ((1.0 - raw * raw) / count).sqrt();
        (raw + (1.0 + 3.0 * raw) / count + CAREFUL * error).clamp(-CLOSEST, CLOSEST)
    }

    fn news(&mut self, value: f64) -> f64 {
        let x = self.scaled(value);
        let new = x - self.follows() * self.last;
        self.last = x.clamp(-FAR, FAR);
        // Late, so that a change is not taken for usual before it is found.
        self.late.push_back(value);
        if self.late.len() > LATE {
            let due = self.late.pop_front();
            due.into_iter().for_each(|value| self.learn_from(value));
        }
        new / self.square.sqrt().max(1e-3)
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
