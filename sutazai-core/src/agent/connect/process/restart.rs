//! Whether and when a process that died is started again. No clock, no I/O.

use std::collections::VecDeque;
use std::time::Duration;

use super::spec::RestartPolicy;
use crate::base::time::Moment;

/// What a [`RestartPolicy`] has to remember: the restarts of the current period, which are never
/// more than [`RestartPolicy::most`].
#[derive(Clone, Debug)]
pub(super) struct Restarts {
    policy: RestartPolicy,
    recent: VecDeque<Moment>,
}

/// What is to be done about a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start it again then.
    At(Moment),
    /// It died too often.
    GiveUp,
}

impl Restarts {
    pub(super) fn new(policy: RestartPolicy) -> Self {
        Self { policy, recent: VecDeque::new() }
    }

    /// The process died at `now`.
    pub(super) fn died(&mut self, now: Moment) -> Verdict {
        while self.recent.front().is_some_and(|first| now.since(*first) >= self.policy.within) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.policy.most as usize {
            return Verdict::GiveUp;
        }
        let at = now + self.pause();
        self.recent.push_back(at);
        Verdict::At(at)
    }

    fn pause(&self) -> Duration {
        // 2³¹ times anything is more than any longest pause.
        let doublings = u32::try_from(self.recent.len()).unwrap_or(u32::MAX).min(31);
        self.policy.first_pause.saturating_mul(1 << doublings).min(self.policy.longest_pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy() -> impl Strategy<Value = RestartPolicy> {
        (0_u32..8, 1_u64..5000, 0_u64..500, 0_u64..5000).prop_map(|(most, within, first, long)| {
            RestartPolicy::at_most(most, Duration::from_millis(within))
                .pauses(Duration::from_millis(first), Duration::from_millis(long))
        })
    }

    proptest! {
        /// Whatever the deaths: no period holds more restarts than allowed, the pause is within its
        /// bounds, a restart is refused only when the period is full, and memory is bounded.
        #[test]
        fn the_intensity_is_never_exceeded(
            policy in policy(),
            lives in prop::collection::vec(0_u64..2000, 1..200),
        ) {
            let mut restarts = Restarts::new(policy);
            let mut now = Moment::ZERO;
            let mut started: Vec<Moment> = Vec::new();
            for life in lives {
                now = now + Duration::from_millis(life);
                let within = |from: &&Moment| now.since(**from) < policy.within;
                let recent = started.iter().filter(within).count();
                match restarts.died(now) {
                    Verdict::At(at) => {
                        prop_assert!(recent < policy.most as usize);
                        prop_assert!(at.since(now) <= policy.longest_pause);
                        let least = policy.first_pause.min(policy.longest_pause);
                        prop_assert!(at.since(now) >= least);
                        now = at;
                        started.push(at);
                        let period = started.iter().filter(|s| at.since(**s) < policy.within);
                        prop_assert!(period.count() <= policy.most.max(1) as usize);
                    }
                    Verdict::GiveUp => prop_assert!(recent >= policy.most as usize),
                }
                prop_assert!(restarts.recent.len() <= policy.most as usize);
            }
        }
    }

    #[test]
    fn pauses_double_and_start_over_in_a_quiet_period() {
        let policy = RestartPolicy::at_most(10, Duration::from_secs(60))
            .pauses(Duration::from_millis(100), Duration::from_millis(500));
        let mut restarts = Restarts::new(policy);
        let pauses: Vec<_> = (0..5)
            .map(|_| match restarts.died(Moment::ZERO) {
                Verdict::At(at) => at.as_nanos() / 1_000_000,
                Verdict::GiveUp => panic!("gave up"),
            })
            .collect();
        assert_eq!(pauses, [100, 200, 400, 500, 500]);
        let later = Moment::ZERO + Duration::from_secs(120);
        assert_eq!(restarts.died(later), Verdict::At(later + Duration::from_millis(100)));
    }
}
