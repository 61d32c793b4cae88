//! The scores of all principals.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use parking_lot::{Mutex, MutexGuard};
use schemars::JsonSchema;
use serde::Serialize;

use super::policy::{RiskPolicy, RiskSignal, SignalPolicy};
use super::profile::Profile;
use crate::Result;
use crate::base::time::Timestamp;

const SHARDS: usize = 16;
const SIGNALS: usize = RiskSignal::ALL.len();

/// Keeps the risk of everybody.
pub struct Risks {
    policy: RiskPolicy,
    signals: [SignalPolicy; SIGNALS],
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    of: HashMap<Box<str>, One>,
    evicted: u64,
}

#[derive(Default)]
struct One {
    levels: [Level; SIGNALS],
    profile: Profile,
}

#[derive(Clone, Copy, Default)]
struct Level {
    level: f64,
    at: Timestamp,
}

/// A login, as far as its risk goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visit<'a> {
    /// Where from: a country, a network, whatever the host tells places apart by.
    pub place: Option<&'a str>,
    /// Whether they have logged in from the device before.
    pub device_known: bool,
}

/// A score, and what it is made of.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RiskView {
    /// 0 to 1.
    pub score: f64,
    /// What raises it, the heaviest first.
    pub signals: Vec<SignalView>,
}

/// What one signal does to a score.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SignalView {
    /// Which.
    pub signal: RiskSignal,
    /// How strong it still is, 0 to 1.
    pub level: f64,
    /// The score that it alone would make.
    pub share: f64,
}

/// Figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RiskStatus {
    /// Principals that something is known of.
    pub principals: usize,
    /// Principals that had to go for others.
    pub evicted: u64,
}

impl Risks {
    /// By this policy.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a policy that cannot be.
    pub fn new(policy: RiskPolicy) -> Result<Self> {
        policy.check()?;
        Ok(Self {
            signals: RiskSignal::ALL.map(|signal| policy.of(signal)),
            policy,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        })
    }

    /// Something happened that makes somebody look risky; how strongly, from 0 to 1.
    pub fn raise(&self, principal: &str, signal: RiskSignal, strength: f64, now: Timestamp) {
        let strength = if strength.is_nan() { 1.0 } else { strength.clamp(0.0, 1.0) };
        if strength > 0.0 {
            self.with(principal, now, |one| self.raise_one(one, signal, strength, now));
        }
    }

    /// An attempt in somebody's name failed.
    pub fn failed(&self, principal: &str, now: Timestamp) {
        self.raise(
            principal,
            RiskSignal::FailedAttempts,
            1.0 / f64::from(self.policy.failures),
            now,
        );
    }

    /// Somebody has proved a factor: what is not usual about it raises their risk. It answers the score after that.
    /// Nothing of it becomes usual before they [have logged in](Self::logged_in).
    pub fn visited(&self, principal: &str, visit: Visit<'_>, now: Timestamp) -> f64 {
        let place = visit.place.map(|place| self.hasher.hash_one(place));
        self.with(principal, now, |one| {
            let (new_place, odd) = one.profile.look(place, self.policy.learned, now);
            let signals = [
                (RiskSignal::NewDevice, if visit.device_known { 0.0 } else { 1.0 }),
                (RiskSignal::NewPlace, if new_place { 1.0 } else { 0.0 }),
                (RiskSignal::OddHour, odd),
            ];
            for (signal, strength) in signals {
                // Seen once or five times, a device is as new.
                let level = self.level(one, signal, now);
                if strength > level {
                    set(one, signal, strength, now);
                }
            }
            self.join(one, &[], now)
        })
    }

    /// Somebody has logged in, with all that it took: from where and when is more usual from now on.
    pub fn logged_in(&self, principal: &str, place: Option<&str>, now: Timestamp) {
        let place = place.map(|place| self.hasher.hash_one(place));
        self.with(principal, now, |one| one.profile.learn(place, now));
    }

    /// Somebody calls: a rate that is not theirs raises their risk. It answers the score after that.
    pub fn called(&self, principal: &str, extra: &[(RiskSignal, f64)], now: Timestamp) -> f64 {
        self.with(principal, now, |one| {
            let unusual = one.profile.call(self.policy.calls, now);
            if unusual > self.level(one, RiskSignal::UnusualRate, now) {
                set(one, RiskSignal::UnusualRate, unusual, now);
            }
            self.join(one, extra, now)
        })
    }

