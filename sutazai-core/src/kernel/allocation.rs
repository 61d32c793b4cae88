//! What comes of the router's choices: which agent a call went to, how good its answer was, why that agent.

use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::Change;
use super::handle::Kernel;
use super::shared::Shared;
use crate::agent::route::{RouteLog, RoutePolicy};
use crate::agent::{Decided, Entry};
use crate::base::id::CallId;
use crate::base::ticket::Settled;
use crate::base::time::Moment;
use crate::port::CallEnd;
use crate::{Code, Error, Result};

/// Calls of which it is known who answered them.
const REMEMBERED: usize = 4_096;

/// The calls that were answered last, by number. Made with the first one.
#[derive(Default)]
pub(super) struct Answered(OnceLock<Box<[Mutex<Option<Place>>]>>);

/// Who answered a call.
struct Place {
    call: CallId,
    entry: Weak<Entry>,
    skill: Option<usize>,
    /// The router's number for the choice, if there was one.
    decision: Option<u64>,
    scored: bool,
}

impl Kernel {
    /// Says how good the answer of a call was, from 0 to 1: the router learns by it who is best for what, and
    /// the agent's ledger has it. The last 4,096 answers or so can be scored, once each.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for a call that was not answered, or too long ago; [`Code::ALREADY_EXISTS`] for one
    /// that has its score; [`Code::INVALID`] for another score.
    pub fn score_call(&self, call: CallId, score: f64) -> Result<()> {
        let shared = &self.shared;
        let operation =
            |error: Error| error.operation("agent.score").with("call", call).with("score", score);
        if !(0.0..=1.0).contains(&score) {
            let error = Error::new(Code::INVALID, "a score is a number from 0 to 1");
            return Err(operation(error));
        }
        let place = shared.answered.with(call, |place| {
            let first = !std::mem::replace(&mut place.scored, true);
            (first, place.entry.upgrade(), place.skill, place.decision)
        });
        let Some((first, entry, skill, decision)) = place else {
            return Err(operation(unknown()));
        };
        if !first {
            let error = Error::new(Code::ALREADY_EXISTS, "the call's answer has a score already");
            return Err(operation(error));
        }
        if let (Some(decision), Some(router)) = (decision, &shared.steps.router) {
            router.reward(decision, score);
        }
        if let Some(entry) = entry {
            entry.ledger().score(skill, score, shared.runtime.now()).map_err(operation)?;
        }
        Ok(())
    }

    /// Why a call went to the agent that answered it, as the router says: candidates, scores, exploration or
    /// not. `None` where there was nothing to choose.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for a call that was not answered, or too long ago.
    pub fn explain_call(&self, call: CallId) -> Result<Option<serde_json::Value>> {
        let shared = &self.shared;
        let Some(decision) = shared.answered.with(call, |place| place.decision) else {
            let error = unknown().operation("agent.explain").with("call", call);
            return Err(error.advice("ask when the call is answered, within some 4,096 calls"));
        };
        let router = shared.steps.router.as_ref();
        Ok(decision.and_then(|decision| router?.explain(decision)))
    }

    /// Has the router begin anew with another policy: what it has learned is forgotten. With
    /// `record` the first so many things that it is told are kept, for [`route_log`](Self::route_log).
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid; [`Code::UNSUPPORTED`] where the host has replaced
    /// the router.
    pub fn set_route_policy(
        &self,
        policy: RoutePolicy,
        seed: Option<u64>,
        record: usize,
    ) -> Result<()> {
        let router = self.shared.adaptive.as_ref().ok_or_else(replaced)?;
        let seed = seed.unwrap_or_else(|| router.log().seed);
        let change = Change::configuration("agent.route_set_policy", "router");
        self.shared.changes(change, || router.begin(policy, seed, record))?;
        self.shared.forget_routes();
        Ok(())
    }

    /// What it takes to make the router's decisions again.
    ///
    /// # Errors
    /// [`Code::UNSUPPORTED`] where the host has replaced the router.
    pub fn route_log(&self) -> Result<RouteLog> {
        Ok(self.shared.adaptive.as_ref().ok_or_else(replaced)?.log())
    }
}

fn unknown() -> Error {
    Error::new(Code::NOT_FOUND, "no answer of this call is remembered")
        .advice("say so soon after the answer, or score the agent by its name")
}

fn replaced() -> Error {
    Error::new(Code::UNSUPPORTED, "the host has a router of its own").operation("agent.route")
}

impl Answered {
    fn slot(&self, call: CallId) -> Option<&Mutex<Option<Place>>> {
        let slots = self.0.get()?;
        slots.get(usize::try_from(call.0).ok()? % REMEMBERED)
    }

    fn with<R>(&self, call: CallId, f: impl FnOnce(&mut Place) -> R) -> Option<R> {
        let mut slot = self.slot(call)?.lock();
        slot.as_mut().filter(|place| place.call == call).map(f)
    }

    fn put(&self, place: Place) {
        self.0.get_or_init(|| (0..REMEMBERED).map(|_| Mutex::new(None)).collect());
        if let Some(slot) = self.slot(place.call) {
            let before = slot.lock().replace(place);
            drop(before);
        }
    }

    /// Another number for the same answer: that of the call which a try was made for.
    #[cfg(feature = "recovery")]
    pub(super) fn also(&self, call: CallId, as_try: CallId) {
        let found = self.with(as_try, |place| (place.entry.clone(), place.skill, place.decision));
        if let Some((entry, skill, decision)) = found {
            self.put(Place { call, entry, skill, decision, scored: false });
        }
    }
}

impl Shared {
    /// A call has ended: whoever chose its agent is told. The number of that choice.
    pub(super) fn learn(
        &self,
        decided: Decided,
        failure: Option<&Error>,
        by: Settled,
        now: Moment,
    ) -> Option<u64> {
        let number = decided.number();
        self.guarded("router", || decided.ended(now, end(failure, by)));
        number
    }

    /// Who answered a call, for whoever scores the answer.
    #[inline]
    pub(super) fn remember(
        &self,
        call: CallId,
        entry: &Arc<Entry>,
        skill: &str,
        decision: Option<u64>,
    ) {
        let skill = entry.skill_index(skill);
        let entry = Arc::downgrade(entry);
        self.answered.put(Place { call, entry, skill, decision, scored: false });
    }
}

/// What the end of a call says of its agent.
fn end(failure: Option<&Error>, by: Settled) -> CallEnd {
    match failure.map(Error::code) {
        None => CallEnd::Succeeded,
        // The caller's doing, or the kernel's.
        Some(
            Code::CANCELLED
            | Code::SAFE_STATE
            | Code::OVERLOADED
            | Code::NOT_RUNNING
            | Code::DRAINING
            | Code::INVALID,
        ) => CallEnd::Cancelled,
        Some(Code::DEADLINE_EXCEEDED) if by == Settled::ByWorker => CallEnd::Cancelled,
        Some(_) => CallEnd::Failed,
    }
}
