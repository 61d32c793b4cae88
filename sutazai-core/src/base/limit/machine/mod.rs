//! What an adaptive limit sees and says: [`AdaptiveLimit`]. What it makes of that is in `decide`.

mod decide;

use super::before::Before;
use super::knee::Knee;
use super::levels::Levels;
use super::view::{LimitCause, LimitChange, LimitPhase, LimitView};
use super::{Call, CallOutcome, LimitPolicy};
use crate::Result;
use crate::base::time::Moment;

/// A time counts for so many times what was expected, at most: of a heavy tail, no one call decides.
const MOST_OF_EXPECTED: f64 = 4.0;
/// Seconds that a call counts for at most, whatever is known.
const LONGEST: f64 = 1e9;
/// Seconds that a call takes at least: what is faster is not told apart.
const SHORTEST: f64 = 1e-6;
/// With more doubt about the logarithm of the useful concurrency nothing is concluded from it.
const DOUBTFUL: f64 = 0.35;

/// Finds out how many calls a target can take at once. Every method takes the time; moments that run backwards
/// count as the latest one. See the module's documentation.
#[derive(Debug)]
pub struct AdaptiveLimit {
    policy: LimitPolicy,
    origin: Moment,
    /// Seconds since the origin, as of the latest moment that was told.
    clock: f64,
    /// The limit while it does not probe.
    limit: f64,
    in_flight: u32,
    /// Seconds that calls have been in flight, all together.
    area: f64,
    levels: Levels,
    /// Counts the times that everything was forgotten: a call that began before tells nothing.
    generation: u32,
    knee: Option<Knee>,
    /// What was known before the target changed.
    before: Option<Before>,
    /// Answers since the limit was set.
    heard: f64,
    dip: Option<Dip>,
    /// When the last dip ended, and what it cost, in seconds of the whole throughput.
    dipped: f64,
    dip_cost: f64,
    /// What the target refused calls beyond.
    ceiling: f64,
    check: Check,
    batch: Batch,
    fate: Fate,
    stall: Option<Stall>,
    backing: bool,
    binding: bool,
    kept_out: u64,
    changes: u64,
    forgotten: u64,
    last: LimitChange,
}

/// A probe: the limit is lower for a moment.
#[derive(Clone, Copy, Debug)]
struct Dip {
    limit: f64,
    since: f64,
    /// Calls that began in it and ended.
    ended: f64,
    /// So many are enough.
    need: f64,
    /// It ends then at the latest.
    until: f64,
}

/// What was seen since the last decision.
#[derive(Clone, Copy, Debug, Default)]
struct Check {
    at: f64,
    ended: u32,
    begun: u32,
    kept_out: u32,
    /// Seconds for which the limit was reached.
    full: f64,
}

/// What came back, beside what was expected.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    /// Answers that should have come by the time that calls have been in flight.
    expected: f64,
    answered: f64,
    /// The sum of times ÷ expected times.
    ratios: f64,
}

/// How calls ended that began since the limit was lowered last; and the silence of the target.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    since: f64,
    ended: f64,
    timed_out: f64,
    refused: f64,
    /// When the last answer came, and how many should have come since.
    quiet_since: f64,
    quiet_expected: f64,
}

/// Nothing comes back.
#[derive(Clone, Copy, Debug)]
struct Stall {
    /// The limit before.
    limit: f64,
    /// When it gave way to that first, and since when nothing had come back.
    since: f64,
    silent: f64,
}

impl AdaptiveLimit {
    /// One that has seen nothing yet.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a policy that is not valid.
    pub fn new(policy: LimitPolicy, now: Moment) -> Result<Self> {
        policy.check()?;
        let limit = policy.begins_with();
        Ok(Self {
            origin: now,
            clock: 0.0,
            limit: f64::from(limit),
            in_flight: 0,
            area: 0.0,
            levels: Levels::default(),
            generation: 0,
            knee: None,
            before: None,
            heard: 0.0,
            dip: None,
            dipped: 0.0,
            dip_cost: 0.0,
            ceiling: f64::from(policy.max),
            check: Check::default(),
            batch: Batch::default(),
            fate: Fate::default(),
            stall: None,
            backing: false,
            binding: false,
            kept_out: 0,
            changes: 0,
            forgotten: 0,
            last: LimitChange {
                from: limit,
                to: limit,
                cause: LimitCause::Initial,
                at_nanos: now.as_nanos(),
            },
            policy,
        })
    }