    /// The score of somebody, 0 to 1; `extra` signals are of this moment only, and not kept.
    pub fn score(&self, principal: &str, extra: &[(RiskSignal, f64)], now: Timestamp) -> f64 {
        let shard = self.shard(principal);
        match shard.of.get(principal) {
            Some(one) => self.join(one, extra, now),
            None => self.join(&One::default(), extra, now),
        }
    }

    /// The score of somebody, and what it is made of.
    pub fn view(&self, principal: &str, now: Timestamp) -> RiskView {
        let shard = self.shard(principal);
        let Some(one) = shard.of.get(principal) else {
            return RiskView { score: 0.0, signals: Vec::new() };
        };
        let mut signals: Vec<SignalView> = RiskSignal::ALL
            .into_iter()
            .map(|signal| {
                let level = self.level(one, signal, now);
                SignalView { signal, level, share: level * self.of(signal).weight }
            })
            .filter(|view| view.share >= 0.001)
            .collect();
        signals.sort_by(|a, b| b.share.total_cmp(&a.share));
        RiskView { score: self.join(one, &[], now), signals }
    }

    /// Forgets what raised somebody's risk; what is usual for them stays. Whether there was anything.
    pub fn clear(&self, principal: &str) -> bool {
        let mut shard = self.shard(principal);
        let Some(one) = shard.of.get_mut(principal) else { return false };
        let was = one.levels.iter().any(|level| level.level > 0.0);
        one.levels = Default::default();
        was
    }

    /// The policy.
    pub fn policy(&self) -> &RiskPolicy {
        &self.policy
    }

    /// Figures.
    pub fn status(&self) -> RiskStatus {
        let mut status = RiskStatus { principals: 0, evicted: 0 };
        for shard in &self.shards {
            let shard = shard.lock();
            status.principals += shard.of.len();
            status.evicted += shard.evicted;
        }
        status
    }

    fn of(&self, signal: RiskSignal) -> SignalPolicy {
        self.signals.get(signal.index()).copied().unwrap_or_else(|| self.policy.of(signal))
    }

    fn level(&self, one: &One, signal: RiskSignal, now: Timestamp) -> f64 {
        let Some(level) = one.levels.get(signal.index()) else { return 0.0 };
        let passed = now.as_nanos().saturating_sub(level.at.as_nanos()).max(0);
        let half_lives = passed as f64 / 1e6 / self.of(signal).half_life_ms as f64;
        level.level * (-half_lives).exp2()
    }

    fn raise_one(&self, one: &mut One, signal: RiskSignal, strength: f64, now: Timestamp) {
        let level = self.level(one, signal, now);
        set(one, signal, level + strength * (1.0 - level), now);
    }

    fn join(&self, one: &One, extra: &[(RiskSignal, f64)], now: Timestamp) -> f64 {
        let mut safe = 1.0;
        for signal in RiskSignal::ALL {
            safe *= 1.0 - self.of(signal).weight * self.level(one, signal, now);
        }
        for (signal, strength) in extra {
            let strength = if strength.is_nan() { 1.0 } else { strength.clamp(0.0, 1.0) };
            safe *= 1.0 - self.of(*signal).weight * strength;
        }
        (1.0 - safe).clamp(0.0, 1.0)
    }

    fn shard(&self, principal: &str) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(self.hasher.hash_one(principal) % SHARDS as u64).unwrap_or(0);
        match self.shards.get(index) {
            Some(shard) => shard.lock(),
            None => unreachable!("there are as many shards as SHARDS says"),
        }
    }

    fn with<R>(&self, principal: &str, now: Timestamp, f: impl FnOnce(&mut One) -> R) -> R {
        /// Principals that are looked at to find one that goes.
        const LOOK: usize = 16;
        let mut shard = self.shard(principal);
        if let Some(one) = shard.of.get_mut(principal) {
            return f(one);
        }
        if shard.of.len() >= (self.policy.principals / SHARDS).max(1) {
            let tells = |one: &One| {
                self.join(one, &[], now) + f64::from(one.profile.logins()).min(100.0) / 1e3
            };
            let least = (shard.of.iter().take(LOOK))
                .min_by(|(_, a), (_, b)| tells(a).total_cmp(&tells(b)))
                .map(|(name, _)| name.clone());
            if let Some(least) = least {
                shard.of.remove(&least);
                shard.evicted += 1;
            }
        }
        f(shard.of.entry(principal.into()).or_default())
    }
}

