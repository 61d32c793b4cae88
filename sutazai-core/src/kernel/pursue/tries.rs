//! A try on its way to an agent, and the second one beside a first that is slow.

use std::sync::Arc;

use super::Pursuit;
use super::state::{Running, State, Waits};
use crate::agent::Entry;
use crate::base::id::CallId;
use crate::base::ticket::Ticket;
use crate::base::time::Moment;
use crate::kernel::call::{Admitted, Refusal};
use crate::kernel::caught;
use crate::kernel::placing::{Placed, Try, refused};
use crate::kernel::tracing::PartOf;
use crate::port::Outcome;
use crate::recovery::{Place, Steps, Which};
use crate::{Code, Result};

impl Pursuit {
    /// Makes a try, on this thread up to where the agent gets it.
    pub(super) fn first(self: Arc<Self>, now: Moment) {
        let id = CallId(self.shared.ids.next());
        let not = {
            let mut state = self.state.lock();
            if state.unwanted() {
                // It was cancelled before there was anything to end.
                return;
            }
            state.first = Some(Running::new(id, now));
            state.failed_on.take()
        };
        self.go(id, now, not.as_deref());
    }

    /// Takes a try, which is among those under way, to an agent; to another than `not`, if there is one.
    fn go(self: Arc<Self>, id: CallId, now: Moment, not: Option<&str>) {
        let second = self.state.lock().which(id) == Some(Which::Second);
        let place = || {
            let this = Try { waits: !second, ..self.this(id, now) };
            Ok(self.task.in_its_stead(|| self.shared.place_guarded(this, not)))
        };
        let placed = caught(place).unwrap_or_else(|error| Err(Refusal::early(error)));
        self.follow_up(id, now, placed);
    }

    pub(super) fn follow_up(
        self: Arc<Self>,
        id: CallId,
        now: Moment,
        placed: Result<Placed, Refusal>,
    ) {
        match placed {
            Ok(Placed::In(admitted, guard)) => self.hand_over(id, admitted, guard, now),
            Ok(Placed::Waits(entry, steps)) => self.wait_for_place(id, entry, steps),
            Ok(Placed::Nowhere) => {
                let is_first = {
                    let mut state = self.state.lock();
                    !state.unmade(id) && state.which(id).is_some()
                };
                if is_first {
                    // The one that was has failed meanwhile.
                    self.go(id, now, None);
                }
            }
            Err(refusal) => self.refused(id, now, refusal),
        }
    }

