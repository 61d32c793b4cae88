//! The retry budget: how many retries a program can afford, whoever makes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// What a budget holds and what a retry costs. The defaults let a program retry one call in ten for as
/// long as calls succeed, and sixteen beyond it: enough for the calls of a client that a short disturbance
/// meets, and few beside what it sends into an outage (docs/retry-storm.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BudgetPolicy {
    /// Tokens that it holds at most, and at first; above 0, up to 1,000,000. Default 16.
    pub capacity: f64,
    /// Tokens that a call that succeeds puts back, 0 to 1,000. Default 0.1. Nothing comes back
    /// while nothing succeeds: that is what keeps retries off a target that is down.
    pub per_success: f64,
    /// Tokens that come back each second by themselves, 0 to 1,000,000, so that a program with few
    /// calls can retry at all. Default 0.05: one retry in twenty seconds.
    pub per_second: f64,
    /// Tokens that a retry takes, above 0. Default 1.
    pub cost: f64,
    /// Tokens that a retry takes after a call that ran out of time, above 0. Default 2: such a call
    /// has held its place for longest, and the next one will.
    pub timeout_cost: f64,
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self { capacity: 16.0, per_success: 0.1, per_second: 0.05, cost: 1.0, timeout_cost: 2.0 }
    }
}

impl BudgetPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let fields = [
            ("capacity", self.capacity, f64::MIN_POSITIVE, 1e6),
            ("per_success", self.per_success, 0.0, 1e3),
            ("per_second", self.per_second, 0.0, 1e6),
            ("cost", self.cost, f64::MIN_POSITIVE, 1e6),
            ("timeout_cost", self.timeout_cost, f64::MIN_POSITIVE, 1e6),
        ];
        for (field, value, least, most) in fields {
            if !(least..=most).contains(&value) {
                let from = if least > 0.0 { "above 0 and up to" } else { "between 0 and" };
                return Err(Error::new(Code::INVALID, "the retry budget is not valid")
                    .operation("recovery.budget")
                    .with("field", field)
                    .with("value", value)
                    .with("rule", format!("must be {from} {most}")));
            }
        }
        Ok(())
    }
}

/// A budget's figures.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct BudgetStatus {
    /// Its name.
    pub name: String,
    /// Tokens that are there.
    pub tokens: f64,
    /// Tokens that it can hold.
    pub capacity: f64,
    /// Retries that were paid for.
    pub granted: u64,
    /// Retries that there were not enough tokens for.
    pub refused: u64,
}

/// A token bucket that retries are paid from, shared by all who name it.
///
/// Calls that succeed fill it; a retry is paid for when it is decided on, before it waits in backoff,
/// so those that wait count. gRPC ("gRFC A6: client retries", throttling) and the AWS SDKs
/// ("standard" retry mode) work the same way; the trickle by time is that of Finagle's `RetryBudget`.
///
/// ```
/// use sutazai_core::base::time::Moment;
/// use sutazai_core::recovery::{Budget, BudgetPolicy};
///
/// let mut policy = BudgetPolicy::default();
/// policy.capacity = 1.0;
/// let budget = Budget::new("llm", policy)?;
/// assert!(budget.spend(false, Moment::ZERO));
/// assert!(!budget.spend(false, Moment::ZERO), "used up");
/// (0..10).for_each(|_| budget.succeeded());
/// assert!(budget.spend(false, Moment::ZERO));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Budget {
    name: Arc<str>,
    /// In thousandths, as all figures here.
    tokens: AtomicU64,
    capacity: AtomicU64,
    per_success: AtomicU64,
    cost: AtomicU64,
    timeout_cost: AtomicU64,
    /// A second's worth, as the bits of an `f64`: the only figure that may be less than a thousandth.
    per_second: AtomicU64,
    /// When the trickle was last taken in, in nanoseconds.
    trickled: AtomicU64,
    granted: AtomicU64,
    refused: AtomicU64,
}

