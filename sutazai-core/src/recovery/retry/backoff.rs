//! How long to wait before the next try: exponential backoff with jitter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::recovery::chance::Chance;

/// How chance spreads retries out, after M. Brooker, "Exponential Backoff And Jitter", AWS
/// Architecture Blog, 2015.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Anything from nothing to the whole step: spreads best, but may come again at once.
    Full,
    /// Half of the step, and anything up to the other half: spreads nearly as well, and so many tries
    /// outlast a disturbance of at least so long.
    #[default]
    Equal,
    /// Anything from the first step to three times the last wait.
    Decorrelated,
    /// The step itself: only where calls do not come in crowds.
    None,
}

/// The waits of one call, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    base: u64,
    most: u64,
    jitter: Jitter,
    /// The step, without chance; for decorrelated jitter the last wait. In nanoseconds.
    step: u64,
}

impl Backoff {
    pub(crate) fn new(base: Duration, most: Duration, jitter: Jitter) -> Self {
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let base = nanos(base).min(nanos(most));
        Self { base, most: nanos(most), jitter, step: base }
    }

    pub(crate) fn next(&mut self, chance: &Chance) -> Duration {
        let step = self.step;
        let drawn = |from: u64, to: u64| {
            // The product is never more than the span, which is a `u64`.
            from + (to.saturating_sub(from) as f64 * chance.unit()) as u64
        };
        let doubled = step.saturating_mul(2).min(self.most);
        let (wait, next) = match self.jitter {
            Jitter::Full => (drawn(0, step), doubled),
            Jitter::Equal => (drawn(step / 2, step), doubled),
            Jitter::None => (step, doubled),
            Jitter::Decorrelated => {
                let wait = drawn(self.base, step.saturating_mul(3)).min(self.most);
                (wait, wait.max(self.base))
            }
        };
        self.step = next;
        Duration::from_nanos(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jitters() -> impl Strategy<Value = Jitter> {
        prop_oneof![
            Just(Jitter::Full),
            Just(Jitter::Equal),
            Just(Jitter::Decorrelated),
            Just(Jitter::None)
        ]
    }

    proptest! {
        #[test]
        fn waits_stay_within_their_bounds(
            base in 0_u64..5_000, most in 0_u64..100_000, seed: u64, jitter in jitters(),
        ) {
            let (base, most) = (Duration::from_millis(base), Duration::from_millis(most));
            let mut backoff = Backoff::new(base, most, jitter);
            let chance = Chance::new(seed);
            let (mut step, mut last) = (base.min(most), base.min(most));
            for _ in 0..80 {
                let wait = backoff.next(&chance);
                prop_assert!(wait <= most);
                match jitter {
                    Jitter::Full => prop_assert!(wait <= step),
                    Jitter::Equal => prop_assert!(step / 2 <= wait + Duration::from_nanos(1) && wait <= step),
                    Jitter::None => prop_assert_eq!(wait, step),
                    Jitter::Decorrelated => {
                        prop_assert!(wait >= base.min(most) && wait <= (last * 3).max(base).min(most));
                        last = wait;
                    }
                }
                step = (step * 2).min(most);
            }
        }
    }

    #[test]
    fn full_jitter_takes_half_of_the_step_on_average() {
        let chance = Chance::new(1);
        let total: Duration = (0..10_000)
            .map(|_| {
                Backoff::new(Duration::from_secs(1), Duration::from_secs(1), Jitter::Full)
                    .next(&chance)
            })
            .sum();
        let mean = total / 10_000;
        // The mean's standard deviation is 2.9 ms.
        assert!(mean.abs_diff(Duration::from_millis(500)) < Duration::from_millis(15), "{mean:?}");
    }
}