    pub(super) fn this(&self, id: CallId, now: Moment) -> Try<'_> {
        let caller = self.from.clone();
        Try { task: &self.task, caller, id, now, most: self.deadline, waits: true }
    }

    /// Gives the try to its agent.
    fn hand_over(
        self: Arc<Self>,
        id: CallId,
        admitted: Admitted,
        guard: Option<Steps>,
        now: Moment,
    ) {
        let mut since = now;
        {
            let mut state = self.state.lock();
            if let Some(running) = state.of(id) {
                running.agent = Some(Arc::clone(admitted.agent()));
                running.guard = guard;
                since = running.since;
            }
        }
        let admitted = admitted.tried_for(PartOf::call(self.id, since));
        let ticket = self.shared.dispatch(self.task.clone(), admitted, id, now);
        self.follow(id, ticket);
    }

    fn refused(self: Arc<Self>, id: CallId, now: Moment, refusal: Refusal) {
        let since = {
            let mut state = self.state.lock();
            if state.unmade(id) {
                return;
            }
            state.of(id).map_or(now, |running| {
                running.turned_away = refusal.wants_capacity(&self.task);
                running.since
            })
        };
        let error = refusal.error.clone();
        let part_of = PartOf::call(self.id, since);
        self.shared.refused(&self.task, id, now, refusal, part_of);
        self.ended(id, Err(error));
    }

    /// Waits in the queue of an agent's bulkhead.
    fn wait_for_place(self: Arc<Self>, id: CallId, entry: Arc<Entry>, mut steps: Steps) {
        let Some(ticket) = steps.take_waiting() else { return };
        {
            let mut state = self.state.lock();
            // A second try is to be quicker than the first one.
            if state.unmade(id) {
                return;
            }
            let Some(running) = state.of(id) else { return };
            running.waits = Some(Waits {
                agent: Arc::clone(entry.name()),
                leaves: ticket.settler(),
                _listed: self.list(id, &entry),
            });
        }
        let (pursuit, waits_for) = (Arc::clone(&self), Arc::clone(&entry));
        ticket.on_done(move |place| {
            let shared = Arc::clone(&self.shared);
            let pursuit = Arc::clone(&self);
            // Whoever gives the place has something else to do.
            let job = Box::new(move || pursuit.placed(id, &entry, steps, place));
            if let Err(refused) = shared.runtime.spawn_blocking(job) {
                self.ended(id, Err(refused.error.operation("kernel.call")));
            }
        });
        pursuit.look_again(&waits_for);
    }

    /// The wait for a place is over.
    fn placed(
        self: Arc<Self>,
        id: CallId,
        entry: &Arc<Entry>,
        mut steps: Steps,
        place: Result<Place>,
    ) {
        // Else it was ended, or another agent was quicker.
        let Some(waited) = self.state.lock().of(id).and_then(|running| running.waits.take()) else {
            return;
        };
        drop(waited);
        let now = self.shared.runtime.now();
        let entered = place.and_then(|place| steps.placed(place));
        let refused = |error| refused(self.this(id, now), error, Arc::clone(entry));
        let placed = entered.map_err(refused).and_then(|()| {
            let this = self.this(id, now);
            let place =
                || Ok(self.task.in_its_stead(|| self.shared.place_waited(this, entry, steps)));
            caught(place).unwrap_or_else(|error| Err(Refusal::early(error)))
        });
        match placed {
            // Since it began to wait, the agent is left alone or gone: as if the try came now.
            Err(refusal) if is_closed(refusal.error.code()) => {
                Arc::clone(&self).go(id, now, Some(entry.name()));
            }
            placed => Arc::clone(&self).follow_up(id, now, placed),
        }
        self.watch();
    }

    /// Hears what comes of a try that an agent has.
    fn follow(self: Arc<Self>, id: CallId, ticket: Ticket<Outcome>) {
        let ends = ticket.settler();
        let unwanted = {
            let mut state = self.state.lock();
            match state.of(id) {
                Some(running) => {
                    running.ends.clone_from(&ends);
                    false
                }
                None => true,
            }
        };
        if unwanted && let Some(ends) = ends {
            // It was ended before it could be told of this.
            ends.cancel();
        }
        let parts = Arc::downgrade(&self);
        ticket.on_part(move |part| {
            if let Some(pursuit) = parts.upgrade()
                && pursuit.speaks(id)
                && let Some(caller) = &pursuit.caller
            {
                caller.progress(part);
            }
        });
        ticket.on_done(move |answer| self.ended(id, answer));
    }

    /// Whether the caller gets the partial results of this try: those of the one that begins first. The
    /// other is of no use then.
    fn speaks(&self, id: CallId) -> bool {
        let silent = {
            let mut state = self.state.lock();
            if state.of(id).is_none() {
                return false;
            }
            if *state.speaks.get_or_insert(id) != id {
                return false;
            }
            state.begun = true;
            let tries = [&state.first, &state.second];
            let other = tries.into_iter().flatten().map(|running| running.id).find(|it| *it != id);
            other.and_then(|other| state.take(other, None))
        };
        if let Some(silent) = silent {
            silent.outpaced();
        }
        true
    }
}

/// The second try beside a first one that is slow.
impl Pursuit {
    /// Sees to it that a second try is made when the first takes longer than most.
    pub(super) fn watch(self: &Arc<Self>) {
        let due = {
            let state = self.state.lock();
            match (&state.first, &state.steps) {
                // One that waits for its place is not slow.
                (Some(first), Some(steps)) if first.agent.is_some() => {
                    let after = steps.hedge_after();
                    after.map(|after| (first.id, self.shared.runtime.now() + after))
                }
                _ => None,
            }
        };
        let Some((first, at)) = due.filter(|(_, at)| *at < self.deadline) else { return };
        let runtime = &self.shared.runtime;
        let pursuit = Arc::clone(self);
        let timer = runtime.spawn_at(
            at,
            Box::new(move || {
                let second = Arc::clone(&pursuit);
                // There being no room for it, the first one goes on alone.
                let job = Box::new(move || second.hedge(first));
                let _ = pursuit.shared.runtime.spawn_blocking(job);
            }),
        );
        let gone = {
            let mut state = self.state.lock();
            let gone = state.unwanted() || state.of(first).is_none();
            if gone { Some(timer) } else { state.hedges.replace(timer) }
        };
        if let Some(gone) = gone {
            // It ended before it could be told of the timer.
            runtime.cancel(gone);
        }
    }

    /// The try is slow.
    fn hedge(self: Arc<Self>, slow: CallId) {
        let id = CallId(self.shared.ids.next());
        let now = self.shared.runtime.now();
        let not = {
            let mut state = self.state.lock();
            if state.which(slow) != Some(Which::First) {
                return;
            }
            state.hedges = None;
            let State { first: Some(first), steps: Some(steps), speaks, .. } = &mut *state else {
                return;
            };
            let agent = first.agent.clone();
            // What has begun to answer is not slow.
            if speaks.is_some() || !steps.hedge() {
                return;
            }
            state.second = Some(Running::new(id, now));
            agent
        };
        self.go(id, now, not.as_deref());
    }
}

/// Whether an agent that says so gets no calls at present.
fn is_closed(code: Code) -> bool {
    matches!(code, Code::BREAKER_OPEN | Code::QUARANTINED | Code::DEGRADED | Code::RATE_LIMITED)
}