impl std::fmt::Debug for Risks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Risks").field("policy", &self.policy).finish_non_exhaustive()
    }
}

fn set(one: &mut One, signal: RiskSignal, level: f64, now: Timestamp) {
    if let Some(slot) = one.levels.get_mut(signal.index()) {
        // A clock set back lowers nothing.
        *slot = Level { level, at: now.max(slot.at) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn each_signal_raises_and_each_decays_by_half() {
        for signal in RiskSignal::ALL {
            let risks = Risks::new(RiskPolicy::default()).unwrap();
            assert_eq!(risks.score("ann", &[], at(0)), 0.0);
            risks.raise("ann", signal, 1.0, at(0));
            let SignalPolicy { weight, half_life_ms } = risks.of(signal);
            let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
            assert!(close(risks.score("ann", &[], at(0)), weight), "{signal:?}");
            let later = at(half_life_ms as i64);
            assert!(close(risks.score("ann", &[], later), weight / 2.0), "{signal:?}");
            assert!(close(risks.score("bob", &[(signal, 1.0)], at(0)), weight), "{signal:?}");
            assert_eq!(risks.score("bob", &[], at(0)), 0.0, "not kept");
            assert!(risks.clear("ann") && risks.score("ann", &[], at(0)) == 0.0);
        }
    }

    #[test]
    fn failures_add_up_and_logins_learn() {
        let risks = Risks::new(RiskPolicy::default()).unwrap();
        let mut before = 0.0;
        for _ in 0..20 {
            risks.failed("ann", at(0));
            let score = risks.score("ann", &[], at(0));
            assert!(score > before);
            before = score;
        }
        let day = 86_400_000;
        let home = Visit { place: Some("home"), device_known: true };
        for n in 0..12 {
            assert_eq!(risks.visited("bob", home, at(n * day)), 0.0);
            risks.logged_in("bob", home.place, at(n * day));
        }
        let away = Visit { place: Some("away"), device_known: false };
        assert!(risks.visited("bob", away, at(13 * day)) > 0.5);
        // Who only tries does not make it usual.
        let hour = 3_600_000;
        assert!(risks.visited("bob", away, at(13 * day + hour)) > 0.5);
        let view = risks.view("bob", at(13 * day));
        let signals: Vec<_> = view.signals.iter().map(|view| view.signal).collect();
        assert_eq!(signals, [RiskSignal::NewDevice, RiskSignal::NewPlace]);
    }

    #[test]
    fn principals_are_bounded_and_the_risky_stay() {
        let policy = RiskPolicy { principals: 64, ..RiskPolicy::default() };
        let risks = Risks::new(policy).unwrap();
        risks.raise("mallory", RiskSignal::Threat, 1.0, at(0));
        for n in 0..1000 {
            risks.called(&format!("p{n}"), &[], at(0));
        }
        let status = risks.status();
        assert!(status.principals <= 64 && status.evicted >= 936, "{status:?}");
        assert!(risks.score("mallory", &[], at(0)) > 0.8);
    }

    proptest! {
        #[test]
        fn signals_raise_and_time_lowers(
            steps in prop::collection::vec((0_usize..8, 0.0_f64..=1.0, 0_i64..100_000), 1..40),
        ) {
            let risks = Risks::new(RiskPolicy::default()).unwrap();
            let mut now = 0;
            for (signal, strength, passed) in steps {
                let before = risks.score("ann", &[], at(now));
                now += passed;
                let after = risks.score("ann", &[], at(now));
                prop_assert!(after <= before + 1e-12);
                prop_assert!(risks.score("ann", &[], at(now - 50_000)) <= 1.0);
                risks.raise("ann", RiskSignal::ALL[signal], strength, at(now));
                let raised = risks.score("ann", &[], at(now));
                prop_assert!(raised >= after - 1e-12 && raised <= 1.0);
            }
        }
    }
}
