//! Isolation: what harms the rest is set apart, probed after a while, and let in again.
//!
//! A **target** is anything with a name, a component or an agent. **Evidence** about it is fed in
//! (crashes, failures, memory, slow calls, successes), and **rules** judge it: a crash loop, an error
//! storm, too much memory or memory that keeps growing. From there it goes
//! healthy → suspect → quarantined → probing → healthy, or back into quarantine, for twice as long.
//!
//! ```
//! use std::time::Duration;
//! use sutazai_core::base::time::Moment;
//! use sutazai_core::recovery::{Evidence, Isolation, IsolatePolicy, IsolateState};
//!
//! let isolation = Isolation::new(IsolatePolicy::default())?;
//! let now = Moment::ZERO;
//! for _ in 0..3 {
//!     isolation.observe("indexer", Evidence::Crash, now)?;
//! }
//! assert!(isolation.may_call("indexer", now).is_err());
//! assert!(isolation.may_call("another", now).is_ok());
//! let later = now + Duration::from_secs(30);
//! for _ in 0..3 {
//!     isolation.may_call("indexer", later)?; // a probe
//!     isolation.observe("indexer", Evidence::Success, later)?;
//! }
//! assert_eq!(isolation.status("indexer", later).unwrap().state, IsolateState::Healthy);
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! This is the machine and its data; who routes calls around a target asks it, and tells it what came
//! of the probes. While nothing is set apart, [`may_call`](Isolation::may_call) reads one atomic word.

mod growth;
mod machine;
mod policy;
mod target;

pub use policy::{CrashLoop, ErrorStorm, IsolatePolicy, MemoryRule};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use machine::Machine;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::base::error::Fixed;
use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// Something that was seen of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// It went down: a process that exited, a panic, a supervisor that had to start it again.
    Crash,
    /// A call of it failed.
    Failure,
    /// A call of it succeeded, but slowly.
    Slow,
    /// A call of it succeeded.
    Success,
    /// It uses so many bytes of memory.
    Memory(u64),
}

/// Where a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IsolateState {
    /// Nothing speaks against it.
    Healthy,
    /// A rule is on its way to being broken; calls pass.
    Suspect,
    /// Set apart: no call passes.
    Quarantined,
    /// A few calls pass, to find out.
    Probing,
}

/// Why a target changed its state: the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum IsolateWhy {
    /// It went down so often.
    CrashLoop {
        /// Crashes in the window.
        crashes: u32,
        /// Milliseconds of the window.
        window_ms: u64,
    },
    /// Too many calls failed.
    ErrorStorm {
        /// Those that failed.
        failed: u32,
        /// Of so many in the window.
        calls: u32,
    },
    /// Too many calls were slow.
    SlowStorm {
        /// Those that were slow.
        slow: u32,
        /// Of so many in the window.
        calls: u32,
    },
    /// It uses too much memory.
    Memory {
        /// So many bytes.
        bytes: u64,
        /// More than these are too many.
        bound: u64,
    },
    /// Its memory keeps growing.
    Growth {
        /// By so many bytes in a minute, the median of all slopes between two samples.
        bytes_per_minute: f64,
        /// More than these are too many.
        bound: u64,
    },
    /// What made it suspect has passed.
    Calm,
    /// The time of its quarantine is over.
    Waited,
    /// A probe failed.
    ProbeFailed,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// By hand.
    Manual {
        /// Who.
        by: String,
    },
}

