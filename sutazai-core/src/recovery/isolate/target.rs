//! One target: what is known of it, and how the rules judge that.

use std::collections::VecDeque;
use std::time::Duration;

use super::growth::Growth;
use super::policy::IsolatePolicy;
use super::{Evidence, IsolateState, IsolateWhy};
use crate::base::time::Moment;
use crate::recovery::breaker::Window;
use crate::recovery::breaker::window::Kept;

/// How the probing goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Probing {
    pub(super) in_flight: u32,
    /// When the last probe was admitted.
    pub(super) last: Moment,
    pub(super) succeeded: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Healthy,
    /// Since it last looked bad.
    Suspect(Moment),
    /// Until this moment; [`Moment::FAR`] for one that has to be released.
    Quarantined(Moment),
    Probing(Probing),
}

impl Mode {
    pub(super) fn state(self) -> IsolateState {
        match self {
            Self::Healthy => IsolateState::Healthy,
            Self::Suspect(_) => IsolateState::Suspect,
            Self::Quarantined(_) => IsolateState::Quarantined,
            Self::Probing(_) => IsolateState::Probing,
        }
    }

    pub(super) fn is_apart(self) -> bool {
        matches!(self, Self::Quarantined(_) | Self::Probing(_))
    }
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) mode: Mode,
    pub(super) why: Option<IsolateWhy>,
    pub(super) relapses: u32,
    /// Since when calls pass freely; relapses are forgiven from here.
    pub(super) well_since: Moment,
    /// When it was heard of last.
    pub(super) seen: Moment,
    crashes: VecDeque<Moment>,
    calls: Kept,
    bytes: u64,
    growth: Growth,
}

/// What the rules say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Well,
    Suspect(IsolateWhy),
    Harm(IsolateWhy),
}

impl Target {
    pub(super) fn new(policy: &IsolatePolicy, now: Moment) -> Self {
        Self {
            mode: Mode::Healthy,
            why: None,
            relapses: 0,
            well_since: now,
            seen: now,
            crashes: VecDeque::new(),
            calls: calls(policy),
            bytes: 0,
            growth: Growth::default(),
        }
    }

    pub(super) fn add(&mut self, evidence: Evidence, policy: &IsolatePolicy, now: Moment) {
        match evidence {
            Evidence::Crash => {
                // One more than the rule counts says no more.
                if self.crashes.len() >= policy.crash_loop.crashes as usize {
                    self.crashes.pop_front();
                }
                if policy.crash_loop.crashes > 0 {
                    self.crashes.push_back(now);
                }
            }
            Evidence::Failure => self.calls.add(true, false, now),
            Evidence::Slow => self.calls.add(false, true, now),
            Evidence::Success => self.calls.add(false, false, now),
            Evidence::Memory(bytes) => {
                self.bytes = bytes;
                if policy.memory.growth_per_minute > 0 {
                    let window = Duration::from_millis(policy.memory.window_ms);
                    self.growth.add(bytes, window, now);
                }
            }
        }
    }

    /// Forgets all evidence: what comes from here on is judged anew.
    pub(super) fn clear(&mut self, policy: &IsolatePolicy) {
        self.crashes.clear();
        self.calls = calls(policy);
        self.bytes = 0;
        self.growth.clear();
    }

    pub(super) fn judge(&mut self, policy: &IsolatePolicy, now: Moment) -> Verdict {
        let share = policy.suspect_share;
        let mut suspect = None;
        for (measure, why) in self.measures(policy, now) {
            if measure >= 1.0 {
                return Verdict::Harm(why);
            }
            if measure >= share {
                suspect.get_or_insert(why);
            }
        }
        suspect.map_or(Verdict::Well, Verdict::Suspect)
    }

    /// For each rule that is on how much of its bound is reached, from 1 for all of it.
    #[expect(clippy::cast_precision_loss, reason = "shares of a bound")]
    fn measures(&mut self, policy: &IsolatePolicy, now: Moment) -> Vec<(f64, IsolateWhy)> {
        let mut found = Vec::new();
        let rule = &policy.crash_loop;
        if rule.crashes > 0 {
            let window = Duration::from_millis(rule.window_ms);
            while self.crashes.front().is_some_and(|at| now.since(*at) >= window) {
                self.crashes.pop_front();
            }
            let crashes = u32::try_from(self.crashes.len()).unwrap_or(u32::MAX);
            let why = IsolateWhy::CrashLoop { crashes, window_ms: rule.window_ms };
            found.push((f64::from(crashes) / f64::from(rule.crashes), why));
        }
        let rule = &policy.error_storm;
        let counts = self.calls.counts(now);
        let calls = counts.calls;
        if calls >= rule.minimum {
            let of = |count: u32, rate: f64| f64::from(count) / (rate * f64::from(calls));
            if rule.failure_rate > 0.0 {
                let why = IsolateWhy::ErrorStorm { failed: counts.failed, calls };
                found.push((of(counts.failed, rule.failure_rate), why));
            }
            if rule.slow_rate > 0.0 {
                let why = IsolateWhy::SlowStorm { slow: counts.slow, calls };
                found.push((of(counts.slow, rule.slow_rate), why));
            }
        }
        let rule = &policy.memory;
        if rule.bytes > 0 {
            let why = IsolateWhy::Memory { bytes: self.bytes, bound: rule.bytes };
            found.push((self.bytes as f64 / rule.bytes as f64, why));
        }
        if rule.growth_per_minute > 0
            && let Some(bytes_per_minute) = self.growth.per_minute(rule.minimum)
        {
            let bound = rule.growth_per_minute;
            let why = IsolateWhy::Growth { bytes_per_minute, bound };
            found.push((bytes_per_minute / bound as f64, why));
        }
        found
    }
}

fn calls(policy: &IsolatePolicy) -> Kept {
    Kept::new(Window::TimeMs(policy.error_storm.window_ms))
}
