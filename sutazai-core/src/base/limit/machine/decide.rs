//! What an adaptive limit makes of what it sees.

use super::super::before::Before;
use super::super::knee::Knee;
use super::super::levels::Point;
use super::super::view::LimitCause;
use super::super::{Call, CallOutcome};
use super::{AdaptiveLimit, Batch, Check, DOUBTFUL, Dip, Fate, Stall};

/// While too little is known to conclude anything, exploring may take this share of the throughput.
const LEARNING: f64 = 0.1;
/// A limit of so many times what is useful does harm: calls take twice as long as they need.
const TOO_MUCH: f64 = 2.0;
/// What is thought to be known is verified each so many times that a call takes,
const VERIFY_EVERY: f64 = 250.0;
/// with so much of the useful concurrency, where certainly no call waits if it is right.
const VERIFY_AT: f64 = 0.7;
/// Whether a target that changed takes as many calls as before is looked at with this share of the limit at most,
const LOOK_AT: f64 = 0.4;
/// and this share of what was useful,
const LOOK_BELOW: f64 = 0.55;
/// in so many calls at least,
const SOME: f64 = 2.0;
/// and at most so many times those of another dip,
const LOOK_LONG: f64 = 2.0;
/// until it is as likely as this that it does,
const KEPT: f64 = 0.85;
/// or no more than this. More is asked for that it does not, as a limit that is too low costs answers.
const LOST: f64 = 0.1;
/// What is seen in such a look counts as soon as so many calls were answered for each that is under way, if their times are spread as an
/// exponential's; if they are even, after one more, as those under way tell nothing before they end.
const EARLY: f64 = 0.25;
/// Standard errors by which a batch of calls must differ from what was expected.
const SIGNIFICANT: f64 = 4.0;
/// The logarithm of the factor by which it must, besides.
const SUBSTANTIAL: f64 = 0.26;
/// The same for answers that are missing. That is seen before they come, but of a heavy tail fewer come in a time than
/// the capped mean says.
const MISSING: f64 = std::f64::consts::LN_2;

