//! How many agents of one template there are to be: a state machine that is told the load and the time.
//!
//! It grows when calls wait or nearly all places are taken, for a while, by as many as the load needs and at most
//! to twice as many; it shrinks by one when the agents that would be left had been enough for a while. A share of
//! places from which it grows lies above the one at which it shrinks, and after each change it waits, so that a
//! steady load settles it (hysteresis and cool-down, as in Kubernetes' horizontal autoscaler). One that died is
//! replaced, after a pause that doubles with each death.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// Between which bounds a pool has its agents, and when it has more or fewer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PoolPolicy {
    /// Agents at least; they are kept alive. Default 1.
    pub min: u32,
    /// Agents at most, 1 to 1,000. Default 4.
    pub max: u32,
    /// Tasks that an agent is meant to have at once. Default: its template's `concurrency`, or 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub places: Option<u32>,
    /// It grows when more than this share of all places is taken, and when calls wait. Default 0.8.
    pub grow_at: f64,
    /// It shrinks when of the places that would be left no more than this share were taken; less than `grow_at`.
    /// Default 0.5.
    pub shrink_at: f64,
    /// How long it must be so before it grows, in milliseconds. Default 200.
    pub grow_after_ms: u64,
    /// How long it must be so before it shrinks, in milliseconds. Default 60,000.
    pub idle_ms: u64,
    /// How long it waits after it grew until it grows again, in milliseconds. Default 1,000.
    pub cool_down_ms: u64,
    /// How long it waits to replace an agent that died or could not be made, the first time, in milliseconds; twice
    /// as long each time after. Default 500.
    pub backoff_ms: u64,
    /// And at most. Default 60,000. When nothing has failed for so long, it begins anew.
    pub longest_backoff_ms: u64,
    /// How long an agent that is retired may take to finish its tasks, in milliseconds. Default 5,000.
    pub grace_ms: u64,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        Self {
            min: 1,
            max: 4,
            places: None,
            grow_at: 0.8,
            shrink_at: 0.5,
            grow_after_ms: 200,
            idle_ms: 60_000,
            cool_down_ms: 1_000,
            backoff_ms: 500,
            longest_backoff_ms: 60_000,
            grace_ms: 5_000,
        }
    }
}

/// Agents of a pool, at most.
const MOST: u32 = 1_000;

impl PoolPolicy {
    /// Between `min` and `max` agents; everything else as by default.
    pub fn between(min: u32, max: u32) -> Self {
        Self { min, max, ..Self::default() }
    }

    /// Sets how many tasks an agent is meant to have at once.
    #[must_use]
    pub fn places(mut self, tasks: u32) -> Self {
        self.places = Some(tasks);
        self
    }

    /// Sets how long it must look as if fewer were enough before it shrinks.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let rules = [
            ("max", (1..=MOST).contains(&self.max), "1 to 1,000"),
            ("min", self.min <= self.max, "at most max"),
            ("places", self.places != Some(0), "at least 1"),
            ("grow_at", self.grow_at > 0.0 && self.grow_at <= 1.0, "above 0, at most 1"),
            (
                "shrink_at",
                self.shrink_at >= 0.0 && self.shrink_at < self.grow_at,
                "less than grow_at",
            ),
            (
                "backoff_ms",
                self.backoff_ms <= self.longest_backoff_ms,
                "at most longest_backoff_ms",
            ),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            None => Ok(()),
            Some((field, _, rule)) => {
                Err(Error::new(Code::INVALID, "the policy of a pool is not valid")
                    .operation("agent.pool")
                    .with("field", field)
                    .with("rule", rule))
            }
        }
    }
}

/// What a pool's agents have to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolLoad {
    /// Agents that take tasks.
    pub ready: u32,
    /// Agents that are being made.
    pub starting: u32,
    /// Tasks that they have.
    pub in_flight: u32,
    /// Calls that wait for one of them, or have found none since it was last asked.
    pub waiting: u32,
}

/// What is to be done about a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolChange {
    /// How many agents it has; where it is to have more, those that are being made among them.
    pub from: u32,
    /// How many it is to have.
    pub to: u32,
    /// Why.
    pub why: String,
}

/// How many agents there are to be.
#[derive(Clone, Debug)]
pub struct Pool {
    policy: PoolPolicy,
    /// Tasks that an agent is meant to have at once.
    places: u32,
    target: u32,
    pressed: Option<Moment>,
    slack: Option<Moment>,
    grown: Option<Moment>,
    why: String,
    failures: u32,
    failed: Moment,
    retry: Moment,
    /// Somebody else decides how many there are to be.
    steered: bool,
}

impl Pool {
    /// A pool that has none yet. `concurrency` is what its template says.
    pub fn new(policy: PoolPolicy, concurrency: Option<u32>) -> Self {
        Self {
            policy,
            places: policy.places.or(concurrency).unwrap_or(1).max(1),
            target: policy.min,
            pressed: None,
            slack: None,
            grown: None,
            why: format!("it has {} at least", policy.min),
            failures: 0,
            failed: Moment::ZERO,
            retry: Moment::ZERO,
            steered: false,
        }
    }

