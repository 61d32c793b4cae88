//! Something scarce that is divided among agents (calls at once, calls a second, places of pools), by what they make of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::super::Change;
use super::super::handle::Kernel;
use super::super::shared::Shared;
use super::give::Failing;
use super::measure::Seen;
use super::shares::{ShareProposal, ShareSpec, SharedOut};
use super::{MOST, about, every, meant, named, no_answer, shown};
use crate::base::time::Moment;
use crate::observe::Level;
use crate::tune::{Adjust, Autonomy, KnobValue, Shares};
use crate::{Code, Error, Result};

/// One thing that is divided.
pub(super) struct Divided {
    pub(super) name: Arc<str>,
    pub(super) spec: ShareSpec,
    every: Duration,
    /// Units that nobody may have, as their ceilings are lower.
    unplaced: u64,
    pub(super) knobs: BTreeMap<String, Arc<dyn Adjust>>,
    /// Held by who changes knobs, while it does.
    turn: Mutex<()>,
    /// Held for moments only.
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    pub(super) shares: Shares,
    /// What each has, as far as it is known.
    pub(super) units: BTreeMap<String, u64>,
    /// When this round began, and when it ends.
    pub(super) began: Moment,
    next: Moment,
    /// Units that members have beyond those that there are, as the log has it.
    beyond: u64,
    /// What the host has reported in it.
    pub(super) reported: BTreeMap<String, f64>,
    /// Calls that agents had answered well when it began.
    pub(super) answered: BTreeMap<String, u64>,
    pub(super) benefits: BTreeMap<String, f64>,
    /// The newest point of each series that was taken into account.
    pub(super) seen: Seen,
    waiting: Option<(ShareProposal, Moment)>,
    /// No change is asked for or suggested before.
    quiet: Moment,
    pub(super) trouble: Option<Error>,
    pub(super) failing: Failing,
    closed: bool,
}

impl Kernel {
    /// Divides something scarce among agents, or whatever else has a knob or is the host's to give: in each round shares are moved
    /// a little, what comes of it is measured, and they follow what one more unit is worth to each (see [`Shares`]). Events of the
    /// bus tell of it: `tune.suggest`, `tune.ask`, `tune.share`. Said again, it begins anew.
    ///
    /// # Errors
    /// [`Code::INVALID`] for what makes no sense, naming it; [`Code::NOT_FOUND`] for a knob that there is not;
    /// [`Code::ALREADY_EXISTS`] where a tuner, or something else that is divided, has a knob; [`Code::OVERLOADED`] beyond a
    /// hundred; [`Code::NOT_RUNNING`] and [`Code::DRAINING`].
    pub fn share_out(&self, name: &str, spec: ShareSpec) -> Result<()> {
        let change = Change::configuration("tune.share", name);
        let done = self.shared.changes(change, || self.shared.share_out(name, spec));
        done.map_err(|error| error.operation("tune.share").with("name", shown(name)))
    }

    /// Divides it no more: everybody keeps what they have.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`], and [`Code::NOT_RUNNING`] of a kernel that does not run.
    pub fn unshare(&self, name: &str) -> Result<()> {
        let unshare = || {
            let gone = {
                let mut all = self.shared.tuning.divided.lock();
                let gone = all.remove(name).ok_or_else(|| none(name, all.keys()));
                gone.map_err(|none| self.shared.none_or_stopped(none))?
            };
            gone.close();
            Ok(())
        };
        let done = self.shared.changes(Change::configuration("tune.unshare", name), unshare);
        done.map_err(|error: Error| error.operation("tune.unshare"))
    }

    /// What is divided, sorted by name.
    pub fn shared_out(&self) -> Vec<SharedOut> {
        let all: Vec<_> = self.shared.tuning.divided.lock().values().cloned().collect();
        all.iter().map(|divided| divided.view()).collect()
    }

