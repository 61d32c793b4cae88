//! A guard: everything that stands between a call and trouble, as one thing.
//!
//! A try goes in past the breaker, the bulkhead and the rate limit; when it fails it is judged, and
//! tried again when that may help, within the deadline and as far as the retry budget pays. What the
//! guard itself rejects is not tried again: it would only be rejected again.
//!
//! ```
//! use sutazai_core::recovery::{Guard, GuardPolicy};
//! use sutazai_core::{Code, Error};
//!
//! let policy: GuardPolicy =
//!     serde_json::from_str(r#"{"timeout_ms": 2000, "retry": {"base_ms": 1}, "breaker": {}}"#)?;
//! let guard = Guard::new("weather", policy)?;
//! let mut tries = 0;
//! let answer = guard.run(|_| {
//!     tries += 1;
//!     if tries < 3 { Err(Error::new(Code::OVERLOADED, "busy")) } else { Ok("sunny") }
//! })?;
//! assert_eq!((answer, tries), ("sunny", 3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Invariants.** Whatever was let in is let out again: a call that panics, is dropped or is cancelled
//! gives back its place and its probe. A call that succeeds allocates nothing. Nested guards do not
//! multiply retries: an error that one has given up on ([`GAVE_UP`]) is not tried again further out.

mod clock;
mod deadlines;
mod future;
mod hedge;
mod parts;
mod policy;
mod shared;
mod steps;
mod tries;

pub use policy::{GuardPolicy, HedgePolicy, Share};
pub use shared::SharedParts;
pub use steps::{Steps, Which};
pub use tries::{GAVE_UP, GaveUp, Judgement, Next};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clock::Clock;
use deadlines::Deadlines;
use hedge::Hedge;
use parking_lot::Mutex;
use parts::{Entry, Flags, Parts, Pass};
use serde::Serialize;
use tries::Tries;

use super::chance::Chance;
use super::classify::Classifier;
use super::{Breaker, BreakerStatus, Budget, BudgetStatus, Bulkhead, BulkheadStatus};
use crate::base::deadline;
use crate::base::error::Fixed;
use crate::base::priority;
use crate::base::runtime::Runtime;
use crate::base::time::{Moment, Timestamp};
use crate::{Code, Error, Result};

/// Judges failures: which may go away by themselves. See [`GuardBuilder::judge_by`].
pub type Judge = Arc<dyn Fn(&Error, Timestamp) -> Judgement + Send + Sync>;

/// Guards calls; see the [module's documentation](self). Cheap to clone; clones are the same guard.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    parts: Parts,
    shared: SharedParts,
    deadlines: Option<Deadlines>,
    judge: Option<Judge>,
    classifier: Arc<Classifier>,
    chance: Chance,
    /// Held while the policy is changed.
    changing: Mutex<()>,
    retries: AtomicU64,
    hedges: AtomicU64,
}

/// How a guard is made, where its defaults do not do.
#[must_use = "it does nothing until `build`"]
pub struct GuardBuilder {
    name: Arc<str>,
    policy: GuardPolicy,
    shared: SharedParts,
    runtime: Option<Arc<dyn Runtime>>,
    judge: Option<Judge>,
    classifier: Option<Arc<Classifier>>,
    seed: u64,
}

/// One try, as the call that is guarded sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// 1 for the first try. A hedged second call has the number of the first.
    pub number: u32,
    /// When it is given up; [`Moment::FAR`] for never.
    pub deadline: Moment,
    /// Whether it runs beside a slow one.
    pub hedged: bool,
}

/// A guard's figures.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct GuardStatus {
    /// Its name.
    pub name: String,
    /// Tries after the first ones.
    pub retries: u64,
    /// Second calls beside slow ones.
    pub hedges: u64,
    /// Its breaker, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerStatus>,
    /// What its retries are paid from, if it retries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetStatus>,
    /// Its bulkhead, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<BulkheadStatus>,
    /// Calls that its rate limit rejected, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limited: Option<u64>,
}

