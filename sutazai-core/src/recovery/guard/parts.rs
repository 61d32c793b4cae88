//! The parts of a guard, and the way of one try through them: in past the breaker, the bulkhead and the
//! rate limit, and out again with what came of it.

use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::hedge::Hedge;
use super::policy::GuardPolicy;
use super::shared::Chosen;
use crate::base::deadline;
use crate::base::time::Moment;
use crate::recovery::{Breaker, Budget, Bulkhead, Outcome, Place, RateLimit};
use crate::{Class, Code, Error, Result};

/// What a policy was made into. A guard swaps it whole when its policy changes; calls under way go out
/// through the parts that they came in by.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) policy: GuardPolicy,
    pub(super) timeout: Option<Duration>,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) budget: Option<Arc<Budget>>,
    pub(super) breaker: Option<Arc<Breaker>>,
    pub(super) bulkhead: Option<Bulkhead>,
    pub(super) rate: Option<Arc<RateLimit>>,
    pub(super) hedge: Option<Arc<Hedge>>,
    /// How precisely the beginning of a call must be known.
    precision: Precision,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    None,
    /// To the system's tick: for a deadline.
    Coarse,
    /// To the clock's: for a rate limit, and for how long calls take.
    Fine,
}

impl Parts {
    pub(super) fn new(policy: GuardPolicy, chosen: Chosen, hedge: Option<Arc<Hedge>>) -> Self {
        let (timeout, attempt_timeout) = (policy.timeout(), policy.attempt_timeout());
        let Chosen { budget, breaker, bulkhead, rate } = chosen;
        let slow = breaker.as_ref().is_some_and(|breaker| breaker.wants_time());
        let precision = if slow || rate.is_some() || hedge.is_some() {
            Precision::Fine
        } else if timeout.is_some() || attempt_timeout.is_some() {
            Precision::Coarse
        } else {
            Precision::None
        };
        Self { policy, timeout, attempt_timeout, budget, breaker, bulkhead, rate, hedge, precision }
    }

    pub(super) fn chosen(&self) -> Chosen {
        Chosen {
            budget: self.budget.clone(),
            breaker: self.breaker.clone(),
            bulkhead: self.bulkhead.clone(),
            rate: self.rate.clone(),
        }
    }

    /// The time at the beginning of a try, as precisely as anybody here needs it.
    #[inline]
    pub(super) fn began(&self, clock: &Clock) -> Moment {
        match self.precision {
            Precision::None => Moment::ZERO,
            Precision::Coarse => clock.coarse(),
            Precision::Fine => clock.now(),
        }
    }

    /// When a call that begins now is given up: by its own bound, or its caller's.
    #[inline]
    pub(super) fn deadline(&self, began: Moment) -> Moment {
        let callers = deadline::current();
        self.timeout.map_or(callers, |timeout| callers.min(began + timeout))
    }

    /// When a try that begins now is given up.
    #[inline]
    pub(super) fn attempt_deadline(&self, began: Moment, call: Moment) -> Moment {
        self.attempt_timeout.map_or(call, |timeout| call.min(began + timeout))
    }

    /// Lets a try in, if there is room for it at once. `None` when it would have to wait for a place.
    #[inline]
    pub(super) fn enter<'a>(&'a self, began: Moment, clock: &'a Clock) -> Result<Option<Pass<'a>>> {
        let gate = match &self.breaker {
            Some(breaker) => breaker.enter(|| self.sure(began, clock))?,
            None => 0,
        };
        let mut pass = Pass { parts: self, clock, gate, began, in_bulkhead: false };
        if let Some(bulkhead) = &self.bulkhead {
            if !bulkhead.enter() {
                pass.ignored();
                return Ok(None);
            }
            pass.in_bulkhead = true;
        }
        self.limited(pass, began).map(Some)
    }

    /// As [`enter`](Self::enter), of one that has waited for its place.
    #[cold]
    pub(super) fn enter_with_place<'a>(
        &'a self,
        place: Place,
        began: Moment,
        clock: &'a Clock,
    ) -> Result<Pass<'a>> {
        let gate = match &self.breaker {
            Some(breaker) => breaker.enter(|| self.sure(began, clock))?,
            None => 0,
        };
        place.keep();
        self.limited(Pass { parts: self, clock, gate, began, in_bulkhead: true }, began)
    }

    #[inline]
    fn limited<'a>(&self, pass: Pass<'a>, began: Moment) -> Result<Pass<'a>> {
        if let Some(rate) = &self.rate
            && let Err(error) = rate.admit(began)
        {
            pass.ignored();
            return Err(error);
        }
        Ok(pass)
    }

    /// The time, also where nobody needed it at the beginning.
    fn sure(&self, began: Moment, clock: &Clock) -> Moment {
        if self.precision == Precision::None { clock.coarse() } else { began }
    }
}

/// One try that was let in. It goes out by one of the methods; dropped, it counts as a failure of the
/// target when the thread panics, and as nothing otherwise (an awaited call that was dropped).
#[derive(Debug)]
pub(super) struct Pass<'a> {
    parts: &'a Parts,
    clock: &'a Clock,
    gate: u64,
    began: Moment,
    in_bulkhead: bool,
}

impl Pass<'_> {
    #[inline]
    pub(super) fn succeeded(self) {
        let parts = self.parts;
        self.leave();
        let mut took = None;
        if parts.precision == Precision::Fine
            && (parts.hedge.is_some() || parts.breaker.as_ref().is_some_and(|b| b.wants_time()))
        {
            let now = self.clock.now();
            let time = now.since(self.began);
            took = Some((time, now));
            if let Some(hedge) = &parts.hedge {
                hedge.took(time);
            }
        }
        if let Some(breaker) = &parts.breaker {
            match took {
                Some((took, now)) => breaker.settle(self.gate, Outcome::Success, Some(took), now),
                None => breaker.succeeded(self.gate, || self.clock.coarse()),
            }
        }
        if let Some(budget) = &parts.budget {
            budget.succeeded();
        }
        std::mem::forget(self);
    }

    #[cold]
    pub(super) fn failed(self, error: &Error, class: Class, now: Moment) {
        self.leave();
        if let Some(breaker) = &self.parts.breaker {
            let outcome = match error.code() {
                Code::CANCELLED => Outcome::Ignored,
                _ => breaker.outcome_of(class),
            };
            let took = (self.parts.precision == Precision::Fine).then(|| now.since(self.began));
            breaker.settle(self.gate, outcome, took, now);
        }
        std::mem::forget(self);
    }

    /// Nothing was learnt of the target.
    #[cold]
    pub(super) fn ignored(self) {
        self.leave();
        self.settle(Outcome::Ignored);
        std::mem::forget(self);
    }

    #[inline]
    fn leave(&self) {
        if self.in_bulkhead
            && let Some(bulkhead) = &self.parts.bulkhead
        {
            bulkhead.leave();
        }
    }

    fn settle(&self, outcome: Outcome) {
        if let Some(breaker) = &self.parts.breaker {
            breaker.settle(self.gate, outcome, None, self.parts.sure(self.began, self.clock));
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.leave();
        self.settle(if std::thread::panicking() { Outcome::Failure } else { Outcome::Ignored });
    }
}
