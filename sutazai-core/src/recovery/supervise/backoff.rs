//! Pauses before restarts: exponential, with jitter. No clock, chance from a seed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::random::SplitMix64;

/// Pauses before the restarts of a child, for supervisors that want them; OTP restarts at once.
///
/// The pause doubles with each restart in a row, from [`first_ms`](Self::first_ms) to
/// [`longest_ms`](Self::longest_ms), and starts over when the child has lived for
/// [`calm_ms`](Self::calm_ms). Restarts count against the intensity when they are decided on, before
/// the pause. Under `one_for_all` and `rest_for_one` the others are stopped before the pause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Backoff {
    /// The first pause, in milliseconds. Default 100.
    pub first_ms: u64,
    /// The longest pause, in milliseconds. Default 30,000.
    pub longest_ms: u64,
    /// The part of each pause that is left to chance: 0 (none of it) to 1 (all of it, "full jitter").
    /// Default 0.5.
    pub jitter: f64,
    /// A child that has lived for so many milliseconds is taken for healthy. Default 60,000.
    pub calm_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first_ms: 100, longest_ms: 30_000, jitter: 0.5, calm_ms: 60_000 }
    }
}

impl Backoff {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if !(0.0..=1.0).contains(&self.jitter) {
            Err("a backoff's jitter is between 0 and 1")
        } else if self.first_ms > self.longest_ms {
            Err("a backoff's first pause is not longer than its longest")
        } else {
            Ok(())
        }
    }

    /// The pause before the restart number `row` (from 1) in a row.
    pub(super) fn pause(&self, row: u32, chance: &mut SplitMix64) -> Duration {
        // 2⁶³ of anything but 0 is longer than any longest pause.
        let doublings = row.saturating_sub(1).min(63);
        let whole = self.first_ms.saturating_mul(1 << doublings).min(self.longest_ms);
        Duration::from_millis(whole).mul_f64(1.0 - self.jitter * chance.unit())
    }

    /// Whether a child that lived so long starts over with the first pause.
    pub(super) fn is_calm(&self, lived: Duration) -> bool {
        lived >= Duration::from_millis(self.calm_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let plain = Backoff { jitter: 0.0, longest_ms: 1_000, ..Backoff::default() };
        let mut chance = SplitMix64::new(1);
        let pauses: Vec<_> = (1..=6).map(|row| plain.pause(row, &mut chance).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(plain.pause(u32::MAX, &mut chance).as_millis(), 1000);
        assert!(plain.is_calm(Duration::from_secs(60)));
        assert!(!plain.is_calm(Duration::from_millis(59_999)));
    }

    proptest! {
        #[test]
        fn jitter_only_shortens_and_follows_from_the_seed(
            seed: u64,
            row in 1_u32..80,
            jitter in 0.0..=1.0,
            first_ms in 0_u64..5_000,
            longer in 0_u64..100_000,
        ) {
            let backoff = Backoff { first_ms, longest_ms: first_ms + longer, jitter, calm_ms: 1 };
            prop_assert!(backoff.check().is_ok());
            let whole = Backoff { jitter: 0.0, ..backoff.clone() }.pause(row, &mut SplitMix64::new(0));
            let (mut one, mut two) = (SplitMix64::new(seed), SplitMix64::new(seed));
            for _ in 0..20 {
                let pause = backoff.pause(row, &mut one);
                prop_assert!(pause <= whole);
                prop_assert!(pause.as_secs_f64() >= whole.as_secs_f64() * (1.0 - jitter) - 1e-6);
                prop_assert_eq!(pause, backoff.pause(row, &mut two));
            }
        }
    }
}