impl std::fmt::Display for IsolateWhy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CrashLoop { crashes, window_ms } => {
                write!(f, "it crashed {crashes} times within {window_ms} ms")
            }
            Self::ErrorStorm { failed, calls } => write!(f, "{failed} of {calls} calls failed"),
            Self::SlowStorm { slow, calls } => write!(f, "{slow} of {calls} calls were slow"),
            Self::Memory { bytes, bound } => {
                write!(f, "it uses {bytes} bytes of memory, and may use {bound}")
            }
            Self::Growth { bytes_per_minute, bound } => {
                write!(
                    f,
                    "its memory grows by {bytes_per_minute:.0} bytes a minute, and may by {bound}"
                )
            }
            Self::Calm => f.write_str("nothing more was seen of what made it suspect"),
            Self::Waited => f.write_str("it has been set apart for its time, and is probed"),
            Self::ProbeFailed => f.write_str("a probe failed"),
            Self::ProbesSucceeded => f.write_str("enough probes succeeded"),
            Self::Manual { by } => write!(f, "by hand of {by}"),
        }
    }
}

/// A change of a target's state, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct IsolateChange {
    /// The target.
    pub target: Arc<str>,
    /// Its state before.
    pub from: IsolateState,
    /// Its state since.
    pub to: IsolateState,
    /// Why.
    #[serde(flatten)]
    pub why: IsolateWhy,
    /// For how many milliseconds it is set apart; `None` when that is not so, or until it is released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}

/// A target's figures.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TargetStatus {
    /// Its name.
    pub target: Arc<str>,
    /// Where it stands.
    pub state: IsolateState,
    /// The evidence that led there; `None` when it has always been healthy.
    #[serde(flatten)]
    pub why: Option<IsolateWhy>,
    /// Milliseconds until it may be probed; only while it is quarantined, and not until released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_in_ms: Option<u64>,
    /// Times that it was quarantined and that are not forgiven yet.
    pub relapses: u32,
}

/// Hears of every change of a target. Called with no lock held.
pub type OnIsolateChange = Arc<dyn Fn(&IsolateChange) + Send + Sync>;

/// The targets of a system, shared by threads. See the [module's documentation](self).
pub struct Isolation {
    /// How many targets are set apart or probed.
    apart: AtomicUsize,
    machine: Mutex<Machine>,
    on_change: ArcSwapOption<OnIsolateChange>,
}

impl Isolation {
    /// One that knows no target.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid.
    pub fn new(policy: IsolatePolicy) -> Result<Self> {
        policy.check()?;
        Ok(Self {
            apart: AtomicUsize::new(0),
            machine: Mutex::new(Machine::new(policy)),
            on_change: ArcSwapOption::empty(),
        })
    }

    /// Whether a call of this target may be made now. One of a target that is probed takes a place of
    /// its probe budget, until [`observe`](Self::observe) hears what came of it.
    ///
    /// # Errors
    /// [`Code::QUARANTINED`], without allocating.
    #[inline]
    pub fn may_call(&self, target: &str, now: Moment) -> Result<()> {
        if self.apart.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        self.ask(target, now)
    }

    #[cold]
    fn ask(&self, target: &str, now: Moment) -> Result<()> {
        static QUARANTINED: Fixed = Fixed {
            code: Code::QUARANTINED,
            message: "the target is quarantined: it has been harming the rest",
        };
        let admitted = self.turn(|machine| machine.admit(target, now));
        if admitted { Ok(()) } else { Err(Error::from(&QUARANTINED)) }
    }

    /// What [`may_call`](Self::may_call) would say, for who chooses between targets. Takes no place.
    #[inline]
    pub fn is_open(&self, target: &str, now: Moment) -> bool {
        self.is_quiet() || self.machine.lock().would_admit(target, now)
    }

    /// Whether a call to this target would be one of the probes that decide whether it is let in again.
    pub fn would_probe(&self, target: &str, now: Moment) -> bool {
        if self.is_quiet() {
            return false;
        }
        let machine = self.machine.lock();
        machine.is_apart(target) && machine.would_admit(target, now)
    }