impl Budget {
    /// A full one.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid.
    pub fn new(name: impl Into<Arc<str>>, policy: BudgetPolicy) -> Result<Self> {
        let budget = Self {
            name: name.into(),
            tokens: AtomicU64::new(0),
            capacity: AtomicU64::new(0),
            per_success: AtomicU64::new(0),
            cost: AtomicU64::new(0),
            timeout_cost: AtomicU64::new(0),
            per_second: AtomicU64::new(0),
            trickled: AtomicU64::new(0),
            granted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        budget.set_policy(policy)?;
        budget.tokens.store(budget.capacity.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(budget)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes another policy; what it holds stays, up to the new capacity.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid; the old one stays.
    pub fn set_policy(&self, policy: BudgetPolicy) -> Result<()> {
        policy.check()?;
        self.capacity.store(thousandths(policy.capacity), Ordering::Relaxed);
        self.per_success.store(thousandths(policy.per_success), Ordering::Relaxed);
        self.cost.store(thousandths(policy.cost).max(1), Ordering::Relaxed);
        self.timeout_cost.store(thousandths(policy.timeout_cost).max(1), Ordering::Relaxed);
        self.per_second.store(policy.per_second.to_bits(), Ordering::Relaxed);
        self.tokens.fetch_min(thousandths(policy.capacity), Ordering::Relaxed);
        Ok(())
    }

    /// A call succeeded. Writes nothing while the budget is full.
    #[inline]
    pub fn succeeded(&self) {
        let capacity = self.capacity.load(Ordering::Relaxed);
        if self.tokens.load(Ordering::Relaxed) < capacity {
            self.add(self.per_success.load(Ordering::Relaxed), capacity);
        }
    }

    /// Takes what a retry costs, if it is there; `timed_out` says that the call ran out of time.
    pub fn spend(&self, timed_out: bool, now: Moment) -> bool {
        self.trickle(now);
        let cost = if timed_out { &self.timeout_cost } else { &self.cost }.load(Ordering::Relaxed);
        // One that costs more than the bucket can hold takes all of it.
        let cost = cost.min(self.capacity.load(Ordering::Relaxed));
        let paid = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| tokens.checked_sub(cost))
            .is_ok();
        let counter = if paid { &self.granted } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        paid
    }

    /// Gives back what a retry costs, of one that was not made after all.
    pub(crate) fn refund(&self) {
        self.granted.fetch_sub(1, Ordering::Relaxed);
        let capacity = self.capacity.load(Ordering::Relaxed);
        self.add(self.cost.load(Ordering::Relaxed), capacity);
    }

    /// Its figures.
    pub fn status(&self) -> BudgetStatus {
        BudgetStatus {
            name: self.name.to_string(),
            tokens: self.tokens.load(Ordering::Relaxed) as f64 / 1e3,
            capacity: self.capacity.load(Ordering::Relaxed) as f64 / 1e3,
            granted: self.granted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    #[cold]
    fn add(&self, thousandths: u64, capacity: u64) {
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
            (tokens < capacity).then(|| tokens.saturating_add(thousandths).min(capacity))
        });
    }

    /// Takes in what has come back by time.
    fn trickle(&self, now: Moment) {
        let now = now.as_nanos();
        let last = self.trickled.load(Ordering::Relaxed);
        if last == 0 {
            // The first to ask starts the clock; the bucket was full then.
            let _ =
                self.trickled.compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed);
            return;
        }
        let rate = f64::from_bits(self.per_second.load(Ordering::Relaxed)) * 1e3;
        let due = now.saturating_sub(last) as f64 / 1e9 * rate;
        if due < 1.0 {
            return;
        }
        // Whole thousandths only, so that nothing is rounded away.
        let whole = due.floor();
        let until = last.saturating_add((whole / rate * 1e9) as u64);
        if self.trickled.compare_exchange(last, until, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.add(whole as u64, self.capacity.load(Ordering::Relaxed));
        }
    }
}

/// `as` saturates, and the figures are checked to be far below its bounds.
fn thousandths(tokens: f64) -> u64 {
    (tokens * 1e3).round() as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    fn budget(policy: BudgetPolicy) -> Budget {
        Budget::new("test", policy).unwrap()
    }

    #[test]
    fn time_brings_back_what_it_should_and_no_more() {
        let policy = BudgetPolicy { capacity: 2.0, per_second: 0.5, ..BudgetPolicy::default() };
        let budget = budget(policy);
        let at = |ms| Moment::ZERO + Duration::from_millis(ms);
        assert!(budget.spend(false, at(1)) && budget.spend(false, at(1)));
        // Half a token a second: one every two seconds, asked for every 10 ms.
        let granted = (0..1_000).filter(|n| budget.spend(false, at(2 + n * 10))).count();
        assert_eq!(granted, 4, "at 2, 4, 6 and 8 seconds");
        assert!(
            (0..10).filter(|_| budget.spend(false, at(10_000_000))).count() == 2,
            "never more than it holds"
        );
    }

    #[test]
    fn a_retry_after_a_time_out_costs_more() {
        let budget =
            budget(BudgetPolicy { capacity: 3.0, per_second: 0.0, ..BudgetPolicy::default() });
        assert!(budget.spend(true, Moment::ZERO));
        assert!(!budget.spend(true, Moment::ZERO));
        assert!(budget.spend(false, Moment::ZERO));
    }

    #[test]
    fn what_is_not_a_figure_is_refused() {
        for policy in [
            BudgetPolicy { capacity: f64::NAN, ..BudgetPolicy::default() },
            BudgetPolicy { capacity: 0.0, ..BudgetPolicy::default() },
            BudgetPolicy { per_success: -1.0, ..BudgetPolicy::default() },
            BudgetPolicy { cost: f64::INFINITY, ..BudgetPolicy::default() },
        ] {
            assert_eq!(Budget::new("bad", policy).unwrap_err().code(), Code::INVALID);
        }
    }

    proptest! {
        /// Whatever happens, retries are at most the capacity, the successes' share and the trickle.
        #[test]
        fn retries_are_bounded_by_what_was_put_in(
            steps in proptest::collection::vec((0_u8..3, 0_u64..500), 1..2_000),
        ) {
            let budget = budget(BudgetPolicy::default());
            let (mut now, mut successes, mut retries) = (1_u64, 0_u64, 0_u64);
            for (step, ms) in steps {
                now += ms;
                match step {
                    0 => { budget.succeeded(); successes += 1; }
                    _ => {
                        let at = Moment::from_nanos(now * 1_000_000);
                        retries += u64::from(budget.spend(false, at));
                    }
                }
            }
            let put_in = 16.0 + successes as f64 * 0.1 + now as f64 / 1e3 * 0.05;
            prop_assert!(retries as f64 <= put_in + 1e-6, "{} of {}", retries, put_in);
        }
    }
}
