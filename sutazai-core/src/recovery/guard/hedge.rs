//! When a slow call is made a second time: after the time that most calls take, within a budget.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::policy::HedgePolicy;
use crate::Result;
use crate::base::time::Moment;
use crate::recovery::{Budget, BudgetPolicy};

/// Calls whose times are remembered.
const KEPT: usize = 512;
/// Calls after which the time to wait is worked out anew.
const EVERY: u64 = 64;
/// Calls that must have been seen before the quantile is believed.
const ENOUGH: u64 = 20;

/// How long recent calls took, and what second calls are paid from.
#[derive(Debug)]
pub(super) struct Hedge {
    quantile: f64,
    least: u64,
    /// Nanoseconds that the last calls took, the oldest overwritten by the newest.
    times: Box<[AtomicU64; KEPT]>,
    seen: AtomicU64,
    /// Nanoseconds to wait before the second call.
    after: AtomicU64,
    /// A call that succeeds puts back its share of a second call.
    budget: Budget,
}

impl Hedge {
    pub(super) fn new(policy: &HedgePolicy) -> Result<Self> {
        let least = policy.min_ms.saturating_mul(1_000_000);
        let pays = BudgetPolicy {
            capacity: 10.0,
            per_success: policy.budget,
            per_second: 0.0,
            ..BudgetPolicy::default()
        };
        Ok(Self {
            quantile: policy.quantile,
            least,
            times: Box::new([const { AtomicU64::new(0) }; KEPT]),
            seen: AtomicU64::new(0),
            after: AtomicU64::new(least),
            budget: Budget::new("hedge", pays)?,
        })
    }

    /// A call succeeded in this time.
    pub(super) fn took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let at = self.seen.fetch_add(1, Ordering::Relaxed);
        if let Some(slot) = self.times.get(at as usize % KEPT) {
            slot.store(nanos, Ordering::Relaxed);
        }
        let seen = at + 1;
        if seen == ENOUGH || (seen > ENOUGH && seen.is_multiple_of(EVERY)) {
            self.work_out(seen);
        }
        self.budget.succeeded();
    }

    /// How long the first call has before the second one is made.
    pub(super) fn after(&self) -> Duration {
        Duration::from_nanos(self.after.load(Ordering::Relaxed))
    }

    /// Whether a second call can be paid for; it is, if so.
    pub(super) fn pay(&self, now: Moment) -> bool {
        self.budget.spend(false, now)
    }

    /// What was paid for did not happen.
    pub(super) fn pay_back(&self) {
        self.budget.refund();
    }

    #[cold]
    fn work_out(&self, seen: u64) {
        let held = usize::try_from(seen).unwrap_or(KEPT).min(KEPT);
        let mut times: Vec<u64> =
            self.times.iter().take(held).map(|slot| slot.load(Ordering::Relaxed)).collect();
        let at = ((held as f64 * self.quantile) as usize).min(held.saturating_sub(1));
        let (_, quantile, _) = times.select_nth_unstable(at);
        // A little beyond it: where calls take nearly the same time, most are just about to answer.
        let after = quantile.saturating_add(*quantile / 16);
        self.after.store(after.max(self.least), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_as_long_as_most_calls_take() {
        let hedge = Hedge::new(&HedgePolicy { min_ms: 2, ..HedgePolicy::default() }).unwrap();
        let ms = Duration::from_millis;
        (0..19).for_each(|_| hedge.took(ms(50)));
        assert_eq!(hedge.after(), ms(2), "too few to tell");
        hedge.took(ms(50));
        let beyond = |t: u64| ms(t) + ms(t) / 16;
        assert_eq!(hedge.after(), beyond(50));
        // One in ten is slow: the 95th percentile is among them.
        (0..1_000).for_each(|n| hedge.took(ms(if n % 10 == 0 { 900 } else { 10 })));
        assert_eq!(hedge.after(), beyond(900));
        (0..1_000).for_each(|n| hedge.took(ms(if n % 100 == 0 { 900 } else { 10 })));
        assert_eq!(hedge.after(), beyond(10));
        (0..1_000).for_each(|_| hedge.took(Duration::ZERO));
        assert_eq!(hedge.after(), ms(2), "never less than the least");
    }
}
