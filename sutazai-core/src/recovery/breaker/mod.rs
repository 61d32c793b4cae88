//! A circuit breaker: stops calling what keeps failing, and finds out when it works again.
//!
//! **Closed**, calls pass and their outcomes are counted; when too many fail, or are slow, it
//! **opens** and rejects all calls for a time. Then it is **half-open**: a few probes pass, twice as
//! many each time that so many succeed, until it closes; a probe that fails opens it again, for twice
//! as long (M. Nygard, "Release It!", 2nd edition, 2018, chapter 5).
//!
//! ```
//! use std::time::Duration;
//! use sutazai_core::base::time::Moment;
//! use sutazai_core::recovery::{Breaker, BreakerPolicy, BreakerState, Outcome};
//!
//! let mut policy = BreakerPolicy::default();
//! policy.consecutive = 3;
//! let breaker = Breaker::new("billing", policy)?;
//! let now = Moment::ZERO;
//! for _ in 0..3 {
//!     breaker.admit(now)?.settle(Outcome::Failure, None, now);
//! }
//! assert_eq!(breaker.state(), BreakerState::Open);
//! assert!(breaker.admit(now).is_err());
//! let later = now + Duration::from_secs(5);
//! breaker.admit(later)?.settle(Outcome::Success, None, later);
//! assert_eq!(breaker.state(), BreakerState::HalfOpen);
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Cost.** While all is well (closed, and the window full of good calls) a call reads one atomic word
//! and writes nothing, whatever the number of threads: one more success would not change what a window
//! over a number of calls holds. Anything else takes a short lock. A rejection reads two words.

mod machine;
mod policy;
pub(super) mod window;

pub use policy::{BreakerPolicy, Window};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use machine::Machine;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::base::error::Fixed;
use crate::base::time::Moment;
use crate::{Class, Code, Error, Result};

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are rejected.
    Open,
    /// A few calls pass, to find out.
    HalfOpen,
}

/// A state that somebody has put a breaker into and that it does not leave by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forced {
    /// All calls pass, whatever comes of them.
    Closed,
    /// No call passes.
    Open,
}

/// What came of a call, as far as its target is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target did its work.
    Success,
    /// The target failed.
    Failure,
    /// It says nothing about the target: cancelled by the caller, say.
    Ignored,
}

/// Why a breaker changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// So many calls failed one after the other.
    Consecutive,
    /// So large a share of calls failed.
    FailureRate,
    /// So large a share of calls was slow.
    SlowRate,
    /// The time that it stays open has passed.
    Waited,
    /// A probe failed.
    ProbeFailed,
    /// A probe was slow.
    ProbeSlow,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// By hand.
    Forced,
}

/// A change of a breaker's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Change {
    /// The state before.
    pub from: BreakerState,
    /// The state since.
    pub to: BreakerState,
    /// Why.
    pub why: Why,
}

/// A breaker's figures.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct BreakerStatus {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: BreakerState,
    /// Whether somebody has put it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced: Option<Forced>,
    /// Calls in the window.
    pub calls: u32,
    /// Those of them that failed.
    pub failed: u32,
    /// Those of them that were slow.
    pub slow: u32,
    /// Failures since the last success.
    pub consecutive: u32,
    /// Milliseconds until it tries a probe; only while it is open, and not by force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_in_ms: Option<u64>,
    /// Calls rejected since it was made.
    pub rejected: u64,
    /// Times it opened since it was made.
    pub opened: u64,
}

/// Hears of every change of one breaker: its name, and the change. Called with no lock held.
pub type OnChange = Arc<dyn Fn(&str, &Change) + Send + Sync>;

/// A circuit breaker that threads share. See the [module's documentation](self).
pub struct Breaker {
    name: Arc<str>,
    /// What a call must know: the generation, and in the two lowest bits one of the constants below.
    gate: AtomicU64,
    /// While it is open: when the next probe may come, in nanoseconds.
    until: AtomicU64,
    /// The time beyond which a call is slow, in nanoseconds; `u64::MAX` when nobody asks.
    slow: AtomicU64,
    machine: Mutex<Machine>,
    rejected: AtomicU64,
    opened: AtomicU64,
    on_change: ArcSwapOption<OnChange>,
}

