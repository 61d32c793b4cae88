//! How many restarts a period holds. No clock.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::time::Moment;

/// The restarts of the sliding period that ends now.
///
/// As OTP counts (`supervisor.erl`, `add_restart/3`): a restart that lies exactly one period back still
/// counts. OTP looks at whole seconds only, so that its period is up to a second longer; here moments
/// are exact, and the two agree for whoever passes whole seconds.
#[derive(Clone, Debug)]
pub(super) struct Intensity {
    most: u32,
    period: Duration,
    recent: VecDeque<Moment>,
}

impl Intensity {
    pub(super) fn new(most: u32, period: Duration) -> Self {
        Self { most, period, recent: VecDeque::new() }
    }

    /// What was counted stays counted.
    pub(super) fn change(&mut self, most: u32, period: Duration) {
        (self.most, self.period) = (most, period);
    }

    /// Counts a restart; false when it is one too many.
    pub(super) fn add(&mut self, now: Moment) -> bool {
        self.forget(now);
        self.recent.push_back(now);
        self.recent.len() <= self.most as usize
    }

    /// The restarts within the period up to `now`.
    pub(super) fn count(&self, now: Moment) -> usize {
        self.recent.iter().filter(|at| now.since(**at) <= self.period).count()
    }

    fn forget(&mut self, now: Moment) {
        while self.recent.front().is_some_and(|first| now.since(*first) > self.period) {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn second(n: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(n)
    }

    #[test]
    fn the_period_is_inclusive() {
        let mut two = Intensity::new(2, Duration::from_secs(5));
        assert!(two.add(second(0)));
        assert!(two.add(second(1)));
        assert!(!two.clone().add(second(5)));
        assert_eq!((two.count(second(5)), two.count(second(6))), (2, 1));
        assert!(two.add(second(6)));
        let mut none = Intensity::new(0, Duration::from_secs(5));
        assert!(!none.add(second(0)));
    }

    proptest! {
        /// The verdict is that of counting all restarts ever, and memory is bounded.
        #[test]
        fn agrees_with_counting_everything(
            most in 0_u32..6,
            period in 1_u64..10,
            gaps in prop::collection::vec(0_u64..6, 1..100),
        ) {
            let mut intensity = Intensity::new(most, Duration::from_secs(period));
            let (mut now, mut all) = (0_u64, Vec::new());
            for gap in gaps {
                now += gap;
                all.push(now);
                let within = all.iter().filter(|at| **at + period >= now).count();
                prop_assert_eq!(intensity.add(second(now)), within <= most as usize);
                prop_assert_eq!(intensity.count(second(now)), within);
                if within > most as usize {
                    return Ok(());
                }
                prop_assert!(intensity.recent.len() <= most as usize + 1);
            }
        }
    }
}
