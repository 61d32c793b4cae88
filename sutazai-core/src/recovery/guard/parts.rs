//! The parts of a guard, and the way of one try through them: in past the breaker, the bulkhead and the
//! rate limit, and out again with what came of it.
//!
//! A guard has every part from the beginning; which of them are on is one word of flags. So a policy is
//! changed by writing a few words, and a call reads no pointer that could be swapped beneath it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::clock::Clock;
use super::hedge::Hedge;
use super::policy::GuardPolicy;
use super::shared::Chosen;
use crate::base::deadline;
use crate::base::error::Fixed;
#[cfg(feature = "tune")]
use crate::base::limit::CallOutcome;
use crate::base::time::Moment;
#[cfg(feature = "tune")]
use crate::port::failure;
use crate::recovery::{Breaker, Budget, Bulkhead, Outcome, Place, RateLimit, RetryPolicy};
use crate::{Class, Code, Error, Result};

/// A deadline that is shorter is measured with the precise clock.
const SHORT: Duration = Duration::from_millis(200);

/// What a policy was made into.
#[derive(Debug)]
pub(super) struct Parts {
    flags: AtomicU32,
    /// Nanoseconds; `u64::MAX` for no bound.
    timeout: AtomicU64,
    attempt_timeout: AtomicU64,
    pub(super) clock: Clock,
    pub(super) budget: Arc<Budget>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) bulkhead: Bulkhead,
    pub(super) rate: Arc<RateLimit>,
    pub(super) retry: ArcSwapOption<RetryPolicy>,
    pub(super) hedge: ArcSwapOption<Hedge>,
    pub(super) policy: ArcSwap<GuardPolicy>,
}

/// Which parts are on, as a try finds them when it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(u32);

impl Flags {
    pub(super) const BREAKER: Self = Self(1);
    pub(super) const BULKHEAD: Self = Self(1 << 1);
    pub(super) const RATE: Self = Self(1 << 2);
    pub(super) const BUDGET: Self = Self(1 << 3);
    pub(super) const HEDGE: Self = Self(1 << 4);
    /// A deadline of the guard's own: the time at the beginning matters, to a few of the system's ticks.
    const DEADLINE: Self = Self(1 << 5);
    /// How long a try takes matters.
    const TIMED: Self = Self(1 << 6);
    /// A deadline so short that the system's ticks are too coarse for it.
    const SHORT: Self = Self(1 << 7);
    /// The bulkhead's bound follows what calls take.
    const ADAPT: Self = Self(1 << 8);

    #[inline]
    pub(super) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }
}

impl Parts {
    pub(super) fn new(
        policy: GuardPolicy,
        chosen: Chosen,
        hedge: Option<Hedge>,
        clock: Clock,
    ) -> Self {
        let Chosen { budget, breaker, bulkhead, rate } = chosen;
        let parts = Self {
            flags: AtomicU32::new(0),
            timeout: AtomicU64::new(u64::MAX),
            attempt_timeout: AtomicU64::new(u64::MAX),
            clock,
            budget,
            breaker,
            bulkhead,
            rate,
            retry: ArcSwapOption::empty(),
            hedge: ArcSwapOption::from_pointee(hedge),
            policy: ArcSwap::from_pointee(GuardPolicy::default()),
        };
        parts.publish(policy);
        parts
    }

