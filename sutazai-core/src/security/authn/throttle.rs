//! Slows down who guesses, and nobody else.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::time::Timestamp;

/// How guessing is slowed down.
///
/// Failures are counted in buckets. Beyond the free ones of a bucket each failure doubles the wait before
/// the next attempt in it, from [`wait_ms`](Self::wait_ms) to [`longest_ms`](Self::longest_ms); after
/// [`forget_ms`](Self::forget_ms) without a failure a bucket is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ThrottlePolicy {
    /// Free failures in one principal's name from one device that they have logged in from. Default: 10.
    pub device: u32,
    /// Free failures in one principal's name from one origin. Default: 5.
    pub origin: u32,
    /// Free failures from one origin in whoever's name: many people may share it. Default: 50.
    pub sprayed: u32,
    /// Failures in one principal's name from all devices that they have not logged in from, until which one
    /// factor may do; after them such a device needs a second one. Default: 100, the most that NIST
    /// SP 800-63B-4 §3.2.2 allows.
    pub strangers: u32,
    /// Free failures at the second factor of one principal, whose first was proved, from all devices that they have not
    /// logged in from: whoever has the first factor does not guess on, wherever from. Default: 20.
    pub second: u32,
    /// The first wait, in milliseconds. Default: 1,000.
    pub wait_ms: u64,
    /// The longest wait, in milliseconds. Default: 900,000 (15 minutes).
    pub longest_ms: u64,
    /// A bucket without a failure for so long is forgotten, in milliseconds. Default: 86,400,000 (a day).
    pub forget_ms: u64,
    /// How many buckets are kept; of more, those with the fewest failures go. Default: 100,000.
    pub buckets: usize,
}

impl Default for ThrottlePolicy {
    fn default() -> Self {
        Self {
            device: 10,
            origin: 5,
            sprayed: 50,
            strangers: 100,
            second: 20,
            wait_ms: 1_000,
            longest_ms: 900_000,
            forget_ms: 86_400_000,
            buckets: 100_000,
        }
    }
}

/// What failures are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket<'a> {
    /// One principal, from a device they have logged in from.
    Device {
        /// In whose name.
        principal: &'a str,
        /// The device's token.
        device: &'a str,
    },
    /// One principal, from one origin.
    Origin {
        /// In whose name.
        principal: &'a str,
        /// Where from.
        origin: &'a str,
    },
    /// One origin, in whoever's name.
    Sprayed {
        /// Where from.
        origin: &'a str,
    },
    /// The second factor of one principal, whose first was proved, from all devices that they have not logged in from.
    Second {
        /// In whose name.
        principal: &'a str,
    },
    /// One principal, from all devices that they have not logged in from. It refuses nobody: it says that
    /// one factor is not enough.
    Strangers {
        /// In whose name.
        principal: &'a str,
    },
}

impl<'a> Bucket<'a> {
    /// What a failure of this attempt counts in.
    pub(super) fn of(
        principal: &'a str,
        origin: Option<&'a str>,
        device: Option<&'a str>,
        device_known: bool,
    ) -> Vec<Self> {
        match (device_known, device) {
            // Whoever names nobody brings what cannot be guessed; what strangers do so slows nobody but them.
            _ if principal.is_empty() => {
                origin.map(|origin| Self::Sprayed { origin }).into_iter().collect()
            }
            (true, Some(device)) => vec![Self::Device { principal, device }],
            _ => {
                let mut buckets = vec![Self::Strangers { principal }];
                if let Some(origin) = origin {
                    buckets.push(Self::Origin { principal, origin });
                    buckets.push(Self::Sprayed { origin });
                }
                buckets
            }
        }
    }
}

/// Whether an attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Go {
        /// Strangers have guessed so much that one factor is not enough.
        doubtful: bool,
    },
    /// It may be made again after so long.
    Wait(Duration),
}

/// Counts failures and says how long to wait. No I/O; it is told the time.
pub struct Throttle {
    policy: ThrottlePolicy,
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    buckets: HashMap<u64, Count>,
    evicted: u64,
    refused: u64,
}

