//! Graceful degradation: when not everything can be done, what matters most still is.
//!
//! A system has named **levels**, from the one where everything works down to the one where only the
//! essential does, and for each **feature** (an agent counts as one, by its name) the policy says what
//! becomes of it at each level. **Rules** on signals (a health score, the load, the share of errors,
//! the number of open breakers: whatever is fed in) enter a level and leave it again.
//!
//! ```
//! use sutazai_core::Code;
//! use sutazai_core::base::time::Moment;
//! use sutazai_core::recovery::{Degradation, DegradePolicy, FeatureMode};
//!
//! let policy: DegradePolicy = serde_json::from_str(r#"{
//!     "rules": [{"level": "reduced", "signal": "load", "enter": 0.9, "leave": 0.7}],
//!     "features": {
//!         "suggestions": {"reduced": "off"},
//!         "search": {"reduced": {"reduced": {"results": 10}}, "essential": {"fallback": "cache"}}
//!     }
//! }"#).unwrap();
//! let degradation = Degradation::new(policy)?;
//! assert_eq!(degradation.check("suggestions")?, FeatureMode::On);
//! degradation.signal("load", 0.95, Moment::ZERO)?;
//! assert_eq!(&*degradation.level(), "reduced");
//! assert_eq!(degradation.check("suggestions").unwrap_err().code(), Code::DEGRADED);
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **No flapping.** A rule enters at one threshold and leaves at another (a Schmitt trigger), so that
//! noise narrower than the gap changes nothing. Noise that is wider meets the dwell times: between two
//! changes the level rests for [`down_dwell_ms`](DegradePolicy::down_dwell_ms) before it falls further,
//! and has to have been calm for [`up_dwell_ms`](DegradePolicy::up_dwell_ms) before it rises, one level
//! at a time. Down it goes at once to the level that the rules ask for.
//!
//! **Cost.** While every feature is on, [`check`](Degradation::check) reads one atomic word; otherwise
//! it looks the feature up in a table that no lock protects.

mod machine;
mod policy;

pub use policy::{DegradePolicy, DegradeRule, FeatureMode};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use machine::Machine;
use parking_lot::Mutex;
use serde::Serialize;

use crate::base::nearest::nearest;
use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// Why the level changed.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum LevelWhy {
    /// A rule asked for the level.
    Rule {
        /// The signal that it watches.
        signal: String,
        /// What the signal said last.
        value: f64,
        /// Where the rule enters.
        enter: f64,
        /// Where it leaves.
        leave: f64,
    },
    /// No rule has asked for so low a level for as long as it takes.
    Recovered,
    /// By hand.
    Forced {
        /// Who.
        by: String,
    },
    /// The policy changed, and has no level of this name.
    Policy,
}

/// A change of the level.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct LevelChange {
    /// The level before.
    pub from: Arc<str>,
    /// The level since.
    pub to: Arc<str>,
    /// Why.
    #[serde(flatten)]
    pub why: LevelWhy,
}

/// Where degradation stands.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct DegradeStatus {
    /// The level.
    pub level: Arc<str>,
    /// All levels, the best first.
    pub levels: Vec<String>,
    /// Whether it was forced there and stays.
    pub forced: bool,
    /// The change that led here; `None` when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LevelChange>,
    /// Milliseconds since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Changes since it was made.
    pub changes: u64,
    /// What the signals said last, those that have gone silent left out.
    pub signals: BTreeMap<String, f64>,
    /// The features that the policy speaks of, and what becomes of them at this level.
    pub features: BTreeMap<String, FeatureMode>,
}

/// Hears of every change of the level. Called with no lock held.
pub type OnLevelChange = Arc<dyn Fn(&LevelChange) + Send + Sync>;

/// The present level and what features do at it, shared by threads. See the
/// [module's documentation](self).
pub struct Degradation {
    /// Whether no feature is anything but on at the present level.
    all_on: AtomicBool,
    present: ArcSwap<Present>,
    machine: Mutex<Machine>,
    on_change: ArcSwapOption<OnLevelChange>,
}

struct Present {
    level: Arc<str>,
    modes: BTreeMap<String, FeatureMode>,
}

impl Degradation {
    /// One at its best level.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid.
    pub fn new(policy: DegradePolicy) -> Result<Self> {
        policy.check()?;
        let machine = Machine::new(policy);
        let this = Self {
            all_on: AtomicBool::new(true),
            present: ArcSwap::from_pointee(Present { level: "".into(), modes: BTreeMap::new() }),
            machine: Mutex::new(machine),
            on_change: ArcSwapOption::empty(),
        };
        this.publish(&this.machine.lock());
        Ok(this)
    }

    /// Whether every feature is on, so that nobody needs to ask.
    #[inline]
    pub fn all_on(&self) -> bool {
        self.all_on.load(Ordering::Acquire)
    }

    /// What a feature does at the present level. One that the policy does not name is on.
    ///
    /// # Errors
    /// [`Code::DEGRADED`] when it is off.
    #[inline]
    pub fn check(&self, feature: &str) -> Result<FeatureMode> {
        if self.all_on() {
            return Ok(FeatureMode::On);
        }
        self.look_up(feature)
    }