    /// Tells what members have made of their shares since this was told last, in one unit for all. It counts for the round
    /// under way.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::NOT_RUNNING`]; [`Code::INVALID`] for somebody who has no share or whose benefit is measured here, and for what is
    /// not finite.
    pub fn report_benefits(&self, name: &str, benefits: &BTreeMap<String, f64>) -> Result<()> {
        let report = || {
            let divided = self.shared.divided(name)?;
            for (member, benefit) in benefits {
                let problem = match divided.spec.members.get(member) {
                    None => "nobody of this name has a share",
                    Some(member) if member.is_measured() => "its benefit is measured here",
                    Some(_) if !benefit.is_finite() => "a benefit is a finite number",
                    Some(_) => continue,
                };
                let error = Error::new(Code::INVALID, problem)
                    .with("member", shown(member))
                    .with("name", shown(name));
                let members = divided.spec.members.keys().map(String::as_str);
                return Err(match divided.spec.members.contains_key(member) {
                    true => error,
                    false => meant(error, member, members),
                });
            }
            let mut state = divided.state.lock();
            for (member, benefit) in benefits {
                let sum = state.reported.entry(member.clone()).or_default();
                // Sums stay finite.
                *sum = (*sum + benefit).clamp(-1e150, 1e150);
            }
            Ok(())
        };
        report().map_err(|error| error.operation("tune.share_report"))
    }

    /// Answers what was asked: whether the units that wait to be approved may be given. `proposal` is the number of what was asked,
    /// and `by` says who answers, for the record.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`], [`Code::NOT_RUNNING`], and [`Code::INVALID`] where that proposal does not wait (any more).
    pub fn answer_shares(&self, name: &str, proposal: u64, approved: bool, by: &str) -> Result<()> {
        let word = if approved { "approved" } else { "denied" };
        let answer = || {
            let divided = self.shared.divided(name)?;
            let _turn = divided.turn.lock();
            let now = self.shared.runtime.now();
            let proposal = {
                let mut state = divided.state.lock();
                if state.closed {
                    return Err(self.shared.none_or_stopped(none(name, [].iter())));
                }
                let waiting = (state.waiting)
                    .take_if(|(one, until)| one.proposal == proposal && now < *until);
                let Some((proposal, _)) = waiting else {
                    let waits = state.waiting.as_ref().map(|(one, _)| one.proposal);
                    return Err(no_answer("this change", waits)
                        .with("name", shown(name))
                        .with("proposal", proposal));
                };
                if !approved {
                    state.quiet = now + Duration::from_millis(divided.spec.approval_ms);
                }
                proposal
            };
            if approved {
                self.shared.give(&divided, &proposal.units, true);
                self.shared.begin_round(&divided);
            }
            Ok(())
        };
        let change = Change::forced("tune.share_answer", name).by(by).with("answer", word);
        let done = self.shared.changes(change, answer);
        done.map_err(|error: Error| error.operation("tune.share_answer"))
    }
}

fn none<'a>(name: &str, all: impl Iterator<Item = &'a Arc<str>>) -> Error {
    let none =
        Error::new(Code::NOT_FOUND, "nothing of this name is divided").with("name", shown(name));
    meant(none, name, all.map(|one| &**one))
}

impl Divided {
    pub(super) fn has(&self, knob: &str) -> bool {
        self.knobs.values().any(|own| own.name() == knob)
    }

    /// Nothing is set by it any more when this has returned.
    pub(super) fn close(&self) {
        let _turn = self.turn.lock();
        self.state.lock().closed = true;
    }

    /// As much, but for what hangs when that time is over: it does nothing any more when it has done what it does now.
    pub(super) fn close_within(&self, patience: Duration) {
        let _turn = self.turn.try_lock_for(patience);
        self.state.lock().closed = true;
    }

    /// Units that all have beyond those that there are.
    fn beyond(&self, units: &BTreeMap<String, u64>) -> u64 {
        let all = units.values().fold(0_u64, |all, units| all.saturating_add(*units));
        all.saturating_sub(u64::from(self.spec.units))
    }

    fn view(&self) -> SharedOut {
        let state = self.state.lock();
        SharedOut {
            name: Arc::clone(&self.name),
            spec: self.spec.clone(),
            beyond: self.beyond(&state.units),
            unplaced: self.unplaced,
            units: state.units.clone(),
            benefits: state.benefits.clone(),
            waiting: state.waiting.as_ref().map(|(proposal, _)| proposal.clone()),
            trouble: state.trouble.clone(),
            view: state.shares.view(),
        }
    }
}