    /// Takes another policy; what it knows of the load stays.
    pub fn set_policy(&mut self, policy: PoolPolicy, concurrency: Option<u32>) {
        self.places = policy.places.or(concurrency).unwrap_or(1).max(1);
        self.policy = policy;
    }

    /// Its policy.
    pub fn policy(&self) -> &PoolPolicy {
        &self.policy
    }

    /// How many agents it may have, at least and at most.
    pub fn bounds(&self) -> (u32, u32) {
        (self.policy.min, self.policy.max)
    }

    /// How many agents there are to be.
    pub fn target(&self) -> u32 {
        self.target
    }

    /// Tasks that an agent is meant to have at once.
    pub fn places(&self) -> u32 {
        self.places
    }

    /// There are to be so many, whatever the load is, and why; without it the load says so again. The policy's bounds hold.
    pub fn steer(&mut self, to: Option<(u32, String)>) {
        self.steered = to.is_some();
        (self.pressed, self.slack) = (None, None);
        if let Some((target, why)) = to {
            (self.target, self.why) = (target, why);
            self.bound();
        }
    }

    /// An agent has died, or could not be made.
    pub fn failed(&mut self, now: Moment) {
        self.failures = self.failures.saturating_add(1);
        self.failed = now;
        let doubled = 1_u64.checked_shl(self.failures - 1).unwrap_or(u64::MAX);
        let pause = self.policy.backoff_ms.saturating_mul(doubled);
        self.retry = now + Duration::from_millis(pause.min(self.policy.longest_backoff_ms));
    }

    /// What is to be done, now that its load is this. Asked again and again; it is meant to be done at once, as
    /// far as it is about agents that are there.
    pub fn look(&mut self, now: Moment, load: PoolLoad) -> Option<PoolChange> {
        let since_failure = now.since(self.failed);
        if self.failures > 0
            && since_failure >= Duration::from_millis(self.policy.longest_backoff_ms)
            && now >= self.retry
        {
            self.failures = 0;
        }
        self.bound();
        if !self.steered {
            self.weigh(now, load);
        }
        let from = load.ready + load.starting;
        let to = self.target;
        // Only by those that are ready: one that is just becoming so may be counted twice.
        if load.ready > to {
            return Some(PoolChange { from: load.ready, to, why: self.why.clone() });
        }
        if from < to && now >= self.retry {
            let why = match self.failures {
                0 => self.why.clone(),
                n => format!("{from} of {to} are there; tried again after {n} that failed or died"),
            };
            return Some(PoolChange { from, to, why });
        }
        None
    }

    /// The policy's bounds may have changed.
    fn bound(&mut self) {
        let bounded = self.target.clamp(self.policy.min, self.policy.max);
        if bounded != self.target {
            let which = if bounded > self.target { "least" } else { "most" };
            self.why = format!("it has {bounded} at {which}");
            self.target = bounded;
        }
    }

    fn weigh(&mut self, now: Moment, load: PoolLoad) {
        let places = |agents: u32| f64::from(agents) * f64::from(self.places);
        let tasks = f64::from(load.in_flight);
        let pressed = load.waiting > 0
            || (load.ready > 0 && tasks > self.policy.grow_at * places(load.ready));
        let left = self.target.saturating_sub(1);
        // With none left there is no share of places: nothing at all may be going on.
        let slack = !pressed
            && self.target > self.policy.min
            && tasks <= self.policy.shrink_at * places(left);
        if !pressed {
            self.pressed = None;
        }
        if !slack {
            self.slack = None;
        }
        if pressed {
            self.press(now, load);
        } else if slack {
            let began = *self.slack.get_or_insert(now);
            if now.since(began) >= Duration::from_millis(self.policy.idle_ms) {
                self.why = format!(
                    "{} of {} places were taken at most for {} ms: {left} are enough",
                    load.in_flight,
                    places(load.ready),
                    self.policy.idle_ms
                );
                self.target = left;
                // The next one has its time too.
                self.slack = Some(now);
            }
        }
    }

    fn press(&mut self, now: Moment, load: PoolLoad) {
        let began = *self.pressed.get_or_insert(now);
        let long = now.since(began) >= Duration::from_millis(self.policy.grow_after_ms);
        let cool = self.grown.is_none_or(|grown| {
            now.since(grown) >= Duration::from_millis(self.policy.cool_down_ms)
        });
        // Those that are on their way may be enough; where none can be had, more would not help.
        let coming = load.starting > 0 || load.ready < self.target;
        if !long || !cool || coming || self.target >= self.policy.max {
            return;
        }
        let needed = f64::from(load.in_flight + load.waiting)
            / (self.policy.grow_at * f64::from(self.places));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number from 0 that is bounded below; what is beyond an integer is the largest"
        )]
        let needed = needed.ceil() as u32;
        let least = self.target + 1;
        let most = self.target.saturating_mul(2).max(least).min(self.policy.max);
        let to = needed.clamp(least, most);
        self.why = format!(
            "{} calls wait and {} of {} places are taken",
            load.waiting,
            load.in_flight,
            u64::from(load.ready) * u64::from(self.places)
        );
        self.target = to;
        self.grown = Some(now);
        self.pressed = None;
    }
}

#[cfg(test)]
mod tests;