/// Closed, and a success changes nothing.
const QUIET: u64 = 0;
/// Closed, but every outcome counts.
const COUNTING: u64 = 1;
/// Open until a moment.
const OPEN: u64 = 2;
/// Half-open.
const PROBING: u64 = 3;
const GATES: u64 = 3;

impl Breaker {
    /// A closed breaker.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid.
    pub fn new(name: impl Into<Arc<str>>, policy: BreakerPolicy) -> Result<Self> {
        policy.check()?;
        let breaker = Self {
            name: name.into(),
            gate: AtomicU64::new(COUNTING),
            until: AtomicU64::new(0),
            slow: AtomicU64::new(u64::MAX),
            machine: Mutex::new(Machine::new(policy)),
            rejected: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            on_change: ArcSwapOption::empty(),
        };
        breaker.publish(&breaker.machine.lock());
        Ok(breaker)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a call may pass now. The permit must be settled; one that is dropped counts as
    /// [`Outcome::Ignored`].
    ///
    /// # Errors
    /// [`Code::BREAKER_OPEN`], without allocating.
    #[inline]
    pub fn admit(&self, now: Moment) -> Result<BreakerPermit<'_>> {
        self.enter(|| now).map(|gate| BreakerPermit { breaker: self, gate })
    }

    /// As [`admit`](Self::admit), with the time asked for only where it matters, and without the care
    /// for what is not settled.
    #[inline]
    pub(super) fn enter(&self, now: impl FnOnce() -> Moment) -> Result<u64> {
        let gate = self.gate.load(Ordering::Acquire);
        match gate & GATES {
            QUIET | COUNTING => Ok(gate),
            OPEN => {
                let now = now();
                if now.as_nanos() < self.until.load(Ordering::Relaxed) {
                    Err(self.reject())
                } else {
                    self.enter_slowly(now)
                }
            }
            _ => self.enter_slowly(now()),
        }
    }

    #[cold]
    fn enter_slowly(&self, now: Moment) -> Result<u64> {
        let mut machine = self.machine.lock();
        let (admitted, change) = machine.admit(now);
        let gate = self.publish(&machine);
        drop(machine);
        self.tell(change);
        if admitted { Ok(gate) } else { Err(self.reject()) }
    }

    #[cold]
    fn reject(&self) -> Error {
        static OPEN: Fixed = Fixed {
            code: Code::BREAKER_OPEN,
            message: "the circuit breaker is open: the target has been failing, and is left alone for a while",
        };
        self.rejected.fetch_add(1, Ordering::Relaxed);
        Error::from(&OPEN)
    }

    /// A call that was let in with `gate` succeeded, and nobody measured how long it took.
    #[inline]
    pub(super) fn succeeded(&self, gate: u64, now: impl FnOnce() -> Moment) {
        if gate & GATES == QUIET && self.gate.load(Ordering::Relaxed) == gate {
            return;
        }
        self.settle_slowly(gate, Outcome::Success, None, now());
    }

    /// Whether a call that was let in with `gate`, succeeded and took no longer than this changes nothing;
    /// such a one need not be settled.
    #[inline]
    pub(super) fn is_unmoved(&self, gate: u64, at_most: Duration) -> bool {
        gate & GATES == QUIET && self.gate.load(Ordering::Relaxed) == gate && !self.is_slow(at_most)
    }

    /// A call that was let in with `gate` has ended.
    #[inline]
    pub(super) fn settle(&self, gate: u64, outcome: Outcome, took: Option<Duration>, now: Moment) {
        if outcome == Outcome::Success && self.is_unmoved(gate, took.unwrap_or_default()) {
            return;
        }
        self.settle_slowly(gate, outcome, took, now);
    }

    #[cold]
    fn settle_slowly(&self, gate: u64, outcome: Outcome, took: Option<Duration>, now: Moment) {
        let mut machine = self.machine.lock();
        let change = machine.settle(gate >> 2, outcome, took, now);
        self.publish(&machine);
        drop(machine);
        self.tell(change);
    }

    /// Whether it wants to know how long calls take.
    #[inline]
    pub(super) fn wants_time(&self) -> bool {
        self.slow.load(Ordering::Relaxed) != u64::MAX
    }

