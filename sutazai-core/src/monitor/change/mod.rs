//! Change points: where the level of a series has changed for good, found as it comes.
//!
//! A [`ChangeDetector`] is fed a series point by point. Of what it has seen since the last change it keeps the usual step and how
//! values follow from the one before; what is new in each value, drawn in where it is far out, is
//! summed, and the likelihood of a change of the mean at any place before is known exactly from the corners of the path
//! that the sum takes (Romano et al. 2023). So a single spike is no change, and neither the unit of the values nor
//! their zero matters.
//!
//! A season is taken out before: one that was told, or that is found by itself once it has come round three times. Until then its rises are
//! changes, but of a level that moves again and again each change makes the next one count half as much.
//!
//! ```
//! use std::time::Duration;
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::monitor::{ChangeDetector, ChangePolicy};
//!
//! let mut detector = ChangeDetector::new(ChangePolicy::default())?;
//! let time = |point: u64| Timestamp::EPOCH + Duration::from_secs(60 * point);
//! let mut found = Vec::new();
//! for point in 0..600_u64 {
//!     let level = if point < 400 { 20.0 } else { 30.0 };
//!     found.extend(detector.look(time(point), level + (point * 37 % 11) as f64));
//! }
//! let [change] = &found[..] else { unreachable!("{found:?}") };
//! assert_eq!(change.at, time(400));
//! assert!((change.after - change.before - 10.0).abs() < 4.0);
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Bad input**: what is not a number is left out; of times only the distances count, by which points that do not come are known
//! in a season that is found. **Cost**: about a microsecond a point, and some milliseconds each time that a quarter more points have come where a season
//! is looked for; 60 KB, and 40 bytes for each point of a season.

mod hull;
mod learn;
mod policy;
mod season;
#[cfg(test)]
mod tests;

pub use policy::ChangePolicy;

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::base::time::Timestamp;
use hull::{Hull, Mark};
use learn::Usual;
use season::{Season, Without};

/// Values beyond this, in either direction, are taken for it.
const LARGEST: f64 = 1e100;

/// Deviations to which what is new in a value is drawn in (P. J. Huber, "Robust Estimation of a Location Parameter", 1964).
const OUTLYING: f64 = 3.0;

/// Points before a change, at least.
const BEFORE: f64 = 15.0;

/// Points for which a change counts against the next one: a level that has moved again and again is likely to move back, so each
/// doubles what the next one takes.
const RESTLESS: u64 = 1_000;

/// Points that are kept, to learn from again what came after a change.
const RECENT: usize = 256;

/// The probability of an alarm at a point of noise, at the threshold.
const FALSE: f64 = 1e-4;

/// A change of level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Change {
    /// The time of the first point of the new level.
    pub at: Timestamp,
    /// Points that the new level has lasted.
    pub points: u64,
    /// The mean of the values before, since the change before that.
    pub before: f64,
    /// The mean of the values since: of few, as long as the change is fresh.
    pub after: f64,
    /// Twice the logarithm of the likelihood ratio.
    pub strength: f64,
    /// How sure it is that this is no noise: 0 to 1.
    pub confidence: f64,
}

/// Finds changes of level in one series.
#[derive(Clone, Debug)]
pub struct ChangeDetector {
    policy: ChangePolicy,
    season: Season,
    usual: Usual,
    now: Mark,
    up: Hull,
    down: Hull,
    recent: VecDeque<(Timestamp, f64)>,
    points: u64,
    missing: u64,
    changes: u64,
    /// The points at which the last ones were found.
    found: VecDeque<u64>,
}

/// A detector's figures.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ChangeView {
    /// Values that it has seen.
    pub points: u64,
    /// Points that were not numbers.
    pub missing: u64,
    /// Changes that it has found.
    pub changes: u64,
    /// Points since the last one.
    pub since: u64,
    /// The mean of the values since.
    pub level: f64,
    /// What it goes by.
    pub policy: ChangePolicy,
}

impl ChangeDetector {
    /// One that has seen nothing yet.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) when the policy makes no sense.
    pub fn new(policy: ChangePolicy) -> Result<Self> {
        Self::spread(policy, 0.0)
    }

