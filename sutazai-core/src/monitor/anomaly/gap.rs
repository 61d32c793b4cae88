//! Whether points come as they usually do.

use std::collections::VecDeque;

use super::centre::Centre;
use super::tuning::{MEMORY, RECURS, SPAN};
use crate::base::time::Timestamp;

/// Intervals between points before it is known which are usual.
const INTERVALS: f64 = 20.0;

/// Long intervals that are remembered.
const REMEMBERED: usize = 32;

/// Intervals of this share of one count as nearly as long: neither comes at a time of its own.
const NEARLY: f64 = 0.5;

/// −log₁₀ of how rare a gap is that is an anomaly.
const USUAL: f64 = 4.3;

/// The most that is said of a gap.
const MOST: f64 = 8.0;

/// The intervals between the points of a series.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    last: Option<Timestamp>,
    interval: Centre,
    points: u64,
    disordered: u64,
    /// The long intervals, in seconds, and at which point they ended.
    long: VecDeque<(u64, f64)>,
}

impl Gaps {
    pub(super) fn new() -> Self {
        let long = VecDeque::with_capacity(REMEMBERED);
        Self { last: None, interval: Centre::new(SPAN), points: 0, disordered: 0, long }
    }

    /// The usual interval, in seconds.
    pub(super) fn interval(&self) -> f64 {
        self.interval.mean()
    }

    /// Points that came with an earlier time than one before, or the same.
    pub(super) fn disordered(&self) -> u64 {
        self.disordered
    }

    /// How long the point has been awaited, as a share of what is too long: `most` usual intervals, unless such gaps have
    /// come before. 0 where it has not been awaited for too long.
    pub(super) fn feed(&mut self, at: Timestamp, most: f64) -> f64 {
        self.points += 1;
        let Some(last) = self.last else {
            self.last = Some(at);
            return 0.0;
        };
        if at <= last {
            self.disordered += 1;
            return 0.0;
        }
        self.last = Some(at);
        let took = at.as_nanos().saturating_sub(last.as_nanos()) as f64 * 1e-9;
        let (known, usual) = (self.interval.count() >= INTERVALS, self.interval.mean());
        self.interval.add(if known { took.min(3.0 * usual) } else { took });
        let longest = most * usual;
        if !known || longest <= 0.0 || took < NEARLY * longest {
            return 0.0;
        }
        let gap = self.gap(took, longest);
        if self.long.len() >= REMEMBERED {
            self.long.pop_front();
        }
        self.long.push_back((self.points, took));
        if took >= longest { gap } else { 0.0 }
    }

    /// What would be said of a point that came now.
    pub(super) fn awaited(&self, now: Timestamp, most: f64) -> f64 {
        let Some(last) = self.last.filter(|last| now > *last) else { return 0.0 };
        let took = now.as_nanos().saturating_sub(last.as_nanos()) as f64 * 1e-9;
        let longest = most * self.interval.mean();
        let known = self.interval.count() >= INTERVALS && longest > 0.0;
        if known && took >= longest { self.gap(took, longest) } else { 0.0 }
    }

    fn gap(&self, took: f64, longest: f64) -> f64 {
        (took / longest).min(MOST).min(self.recurring(took))
    }

    /// The most that is said of a gap when some nearly as long have come before.
    fn recurring(&self, took: f64) -> f64 {
        let known = (self.points as f64).min(MEMORY);
        let alike = |(point, long): &&(u64, f64)| {
            (self.points - point) as f64 <= known && *long >= NEARLY * took
        };
        match self.long.iter().filter(alike).count() {
            0 => MOST,
            count => (RECURS * known / count as f64).log10().max(0.0) / USUAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn gaps_that_recur_are_usual() {
        let mut gaps = Gaps::new();
        let mut now = Timestamp::EPOCH;
        let mut said = Vec::new();
        for i in 1..=1_000_u32 {
            let minutes = if i % 200 == 0 { 100 } else { 1 };
            now = now + Duration::from_secs(60 * minutes);
            let gap = gaps.feed(now, 20.0);
            if i % 200 == 0 {
                said.push(gap);
            } else {
                assert_eq!(gap, 0.0);
            }
        }
        assert!(said[0] >= 4.0 && said[1..].iter().all(|gap| *gap < 0.8), "{said:?}");
        assert!(gaps.feed(now + Duration::from_secs(60_000), 20.0) >= MOST, "a much longer one");
    }
}
