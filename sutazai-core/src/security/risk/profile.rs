//! What is usual for one principal.

use crate::base::time::Timestamp;

/// Places that are remembered of one principal.
const PLACES: usize = 16;
/// How much of what was known is left after a login: what was usual a hundred logins ago is not any more.
const KEPT: f32 = 0.99;
/// How much of the mean and spread of calls a minute is left after a minute.
const MINUTE_KEPT: f64 = 0.9;
/// Standard deviations above the mean at which a rate begins to be unusual, and is as unusual as can be.
const UNUSUAL: (f64, f64) = (4.0, 12.0);

#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    /// Hashes of places, the newest last.
    places: Vec<u64>,
    /// Logins by the hour of the day (UTC), faded.
    hours: [f32; 24],
    logins: u32,
    minute: i64,
    calls: u32,
    mean: f64,
    variance: f64,
    minutes: u32,
}

impl Profile {
    /// Whether a place is new, and how odd the hour is, 0 to 1. Nothing is, until `learned` logins are known.
    pub(super) fn look(&self, place: Option<u64>, learned: u32, now: Timestamp) -> (bool, f64) {
        let known = self.logins >= learned;
        let new_place = place.is_some_and(|place| !self.places.contains(&place));
        let hour = hour(now);
        let at = |hour: usize| self.hours.get(hour % 24).copied().unwrap_or(0.0);
        // An hour beside a usual one is half as usual.
        let near = at(hour) + (at(hour + 1) + at(hour + 23)) / 2.0;
        let even = self.hours.iter().sum::<f32>() / 24.0 * 2.0;
        let odd = if even > 0.0 { f64::from((1.0 - near / even).clamp(0.0, 1.0)) } else { 0.0 };
        (known && new_place, if known { odd } else { 0.0 })
    }

    /// A login from a place.
    pub(super) fn learn(&mut self, place: Option<u64>, now: Timestamp) {
        if let Some(place) = place {
            self.places.retain(|one| *one != place);
            if self.places.len() >= PLACES {
                self.places.remove(0);
            }
            self.places.push(place);
        }
        self.hours.iter_mut().for_each(|share| *share *= KEPT);
        if let Some(share) = self.hours.get_mut(hour(now)) {
            *share += 1.0;
        }
        self.logins = self.logins.saturating_add(1);
    }

    /// One more call; how unusual the rate is, 0 to 1. Up to `calls` a minute it never is.
    pub(super) fn call(&mut self, calls: u32, now: Timestamp) -> f64 {
        let minute = now.as_nanos().div_euclid(60_000_000_000);
        if minute > self.minute {
            // The minutes in between had none; many of them make no difference any more.
            let gone = if self.minutes == 0 { 1 } else { (minute - self.minute).min(100) };
            for nth in 0..gone {
                let count = if nth == 0 { f64::from(self.calls) } else { 0.0 };
                let difference = count - self.mean;
                self.mean += (1.0 - MINUTE_KEPT) * difference;
                self.variance =
                    MINUTE_KEPT * (self.variance + (1.0 - MINUTE_KEPT) * difference * difference);
            }
            self.minutes = self.minutes.saturating_add(1);
            self.minute = minute;
            self.calls = 0;
        }
        self.calls = self.calls.saturating_add(1);
        if self.calls <= calls {
            return 0.0;
        }
        // Counts vary by their own root at least.
        let spread = self.variance.max(self.mean).max(1.0).sqrt();
        let above = (f64::from(self.calls) - self.mean.max(f64::from(calls))) / spread;
        ((above - UNUSUAL.0) / (UNUSUAL.1 - UNUSUAL.0)).clamp(0.0, 1.0)
    }

    /// How much would be lost with it.
    pub(super) fn logins(&self) -> u32 {
        self.logins
    }
}

/// The hour of the day.
fn hour(now: Timestamp) -> usize {
    usize::try_from((now.as_nanos() / 3_600_000_000_000).rem_euclid(24)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Profile {
        fn visit(&mut self, place: Option<u64>, learned: u32, now: Timestamp) -> (bool, f64) {
            let looked = self.look(place, learned, now);
            self.learn(place, now);
            looked
        }
    }

    fn at(day: i64, hour: i64) -> Timestamp {
        Timestamp::from_nanos((day * 24 + hour) * 3_600_000_000_000)
    }

    #[test]
    fn what_is_usual_is_learned() {
        let mut profile = Profile::default();
        for day in 0..20 {
            let (new, odd) = profile.visit(Some(1), 10, at(day, 9));
            assert!(!new && odd == 0.0, "day {day}");
        }
        assert_eq!(profile.clone().visit(Some(2), 10, at(30, 9)), (true, 0.0));
        let (new, odd) = profile.clone().visit(Some(1), 10, at(30, 3));
        assert!(!new && odd == 1.0);
        assert!(profile.clone().visit(Some(1), 10, at(30, 10)).1 == 0.0, "an hour beside it");
        assert_eq!(profile.visit(None, 10, at(30, 9)), (false, 0.0));
    }

    #[test]
    fn a_rate_is_unusual_against_what_was() {
        let mut profile = Profile::default();
        let mut unusual = 0.0_f64;
        for second in 0..3600 {
            let now = Timestamp::from_nanos(second * 1_000_000_000);
            for _ in 0..3 {
                unusual = unusual.max(profile.call(60, now));
            }
        }
        // 180 a minute are what this one makes, but for the first minutes of its life.
        let now = Timestamp::from_nanos(3600 * 1_000_000_000);
        assert_eq!((0..180).map(|_| profile.call(60, now)).fold(0.0, f64::max), 0.0);
        let burst = (0..2000).map(|_| profile.call(60, now)).fold(0.0, f64::max);
        assert_eq!(burst, 1.0);
    }
}
