//! The decisions of a breaker: a state machine that takes the time.

use std::time::Duration;

use super::policy::BreakerPolicy;
use super::window::{Counts, Kept};
use super::{BreakerState, Change, Forced, Outcome, Why};
use crate::base::time::Moment;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Closed,
    /// Until this moment nothing passes.
    Open(Moment),
    HalfOpen(Probing),
    Forced(Forced),
}

/// How the probing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probing {
    /// Probes that may be under way at once.
    allowed: u32,
    in_flight: u32,
    /// When the last probe was admitted.
    last: Moment,
    /// Successes since `allowed` was last doubled.
    round: u32,
    /// Successes since it opened half.
    succeeded: u32,
}

/// See the module's documentation. Every method takes the time; none reads a clock.
#[derive(Debug)]
pub(super) struct Machine {
    policy: BreakerPolicy,
    mode: Mode,
    kept: Kept,
    consecutive: u32,
    /// Times that it has opened since it was last closed.
    opened: u32,
    /// Counts the changes of mode: a call that was admitted in another one decides nothing here.
    generation: u64,
}

impl Machine {
    pub(super) fn new(policy: BreakerPolicy) -> Self {
        let kept = Kept::new(policy.window);
        Self { policy, mode: Mode::Closed, kept, consecutive: 0, opened: 0, generation: 0 }
    }