    #[inline]
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        took.as_nanos() > u128::from(self.slow.load(Ordering::Relaxed))
    }

    /// What an error says of the target.
    pub(super) fn outcome_of(&self, class: Class) -> Outcome {
        if self.machine.lock().policy().is_failure(class) {
            Outcome::Failure
        } else {
            Outcome::Success
        }
    }

    /// Where it stands. An open breaker stays open until a call comes to probe.
    pub fn state(&self) -> BreakerState {
        self.machine.lock().state()
    }

    /// Whether it would let a call in now, to see whether its target works again.
    pub fn would_probe(&self, now: Moment) -> bool {
        match self.gate.load(Ordering::Acquire) & GATES {
            OPEN if now.as_nanos() < self.until.load(Ordering::Relaxed) => false,
            OPEN | PROBING => self.machine.lock().would_probe(now),
            _ => false,
        }
    }

    /// Puts it into a state that it does not leave by itself, or (`None`) gives it back to itself,
    /// closed.
    pub fn force(&self, forced: Option<Forced>) {
        let mut machine = self.machine.lock();
        let change = machine.force(forced);
        self.publish(&machine);
        drop(machine);
        self.tell(change);
    }

    /// Takes another policy from here on. The state stays as it is.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid; the old one stays.
    pub fn set_policy(&self, policy: BreakerPolicy) -> Result<()> {
        policy.check()?;
        let mut machine = self.machine.lock();
        machine.change_policy(policy);
        self.publish(&machine);
        Ok(())
    }

    /// The policy.
    pub fn policy(&self) -> BreakerPolicy {
        self.machine.lock().policy().clone()
    }

    /// Hears of its changes from here on, in the place of who did before.
    pub fn on_change(&self, told: OnChange) {
        self.on_change.store(Some(Arc::new(told)));
    }

    /// Its figures.
    pub fn status(&self, now: Moment) -> BreakerStatus {
        let mut machine = self.machine.lock();
        let counts = machine.counts(now);
        let until = machine.closed_until().filter(|until| *until != Moment::FAR);
        BreakerStatus {
            name: self.name.to_string(),
            state: machine.state(),
            forced: machine.forced(),
            calls: counts.calls,
            failed: counts.failed,
            slow: counts.slow,
            consecutive: machine.consecutive(),
            probe_in_ms: until
                .map(|until| u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX)),
            rejected: self.rejected.load(Ordering::Relaxed),
            opened: self.opened.load(Ordering::Relaxed),
        }
    }

    /// Writes what calls read; under the machine's lock, so that they see its states in their order.
    fn publish(&self, machine: &Machine) -> u64 {
        let slow = machine
            .policy()
            .slow()
            .map_or(u64::MAX, |slow| u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX - 1));
        self.slow.store(slow, Ordering::Relaxed);
        let kind = match machine.state() {
            BreakerState::Closed if machine.is_quiet() => QUIET,
            BreakerState::Closed => COUNTING,
            BreakerState::Open => OPEN,
            BreakerState::HalfOpen => PROBING,
        };
        if let Some(until) = machine.closed_until() {
            self.until.store(until.as_nanos(), Ordering::Relaxed);
        }
        let gate = (machine.generation() << 2) | kind;
        self.gate.store(gate, Ordering::Release);
        gate
    }

    fn tell(&self, change: Option<Change>) {
        let Some(change) = change else { return };
        if change.to == BreakerState::Open {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(told) = &*self.on_change.load() {
            told(&self.name, &change);
        }
    }
}

impl std::fmt::Debug for Breaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Breaker")
            .field("name", &self.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// The right to make one call.
#[derive(Debug)]
#[must_use = "a permit is settled with what came of the call"]
pub struct BreakerPermit<'a> {
    breaker: &'a Breaker,
    gate: u64,
}

impl BreakerPermit<'_> {
    /// Says what came of the call, and how long it took if that was measured (without it the call is
    /// not slow).
    #[inline]
    pub fn settle(self, outcome: Outcome, took: Option<Duration>, now: Moment) {
        self.breaker.settle(self.gate, outcome, took, now);
        std::mem::forget(self);
    }
}

impl Drop for BreakerPermit<'_> {
    fn drop(&mut self) {
        // The time decides nothing about an outcome that is ignored.
        self.breaker.settle_slowly(self.gate, Outcome::Ignored, None, Moment::ZERO);
    }
}

#[cfg(test)]
mod tests;