    /// Puts a policy in force, after those of the parts.
    pub(super) fn publish(&self, policy: GuardPolicy) {
        let nanos = |timeout: Option<Duration>| {
            timeout.map_or(u64::MAX, |t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX))
        };
        self.timeout.store(nanos(policy.timeout()), Ordering::Relaxed);
        self.attempt_timeout.store(nanos(policy.attempt_timeout()), Ordering::Relaxed);
        self.retry.store(policy.retry.clone().map(Arc::new));
        let slow = policy.has_breaker() && self.breaker.wants_time();
        let shortest = policy.timeout().into_iter().chain(policy.attempt_timeout()).min();
        let short = shortest.is_some_and(|timeout| timeout < SHORT);
        let flags = [
            (policy.has_breaker(), Flags::BREAKER),
            (policy.has_bulkhead(), Flags::BULKHEAD),
            (policy.has_rate(), Flags::RATE),
            (policy.has_budget(), Flags::BUDGET),
            (policy.hedge.is_some(), Flags::HEDGE),
            (policy.timeout_ms.is_some() || policy.attempt_timeout_ms.is_some(), Flags::DEADLINE),
            (slow || policy.hedge.is_some(), Flags::TIMED),
            (short, Flags::SHORT),
            (adapts(&policy), Flags::ADAPT),
        ];
        let word = flags.iter().filter(|(on, _)| *on).fold(0, |word, (_, flag)| word | flag.0);
        self.policy.store(Arc::new(policy));
        self.flags.store(word, Ordering::Release);
    }

    #[inline]
    pub(super) fn flags(&self) -> Flags {
        Flags(self.flags.load(Ordering::Acquire))
    }

    /// When a call that waits for its place from now on is given up: by its own bound, or its caller's.
    #[cold]
    pub(super) fn deadline_from(&self, now: Moment) -> Moment {
        sooner(deadline::current(), now, &self.timeout)
    }

    /// When a call that came in like this is given up. A bound that came since is for later calls.
    #[inline]
    pub(super) fn deadline(&self, entry: &Entry) -> Moment {
        match entry.flags.has(Flags::DEADLINE) {
            true => sooner(deadline::current(), entry.began, &self.timeout),
            false => deadline::current(),
        }
    }

    /// When a try that came in like this, of a call with this deadline, is given up.
    #[inline]
    pub(super) fn attempt_deadline(&self, entry: &Entry, call: Moment) -> Moment {
        match entry.flags.has(Flags::DEADLINE) {
            true => sooner(call, entry.began, &self.attempt_timeout),
            false => call,
        }
    }

    /// Whether the caller has any time left, by the cheap clock.
    ///
    /// # Errors
    /// [`Code::DEADLINE_EXCEEDED`].
    #[inline]
    pub(super) fn check_time(&self) -> Result<()> {
        let deadline = deadline::current();
        if deadline == Moment::FAR || self.clock.coarse() < deadline {
            return Ok(());
        }
        Err(no_time())
    }

    /// Lets a try in, if there is room for it at once. `None` when it would have to wait for a place.
    #[inline]
    pub(super) fn enter(&self) -> Result<Option<Pass<'_>>> {
        let flags = self.flags();
        let gate = self.past_breaker(flags)?;
        if flags.has(Flags::BULKHEAD) && !self.bulkhead.enter() {
            if flags.has(Flags::BREAKER) {
                self.breaker.settle(gate, Outcome::Ignored, None, Moment::ZERO);
            }
            #[cfg(feature = "tune")]
            if flags.has(Flags::ADAPT) {
                self.bulkhead.kept_out(self.clock.now());
                // It may have more places now.
                return self.enter_again(flags);
            }
            return Ok(None);
        }
        self.let_in(flags, gate).map(Some)
    }

    #[cfg(feature = "tune")]
    #[cold]
    fn enter_again(&self, flags: Flags) -> Result<Option<Pass<'_>>> {
        if !self.bulkhead.enter() {
            return Ok(None);
        }
        match self.past_breaker(flags) {
            Ok(gate) => self.let_in(flags, gate).map(Some),
            Err(error) => {
                self.bulkhead.leave();
                Err(error)
            }
        }
    }

    /// As [`enter`](Self::enter), of one that has waited for its place.
    #[cold]
    pub(super) fn enter_with_place(&self, place: Place) -> Result<Pass<'_>> {
        let flags = self.flags();
        let gate = self.past_breaker(flags)?;
        // The bulkhead may have been turned off while it waited.
        if flags.has(Flags::BULKHEAD) {
            place.keep();
        }
        self.let_in(flags, gate)
    }

    #[inline]
    fn past_breaker(&self, flags: Flags) -> Result<u64> {
        if flags.has(Flags::BREAKER) { self.breaker.enter(|| self.clock.coarse()) } else { Ok(0) }
    }

    #[inline]
    fn let_in(&self, flags: Flags, gate: u64) -> Result<Pass<'_>> {
        // The time as precisely as anybody here needs it: reading the clock costs more than the rest.
        let precise = Flags(Flags::RATE.0 | Flags::TIMED.0 | Flags::SHORT.0 | Flags::ADAPT.0);
        let began = if flags.has(precise) {
            self.clock.now()
        } else if flags.has(Flags::DEADLINE) {
            self.clock.coarse()
        } else {
            Moment::ZERO
        };
        let ticked = if flags.has(Flags::TIMED) { self.clock.coarse() } else { Moment::ZERO };
        #[cfg_attr(not(feature = "tune"), allow(unused_mut, reason = "nobody is told"))]
        let mut pass = Pass { parts: self, entry: Entry { flags, gate, began, ticked, call: 0 } };
        if flags.has(Flags::RATE)
            && let Err(error) = self.rate.admit(began)
        {
            pass.ignored();
            return Err(error);
        }
        #[cfg(feature = "tune")]
        if flags.has(Flags::ADAPT) {
            pass.entry.call = self.bulkhead.begun(began);
        }
        Ok(pass)
    }
}