impl AdaptiveLimit {
    /// Counts how calls end, and gives way to time-outs and refusals: by the share of the calls that was refused, or by
    /// half; once for the calls that were begun under one limit.
    pub(super) fn judge(&mut self, call: &Call, outcome: CallOutcome) {
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

    /// Lowers the limit at once.
    fn give_way(&mut self, factor: f64, cause: LimitCause) {
        self.dip = None;
        self.backing = true;
        self.fate.since = self.clock;
        let to = self.policy.bounded(self.limit * factor);
        self.set(to, cause);
    }

    /// Looks for what happens while no call ends.
    pub(super) fn watch(&mut self) {
        self.look_for_stall();
        if let Some(dip) = self.dip
            && self.clock >= dip.until
        {
            self.surface(dip);
        }
    }

    /// Gives way where nothing has come back for far too long, however many calls are still under way.
    fn look_for_stall(&mut self) {
        let Some(knee) = self.knee else { return };
        let usual = knee.service * knee.stretch(f64::from(self.in_flight));
        let quiet = self.clock - self.fate.quiet_since;
        if self.fate.quiet_expected >= 16.0 * knee.spread.max(1.0) && quiet >= 4.0 * usual {
            (self.fate.quiet_since, self.fate.quiet_expected) = (self.clock, 0.0);
            let silent = self.clock - quiet;
            let (limit, since) = (self.limit, self.clock);
            self.stall.get_or_insert(Stall { limit, since, silent });
            self.forget();
            self.give_way(0.5, LimitCause::Stalled);
        }
    }

    /// Calls from before a stall that are answered after all say that the target was slow and not away: with each the limit doubles, up to
    /// what it was. What comes of calls since then says how the target is now, and ends that.
    pub(super) fn come_back(&mut self, call: &Call, outcome: CallOutcome, took: f64) {
        let Some(stall) = self.stall else { return };
        let answered = outcome == CallOutcome::Answered;
        if call.start >= stall.since {
            // A call that is given up, or says nothing, is the silence itself.
            if !matches!(outcome, CallOutcome::TimedOut | CallOutcome::Ignored) {
                self.stall = None;
            }
        } else if answered {
            if let Some(knee) = &mut self.knee {
                // Or the next silence would be another stall. One call may have taken long before it, too.
                let slow = (took / knee.stretch(stall.limit)).min(self.clock - stall.silent);
                knee.service = knee.service.max(slow);
            }
            self.backing = false;
            let most = self.policy.bounded(stall.limit.min(self.ceiling));
            let to = (2.0 * self.limit).min(most).max(self.limit);
            self.set(to, LimitCause::CameBack);
            if to >= most {
                self.stall = None;
            }
        }
    }

    /// Forgets what was learnt, up to what was useful: the target has become another one.
    fn forget(&mut self) {
        self.levels.clear();
        self.generation = self.generation.wrapping_add(1);
        self.batch = Batch::default();
        match (self.sure(), &mut self.before) {
            (Some(knee), before) => *before = Some(Before::new(&knee)),
            (None, Some(before)) => before.again(),
            (None, None) => {}
        }
        if let Some(knee) = &mut self.knee {
            knee.doubt = 1.0;
        }
        self.dip_cost = 0.0;
        self.dip = None;
        self.forgotten = self.forgotten.saturating_add(1);
    }

    /// Makes up its mind anew.
    pub(super) fn decide(&mut self) {
        self.look_for_stall();
        let check =
            std::mem::replace(&mut self.check, Check { at: self.clock, ..Check::default() });
        let passed = self.clock - check.at;
        self.binding = check.full * 4.0 >= passed
            || u64::from(check.kept_out) * 50 >= u64::from(check.begun.max(1));
        if self.has_changed() {
            self.forget();
            return;
        }
        let Some((knee, answered)) = self.weigh() else { return };
        self.knee = Some(knee);
        let usual = knee.service * knee.stretch(self.limit);
        let fade = (-passed / (usual * self.policy.memory)).exp();
        self.levels.fade(fade);
        if let Some(before) = &mut self.before {
            before.fade(fade * fade);
        }
        if let Some(dip) = self.dip {
            let clear = dip.ended >= SOME && self.verify(knee);
            if clear || dip.ended >= dip.need || self.clock >= dip.until {
                self.surface(dip);
            } else {
                return;
            }
        }
        let enough = answered >= self.limit.max(8.0) && self.heard >= self.limit.max(4.0);
        if enough || self.limit < 3.0 {
            self.follow(knee);
        }
        if enough && self.dip.is_none() {
            self.verify(knee);
        }
        let verified = self.before.is_some_and(|before| before.is_verified());
        let doubtful = self.limit > TOO_MUCH * knee.useful * (-knee.doubt).exp()
            // Calls wait wherever it has looked.
            || (knee.useful < knee.seen.0 && !verified)
            || self.is_unverified();
        let verifies = !doubtful && self.clock - self.dipped >= VERIFY_EVERY * usual;
        if self.binding && enough && (verifies || doubtful && self.may_dip(knee)) {
            self.submerge(knee, usual, verifies);
        }
    }

    /// What is known by now, and by how many answers.
    fn weigh(&self) -> Option<(Knee, f64)> {
        let spread = self.knee.map_or(1.0, |knee| knee.spread.min(1.0));
        let most = self.most(self.limit);
        let find = |least: f64, ages: f64| {
            // Where calls take about the same time none of a level ends before all have been under way for long.
            let rounds = least + 1.0 - spread;
            let points: Vec<Point> = self.levels.points(self.clock, most, rounds, ages).collect();
            let answered = points.iter().map(|point| point.answered).sum();
            Knee::find(&points, self.before.as_ref()).map(|knee| (knee, answered))
        };
        // The first answers are those of short calls: they may say that the limit can stay, not that it cannot.
        let looks = self.dip.is_some() && self.is_unverified();
        let early = looks.then(|| find(EARLY, spread)).flatten();
        let stays = |found: &(Knee, f64)| found.0.kept.is_some_and(|kept| kept > KEPT);
        early.filter(stays).or_else(|| find(1.0, 1.0))
    }

    /// Moves the limit to what is known to be useful, and a standard deviation more: a limit that is somewhat high
    /// costs nobody an answer, one that is too low does, and with more in flight the doubt shrinks.
    fn follow(&mut self, knee: Knee) {
        let mut target = self.policy.with_headroom(knee.useful, knee.doubt).min(self.ceiling);
        if let Some(before) = self.before.filter(|before| !before.is_verified()) {
            // By what little has been seen since it changed it is not raised beyond what it was.
            let known = self.policy.with_headroom(before.useful(), before.doubt());
            target = target.min(known.max(self.limit));
        }
        // What is not known may be found out below, at a cost, or above.
        let sure = knee.doubt < DOUBTFUL || self.limit < 3.0 || !self.may_dip(knee);
        if self.limit < target && self.binding && sure {
            self.set(target.min(2.0 * self.limit), LimitCause::Room);
        } else if self.limit > target {
            self.set(target, LimitCause::Queueing);
        }
    }

    /// Whether the target has changed, and it is not known whether it takes as many calls at once as before.
    fn is_unverified(&self) -> bool {
        self.before.is_some_and(|before| !before.is_verified())
    }

    /// Whether that is known now, and was not.
    fn verify(&mut self, knee: Knee) -> bool {
        let Some(before) = self.before.as_mut().filter(|before| !before.is_verified()) else {
            return false;
        };
        // Or what is useful is known anyway.
        let clear = knee.doubt < Before::VAGUE
            || knee.kept.is_none_or(|kept| !(LOST..=KEPT).contains(&kept));
        if clear {
            before.verify(knee.kept.filter(|kept| *kept >= KEPT).unwrap_or(0.0));
        }
        clear
    }

    /// Begins a dip.
    fn submerge(&mut self, knee: Knee, usual: f64, verifies: bool) {
        // The less is known, the greater the difference that will be seen.
        let share = match knee.doubt {
            _ if self.is_unverified() => LOOK_AT,
            doubt if doubt < DOUBTFUL => 0.75,
            _ => 0.5,
        };
        let depth = if verifies { VERIFY_AT } else { (-knee.doubt / 2.0).exp() };
        let mut low = (knee.useful * depth).min(self.limit * share);
        if let Some(before) = self.before.filter(|before| !before.is_verified()) {
            low = low.min(LOOK_BELOW * before.useful());
        }
        let limit = self.policy.bounded(low.max(self.limit / 4.0).round().max(1.0));
        if limit >= self.limit {
            return;
        }
        let long = if self.is_unverified() { LOOK_LONG } else { 1.0 };
        let need = long * (2.0 * limit).max(8.0);
        self.dip = Some(Dip {
            limit,
            since: self.clock,
            ended: 0.0,
            need,
            until: self.clock + 8.0 * usual,
        });
        self.changes = self.changes.saturating_add(1);
    }

    /// Ends a dip.
    fn surface(&mut self, dip: Dip) {
        self.dip = None;
        self.changes = self.changes.saturating_add(1);
        // By what may be useful: where that is estimated too low, a dip costs more than it seems to.
        let useful = self.knee.map_or(self.limit, |knee| knee.useful * knee.doubt.exp());
        self.dip_cost = (1.0 - dip.limit / useful).max(0.1) * (self.clock - dip.since);
        self.dipped = self.clock;
    }

    /// Whether what a dip costs, and the last one did cost, is within the share of the throughput that exploring may take.
    fn may_dip(&self, knee: Knee) -> bool {
        let known = knee.doubt < DOUBTFUL && !self.is_unverified();
        let share = if known { self.policy.explore } else { LEARNING };
        (self.clock - self.dipped) * share >= self.dip_cost
    }

    /// Whether calls take other times than they did at the same concurrency: significantly, and by a good deal.
    fn has_changed(&mut self) -> bool {
        let Some(knee) = self.sure() else {
            self.batch = Batch::default();
            return false;
        };
        let Batch { expected, answered, ratios } = self.batch;
        let size = self.limit.max(16.0);
        if expected < size && answered < size {
            return false;
        }
        let differs = |log: f64, substantial: f64, count: f64| {
            log.abs() > substantial && log.abs() * (count / knee.spread).sqrt() > SIGNIFICANT
        };
        let missing = ((answered + 1.0) / (expected + 1.0)).ln();
        if missing < 0.0 && differs(missing, MISSING, expected.min(answered.max(4.0))) {
            return true;
        }
        let ratio = (ratios / answered.max(1.0)).max(1e-9).ln();
        // Of a target that takes more, calls get faster by what they waited for room, and no more than that.
        let room = self.policy.headroom.ln();
        let substantial = if ratio < 0.0 { SUBSTANTIAL.min(room) } else { SUBSTANTIAL };
        if answered >= 4.0 && differs(ratio, substantial, answered) {
            return true;
        }
        // Small changes are seen in many, large ones soon.
        if expected.max(answered) >= 8.0 * size {
            self.batch =
                Batch { expected: expected / 2.0, answered: answered / 2.0, ratios: ratios / 2.0 };
        }
        false
    }
}