impl Shared {
    fn divided(&self, name: &str) -> Result<Arc<Divided>> {
        let all = self.tuning.divided.lock();
        let found = all.get(name).cloned().ok_or_else(|| none(name, all.keys()));
        found.map_err(|none| self.none_or_stopped(none))
    }

    pub(super) fn share_out(self: &Arc<Self>, name: &str, spec: ShareSpec) -> Result<()> {
        self.tunes()?;
        named(name, "not a name for what is divided")?;
        spec.check()?;
        let every = every(spec.every_ms)?;
        let mut shares = Shares::new(spec.policy.clone())?;
        let mut knobs: BTreeMap<String, Arc<dyn Adjust>> = BTreeMap::new();
        let (mut floors, mut ceilings) = (0_u64, 0_u64);
        for (who, member) in &spec.members {
            let mut joins = || {
                let knob = member.knob.as_deref().map(|knob| self.knob(knob)).transpose()?;
                let (floor, ceiling) = spec.bounds(member, knob.as_deref())?;
                let whole = f64::from(spec.units);
                floors += u64::from(floor);
                ceilings += u64::from(ceiling);
                if floors > u64::from(spec.units) {
                    return Err(Error::new(
                        Code::INVALID,
                        "the floors of all members are more units than there are",
                    )
                    .with("floors", floors)
                    .with("units", spec.units)
                    .advice("a floor is at least what the member's knob takes: lower floors, or divide more units"));
                }
                shares.join(who, f64::from(floor) / whole, f64::from(ceiling) / whole)?;
                Ok(knob)
            };
            let knob = joins().map_err(|error: Error| about(error, "member", shown(who)))?;
            if let Some(knob) = knob {
                if knobs.values().any(|other| other.name() == knob.name()) {
                    return Err(Error::new(Code::ALREADY_EXISTS, "two members have the same knob")
                        .with("knob", shown(knob.name()))
                        .with("member", shown(who)));
                }
                knobs.insert(who.clone(), knob);
            }
        }
        let now = self.runtime.now();
        #[cfg(feature = "monitor")]
        let seen = self.seen_of(spec.members.values().filter_map(|one| one.benefit.as_ref()));
        #[cfg(not(feature = "monitor"))]
        let seen = Seen::default();
        // What the host gives is even until it is told.
        let units = shares.quotas(u64::from(spec.units));
        let name: Arc<str> = name.into();
        let divided = Arc::new(Divided {
            name: Arc::clone(&name),
            unplaced: u64::from(spec.units).saturating_sub(ceilings),
            spec,
            every,
            knobs,
            turn: Mutex::new(()),
            state: Mutex::new(State {
                shares,
                units,
                began: now,
                next: now,
                beyond: 0,
                reported: BTreeMap::new(),
                answered: BTreeMap::new(),
                benefits: BTreeMap::new(),
                seen,
                waiting: None,
                quiet: now,
                trouble: None,
                failing: Failing::default(),
                closed: false,
            }),
        });
        let claims = self.tuning.claims.lock();
        for knob in divided.knobs.values() {
            if let Some(tuner) = self.tuning.tuner_of(knob.name()) {
                return Err(Error::new(Code::ALREADY_EXISTS, "a tuner has the knob")
                    .with("knob", shown(knob.name()))
                    .with("tuner", shown(&tuner))
                    .advice(
                        "a knob is a tuner's or a share's: remove the tuner first (tune.remove)",
                    ));
            }
        }
        {
            let mut all = self.tuning.divided.lock();
            let others = || all.values().filter(|other| other.name != name);
            let taken = divided
                .knobs
                .values()
                .find_map(|knob| Some((knob, others().find(|other| other.has(knob.name()))?)));
            if let Some((knob, other)) = taken {
                return Err(Error::new(Code::ALREADY_EXISTS, "the knob has a share elsewhere")
                    .with("knob", shown(knob.name()))
                    .with("shares", shown(&other.name)));
            }
            if !all.contains_key(&name) && all.len() >= MOST {
                return Err(Error::new(Code::OVERLOADED, "as much is divided as may be")
                    .with("most", MOST)
                    .advice("divide something else no more first (tune.unshare)"));
            }
            let before = all.insert(name, Arc::clone(&divided));
            drop((all, claims));
            if let Some(before) = before {
                before.close();
            }
        }
        self.tell_of_unplaced(&divided);
        if divided.spec.autonomy == Autonomy::Act {
            let _turn = divided.turn.lock();
            let units = divided.state.lock().units.clone();
            self.give(&divided, &units, true);
        }
        self.begin_round(&divided);
        self.tune_later();
        Ok(())
    }

