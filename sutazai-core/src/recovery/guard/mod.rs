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
mod tries;

pub use policy::{GuardPolicy, HedgePolicy, Share};
pub use shared::SharedParts;
pub use tries::{GAVE_UP, GaveUp, Judgement, Next};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use clock::Clock;
use deadlines::Deadlines;
use hedge::Hedge;
use parking_lot::Mutex;
use parts::{Parts, Pass};
use serde::Serialize;
use tries::Tries;

use super::chance::Chance;
use super::{Breaker, BreakerStatus, Budget, BudgetStatus, Bulkhead, BulkheadStatus};
use crate::base::deadline;
use crate::base::error::Fixed;
use crate::base::runtime::Runtime;
use crate::base::time::{Moment, Timestamp};
use crate::{Code, Error, Result};

/// Judges failures: which may go away by themselves. See [`Guard::judge_by`].
pub type Judge = Arc<dyn Fn(&Error, Timestamp) -> Judgement + Send + Sync>;

/// Guards calls; see the [module's documentation](self). Cheap to clone; clones are the same guard.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    parts: ArcSwap<Parts>,
    shared: SharedParts,
    clock: Clock,
    deadlines: Option<Deadlines>,
    judge: Option<Judge>,
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
            seed: 0,
        }
    }

    /// Makes a call that blocks, on this thread, as often as it takes.
    ///
    /// The call's deadline is its caller's ([`deadline::current`]) or the policy's, whichever is
    /// earlier, and is in force for what it calls in turn. A call that blocks is not interrupted; the
    /// deadline ends retries and waits. Where nobody needs the clock precisely, deadlines are good to
    /// the system's tick (4 ms at most on Linux).
    ///
    /// # Errors
    /// The call's own error, with the reason why nothing more was tried; what the guard rejected
    /// ([`Code::BREAKER_OPEN`], [`Code::BULKHEAD_FULL`], [`Code::RATE_LIMITED`]);
    /// [`Code::DEADLINE_EXCEEDED`] when there was no place in time; [`Code::WOULD_DEADLOCK`] where it
    /// would have to wait on a thread that must not.
    #[inline]
    pub fn run<T>(&self, mut call: impl FnMut(Attempt) -> Result<T>) -> Result<T> {
        let inner = &*self.0;
        let parts = inner.parts.load();
        let began = parts.began(&inner.clock);
        let deadline = parts.deadline(began);
        let pass = match parts.enter(began, &inner.clock)? {
            Some(pass) => pass,
            None => inner.wait_for_place(&parts, deadline)?,
        };
        let attempt =
            Attempt { number: 1, deadline: parts.attempt_deadline(began, deadline), hedged: false };
        match deadline::within(attempt.deadline, || call(attempt)) {
            Ok(answer) => {
                pass.succeeded();
                Ok(answer)
            }
            Err(error) => inner.run_on(&parts, &mut call, pass, deadline, error),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its policy.
    pub fn policy(&self) -> GuardPolicy {
        self.0.parts.load().policy.clone()
    }

    /// Takes another policy for the calls that come from now on. Parts that stay keep their state: a
    /// breaker that is open stays so.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid; the old one stays.
    pub fn set_policy(&self, policy: GuardPolicy) -> Result<()> {
        policy.check()?;
        let _alone = self.0.changing.lock();
        let had = self.0.parts.load();
        let chosen = self.0.shared.choose(&self.0.name, &policy, &had.chosen())?;
        let hedge = if policy.hedge == had.policy.hedge {
            had.hedge.clone()
        } else {
            policy.hedge.as_ref().map(Hedge::new).transpose()?.map(Arc::new)
        };
        self.0.parts.store(Arc::new(Parts::new(policy, chosen, hedge)));
        Ok(())
    }

    /// Its breaker, if it has one: to ask, to force, or to hear of its changes.
    pub fn breaker(&self) -> Option<Arc<Breaker>> {
        self.0.parts.load().breaker.clone()
    }

    /// What its retries are paid from, if it retries.
    pub fn budget(&self) -> Option<Arc<Budget>> {
        self.0.parts.load().budget.clone()
    }

    /// Its bulkhead, if it has one.
    pub fn bulkhead(&self) -> Option<Bulkhead> {
        self.0.parts.load().bulkhead.clone()
    }

    /// Its figures.
    pub fn status(&self) -> GuardStatus {
        let parts = self.0.parts.load();
        let now = self.0.clock.now();
        GuardStatus {
            name: self.0.name.to_string(),
            retries: self.0.retries.load(Ordering::Relaxed),
            hedges: self.0.hedges.load(Ordering::Relaxed),
            breaker: parts.breaker.as_ref().map(|breaker| breaker.status(now)),
            budget: parts.budget.as_ref().map(|budget| budget.status()),
            bulkhead: parts.bulkhead.as_ref().map(Bulkhead::status),
            rate_limited: parts.rate.as_ref().map(|rate| rate.rejected()),
        }
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

    /// Judges failures by this. Without it an error's own class counts, and no wait is known.
    pub fn judge_by(mut self, judge: Judge) -> Self {
        self.judge = Some(judge);
        self
    }

    /// Makes the jitter follow from this seed.
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
        self.policy.check()?;
        let chosen = self.shared.choose(&self.name, &self.policy, &shared::Chosen::default())?;
        let hedge = self.policy.hedge.as_ref().map(Hedge::new).transpose()?.map(Arc::new);
        let deadlines = self.runtime.as_ref().map(|runtime| Deadlines::new(Arc::clone(runtime)));
        Ok(Guard(Arc::new(Inner {
            name: self.name,
            parts: ArcSwap::from_pointee(Parts::new(self.policy, chosen, hedge)),
            shared: self.shared,
            clock: self.runtime.map_or(Clock::System, Clock::Of),
            deadlines,
            judge: self.judge,
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
        parts: &Parts,
        call: &mut dyn FnMut(Attempt) -> Result<T>,
        pass: Pass<'_>,
        deadline: Moment,
        error: Error,
    ) -> Result<T> {
        let mut tries = Tries::first(deadline);
        let (mut pass, mut error) = (pass, error);
        loop {
            let wait = match self.after(parts, &mut tries, pass, &error) {
                Next::Retry(wait) => wait,
                Next::GiveUp(why) => return Err(tries.finish(error, why)),
            };
            self.clock.pause(wait)?;
            let began = self.clock.now();
            let entered = match parts.enter(began, &self.clock) {
                Ok(None) => self.wait_for_place(parts, deadline),
                Ok(Some(pass)) => Ok(pass),
                Err(rejected) => Err(rejected),
            };
            // What the call failed with says more than that it was not let in again.
            let Ok(entered) = entered else { return Err(tries.finish(error, GaveUp::Rejected)) };
            pass = entered;
            let attempt = Attempt {
                number: tries.made,
                deadline: parts.attempt_deadline(began, deadline),
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
    fn after(&self, parts: &Parts, tries: &mut Tries, pass: Pass<'_>, error: &Error) -> Next {
        let now = self.clock.now();
        let judged = self.judge(error);
        pass.failed(error, judged.class, now);
        let next = tries.next(parts, error, judged, &self.chance, now);
        if let Next::Retry(_) = next {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        next
    }

    fn judge(&self, error: &Error) -> Judgement {
        match &self.judge {
            Some(judge) => judge(error, self.clock.timestamp()),
            None => Judgement { class: error.class(), retry_after: None },
        }
    }

    #[cold]
    fn wait_for_place<'a>(&'a self, parts: &'a Parts, deadline: Moment) -> Result<Pass<'a>> {
        let Some(bulkhead) = &parts.bulkhead else { return Err(no_place()) };
        let mut ticket = bulkhead.acquire(0);
        let place = if deadline == Moment::FAR {
            ticket.wait()?
        } else {
            let left: Duration = deadline.since(self.clock.now());
            ticket.wait_timeout(left).unwrap_or_else(|| Err(no_place()))?
        };
        parts.enter_with_place(place, self.clock.now(), &self.clock)
    }
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