#[derive(Clone, Copy)]
struct Count {
    failures: u32,
    last: Timestamp,
}

impl Throttle {
    /// By this policy.
    pub fn new(policy: ThrottlePolicy) -> Self {
        Self { policy, hasher: RandomState::new(), state: Mutex::default() }
    }

    /// Whether an attempt may be made that counts in these buckets. Where it may it counts as a failure until it
    /// has [succeeded](Self::succeeded): attempts made at once are not free.
    pub fn admit(&self, buckets: &[Bucket<'_>], now: Timestamp) -> Verdict {
        let keys: Vec<(u64, Bucket<'_>)> =
            buckets.iter().map(|bucket| (self.hasher.hash_one(bucket), *bucket)).collect();
        let mut state = self.state.lock();
        let counts = |state: &State, key: &u64| {
            state.buckets.get(key).copied().filter(|count| !self.is_over(count, now))
        };
        let wait = keys.iter().filter_map(|(key, bucket)| {
            let count = counts(&state, key)?;
            let until = self.wait(bucket, count.failures)?;
            let passed = Duration::from_nanos(
                u64::try_from(now.as_nanos().saturating_sub(count.last.as_nanos())).unwrap_or(0),
            );
            until.checked_sub(passed).filter(|left| !left.is_zero())
        });
        if let Some(longest) = wait.max() {
            state.refused += 1;
            return Verdict::Wait(longest);
        }
        let mut doubtful = false;
        for (key, bucket) in keys {
            let failures = counts(&state, &key).map_or(0, |count| count.failures);
            doubtful |=
                matches!(bucket, Bucket::Strangers { .. }) && failures >= self.policy.strangers;
            self.make_room(&mut state, key, now);
            let count = Count { failures: failures.saturating_add(1), last: now };
            state.buckets.insert(key, count);
        }
        Verdict::Go { doubtful }
    }

    /// An attempt that was admitted has succeeded: it was no failure, and those before it from the same device
    /// or origin in that name are forgotten.
    pub fn succeeded(&self, buckets: &[Bucket<'_>]) {
        let mut state = self.state.lock();
        for bucket in buckets {
            let key = self.hasher.hash_one(bucket);
            match bucket {
                Bucket::Device { .. } | Bucket::Origin { .. } => {
                    state.buckets.remove(&key);
                }
                Bucket::Sprayed { .. } | Bucket::Second { .. } | Bucket::Strangers { .. } => {
                    if let Some(count) = state.buckets.get_mut(&key) {
                        count.failures = count.failures.saturating_sub(1);
                    }
                }
            }
        }
    }

    /// How many buckets are kept, how many had to go for others, how many attempts were refused.
    pub fn counts(&self) -> (usize, u64, u64) {
        let state = self.state.lock();
        (state.buckets.len(), state.evicted, state.refused)
    }

    fn free(&self, bucket: &Bucket<'_>) -> Option<u32> {
        match bucket {
            Bucket::Device { .. } => Some(self.policy.device),
            Bucket::Origin { .. } => Some(self.policy.origin),
            Bucket::Sprayed { .. } => Some(self.policy.sprayed),
            Bucket::Second { .. } => Some(self.policy.second),
            Bucket::Strangers { .. } => None,
        }
    }

    /// How long after the last failure the next attempt may come.
    fn wait(&self, bucket: &Bucket<'_>, failures: u32) -> Option<Duration> {
        let beyond = failures.checked_sub(self.free(bucket)?)?;
        let factor = 1_u64.checked_shl(beyond).unwrap_or(u64::MAX);
        let wait = self.policy.wait_ms.saturating_mul(factor).min(self.policy.longest_ms);
        Some(Duration::from_millis(wait))
    }

    fn is_over(&self, count: &Count, now: Timestamp) -> bool {
        let passed = now.as_nanos().saturating_sub(count.last.as_nanos());
        u64::try_from(passed).is_ok_and(|nanos| nanos / 1_000_000 >= self.policy.forget_ms)
    }

    fn make_room(&self, state: &mut State, key: u64, now: Timestamp) {
        /// Buckets that are looked at to find one that goes.
        const LOOK: usize = 16;
        if state.buckets.len() < self.policy.buckets.max(1) || state.buckets.contains_key(&key) {
            return;
        }
        let least = state
            .buckets
            .iter()
            .take(LOOK)
            .min_by_key(|(_, count)| if self.is_over(count, now) { 0 } else { count.failures })
            .map(|(key, _)| *key);
        if let Some(least) = least {
            state.buckets.remove(&least);
            state.evicted += 1;
        }
    }
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle").field("policy", &self.policy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    const GO: Verdict = Verdict::Go { doubtful: false };

    #[test]
    fn failures_beyond_the_free_ones_wait_twice_as_long_each() {
        let throttle = Throttle::new(ThrottlePolicy { origin: 2, ..ThrottlePolicy::default() });
        let here = [Bucket::Origin { principal: "ann", origin: "10.0.0.1" }];
        let there = [Bucket::Origin { principal: "ann", origin: "10.0.0.2" }];
        assert_eq!(throttle.admit(&here, at(0)), GO);
        assert_eq!(throttle.admit(&here, at(0)), GO);
        assert_eq!(throttle.admit(&here, at(0)), Verdict::Wait(Duration::from_secs(1)));
        assert_eq!(throttle.admit(&here, at(400)), Verdict::Wait(Duration::from_millis(600)));
        assert_eq!(throttle.admit(&there, at(400)), GO);
        assert_eq!(throttle.admit(&here, at(1000)), GO, "refusals do not count");
        assert_eq!(throttle.admit(&here, at(1000)), Verdict::Wait(Duration::from_secs(2)));
        assert_eq!(throttle.admit(&here, at(3000)), GO);
        throttle.succeeded(&here);
        assert_eq!(throttle.admit(&here, at(3000)), GO);
    }

    #[test]
    fn waits_are_bounded_and_forgotten() {
        let policy = ThrottlePolicy { origin: 0, longest_ms: 5_000, ..ThrottlePolicy::default() };
        let throttle = Throttle::new(policy);
        let here = [Bucket::Origin { principal: "ann", origin: "x" }];
        let mut now = 0;
        for _ in 0..200 {
            assert_eq!(throttle.admit(&here, at(now)), GO);
            now += 5_000;
        }
        // A clock set back makes nobody wait longer than the longest wait.
        assert_eq!(throttle.admit(&here, at(-1_000_000)), Verdict::Wait(Duration::from_secs(5)));
        assert_eq!(throttle.admit(&here, at(now + 86_400_000)), GO);
        // Counted from one again.
        let wait = throttle.admit(&here, at(now + 86_401_000));
        assert_eq!(wait, Verdict::Wait(Duration::from_secs(1)));
    }

    #[test]
    fn strangers_refuse_nobody() {
        let throttle = Throttle::new(ThrottlePolicy::default());
        for n in 0..150 {
            let origin = n.to_string();
            let buckets = [
                Bucket::Origin { principal: "ann", origin: &origin },
                Bucket::Strangers { principal: "ann" },
            ];
            assert_eq!(throttle.admit(&buckets, at(0)), Verdict::Go { doubtful: n >= 100 });
        }
        let own = [Bucket::Device { principal: "ann", device: "hers" }];
        assert_eq!(throttle.admit(&own, at(0)), GO);
    }

    #[test]
    fn the_buckets_are_bounded() {
        let throttle = Throttle::new(ThrottlePolicy { buckets: 64, ..ThrottlePolicy::default() });
        for n in 0..1000 {
            throttle.admit(&[Bucket::Sprayed { origin: &n.to_string() }], at(0));
        }
        let (kept, evicted, refused) = throttle.counts();
        assert_eq!((kept, evicted, refused), (64, 936, 0));
    }
}
