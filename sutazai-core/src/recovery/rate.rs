//! A rate limit: so many calls in so much time, evenly, with some slack.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::error::Fixed;
use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// How many calls may be made in which time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RatePolicy {
    /// Calls in each period, 1 or more. Default 100.
    pub calls: u32,
    /// Milliseconds of the period, 1 or more. Default 1,000.
    pub period_ms: u64,
    /// Calls that may be made at once after a pause, 1 or more. Default 0: as many as `calls`.
    pub burst: u32,
}

impl Default for RatePolicy {
    fn default() -> Self {
        Self { calls: 100, period_ms: 1_000, burst: 0 }
    }
}

impl RatePolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        for (field, value) in [("calls", u64::from(self.calls)), ("period_ms", self.period_ms)] {
            if value == 0 {
                return Err(Error::new(Code::INVALID, "the rate limit is not valid")
                    .operation("recovery.rate")
                    .with("field", field)
                    .with("rule", "must be at least 1"));
            }
        }
        Ok(())
    }
}

/// A rate limit that threads share: the generic cell rate algorithm (ITU-T I.371; as a virtual
/// scheduler), one atomic word.
///
/// ```
/// use std::time::Duration;
/// use sutazai_core::base::time::Moment;
/// use sutazai_core::recovery::{RateLimit, RatePolicy};
///
/// let mut policy = RatePolicy::default();
/// (policy.calls, policy.burst) = (10, 2); // ten a second, two at once
/// let limit = RateLimit::new("mail", policy)?;
/// let now = Moment::ZERO;
/// assert!(limit.admit(now).is_ok() && limit.admit(now).is_ok());
/// assert!(limit.admit(now).is_err());
/// assert_eq!(limit.free_in(now), Duration::from_millis(100));
/// assert!(limit.admit(now + Duration::from_millis(100)).is_ok());
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Debug)]
pub struct RateLimit {
    name: Arc<str>,
    /// The theoretical arrival time: when the bucket will be full again, in nanoseconds.
    full_at: AtomicU64,
    /// Nanoseconds that a call takes.
    step: AtomicU64,
    /// How far ahead of the clock `full_at` may be for a call to be admitted.
    slack: AtomicU64,
    rejected: AtomicU64,
}

impl RateLimit {
    /// One that nothing was taken from.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid.
    pub fn new(name: impl Into<Arc<str>>, policy: RatePolicy) -> Result<Self> {
        let limit = Self {
            name: name.into(),
            full_at: AtomicU64::new(0),
            step: AtomicU64::new(0),
            slack: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        };
        limit.set_policy(policy)?;
        Ok(limit)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes another policy; what was taken stays taken.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid; the old one stays.
    pub fn set_policy(&self, policy: RatePolicy) -> Result<()> {
        policy.check()?;
        let period = policy.period_ms.saturating_mul(1_000_000);
        let step = (period / u64::from(policy.calls)).max(1);
        let burst = if policy.burst == 0 { policy.calls } else { policy.burst };
        self.step.store(step, Ordering::Relaxed);
        self.slack.store(step.saturating_mul(u64::from(burst - 1)), Ordering::Relaxed);
        Ok(())
    }

    /// Takes the place of one call.
    ///
    /// # Errors
    /// [`Code::RATE_LIMITED`], without allocating; [`free_in`](Self::free_in) says when to come again.
    #[inline]
    pub fn admit(&self, now: Moment) -> Result<()> {
        let (step, slack) = (self.step.load(Ordering::Relaxed), self.slack.load(Ordering::Relaxed));
        let now = now.as_nanos();
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let start = full_at.max(now);
            if start - now > slack {
                return Err(self.reject());
            }
            let next = start.saturating_add(step);
            match self.full_at.compare_exchange_weak(
                full_at,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(seen) => full_at = seen,
            }
        }
    }

    /// How long until a call would be admitted, if nobody else comes.
    pub fn free_in(&self, now: Moment) -> Duration {
        let ahead = self.full_at.load(Ordering::Relaxed).saturating_sub(now.as_nanos());
        Duration::from_nanos(ahead.saturating_sub(self.slack.load(Ordering::Relaxed)))
    }

    /// Calls rejected since it was made.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    #[cold]
    fn reject(&self) -> Error {
        static LIMITED: Fixed = Fixed {
            code: Code::RATE_LIMITED,
            message: "the rate limit leaves no room for this call now",
        };
        self.rejected.fetch_add(1, Ordering::Relaxed);
        Error::from(&LIMITED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In any span of time no more pass than the burst and what the span lets through; and one who
        /// waits as long as `free_in` says passes.
        #[test]
        fn no_span_sees_more_than_its_share(
            calls in 1_u32..50, period in 1_u64..2_000, burst in 1_u32..20,
            gaps in proptest::collection::vec(0_u64..200, 1..400),
        ) {
            let policy = RatePolicy { calls, period_ms: period, burst };
            let limit = RateLimit::new("test", policy).unwrap();
            let step = period * 1_000_000 / u64::from(calls);
            let (mut now, mut passed) = (0_u64, Vec::new());
            for gap in gaps {
                now += gap * 1_000_000;
                if limit.admit(Moment::from_nanos(now)).is_ok() {
                    passed.push(now);
                } else {
                    let wait = limit.free_in(Moment::from_nanos(now)).as_nanos() as u64;
                    prop_assert!(wait > 0 && wait <= step);
                    now += wait;
                    prop_assert!(limit.admit(Moment::from_nanos(now)).is_ok());
                    passed.push(now);
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let share = u64::from(burst) + (to - from) / step;
                    prop_assert!((last - first + 1) as u64 <= share);
                }
            }
        }
    }
}