impl Guard {
    /// A guard on the system's clock, for calls that block. One for calls that are awaited needs a
    /// [runtime](GuardBuilder::runtime).
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid.
    pub fn new(name: impl Into<Arc<str>>, policy: GuardPolicy) -> Result<Self> {
        Self::builder(name, policy).build()
    }

    /// A guard that is put together.
    pub fn builder(name: impl Into<Arc<str>>, policy: GuardPolicy) -> GuardBuilder {
        GuardBuilder {
            name: name.into(),
            policy,
            shared: SharedParts::new(),
            runtime: None,
            judge: None,
            classifier: None,
            seed: fresh_seed(),
        }
    }

    /// Makes a call that blocks, on this thread, as often as it takes.
    ///
    /// The call's deadline is its caller's ([`deadline::current`]) or the policy's, whichever is
    /// earlier, and is in force for what it calls in turn. A call that blocks is not interrupted; the
    /// deadline ends retries and waits. Where nobody needs the clock precisely, deadlines of 200 ms and
    /// more are good to some of the system's ticks: they may be 10 ms early on Linux.
    ///
    /// # Errors
    /// The call's own error, with the reason why nothing more was tried; what the guard rejected
    /// ([`Code::BREAKER_OPEN`], [`Code::BULKHEAD_FULL`], [`Code::RATE_LIMITED`]);
    /// [`Code::DEADLINE_EXCEEDED`] when there was no place in time, or its caller has none left;
    /// [`Code::WOULD_DEADLOCK`] where it
    /// would have to wait on a thread that must not.
    #[inline]
    pub fn run<T>(&self, mut call: impl FnMut(Attempt) -> Result<T>) -> Result<T> {
        let inner = &*self.0;
        inner.parts.check_time()?;
        let (pass, deadline) = match inner.parts.enter()? {
            Some(pass) => {
                let deadline = inner.parts.deadline(&pass.entry);
                (pass, deadline)
            }
            None => {
                let deadline = inner.parts.deadline_from(inner.parts.clock.now());
                (inner.wait_for_place(deadline)?, deadline)
            }
        };
        let attempt = Attempt {
            number: 1,
            deadline: inner.parts.attempt_deadline(&pass.entry, deadline),
            hedged: false,
        };
        match deadline::within(attempt.deadline, || call(attempt)) {
            Ok(answer) => {
                pass.succeeded();
                Ok(answer)
            }
            Err(error) => inner.run_on(&mut call, pass, deadline, error),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether it makes second tries beside slow ones.
    #[inline]
    pub fn hedges(&self) -> bool {
        self.0.parts.flags().has(Flags::HEDGE)
    }

    /// Its policy.
    pub fn policy(&self) -> GuardPolicy {
        GuardPolicy::clone(&self.0.parts.policy.load())
    }

    /// Takes another policy for the calls that come from now on. Parts that stay keep their state: a
    /// breaker that is open stays so. The policies of parts that are shared are changed for all who
    /// share them.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid, or that shares other parts than the guard was
    /// built with; the old one stays.
    pub fn set_policy(&self, policy: GuardPolicy) -> Result<()> {
        policy.check()?;
        let parts = &self.0.parts;
        let _alone = self.0.changing.lock();
        let had = parts.policy.load();
        if policy.share != had.share {
            return Err(Error::new(Code::INVALID, "which parts a guard shares cannot be changed")
                .operation("recovery.guard")
                .with("guard", &self.0.name)
                .with("field", "share")
                .advice("build another guard"));
        }
        if policy.hedge != had.hedge {
            parts.hedge.store(policy.hedge.as_ref().map(Hedge::new).transpose()?.map(Arc::new));
        }
        let share = &policy.share;
        of_part(&policy.breaker, &share.breaker).map_or(Ok(()), |p| parts.breaker.set_policy(p))?;
        of_part(&policy.budget, &share.budget).map_or(Ok(()), |p| parts.budget.set_policy(p))?;
        of_part(&policy.bulkhead, &share.bulkhead)
            .map_or(Ok(()), |p| parts.bulkhead.set_policy(p))?;
        if had.has_bulkhead() && !policy.has_bulkhead() {
            // Those that wait for a place in it need none any more.
            parts.bulkhead.open();
        }
        of_part(&policy.rate, &share.rate).map_or(Ok(()), |p| parts.rate.set_policy(p))?;
        self.0.shared.changed(&policy);
        parts.publish(policy);
        Ok(())
    }

    /// Its breaker, if it has one: to ask, to force, or to hear of its changes.
    pub fn breaker(&self) -> Option<Arc<Breaker>> {
        self.part(Flags::BREAKER, |parts| Arc::clone(&parts.breaker))
    }

    /// Its breaker, whether it has one at present or not, as long as the guard is there.
    pub(crate) fn weak_breaker(&self) -> std::sync::Weak<Breaker> {
        Arc::downgrade(&self.0.parts.breaker)
    }

    /// Hears of the changes of its breaker from here on, whether it has one at present or not.
    pub(crate) fn on_breaker_change(&self, told: crate::recovery::OnChange) {
        self.0.parts.breaker.on_change(told);
    }

    /// What its retries are paid from, if it retries.
    pub fn budget(&self) -> Option<Arc<Budget>> {
        self.part(Flags::BUDGET, |parts| Arc::clone(&parts.budget))
    }

    /// Its bulkhead, if it has one.
    pub fn bulkhead(&self) -> Option<Bulkhead> {
        self.part(Flags::BULKHEAD, |parts| parts.bulkhead.clone())
    }

    /// Its figures.
    pub fn status(&self) -> GuardStatus {
        let now = self.0.parts.clock.now();
        GuardStatus {
            name: self.0.name.to_string(),
            retries: self.0.retries.load(Ordering::Relaxed),
            hedges: self.0.hedges.load(Ordering::Relaxed),
            breaker: self.part(Flags::BREAKER, |parts| parts.breaker.status(now)),
            budget: self.part(Flags::BUDGET, |parts| parts.budget.status()),
            bulkhead: self.part(Flags::BULKHEAD, |parts| parts.bulkhead.status()),
            rate_limited: self.part(Flags::RATE, |parts| parts.rate.rejected()),
        }
    }

    fn part<T>(&self, flag: Flags, f: impl FnOnce(&Parts) -> T) -> Option<T> {
        self.0.parts.flags().has(flag).then(|| f(&self.0.parts))
    }
}

impl GuardBuilder {
    /// Shares parts with other guards by the names in [`GuardPolicy::share`].
    pub fn shared(mut self, parts: &SharedParts) -> Self {
        self.shared = parts.clone();
        self
    }

    /// Takes the time from this runtime, and its timers for calls that are awaited.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Classifies failures by this, with the host's rules. Without it: by the built-in ones.
    pub fn classifier(mut self, classifier: &Arc<Classifier>) -> Self {
        self.classifier = Some(Arc::clone(classifier));
        self
    }

    /// Judges failures by this, in the place of a classifier.
    pub fn judge_by(mut self, judge: Judge) -> Self {
        self.judge = Some(judge);
        self
    }

    /// Makes the jitter follow from this seed. Without it every guard has one of its own, drawn by
    /// chance: what met an outage together is not to come back together.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The guard.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid, or that disagrees with other guards about a
    /// part they share.
    pub fn build(self) -> Result<Guard> {
        self.policy.check_anew()?;
        let chosen = self.shared.choose(&self.name, &self.policy)?;
        let hedge = self.policy.hedge.as_ref().map(Hedge::new).transpose()?;
        let deadlines = self.runtime.as_ref().map(|runtime| Deadlines::new(Arc::clone(runtime)));
        let clock = self.runtime.map_or(Clock::System, Clock::Of);
        Ok(Guard(Arc::new(Inner {
            name: self.name,
            parts: Parts::new(self.policy, chosen, hedge, clock),
            shared: self.shared,
            deadlines,
            judge: self.judge,
            classifier: self.classifier.unwrap_or_default(),
            chance: Chance::new(self.seed),
            changing: Mutex::new(()),
            retries: AtomicU64::new(0),
            hedges: AtomicU64::new(0),
        })))
    }
}

impl Inner {
    /// The way of a blocking call whose first try failed.
    #[cold]
    fn run_on<T>(
        &self,
        call: &mut dyn FnMut(Attempt) -> Result<T>,
        pass: Pass<'_>,
        deadline: Moment,
        error: Error,
    ) -> Result<T> {
        let mut tries = Tries::first(deadline);
        let (mut pass, mut error) = (pass, error);
        loop {
            match self.after(&mut tries, pass, &error) {
                Next::Retry(Duration::ZERO) => {}
                Next::Retry(wait) => self.parts.clock.pause(wait)?,
                Next::GiveUp(why) => return Err(tries.finish(error, why)),
            }
            let entered = match self.parts.enter() {
                Ok(None) => self.wait_for_place(deadline),
                Ok(Some(pass)) => Ok(pass),
                Err(rejected) => Err(rejected),
            };
            // What the call failed with says more than that it was not let in again.
            let Ok(entered) = entered else { return Err(tries.finish(error, GaveUp::Rejected)) };
            pass = entered;
            let attempt = Attempt {
                number: tries.made,
                deadline: self.parts.attempt_deadline(&pass.entry, deadline),
                hedged: false,
            };
            match deadline::within(attempt.deadline, || call(attempt)) {
                Ok(answer) => {
                    pass.succeeded();
                    return Ok(answer);
                }
                Err(again) => error = again,
            }
        }
    }

    /// A try has failed: lets it out, and decides.
    fn after(&self, tries: &mut Tries, pass: Pass<'_>, error: &Error) -> Next {
        let entry = pass.keep();
        self.settle(tries, entry, error, self.judge(error))
    }

    fn settle(&self, tries: &mut Tries, entry: Entry, error: &Error, judged: Judgement) -> Next {
        let now = self.parts.clock.now();
        self.parts.failed(entry, error, judged.class, now);
        let next = tries.next(&self.parts, error, judged, &self.chance, now);
        if let Next::Retry(_) = next {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        next
    }

    fn judge(&self, error: &Error) -> Judgement {
        match &self.judge {
            Some(judge) => judge(error, self.parts.clock.timestamp()),
            None => {
                let verdict = self.classifier.classify_error(error, self.parts.clock.timestamp());
                Judgement { class: verdict.class, retry_after: verdict.retry_after }
            }
        }
    }

    #[cold]
    fn wait_for_place(&self, deadline: Moment) -> Result<Pass<'_>> {
        let parts = &self.parts;
        let mut ticket = parts.bulkhead.acquire(priority::current());
        let place = if deadline == Moment::FAR {
            ticket.wait()?
        } else {
            let left = deadline.since(parts.clock.now());
            ticket.wait_timeout(left).unwrap_or_else(|| Err(no_place()))?
        };
        parts.enter_with_place(place)
    }
}

/// What a part is told: a shared one of which nothing is said stays as the others have it.
fn of_part<P: Clone + PartialEq + Default>(
    policy: &Option<P>,
    shared: &Option<String>,
) -> Option<P> {
    policy.clone().filter(|policy| shared.is_none() || *policy != P::default())
}

/// The standard library's hasher keys are random enough for jitter.
fn fresh_seed() -> u64 {
    use std::hash::BuildHasher as _;
    std::hash::RandomState::new().hash_one(0_u8)
}

#[cold]
fn no_place() -> Error {
    static LATE: Fixed = Fixed {
        code: Code::DEADLINE_EXCEEDED,
        message: "the bulkhead had no place before the deadline",
    };
    Error::from(&LATE)
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("name", &self.0.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
