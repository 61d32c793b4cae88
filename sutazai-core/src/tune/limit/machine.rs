//! The decisions: [`AdaptiveLimit`].

use super::knee::Knee;
use super::levels::{Levels, Point};
use super::view::{LimitCause, LimitChange, LimitPhase, LimitView};
use super::{Call, CallOutcome, LimitPolicy};
use crate::Result;
use crate::base::time::Moment;

/// A time counts for so many times what was expected, at most: of a heavy tail, no one call decides.
const MOST_OF_EXPECTED: f64 = 4.0;
/// With more doubt about the logarithm of the useful concurrency nothing is concluded from it.
const DOUBTFUL: f64 = 0.35;
/// With so much of it exploring takes the share of the throughput that the policy says.
const USUAL_DOUBT: f64 = 0.2;
/// What is thought to be known is verified each so many times that a call takes,
const VERIFY_EVERY: f64 = 250.0;
/// with so much of the useful concurrency, where certainly no call waits if it is right.
const VERIFY_AT: f64 = 0.7;
/// Standard errors by which a batch of calls must differ from what was expected.
const SIGNIFICANT: f64 = 4.0;
/// The logarithm of the factor by which it must, besides.
const SUBSTANTIAL: f64 = 0.26;
/// The same for answers that are missing. That is seen before they come, but of a heavy tail fewer come in a time than
/// the capped mean says.
const MISSING: f64 = std::f64::consts::LN_2;

#[derive(Debug)]
pub struct AdaptiveLimit {
    policy: LimitPolicy,
    origin: Moment,
    /// Seconds since the origin, as of the latest moment that was told.
    clock: f64,
    limit: f64,
    in_flight: u32,
    area: f64,
    levels: Levels,
    generation: u32,
    knee: Option<Knee>,
    pub spread: f64,
    /// Answers since the limit was set.
    heard: f64,
    dip: Option<Dip>,
    /// When the last dip ended, and what it cost, in seconds of the whole throughput.
    dipped: f64,
    dip_cost: f64,
    ceiling: f64,
    check: Check,
    batch: Batch,
    fate: Fate,
    backing: bool,
    binding: bool,
    kept_out: u64,
    changes: u64,
    forgotten: u64,
    last: LimitChange,
}

#[derive(Clone, Copy, Debug)]
struct Dip {
    limit: f64,
    since: f64,
    /// Calls that began in it and ended.
    ended: f64,
    need: f64,
    until: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Check {
    at: f64,
    ended: u32,
    begun: u32,
    kept_out: u32,
    full: f64,
}

/// What came back, beside what was expected.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    expected: f64,
    answered: f64,
    ratios: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    since: f64,
    ended: f64,
    timed_out: f64,
    refused: f64,
    quiet_since: f64,
    quiet_expected: f64,
}