#[cold]
fn no_time() -> Error {
    static NONE: Fixed = Fixed {
        code: Code::DEADLINE_EXCEEDED,
        message: "the caller's time was up before the call was made",
    };
    Error::from(&NONE)
}

/// Whether the policy's bulkhead finds its bound out; of one that is shared, others may say so.
#[cfg(feature = "tune")]
fn adapts(policy: &GuardPolicy) -> bool {
    policy.share.bulkhead.is_some()
        || policy.bulkhead.as_ref().is_some_and(|bulkhead| bulkhead.adapt.is_some())
}

#[cfg(not(feature = "tune"))]
fn adapts(_: &GuardPolicy) -> bool {
    false
}

/// How a try ended, as far as its target is concerned.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "tune"), allow(dead_code, reason = "nobody is told"))]
enum Ended<'a> {
    Answered,
    Failed(&'a Error),
    Ignored,
}

#[cfg(feature = "tune")]
impl Ended<'_> {
    fn outcome(self) -> CallOutcome {
        let error = match self {
            Self::Answered => return CallOutcome::Answered,
            Self::Ignored => return CallOutcome::Ignored,
            Self::Failed(error) => error,
        };
        // What a target says that has too much to do (RFC 6585, RFC 9110).
        let mut context = error.context();
        if context.any(|(key, value)| key == failure::HTTP_STATUS && matches!(value, "429" | "503"))
        {
            return CallOutcome::Refused;
        }
        match error.code() {
            Code::CANCELLED => CallOutcome::Ignored,
            Code::DEADLINE_EXCEEDED => CallOutcome::TimedOut,
            Code::OVERLOADED | Code::RATE_LIMITED | Code::BULKHEAD_FULL => CallOutcome::Refused,
            _ => CallOutcome::Failed,
        }
    }
}

#[inline]
fn sooner(deadline: Moment, began: Moment, timeout: &AtomicU64) -> Moment {
    let own = began.as_nanos().saturating_add(timeout.load(Ordering::Relaxed));
    deadline.min(Moment::from_nanos(own))
}

/// How a try came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) flags: Flags,
    gate: u64,
    /// When it was let in, as precisely as somebody needs it; [`Moment::ZERO`] when nobody does.
    pub(super) began: Moment,
    /// What the cheap clock said then, where it matters how long the try takes.
    ticked: Moment,
    /// What the bulkhead knows it by, where its bound follows what calls take.
    call: u64,
}

impl Entry {
    /// Whether it has a place in the bulkhead, which is from here on somebody else's to give back.
    pub(super) fn take_place(&mut self) -> bool {
        let had = self.flags.has(Flags::BULKHEAD);
        self.flags = Flags(self.flags.0 & !Flags::BULKHEAD.0);
        had
    }
}

/// The ways out. Each try that came in takes one of them, once.
impl Parts {
    #[inline]
    pub(super) fn succeeded(&self, entry: Entry) {
        self.end(entry, Ended::Answered);
        self.leave(entry);
        if entry.flags.has(Flags::TIMED) {
            self.succeeded_in(entry);
        } else if entry.flags.has(Flags::BREAKER) {
            self.breaker.succeeded(entry.gate, || self.clock.coarse());
        }
        if entry.flags.has(Flags::BUDGET) {
            self.budget.succeeded();
        }
    }