    #[cold]
    fn look_up(&self, feature: &str) -> Result<FeatureMode> {
        let present = self.present.load();
        match present.modes.get(feature) {
            None => Ok(FeatureMode::On),
            Some(FeatureMode::Off) => {
                Err(Error::new(Code::DEGRADED, "the feature is off at the present level")
                    .operation("recovery.degrade")
                    .with("feature", feature)
                    .with("level", &present.level))
            }
            Some(mode) => Ok(mode.clone()),
        }
    }

    /// The present level.
    pub fn level(&self) -> Arc<str> {
        Arc::clone(&self.present.load().level)
    }

    /// Feeds a signal in; says whether any rule listens to it.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a value that is not a number.
    pub fn signal(&self, name: &str, value: f64, now: Moment) -> Result<bool> {
        if value.is_nan() {
            return Err(Error::new(Code::INVALID, "the value of a signal must be a number")
                .operation("recovery.degrade")
                .with("signal", name));
        }
        Ok(self.turn(|machine| {
            let heard = machine.hear(name, value, now);
            (heard, if heard { machine.decide(now) } else { None })
        }))
    }

    /// Does what is due by the time alone: recovery, and letting go of signals that have gone silent.
    /// Call it at [`next_tick`](Self::next_tick), or every now and then.
    pub fn tick(&self, now: Moment) {
        self.turn(|machine| ((), machine.decide(now)));
    }

    /// When the time alone may change something; `None` when only a signal can.
    pub fn next_tick(&self) -> Option<Moment> {
        self.machine.lock().next_tick()
    }

    /// Puts it at a level that it does not leave by itself, or (`None`) gives it back to the rules,
    /// where it stands. `by` says who, for the record.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for a level that the policy does not name.
    pub fn force(&self, level: Option<&str>, by: &str, now: Moment) -> Result<()> {
        let mut missing = None;
        self.turn(|machine| {
            let at = level.map(|name| (name, machine.policy().position(name)));
            if let Some((name, None)) = at {
                missing = Some(no_level(name, machine.policy()));
                return ((), None);
            }
            ((), machine.force(at.and_then(|(_, at)| at), by, now))
        });
        missing.map_or(Ok(()), Err)
    }

    /// Takes another policy. The level stays if the new policy names it, and is the best otherwise.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid; the old one stays.
    pub fn set_policy(&self, policy: DegradePolicy, now: Moment) -> Result<()> {
        policy.check()?;
        let mut machine = self.machine.lock();
        let change = machine.change_policy(policy, now);
        self.publish(&machine);
        drop(machine);
        self.tell(change);
        Ok(())
    }

    /// The policy.
    pub fn policy(&self) -> DegradePolicy {
        self.machine.lock().policy().clone()
    }

    /// Hears of its changes from here on, in the place of who did before.
    pub fn on_change(&self, told: OnLevelChange) {
        self.on_change.store(Some(Arc::new(told)));
    }

    /// Its figures.
    pub fn status(&self, now: Moment) -> DegradeStatus {
        let machine = self.machine.lock();
        let last = machine.last();
        DegradeStatus {
            level: machine.level(),
            levels: machine.policy().levels.clone(),
            forced: machine.is_forced(),
            last: last.map(|(_, change)| change.clone()),
            since_ms: last
                .map(|(at, _)| u64::try_from(now.since(*at).as_millis()).unwrap_or(u64::MAX)),
            changes: machine.changes(),
            signals: machine.signals(now),
            features: machine.policy().modes_at(machine.position()),
        }
    }

    fn turn<R>(&self, f: impl FnOnce(&mut Machine) -> (R, Option<LevelChange>)) -> R {
        let mut machine = self.machine.lock();
        let (answer, change) = f(&mut machine);
        if change.is_some() {
            self.publish(&machine);
        }
        drop(machine);
        self.tell(change);
        answer
    }

    /// Writes what callers read; under the machine's lock, so that they see its levels in their order.
    fn publish(&self, machine: &Machine) {
        let modes = machine.policy().modes_at(machine.position());
        let all_on = modes.values().all(|mode| *mode == FeatureMode::On);
        self.present.store(Arc::new(Present { level: machine.level(), modes }));
        self.all_on.store(all_on, Ordering::Release);
    }

    fn tell(&self, change: Option<LevelChange>) {
        if let Some(change) = change
            && let Some(told) = &*self.on_change.load()
        {
            told(&change);
        }
    }
}

impl std::fmt::Debug for Degradation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Degradation").field("level", &self.level()).finish_non_exhaustive()
    }
}

fn no_level(name: &str, policy: &DegradePolicy) -> Error {
    let error = Error::new(Code::NOT_FOUND, "there is no level of this name")
        .operation("recovery.degrade")
        .with("level", name);
    match nearest(name, policy.levels.iter().map(String::as_str)) {
        Some(near) => error.advice(format!("did you mean '{near}'?")),
        None => error,
    }
}

#[cfg(test)]
mod tests;