impl AdaptiveLimit {
    pub fn new(policy: LimitPolicy, now: Moment) -> Result<Self> {
        policy.check()?;
        let limit = policy.initial;
        Ok(Self {
            origin: now,
            clock: 0.0,
            limit: f64::from(limit),
            in_flight: 0,
            area: 0.0,
            levels: Levels::default(),
            generation: 0,
            knee: None,
            spread: 1.0,
            heard: 0.0,
            dip: None,
            dipped: 0.0,
            dip_cost: 0.0,
            ceiling: f64::from(policy.max),
            check: Check::default(),
            batch: Batch::default(),
            fate: Fate::default(),
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

    pub fn limit(&self) -> u32 {
        whole(self.dip.map_or(self.limit, |dip| dip.limit.min(self.limit)))
    }

    pub fn debug(&self) -> String {
        self.levels.points(self.clock, self.most(self.limit), 2.0 - self.spread.min(1.0)).map(|p| format!("{:.1}:{:.0}x{:.0}~{:.2}", p.concurrency, p.answered, p.mean()*1e3, p.spread)).collect::<Vec<_>>().join(" ")
    }
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub fn try_begin(&mut self, now: Moment) -> Option<Call> {
        if self.in_flight < self.limit() {
            return Some(self.begin(now));
        }
        self.advance(now);
        self.kept_out = self.kept_out.saturating_add(1);
        self.check.kept_out = self.check.kept_out.saturating_add(1);
        None
    }

    pub fn begin(&mut self, now: Moment) -> Call {
        self.advance(now);
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

    pub fn end(&mut self, call: Call, outcome: CallOutcome, now: Moment) -> Option<LimitChange> {
        self.advance(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        let took = (self.clock - call.start).max(0.0);
        if call.generation == self.generation {
            self.learn(&call, outcome, took);
        }
        if outcome == CallOutcome::Answered {
            (self.fate.quiet_since, self.fate.quiet_expected) = (self.clock, 0.0);
        }
        let before = self.limit();
        self.judge(&call, outcome);
        self.check.ended = self.check.ended.saturating_add(1);
        let limit = self.limit();
        if self.check.ended >= limit.min(8).max(limit / 8) {
            self.decide();
        }
        (before != self.limit()).then_some(self.last)
    }

    pub fn tick(&mut self, now: Moment) -> Option<LimitChange> {
        let before = self.limit();
        self.advance(now);
        self.look_for_stall();
        if let Some(dip) = self.dip && self.clock >= dip.until {
            self.surface(dip);
        }
        (before != self.limit()).then_some(self.last)
    }

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

    fn sure(&self) -> Option<Knee> {
        self.knee.filter(|knee| knee.doubt < DOUBTFUL)
    }

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

    fn most(&self, concurrency: f64) -> f64 {
        self.knee.filter(|knee| knee.doubt < 1.0).map_or(1e9, |knee| {
            MOST_OF_EXPECTED * knee.doubt.exp() * knee.service * knee.stretch(concurrency)
        })
    }

    fn learn(&mut self, call: &Call, outcome: CallOutcome, took: f64) {
        let concurrency = f64::from(call.concurrency);
        let counted = took.min(self.most(concurrency));
        let answered = outcome == CallOutcome::Answered;
        self.heard += f64::from(u8::from(answered));
        let says = answered || outcome == CallOutcome::TimedOut;
        let met = if took > 0.0 { (self.area - call.area) / took } else { concurrency };
        self.levels.end(call.concurrency, call.start, says.then_some((counted, met)), answered);
        if let Some(dip) = &mut self.dip && says && call.start >= dip.since && concurrency <= dip.limit {
            dip.ended += 1.0;
        }
        if answered && let Some(usual) = self.knee.and_then(|knee| knee.expected(met)) {
            self.batch.answered += 1.0;
            self.batch.ratios += counted / usual;
        }
    }

    fn judge(&mut self, call: &Call, outcome: CallOutcome) {
        if call.start < self.fate.since {
            return;
        }
        match outcome {
            CallOutcome::Ignored => return,
            CallOutcome::TimedOut => self.fate.timed_out += 1.0,
            CallOutcome::Refused => self.fate.refused += 1.0,
            CallOutcome::Answered | CallOutcome::Failed => {}
        }
        self.fate.ended += 1.0;
        if self.fate.ended < (self.limit / 2.0).max(4.0) {
            return;
        }
        let Fate { ended, timed_out, refused, .. } = self.fate;
        (self.fate.ended, self.fate.timed_out, self.fate.refused) = (0.0, 0.0, 0.0);
        if timed_out > ended / 2.0 {
            self.forget();
            self.give_way(0.5, LimitCause::TimedOut);
        } else if refused > ended / 10.0 {
            self.give_way((1.0 - refused / ended).max(0.5), LimitCause::Refused);
            self.ceiling = self.limit;
        } else {
            self.backing = false;
            self.ceiling = (self.ceiling + 0.5).min(f64::from(self.policy.max));
        }
    }

    fn give_way(&mut self, factor: f64, cause: LimitCause) {
        self.dip = None;
        self.backing = true;
        self.fate.since = self.clock;
        let to = self.policy.bounded(self.limit * factor);
        self.set(to, cause);
    }

    fn look_for_stall(&mut self) {
        let Some(knee) = self.knee else { return };
        let usual = knee.service * knee.stretch(f64::from(self.in_flight));
        let quiet = self.clock - self.fate.quiet_since;
        if self.fate.quiet_expected >= 16.0 * self.spread.max(1.0) && quiet >= 4.0 * usual {
            (self.fate.quiet_since, self.fate.quiet_expected) = (self.clock, 0.0);
            self.forget();
            self.give_way(0.5, LimitCause::Stalled);
        }
    }

    /// Forgets what was learnt: the target has become another one.
    fn forget(&mut self) {
        self.levels.clear();
        self.generation = self.generation.wrapping_add(1);
        self.batch = Batch::default();
        if let Some(knee) = &mut self.knee {
            knee.doubt = 1.0;
        }
        self.dip_cost = 0.0;
        self.dip = None;
        self.forgotten = self.forgotten.saturating_add(1);
    }

    fn decide(&mut self) {
        self.look_for_stall();
        let check = std::mem::replace(&mut self.check, Check { at: self.clock, ..Check::default() });
        let passed = self.clock - check.at;
        self.binding = check.full * 4.0 >= passed
            || u64::from(check.kept_out) * 50 >= u64::from(check.begun.max(1));
        if self.has_changed() {
            self.forget();
            return;
        }
        let points: Vec<Point> = self.levels.points(self.clock, self.most(self.limit), 2.0 - self.spread.min(1.0)).collect();
        let Some(knee) = Knee::find(&points) else { return };
        self.knee = Some(knee);
        self.spread = knee.spread;
        let usual = knee.service * knee.stretch(self.limit);
        self.levels.fade((-passed / (usual * self.policy.memory)).exp());
        if let Some(dip) = self.dip {
            if dip.ended >= dip.need || self.clock >= dip.until {
                self.surface(dip);
            } else {
                return;
            }
        }
        let answered: f64 = points.iter().map(|point| point.answered).sum();
        let enough = answered >= self.limit.max(8.0) && self.heard >= self.limit.max(4.0);
        if enough || self.limit < 3.0 {
            self.follow(knee);
        }
        let doubtful = knee.doubt > (self.limit / knee.useful).max(1.1).ln() / 2.0
            // Calls wait wherever it has looked.
            || knee.useful < knee.seen.0;
        let verifies = !doubtful && self.clock - self.dipped >= VERIFY_EVERY * usual;
        if self.binding && enough && (verifies || doubtful && self.may_dip(knee)) {
            self.submerge(knee, usual, verifies);
        }
    }

    fn follow(&mut self, knee: Knee) {
        let target = |doubt: f64| {
            self.policy.with_headroom(knee.useful * doubt.exp()).min(self.ceiling)
        };
        // What is not known may be found out below, at a cost, or above.
        let unsure = knee.doubt >= DOUBTFUL;
        let upwards = unsure && (self.limit < 3.0 || !self.may_dip(knee));
        let least = if upwards { target(0.0) } else { target(-knee.doubt / 2.0) };
        let most = target(knee.doubt / 2.0);
        if self.limit < least && self.binding && (upwards || !unsure) {
            self.set(least.min(2.0 * self.limit), LimitCause::Room);
        } else if self.limit > most {
            self.set(most, LimitCause::Queueing);
        }
    }

    fn submerge(&mut self, knee: Knee, usual: f64, verifies: bool) {
        // The less is known, the greater the difference that will be seen.
        let share = if knee.doubt < DOUBTFUL { 0.75 } else { 0.5 };
        let depth = if verifies { VERIFY_AT } else { (-knee.doubt / 4.0).exp() };
        let low = (knee.useful * depth).min(self.limit * share);
        let limit = self.policy.bounded(low.max(self.limit / 4.0).ceil().max(1.0));
        if limit >= self.limit {
            return;
        }
        let need = (2.0 * limit).max(8.0);
        self.dip = Some(Dip {
            limit,
            since: self.clock,
            ended: 0.0,
            need,
            until: self.clock + 8.0 * usual,
        });
        self.changes = self.changes.saturating_add(1);
    }

    fn surface(&mut self, dip: Dip) {
        self.dip = None;
        self.changes = self.changes.saturating_add(1);
        let useful = self.knee.map_or(self.limit, |knee| knee.useful);
        self.dip_cost = (1.0 - dip.limit / useful).max(0.1) * (self.clock - dip.since);
        self.dipped = self.clock;
    }

    /// Whether what a dip costs, and the last one did cost, is worth what it may tell: the more the greater the doubt,
    /// by its square, as the variance of an estimate goes with the number of samples.
    fn may_dip(&self, knee: Knee) -> bool {
        let share = self.policy.explore * (knee.doubt / USUAL_DOUBT).powi(2);
        (self.clock - self.dipped) * share.min(0.1) >= self.dip_cost
    }

    fn has_changed(&mut self) -> bool {
        if self.sure().is_none() {
            self.batch = Batch::default();
            return false;
        }
        let Batch { expected, answered, ratios } = self.batch;
        let size = self.limit.max(16.0);
        if expected < size && answered < size {
            return false;
        }
        let differs = |log: f64, substantial: f64, count: f64| {
            log.abs() > substantial
                && log.abs() * (count / self.spread.max(0.1)).sqrt() > SIGNIFICANT
        };
        let missing = ((answered + 1.0) / (expected + 1.0)).ln();
        if missing < 0.0 && differs(missing, MISSING, expected.min(answered.max(4.0))) {
            return true;
        }
        if answered >= 4.0 && differs((ratios / answered).max(1e-9).ln(), SUBSTANTIAL, answered) {
            return true;
        }
        // Small changes are seen in many, large ones soon.
        if expected.max(answered) >= 8.0 * size {
            self.batch = Batch {
                expected: expected / 2.0,
                answered: answered / 2.0,
                ratios: ratios / 2.0,
            };
        }
        false
    }

    fn set(&mut self, to: f64, cause: LimitCause) {
        let from = whole(self.limit);
        self.limit = to;
        let to = whole(self.limit);
        if from != to {
            self.heard = 0.0;
            self.changes = self.changes.saturating_add(1);
            let at = self.origin.as_nanos().saturating_add((self.clock * 1e9) as u64);
            self.last = LimitChange { from, to, cause, at_nanos: at };
        }
    }
}

fn whole(limit: f64) -> u32 {
    limit.round().max(1.0) as u32
}