    /// Calls that may be in flight now.
    pub fn limit(&self) -> u32 {
        whole(self.dip.map_or(self.limit, |dip| dip.limit.min(self.limit)))
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A call begins, if the limit has room for it; `None` otherwise, and that somebody wanted to is remembered: a
    /// limit that keeps nobody out is never raised.
    pub fn try_begin(&mut self, now: Moment) -> Option<Call> {
        self.advance(now);
        self.watch();
        if self.in_flight < self.limit() {
            return Some(self.enter());
        }
        self.kept_out = self.kept_out.saturating_add(1);
        self.check.kept_out = self.check.kept_out.saturating_add(1);
        None
    }

    /// A call begins, whatever the limit says: for who enforces it elsewhere.
    pub fn begin(&mut self, now: Moment) -> Call {
        self.advance(now);
        self.watch();
        self.enter()
    }

    /// Somebody wanted to begin a call and was kept out, or waits: for who enforces it elsewhere. Answers with the change when the
    /// limit is another one now.
    pub fn keep_out(&mut self, now: Moment) -> Option<LimitChange> {
        let change = self.tick(now);
        self.kept_out = self.kept_out.saturating_add(1);
        self.check.kept_out = self.check.kept_out.saturating_add(1);
        change
    }

    /// A call ends. Answers with the change when the limit is another one now.
    pub fn end(&mut self, call: Call, outcome: CallOutcome, now: Moment) -> Option<LimitChange> {
        let (before, probed) = (self.limit(), self.dip.is_some());
        self.advance(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        let took = (self.clock - call.start).max(SHORTEST);
        if call.generation == self.generation {
            self.learn(&call, outcome, took);
        }
        // An error is an answer too: silence is what does not come back, or comes too late.
        if !matches!(outcome, CallOutcome::TimedOut | CallOutcome::Ignored) {
            (self.fate.quiet_since, self.fate.quiet_expected) = (self.clock, 0.0);
        }
        self.come_back(&call, outcome, took);
        self.judge(&call, outcome);
        self.check.ended = self.check.ended.saturating_add(1);
        let limit = self.limit();
        // While it looks, each call may be the last that is needed.
        let some = if self.dip.is_some() { limit / 8 } else { limit.min(8).max(limit / 8) };
        if self.check.ended >= some {
            self.decide();
        }
        self.change(before, probed)
    }

    /// Nothing happens but time. To be called now and then while calls are in flight and neither begin nor end, or
    /// a target that is silent is not noticed. Answers with the change when the limit is another one now.
    pub fn tick(&mut self, now: Moment) -> Option<LimitChange> {
        let (before, probed) = (self.limit(), self.dip.is_some());
        self.advance(now);
        self.watch();
        self.change(before, probed)
    }

    /// Takes another policy; what was learnt stays, and the limit, within the new bounds.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a policy that is not valid; the old one stays.
    pub fn set_policy(&mut self, policy: LimitPolicy) -> Result<()> {
        policy.check()?;
        self.policy = policy;
        (self.dip, self.stall) = (None, None);
        self.ceiling = f64::from(self.policy.max);
        self.set(self.policy.bounded(self.limit), LimitCause::Policy);
        Ok(())
    }

    /// Its figures, and why the limit is what it is.
    pub fn view(&self) -> LimitView {
        LimitView {
            limit: self.limit(),
            target: whole(self.limit),
            in_flight: self.in_flight,
            phase: self.phase(),
            useful: self.knee.map(|knee| knee.useful),
            doubt: self.knee.map(|knee| knee.doubt.exp()),
            service_ms: self.knee.map(|knee| knee.service * 1e3),
            binding: self.binding,
            kept_out: self.kept_out,
            changes: self.changes,
            last: self.last,
            forgotten: self.forgotten,
            policy: self.policy.clone(),
        }
    }

    fn enter(&mut self) -> Call {
        self.in_flight = self.in_flight.saturating_add(1);
        self.check.begun = self.check.begun.saturating_add(1);
        let call = Call {
            start: self.clock,
            area: self.area,
            concurrency: self.in_flight,
            generation: self.generation,
        };
        self.levels.begin(call.concurrency, call.start);
        call
    }

    /// What changed since the limit was `before`.
    fn change(&self, before: u32, probed: bool) -> Option<LimitChange> {
        let to = self.limit();
        if before == to {
            return None;
        }
        let at_nanos = self.nanos();
        let cause = match (probed, self.dip.is_some()) {
            (_, true) => LimitCause::Probe,
            _ if self.last.at_nanos == at_nanos => self.last.cause,
            _ => LimitCause::Probed,
        };
        Some(LimitChange { from: before, to, cause, at_nanos })
    }

    fn nanos(&self) -> u64 {
        self.origin.as_nanos().saturating_add((self.clock * 1e9) as u64)
    }

    fn phase(&self) -> LimitPhase {
        if self.backing {
            LimitPhase::Backing
        } else if self.dip.is_some() {
            LimitPhase::Probing
        } else if self.sure().is_some() {
            LimitPhase::Following
        } else {
            LimitPhase::Learning
        }
    }

    /// What is known, unless it is too doubtful.
    fn sure(&self) -> Option<Knee> {
        self.knee.filter(|knee| knee.doubt < DOUBTFUL)
    }

    /// The time goes on.
    fn advance(&mut self, now: Moment) {
        let at = now.since(self.origin).as_secs_f64();
        let passed = at - self.clock;
        if passed <= 0.0 {
            return;
        }
        self.clock = at;
        self.area += passed * f64::from(self.in_flight);
        if self.in_flight >= self.limit() {
            self.check.full += passed;
        }
        let Some(knee) = self.knee else { return };
        let concurrency = f64::from(self.in_flight);
        let usual = knee.service * knee.stretch(concurrency);
        self.fate.quiet_expected += passed * concurrency / usual;
        if let Some(usual) = knee.expected(concurrency) {
            self.batch.expected += passed * concurrency / usual;
        }
    }

    /// Seconds that a call that began at this concurrency counts for, at most.
    fn most(&self, concurrency: f64) -> f64 {
        self.knee.filter(|knee| knee.doubt < 1.0).map_or(LONGEST, |knee| {
            MOST_OF_EXPECTED * knee.doubt.exp() * knee.service * knee.stretch(concurrency)
        })
    }

    /// A call of this generation has ended.
    fn learn(&mut self, call: &Call, outcome: CallOutcome, took: f64) {
        let concurrency = f64::from(call.concurrency);
        let counted = took.min(self.most(concurrency));
        let answered = outcome == CallOutcome::Answered;
        self.heard += f64::from(u8::from(answered));
        let says = answered || outcome == CallOutcome::TimedOut;
        let met = ((self.area - call.area) / took).max(1.0);
        self.levels.end(call.concurrency, call.start, says.then_some((counted, met)), answered);
        if let Some(dip) = &mut self.dip
            && says
            && call.start >= dip.since
            && concurrency <= dip.limit
        {
            dip.ended += 1.0;
        }
        if answered && let Some(usual) = self.knee.and_then(|knee| knee.expected(met)) {
            self.batch.answered += 1.0;
            self.batch.ratios += counted / usual;
        }
    }

    fn set(&mut self, to: f64, cause: LimitCause) {
        let from = whole(self.limit);
        self.limit = to;
        let to = whole(self.limit);
        if from != to {
            self.heard = 0.0;
            self.changes = self.changes.saturating_add(1);
            self.last = LimitChange { from, to, cause, at_nanos: self.nanos() };
        }
    }
}

fn whole(limit: f64) -> u32 {
    limit.round().max(1.0) as u32
}