    /// Whether nothing is set apart.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.apart.load(Ordering::Acquire) == 0
    }

    /// Whether this target is set apart or probed: how its calls go says whether it is let in again.
    #[inline]
    pub fn is_apart(&self, target: &str) -> bool {
        !self.is_quiet() && self.machine.lock().is_apart(target)
    }

    /// Feeds evidence in. When as many targets are known as the policy allows, the healthy one that was
    /// heard of the longest ago is forgotten for a new one.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that is empty or longer than 128 bytes; [`Code::OVERLOADED`] when no
    /// known target is healthy.
    pub fn observe(&self, target: &str, evidence: Evidence, now: Moment) -> Result<()> {
        self.turn(|machine| match machine.known(target, now) {
            Ok(()) => (Ok(()), machine.observe(target, evidence, now)),
            Err(error) => (Err(error), None),
        })
    }

    /// A call that [`may_call`](Self::may_call) let pass has come to nothing that speaks for or against its
    /// target: if it was a probe, its place is free again.
    pub fn let_go(&self, target: &str) {
        if !self.is_quiet() {
            self.machine.lock().let_go(target);
        }
    }

    /// Sets a target apart by hand, for so long, or until it is released; `by` says who.
    ///
    /// # Errors
    /// As [`observe`](Self::observe).
    pub fn quarantine(
        &self,
        target: &str,
        length: Option<Duration>,
        by: &str,
        now: Moment,
    ) -> Result<()> {
        self.turn(|machine| match machine.known(target, now) {
            Ok(()) => (Ok(()), machine.quarantine(target, length, by, now)),
            Err(error) => (Err(error), None),
        })
    }

    /// Lets a target in by hand, and forgives it; `by` says who.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for one that nothing is known of.
    pub fn release(&self, target: &str, by: &str, now: Moment) -> Result<()> {
        self.turn(|machine| match machine.release(target, by, now) {
            Ok(change) => (Ok(()), change),
            Err(error) => (Err(error), None),
        })
    }

    /// Forgets a target: it is gone.
    pub fn forget(&self, target: &str) {
        self.turn(|machine| {
            machine.forget(target);
            ((), None)
        });
    }

    /// Does what is due by the time alone: the end of a quarantine, suspicion that has passed. Call it at
    /// [`next_tick`](Self::next_tick), or every now and then.
    pub fn tick(&self, now: Moment) {
        while self.turn(|machine| {
            let change = machine.tick(now);
            (change.is_some(), change)
        }) {}
    }

    /// When the time alone may change something; `None` when only evidence can.
    pub fn next_tick(&self) -> Option<Moment> {
        self.machine.lock().next_tick()
    }

    /// Takes another policy from here on. States stay; evidence of another window is forgotten.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid; the old one stays.
    pub fn set_policy(&self, policy: IsolatePolicy) -> Result<()> {
        policy.check()?;
        self.machine.lock().change_policy(policy);
        Ok(())
    }

    /// The policy.
    pub fn policy(&self) -> IsolatePolicy {
        self.machine.lock().policy().clone()
    }

    /// Hears of changes from here on, in the place of who did before.
    pub fn on_change(&self, told: OnIsolateChange) {
        self.on_change.store(Some(Arc::new(told)));
    }

    /// One target; `None` when nothing is known of it.
    pub fn status(&self, target: &str, now: Moment) -> Option<TargetStatus> {
        self.machine.lock().status(target, now)
    }

    /// Every target that something is known of, sorted by name.
    pub fn list(&self, now: Moment) -> Vec<TargetStatus> {
        self.machine.lock().list(now)
    }

    fn turn<R>(&self, f: impl FnOnce(&mut Machine) -> (R, Option<IsolateChange>)) -> R {
        let mut machine = self.machine.lock();
        let (answer, change) = f(&mut machine);
        self.apart.store(machine.apart(), Ordering::Release);
        drop(machine);
        if let Some(change) = change
            && let Some(told) = &*self.on_change.load()
        {
            told(&change);
        }
        answer
    }
}

impl std::fmt::Debug for Isolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let apart = self.apart.load(Ordering::Relaxed);
        f.debug_struct("Isolation").field("apart", &apart).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