    /// As [`new`](Self::new), of many: by shares from 0 to 1 they look for seasons at different points.
    pub(in crate::monitor) fn spread(policy: ChangePolicy, share: f64) -> Result<Self> {
        policy.check()?;
        Ok(Self {
            season: Season::new(policy.season, share),
            usual: Usual::new(policy.learn as usize),
            policy,
            now: Mark::default(),
            up: Hull::new(1.0),
            down: Hull::new(-1.0),
            recent: VecDeque::with_capacity(RECENT),
            points: 0,
            missing: 0,
            changes: 0,
            found: VecDeque::new(),
        })
    }

    /// Takes the next value; hands back the change that it makes sure.
    pub fn look(&mut self, at: Timestamp, value: f64) -> Option<Change> {
        if !value.is_finite() {
            self.missing += 1;
            return None;
        }
        self.points += 1;
        let value = match self.season.without(at, value.clamp(-LARGEST, LARGEST)) {
            Without::Learns => return None,
            Without::Value(value) => value,
            Without::Anew(past) => {
                self.begin_anew(at, &past);
                return None;
            }
        };
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((at, value));
        self.take(at, value);
        let best =
            [&self.up, &self.down].into_iter().filter_map(|hull| hull.best(self.now, BEFORE));
        let (strength, mark) = best.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (strength >= self.threshold()).then(|| self.change(strength, mark))
    }

    /// The strength from which a change counts now.
    fn threshold(&mut self) -> f64 {
        while self.found.front().is_some_and(|found| found + RESTLESS < self.points) {
            self.found.pop_front();
        }
        self.policy.threshold * f64::from(1_u32 << self.found.len().min(20))
    }

    /// Its figures.
    pub fn view(&self) -> ChangeView {
        let learned = self.usual.learning();
        let (count, sum) = learned
            .iter()
            .fold((self.now.count, self.now.values), |(n, s), (_, v)| (n + 1.0, s + v));
        ChangeView {
            points: self.points,
            missing: self.missing,
            changes: self.changes,
            since: count as u64,
            level: if count > 0.0 { sum / count } else { 0.0 },
            policy: self.policy.clone(),
        }
    }

    /// Counts a point among those since the last change, once enough is known.
    fn take(&mut self, at: Timestamp, value: f64) {
        for (at, value, new) in self.usual.feed(at, value) {
            self.now.next = at.as_nanos();
            self.up.push(self.now);
            self.down.push(self.now);
            self.now.count += 1.0;
            self.now.sum += new.clamp(-OUTLYING, OUTLYING);
            self.now.values += value;
        }
    }

    fn change(&mut self, strength: f64, mark: Mark) -> Change {
        self.changes += 1;
        self.found.push_back(self.points);
        let points = self.now.count - mark.count;
        let change = Change {
            at: Timestamp::from_nanos(mark.next),
            points: points as u64,
            before: mark.values / mark.count,
            after: (self.now.values - mark.values) / points,
            strength,
            confidence: 1.0 - FALSE * (0.5 * (self.policy.threshold - strength)).exp().min(1.0),
        };
        self.season.shift(change.after - change.before, points as usize);
        self.learn_again(points as usize);
        change
    }

    /// Forgets all but the last points.
    fn learn_again(&mut self, points: usize) {
        self.usual = Usual::new(self.policy.learn as usize);
        self.now = Mark::default();
        (self.up, self.down) = (Hull::new(1.0), Hull::new(-1.0));
        let skip = self.recent.len().saturating_sub(points);
        let again: Vec<(Timestamp, f64)> = self.recent.iter().skip(skip).copied().collect();
        for (at, value) in again {
            self.take(at, value);
        }
    }

    /// Another season is known now: the last points, up to this one, are these without it. Those before were other figures.
    fn begin_anew(&mut self, at: Timestamp, past: &[f64]) {
        let mut times: Vec<Timestamp> = self.recent.iter().map(|(at, _)| *at).collect();
        times.push(at);
        let count = times.len().min(past.len()).min(RECENT);
        let last = times.iter().rev().zip(past.iter().rev()).take(count);
        let mut recent: VecDeque<_> = last.map(|(at, value)| (*at, *value)).collect();
        recent.make_contiguous().reverse();
        self.recent = recent;
        self.learn_again(count);
    }
}