    fn tell_of_unplaced(&self, divided: &Divided) {
        if divided.unplaced > 0 {
            let fields = [
                ("shares", divided.name.to_string()),
                ("units", divided.spec.units.to_string()),
                ("unplaced", divided.unplaced.to_string()),
            ];
            let what = "some units are nobody's: the ceilings of all members, and what their knobs take at most, are less than there is";
            self.kept.log().record(Level::Warn, "sutazai.tune", what, fields);
        }
    }

    /// What was measured from here on belongs to another round.
    fn begin_round(&self, divided: &Divided) {
        let answered = (divided.spec.members.keys())
            .filter_map(|member| Some((member.clone(), self.answered_well(member)?)))
            .collect();
        let units = divided.knobs.iter().map(|(member, knob)| (member, knob.value()));
        let now = self.runtime.now();
        let mut guard = divided.state.lock();
        let state = &mut *guard;
        for (member, value) in units {
            match value {
                Ok(KnobValue::Integer(value)) => {
                    state.units.insert(member.clone(), u64::try_from(value).unwrap_or(0));
                }
                Ok(_) => {}
                Err(error) => state.trouble = Some(about(error, "member", shown(member))),
            }
        }
        let beyond = divided.beyond(&state.units);
        let grew = beyond > 0 && state.beyond == 0;
        state.beyond = beyond;
        (state.began, state.next) = (now, now + divided.every);
        state.answered = answered;
        state.reported.clear();
        drop(guard);
        if grew {
            let fields = [
                ("shares", divided.name.to_string()),
                ("units", divided.spec.units.to_string()),
                ("beyond", beyond.to_string()),
            ];
            let what = "members have more units than there are: nothing is taken from them before that is approved or their knobs can be set";
            self.kept.log().record(Level::Warn, "sutazai.tune", what, fields);
        }
    }

    pub(super) fn look_at_divided(self: &Arc<Self>, divided: &Arc<Divided>) {
        // Who has the turn looks at it just now.
        let Some(_turn) = divided.turn.try_lock() else { return };
        let now = self.runtime.now();
        {
            let mut state = divided.state.lock();
            if state.waiting.as_ref().is_some_and(|(_, until)| now >= *until) {
                state.waiting = None;
            }
            if state.closed || now < state.next {
                return;
            }
        }
        self.end_round(divided, now);
        let proposal = {
            let mut state = divided.state.lock();
            state.shares.propose();
            state.shares.quotas(u64::from(divided.spec.units))
        };
        self.step_of(divided, proposal, now);
        self.begin_round(divided);
    }

    /// Does with a proposal what its autonomy allows.
    fn step_of(self: &Arc<Self>, divided: &Divided, units: BTreeMap<String, u64>, now: Moment) {
        let within = Duration::from_millis(divided.spec.approval_ms);
        let (same, quiet, asked) = {
            let state = divided.state.lock();
            (state.units == units, now < state.quiet, state.waiting.is_some())
        };
        match divided.spec.autonomy {
            Autonomy::Act => self.give(divided, &units, false),
            _ if same || quiet || asked => {}
            Autonomy::Observe => {}
            Autonomy::Suggest => {
                self.publish(
                    "tune.suggest",
                    serde_json::json!({"shares": &*divided.name, "units": units}),
                );
                divided.state.lock().quiet = now + within;
            }
            Autonomy::Approve => {
                let until = self.clock.wall(now + within);
                let proposal = self.next_proposal();
                let beyond = divided.beyond(&divided.state.lock().units);
                let asked = ShareProposal { proposal, units, beyond, until };
                divided.state.lock().waiting = Some((asked.clone(), now + within));
                self.publish(
                    "tune.ask",
                    serde_json::json!({
                        "shares": &*divided.name, "proposal": proposal, "units": asked.units,
                        "beyond": beyond, "until": until,
                    }),
                );
            }
        }
    }
}