    pub(super) fn policy(&self) -> &BreakerPolicy {
        &self.policy
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a success (that is not slow) of this generation would change nothing.
    pub(super) fn is_quiet(&self) -> bool {
        match self.mode {
            Mode::Closed => {
                let rates = self.policy.failure_rate > 0.0 || self.policy.slow_rate > 0.0;
                self.consecutive == 0 && (!rates || self.kept.is_unmoved_by_success())
            }
            Mode::Forced(Forced::Closed) => true,
            Mode::Open(_) | Mode::HalfOpen(_) | Mode::Forced(Forced::Open) => false,
        }
    }

    /// When the next probe may come, while it is open: [`Moment::FAR`] when that is by force.
    pub(super) fn closed_until(&self) -> Option<Moment> {
        match self.mode {
            Mode::Open(until) => Some(until),
            Mode::Forced(Forced::Open) => Some(Moment::FAR),
            Mode::Closed | Mode::HalfOpen(_) | Mode::Forced(Forced::Closed) => None,
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.mode {
            Mode::Closed | Mode::Forced(Forced::Closed) => BreakerState::Closed,
            Mode::Open(_) | Mode::Forced(Forced::Open) => BreakerState::Open,
            Mode::HalfOpen(_) => BreakerState::HalfOpen,
        }
    }

    pub(super) fn forced(&self) -> Option<Forced> {
        match self.mode {
            Mode::Forced(forced) => Some(forced),
            _ => None,
        }
    }

    pub(super) fn counts(&mut self, now: Moment) -> Counts {
        self.kept.counts(now)
    }

    pub(super) fn consecutive(&self) -> u32 {
        self.consecutive
    }

    /// Whether a call may pass. Every call that may must be settled, with the generation at its
    /// admission.
    pub(super) fn admit(&mut self, now: Moment) -> (bool, Option<Change>) {
        let mut change = None;
        if let Mode::Open(until) = self.mode
            && until <= now
        {
            let probing = Probing {
                allowed: self.policy.probes,
                in_flight: 0,
                last: now,
                round: 0,
                succeeded: 0,
            };
            change = Some(self.turn(Mode::HalfOpen(probing), Why::Waited));
        }
        let patience = self.policy.open_for(self.opened);
        let admitted = match &mut self.mode {
            Mode::Closed | Mode::Forced(Forced::Closed) => true,
            Mode::Open(_) | Mode::Forced(Forced::Open) => false,
            Mode::HalfOpen(probing) => {
                // A probe that hangs must not keep it half-open for good.
                if now.since(probing.last) > patience {
                    probing.in_flight = 0;
                }
                let free = probing.in_flight < probing.allowed;
                if free {
                    probing.in_flight += 1;
                    probing.last = now;
                }
                free
            }
        };
        (admitted, change)
    }

    /// Whether [`admit`](Self::admit) would let a call in to probe.
    pub(super) fn would_probe(&self, now: Moment) -> bool {
        match self.mode {
            Mode::Open(until) => until <= now,
            Mode::HalfOpen(probing) => {
                let patience = self.policy.open_for(self.opened);
                probing.in_flight < probing.allowed || now.since(probing.last) > patience
            }
            Mode::Closed | Mode::Forced(_) => false,
        }
    }

    /// A call that was admitted in `generation` has ended, after `took` where that was measured.
    pub(super) fn settle(
        &mut self,
        generation: u64,
        outcome: Outcome,
        took: Option<Duration>,
        now: Moment,
    ) -> Option<Change> {
        if generation != self.generation {
            return None;
        }
        let slow = matches!((took, self.policy.slow()), (Some(took), Some(slow)) if took > slow);
        match &mut self.mode {
            Mode::Closed => self.settle_closed(outcome, slow, now),
            Mode::HalfOpen(probing) => {
                probing.in_flight = probing.in_flight.saturating_sub(1);
                match outcome {
                    Outcome::Ignored => None,
                    Outcome::Failure => Some(self.open(Why::ProbeFailed, now)),
                    Outcome::Success if slow => Some(self.open(Why::ProbeSlow, now)),
                    Outcome::Success => self.probe_succeeded(),
                }
            }
            Mode::Open(_) | Mode::Forced(_) => None,
        }
    }

    fn settle_closed(&mut self, outcome: Outcome, slow: bool, now: Moment) -> Option<Change> {
        let failed = match outcome {
            Outcome::Ignored => return None,
            Outcome::Failure => true,
            Outcome::Success => false,
        };
        self.consecutive = if failed { self.consecutive.saturating_add(1) } else { 0 };
        self.kept.add(failed, slow, now);
        if !failed && !slow {
            return None;
        }
        let policy = &self.policy;
        if policy.consecutive > 0 && self.consecutive >= policy.consecutive {
            return Some(self.open(Why::Consecutive, now));
        }
        let counts = self.kept.counts(now);
        if counts.calls < policy.minimum {
            return None;
        }
        let reached = |rate: f64, count: u32| {
            rate > 0.0 && f64::from(count) >= rate * f64::from(counts.calls)
        };
        if failed && reached(policy.failure_rate, counts.failed) {
            return Some(self.open(Why::FailureRate, now));
        }
        if slow && reached(policy.slow_rate, counts.slow) {
            return Some(self.open(Why::SlowRate, now));
        }
        None
    }

    fn probe_succeeded(&mut self) -> Option<Change> {
        let Mode::HalfOpen(probing) = &mut self.mode else { return None };
        probing.succeeded += 1;
        probing.round += 1;
        if probing.succeeded >= self.policy.close_after {
            self.opened = 0;
            return Some(self.turn(Mode::Closed, Why::ProbesSucceeded));
        }
        if probing.round >= probing.allowed {
            probing.round = 0;
            probing.allowed = probing.allowed.saturating_mul(2);
        }
        None
    }

    /// Opens or closes it by hand, or gives it back to itself, closed.
    pub(super) fn force(&mut self, forced: Option<Forced>) -> Option<Change> {
        let there = match forced {
            Some(_) => self.forced() == forced,
            None => self.mode == Mode::Closed,
        };
        if there {
            return None;
        }
        self.opened = 0;
        Some(self.turn(forced.map_or(Mode::Closed, Mode::Forced), Why::Forced))
    }

    /// Takes another policy. The mode stays; the window begins anew where it is another one.
    pub(super) fn change_policy(&mut self, policy: BreakerPolicy) {
        if policy.window != self.policy.window {
            self.kept = Kept::new(policy.window);
        }
        self.policy = policy;
    }

    fn open(&mut self, why: Why, now: Moment) -> Change {
        self.opened = self.opened.saturating_add(1);
        let until = now + self.policy.open_for(self.opened);
        self.turn(Mode::Open(until), why)
    }

    fn turn(&mut self, mode: Mode, why: Why) -> Change {
        let from = self.state();
        self.mode = mode;
        self.generation += 1;
        self.consecutive = 0;
        self.kept.clear();
        Change { from, to: self.state(), why }
    }
}