    #[inline]
    fn succeeded_in(&self, entry: Entry) {
        // Most calls are over before the cheap clock moves, which is enough to tell that they were not slow.
        if !entry.flags.has(Flags::HEDGE)
            && self.clock.coarse() == entry.ticked
            && self.breaker.is_unmoved(entry.gate, Clock::at_most())
        {
            return;
        }
        let now = self.clock.now();
        let took = now.since(entry.began);
        if entry.flags.has(Flags::HEDGE)
            && let Some(hedge) = &*self.hedge.load()
        {
            hedge.took(took);
        }
        if entry.flags.has(Flags::BREAKER) {
            self.breaker.settle(entry.gate, Outcome::Success, Some(took), now);
        }
    }

    #[cold]
    pub(super) fn failed(&self, entry: Entry, error: &Error, class: Class, now: Moment) {
        self.end(entry, Ended::Failed(error));
        self.leave(entry);
        if entry.flags.has(Flags::BREAKER) {
            let outcome = match error.code() {
                Code::CANCELLED => Outcome::Ignored,
                _ => self.breaker.outcome_of(class),
            };
            let took = entry.flags.has(Flags::TIMED).then(|| now.since(entry.began));
            self.breaker.settle(entry.gate, outcome, took, now);
        }
    }

    /// Another try was quicker: nothing was learnt of the target, unless it was slow by then.
    #[cold]
    pub(super) fn outpaced(&self, entry: Entry) {
        if !entry.flags.has(Flags::TIMED) || !entry.flags.has(Flags::BREAKER) {
            return self.ignored(entry);
        }
        let now = self.clock.now();
        let took = now.since(entry.began);
        let outcome = if self.breaker.is_slow(took) { Outcome::Success } else { Outcome::Ignored };
        self.end(entry, Ended::Ignored);
        self.leave(entry);
        self.breaker.settle(entry.gate, outcome, Some(took), now);
    }

    /// Nothing was learnt of the target.
    #[cold]
    pub(super) fn ignored(&self, entry: Entry) {
        self.unfinished(entry, Outcome::Ignored);
    }

    fn unfinished(&self, entry: Entry, outcome: Outcome) {
        self.end(entry, Ended::Ignored);
        self.leave(entry);
        if entry.flags.has(Flags::BREAKER) {
            self.breaker.settle(entry.gate, outcome, None, self.clock.coarse());
        }
    }

    /// Tells the bulkhead what came of it, where its bound follows that.
    #[inline]
    fn end(&self, entry: Entry, ended: Ended<'_>) {
        if entry.call != 0 {
            self.tell(entry, ended);
        }
    }

    #[cfg(feature = "tune")]
    fn tell(&self, entry: Entry, ended: Ended<'_>) {
        self.bulkhead.ended(entry.call, ended.outcome(), self.clock.now());
    }

    #[cfg(not(feature = "tune"))]
    fn tell(&self, _: Entry, _: Ended<'_>) {}

    #[inline]
    fn leave(&self, entry: Entry) {
        if entry.flags.has(Flags::BULKHEAD) {
            self.bulkhead.leave();
        }
    }
}

/// One try that was let in, of a call on this stack. Dropped, it counts as a failure of the target when
/// the thread panics, and as nothing otherwise (an awaited call that was dropped).
#[derive(Debug)]
pub(super) struct Pass<'a> {
    parts: &'a Parts,
    pub(super) entry: Entry,
}

impl Pass<'_> {
    #[inline]
    pub(super) fn succeeded(self) {
        let parts = self.parts;
        parts.succeeded(self.keep());
    }

    #[cold]
    pub(super) fn failed(self, error: &Error, class: Class, now: Moment) {
        self.parts.failed(self.entry, error, class, now);
        std::mem::forget(self);
    }

    #[cold]
    pub(super) fn ignored(self) {
        self.parts.ignored(self.entry);
        std::mem::forget(self);
    }

    #[cold]
    pub(super) fn outpaced(self) {
        self.parts.outpaced(self.entry);
        std::mem::forget(self);
    }

    /// How it came in; whoever asks sees to it that it goes out.
    #[inline]
    pub(super) fn keep(self) -> Entry {
        let entry = self.entry;
        std::mem::forget(self);
        entry
    }
}

impl Drop for Pass<'_> {
    #[cold]
    fn drop(&mut self) {
        let panics = std::thread::panicking();
        let outcome = if panics { Outcome::Failure } else { Outcome::Ignored };
        self.parts.unfinished(self.entry, outcome);
    }
}
