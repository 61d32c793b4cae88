//! Pauses before restarts: exponential, with jitter. No clock, chance from a seed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    pub(super) fn pause(&self, row: u32, chance: &mut Chance) -> Duration {
        // 2⁶³ of anything but 0 is longer than any longest pause.
        let doublings = row.saturating_sub(1).min(63);
        let whole = self.first_ms.saturating_mul(1 << doublings).min(self.longest_ms);
        Duration::from_millis(whole).mul_f64(1.0 - self.jitter * chance.fraction())
    }

    /// Whether a child that lived so long starts over with the first pause.
    pub(super) fn is_calm(&self, lived: Duration) -> bool {
        lived >= Duration::from_millis(self.calm_ms)
    }
}

/// Chance that follows from a seed: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 up to, and without, 1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The upper 53 bits: as many as a double has.
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let plain = Backoff { jitter: 0.0, longest_ms: 1_000, ..Backoff::default() };
        let mut chance = Chance::new(1);
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
            let whole = Backoff { jitter: 0.0, ..backoff.clone() }.pause(row, &mut Chance::new(0));
            let (mut one, mut two) = (Chance::new(seed), Chance::new(seed));
            for _ in 0..20 {
                let pause = backoff.pause(row, &mut one);
                prop_assert!(pause <= whole);
                prop_assert!(pause.as_secs_f64() >= whole.as_secs_f64() * (1.0 - jitter) - 1e-6);
                prop_assert_eq!(pause, backoff.pause(row, &mut two));
            }
        }
    }
}
