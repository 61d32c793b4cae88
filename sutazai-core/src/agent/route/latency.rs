//! How long an arm takes, in doublings of a nanosecond, and what it owes at the moment.
//!
//! Durations spread over powers of ten and their tails are long, so their logarithm is learned. As with
//! quality, two levels run beside one another, the one that has held and the one that would hold after a
//! change: an agent that became ten times slower, or healed, is believed after a few calls.

use serde::{Deserialize, Serialize};

use super::belief::{Noise, density};

/// The chance that an arm's pace changes, per decision of its scope.
const HAZARD: f64 = 1.0 / 2000.0;

/// How far such a change goes: three doublings either way.
const CHANGE: f64 = 9.0;

/// How far the levels of arms are apart, as a variance: two doublings.
const DIFFER: f64 = 4.0;

/// A level is the mean of about as many calls: slower drift is followed.
const MEMORY: f64 = 64.0;

/// Calls after which a suspicion has won or is dropped; see `belief`.
const SUSPECT_FOR: f64 = 16.0;

const CERTAIN: f64 = 20.0;

/// A level of log2 nanoseconds and how it is known.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Level {
    mean: f64,
    /// Its variance in units of the noise.
    variance: f64,
    count: f64,
}

impl Level {
    fn learn(&mut self, value: f64) {
        let gain = self.variance / (1.0 + self.variance);
        self.mean += gain * (value - self.mean);
        self.variance = (self.variance - gain * self.variance).max(1.0 / MEMORY);
        self.count += 1.0;
    }
}

/// The pace of one arm.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Pace {
    held: Level,
    suspected: Level,
    odds: f64,
    learned_at: u64,
}

impl Pace {
    /// From the first call's duration.
    pub(super) fn new(first: f64, usual: f64, noise: &Noise, clock: u64) -> Self {
        // What arms usually take counts as one call at most, and as less where calls of one arm scatter less than
        // arms differ.
        let variance = (DIFFER / noise.variance).max(1.0);
        let mut held = Level { mean: usual, variance, count: 0.0 };
        held.learn(first);
        Self { held, suspected: held, odds: 0.0, learned_at: clock }
    }

    /// log2 of the nanoseconds that a call is expected to take.
    pub(super) fn level(&self) -> f64 {
        self.held.mean + (self.suspected.mean - self.held.mean) * (self.odds / (1.0 + self.odds))
    }

    pub(super) fn learn(&mut self, value: f64, noise: &mut Noise, clock: u64) {
        let unseen = HAZARD * clock.saturating_sub(self.learned_at).max(1) as f64;
        let s = noise.variance;
        if unseen >= self.odds || self.suspected.count >= SUSPECT_FOR {
            self.suspected = self.held;
            self.suspected.variance += CHANGE / s;
            self.suspected.count = 0.0;
            self.odds = unseen.min(1.0);
        } else {
            self.odds += unseen;
        }
        let held = density(value - self.held.mean, s * (1.0 + self.held.variance));
        let suspected = density(value - self.suspected.mean, s * (1.0 + self.suspected.variance));
        self.odds = (self.odds * (suspected / held)).min(1e9);
        noise.see(value - self.held.mean, s * self.held.variance);
        self.held.learn(value);
        self.suspected.learn(value);
        let over = self.suspected.count >= SUSPECT_FOR;
        if self.odds > CERTAIN || (over && self.odds > 1.0) {
            self.held = self.suspected;
            self.odds = 0.0;
        }
        self.learned_at = clock;
    }
}

/// Calls of an arm that were begun here and have not ended: enough to know their ages' sum at any time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owed {
    calls: u32,
    /// Sum of the moments at which they began, in nanoseconds.
    begun: u128,
}

impl Owed {
    pub(super) const fn calls(&self) -> u32 {
        self.calls
    }

    pub(super) fn begin(&mut self, at: u64) {
        self.calls = self.calls.saturating_add(1);
        self.begun = self.begun.saturating_add(u128::from(at));
    }

    pub(super) fn end(&mut self, begun_at: u64) {
        self.calls = self.calls.saturating_sub(1);
        self.begun = self.begun.saturating_sub(u128::from(begun_at));
    }

    /// Nanoseconds that all of them together have been out.
    pub(super) fn ages(&self, now: u64) -> f64 {
        (u128::from(now) * u128::from(self.calls)).saturating_sub(self.begun) as f64
    }
}

/// log2 of what is to be waited for: the greater of `level` times the calls that would be under way, and
/// of the ages of those that are. For calls that end at a constant rate, (ages + one call) ÷ (n + 1) is what
/// the calls under way alone say of the mean duration: a call that does not come back is evidence before
/// it ends.
pub(super) fn wait(level: f64, in_flight: u32, owed: &Owed, now: u64) -> f64 {
    let usual = level + log2(f64::from(in_flight) + 1.0);
    if owed.calls == 0 { usual } else { usual.max(log2(owed.ages(now))) }
}

/// The binary logarithm within 0.01, monotone, and the same on every machine: the exponent and a parabola
/// through the mantissa. Below 1, 0.
pub(super) fn log2(x: f64) -> f64 {
    if x.is_nan() || x <= 1.0 {
        return 0.0;
    }
    let bits = x.to_bits();
    let exponent = (bits >> 52) as f64 - 1023.0;
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    let part = mantissa - 1.0;
    exponent + part + 0.344 * part * (1.0 - part)
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn logarithms_are_close_and_monotone() {
        let mut last = 0.0;
        for n in 1..100_000_u32 {
            let x = f64::from(n) * 1.7;
            assert!((log2(x) - x.log2()).abs() < 0.01, "{x}");
            assert!(log2(x) > last);
            last = log2(x);
        }
        assert_eq!((log2(0.3), log2(f64::NAN), log2(1024.0)), (0.0, 0.0, 10.0));
    }

    /// Calls after which an arm whose calls scatter by `spread` doublings is known to be at `after`.
    fn calls_until_believed(after: f64, spread: f64) -> usize {
        let mut random = Random::new(5);
        let mut noise = Noise::of_durations();
        let mut pace = Pace::new(32.0, 32.0, &noise, 0);
        for n in 0..200 {
            pace.learn(32.0 + spread * random.normal(), &mut noise, n * 8);
        }
        assert!((pace.level() - 32.0).abs() < 0.7, "{}", pace.level());
        (1..50)
            .find(|n| {
                pace.learn(after + spread * random.normal(), &mut noise, 1600 + n * 8);
                (pace.level() - after).abs() < 1.0
            })
            .map_or(50, |n| n as usize)
    }

    #[test]
    fn a_change_of_pace_is_believed_after_a_few_calls() {
        assert!(calls_until_believed(35.3, 1.0) <= 6);
        assert!(calls_until_believed(28.7, 1.0) <= 6);
        assert!(calls_until_believed(35.3, 0.3) <= 2);
    }

    #[test]
    fn a_call_that_does_not_come_back_is_evidence() {
        let mut owed = Owed::default();
        owed.begin(0);
        let second = 1_000_000_000;
        assert_eq!(wait(30.0, 1, &owed, second), 31.0);
        assert!(wait(30.0, 1, &owed, 10 * second) > 33.0);
        owed.end(0);
        assert_eq!(wait(30.0, 0, &owed, 10 * second), 30.0);
    }
}
