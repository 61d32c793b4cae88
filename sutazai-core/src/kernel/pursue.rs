//! A call that goes through guards: tried, and tried again, on the agents that can do it.
//!
//! The caller has one ticket; each try has a ticket of its own, and the books of a call besides, so that
//! every agent's figures say how its tries went. Whoever calls is looked at once.
//!
//! At most two tries are under way at a time: where the call's guard hedges, a second one beside a first
//! that is slow, with another agent where there is one. The first answer counts, and the other try is
//! cancelled.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::call::{Admitted, Refusal};
use super::load::Between;
use super::placing::{Placed, Try};
use super::shared::Shared;
use crate::agent::Entry;
use crate::base::deadline;
use crate::base::id::{CallId, TimerId};
use crate::base::priority;
use crate::base::ticket::{self, Hook, Reply, Settled, Settler, Ticket};
use crate::base::time::Moment;
use crate::port::{Outcome, Session, Task};
use crate::recovery::{GAVE_UP, GaveUp, Guard, Judgement, Next, Place, Steps, Verdict, Which};
use crate::{Code, Error, Result};

/// One call and its tries.
struct Pursuit {
    shared: Arc<Shared>,
    task: Task,
    session: Session,
    /// When the whole call is given up.
    deadline: Moment,
    /// The caller's end, for partial results.
    caller: Option<Settler<Outcome>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// None once the call has its answer.
    reply: Option<Reply<Outcome>>,
    /// The call's guard, when it has one.
    steps: Option<Steps>,
    /// The tries that are under way.
    first: Option<Running>,
    second: Option<Running>,
    /// The try whose partial results the caller gets; the other is of no use any more.
    speaks: Option<CallId>,
    /// The agent that the last try failed on: the next goes to another, if there is one.
    failed_on: Option<Arc<str>>,
    /// What it failed with: says more than that no other could be made.
    failed_with: Option<Error>,
    /// The wait for the next try, or for a second one beside the first. It holds this call, which holds
    /// the kernel: whoever ends the call takes it back.
    timer: Option<TimerId>,
    /// While no agent has the call.
    between: Option<Between>,
}

/// A try that is under way.
struct Running {
    id: CallId,
    /// Its agent, and the agent's guard, when it has one.
    agent: Option<Arc<str>>,
    guard: Option<Steps>,
    /// How to end it.
    ends: Option<Settler<Outcome>>,
    /// How to leave the queue that it waits in.
    leaves: Option<Settler<Place>>,
}

/// Takes the call out of the table of calls in flight when it has its answer.
struct Entered {
    id: CallId,
    shared: Arc<Shared>,
}

impl Hook<Outcome> for Entered {
    fn settled(&self, _: &Result<Outcome>, _: Settled) {
        self.shared.in_flight.leave(self.id);
    }

    fn finished(&self) {}

    fn may_block(&self) -> bool {
        self.shared.runtime.may_block()
    }
}

impl Shared {
    /// Takes a task all the way, through the guards of its call and of its agents.
    pub(super) fn call_guarded(
        self: &Arc<Self>,
        task: Task,
        token: Option<&str>,
    ) -> (CallId, Ticket<Outcome>) {
        let now = self.runtime.now();
        let id = CallId(self.ids.next());
        let entered = super::caught(|| Ok(self.identify(&task, token, now)))
            .unwrap_or_else(|error| Err(Refusal::early(error)))
            .and_then(|session| {
                let steps = self.guards.of_call(task.skill()).map(|guard: Guard| guard.begin());
                match steps.transpose() {
                    Ok(steps) => Ok((session, steps)),
                    Err(error) => Err(Refusal { error, session: Some(session), entry: None }),
                }
            });
        let (session, steps) = match entered {
            Ok(entered) => entered,
            Err(refusal) => {
                let error = refusal.error.clone();
                self.refused(&task, id, now, refusal);
                return (id, ticket::ready(Err(error)));
            }
        };
        let own = task.given_timeout().map_or(Moment::FAR, |timeout| now + timeout);
        let own = own.min(deadline::current());
        let deadline = steps.as_ref().map_or(own, |steps| own.min(steps.deadline()));
        let (ticket, reply) = ticket::pair_with(Box::new(Entered { id, shared: Arc::clone(self) }));
        let settler = ticket.settler();
        let pursuit = Arc::new(Pursuit {
            shared: Arc::clone(self),
            task,
            session,
            deadline,
            caller: settler.clone(),
            state: Mutex::new(State { steps, ..State::default() }),
        });
        let weak = Arc::downgrade(&pursuit);
        reply.on_cancel(move || Pursuit::cancelled(&weak));
        pursuit.state.lock().reply = Some(reply);
        Arc::clone(&pursuit).first(now);
        if !ticket.is_done()
            && let Some(settler) = settler
        {
            self.enter_call(id, deadline, settler, now);
            pursuit.watch();
        }
        (id, ticket)
    }

    /// The error as the class that it was found to be of, and by which rule. One that is critical by
    /// this alone has not been told of yet.
    fn reclassed(&self, error: Error, verdict: Verdict) -> Error {
        if verdict.class == error.class() {
            return error;
        }
        let error = error.classed(verdict.class).with("rule", verdict.rule);
        self.heal.failed(&error);
        error
    }
}

/// A try on its way.
impl Pursuit {
    /// Makes a try, on this thread up to where the agent gets it.
    fn first(self: Arc<Self>, now: Moment) {
        let id = CallId(self.shared.ids.next());
        let not = {
            let mut state = self.state.lock();
            state.first = Some(Running::new(id));
            state.failed_on.take()
        };
        self.go(id, now, not.as_deref());
    }

    /// Takes a try, which is among those under way, to an agent; to another than `not`, if there is one.
    fn go(self: Arc<Self>, id: CallId, now: Moment, not: Option<&str>) {
        let place = || {
            let this = self.this(id, now);
            Ok(priority::within(self.task.given_priority(), || {
                self.shared.place_guarded(this, not)
            }))
        };
        match super::caught(place).unwrap_or_else(|error| Err(Refusal::early(error))) {
            Ok(Placed::In(admitted, guard)) => self.hand_over(id, admitted, guard, now),
            Ok(Placed::Waits(entry, steps)) => self.wait_for_place(id, entry, steps),
            Err(refusal) => self.refused(id, now, refusal),
        }
    }

    fn this(&self, id: CallId, now: Moment) -> Try<'_> {
        let session = self.session.clone();
        Try { task: &self.task, session, id, now, most: self.deadline }
    }

    /// Gives the try to its agent.
    fn hand_over(
        self: Arc<Self>,
        id: CallId,
        admitted: Admitted,
        guard: Option<Steps>,
        now: Moment,
    ) {
        let between = {
            let mut state = self.state.lock();
            if let Some(running) = state.of(id) {
                running.agent = Some(Arc::clone(admitted.agent()));
                running.guard = guard;
                running.leaves = None;
            }
            state.between.take()
        };
        let ticket = self.shared.dispatch(self.task.clone(), admitted, id, now);
        drop(between);
        self.follow(id, ticket);
    }

    fn refused(self: Arc<Self>, id: CallId, now: Moment, refusal: Refusal) {
        if self.state.lock().is_second(id) {
            return self.unmade(id);
        }
        let error = refusal.error.clone();
        self.shared.refused(&self.task, id, now, refusal);
        self.ended(id, Err(error));
    }

    /// A second try that could not be made: the first one goes on alone.
    fn unmade(&self, id: CallId) {
        let mut state = self.state.lock();
        state.take(id, None);
    }

    /// Waits in the queue of an agent's bulkhead.
    fn wait_for_place(self: Arc<Self>, id: CallId, entry: Arc<Entry>, mut steps: Steps) {
        let Some(ticket) = steps.take_waiting() else { return };
        {
            let mut state = self.state.lock();
            if state.is_second(id) {
                // It is to be quicker than the first one.
                state.take(id, None);
                return;
            }
            let Some(running) = state.of(id) else { return };
            running.leaves = ticket.settler();
            state.between = Some(self.shared.load.between());
        }
        ticket.on_done(move |place| {
            let shared = Arc::clone(&self.shared);
            let pursuit = Arc::clone(&self);
            // Whoever gives the place has something else to do.
            let job = Box::new(move || pursuit.placed(id, &entry, steps, place));
            if let Err(refused) = shared.runtime.spawn_blocking(job) {
                self.ended(id, Err(refused.error.operation("kernel.call")));
            }
        });
    }

    /// The wait for a place is over.
    fn placed(
        self: Arc<Self>,
        id: CallId,
        entry: &Arc<Entry>,
        mut steps: Steps,
        place: Result<Place>,
    ) {
        if self.state.lock().of(id).is_none() {
            return;
        }
        let now = self.shared.runtime.now();
        let entered = place.and_then(|place| steps.placed(place)).map_err(|error| Refusal {
            error: error.operation("kernel.call").with("agent", entry.name()),
            session: Some(self.session.clone()),
            entry: Some(Arc::clone(entry)),
        });
        let admitted = entered.and_then(|()| {
            let place = || Ok(self.shared.place_waited(self.this(id, now), entry, steps));
            super::caught(place).unwrap_or_else(|error| Err(Refusal::early(error)))
        });
        match admitted {
            Ok((admitted, guard)) => {
                Arc::clone(&self).hand_over(id, admitted, guard, now);
                self.watch();
            }
            Err(refusal) => self.refused(id, now, refusal),
        }
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
            let tries = [&state.first, &state.second];
            let other = tries.into_iter().flatten().map(|running| running.id).find(|it| *it != id);
            other.and_then(|other| state.take(other, None))
        };
        if let Some(silent) = silent {
            silent.end();
        }
        true
    }
}

/// The second try beside a first one that is slow.
impl Pursuit {
    /// Sees to it that a second try is made when the first takes longer than most.
    fn watch(self: &Arc<Self>) {
        let at = {
            let state = self.state.lock();
            match (&state.first, &state.steps) {
                (Some(_), Some(steps)) if state.timer.is_none() => steps.hedge_at(),
                _ => None,
            }
        };
        if let Some(at) = at.filter(|at| *at < self.deadline) {
            let pursuit = Arc::clone(self);
            self.set_timer(at, move || {
                let second = Arc::clone(&pursuit);
                // There being no room for it, the first one goes on alone.
                let job = Box::new(move || second.hedge());
                let _ = pursuit.shared.runtime.spawn_blocking(job);
            });
        }
    }

    fn hedge(self: Arc<Self>) {
        let id = CallId(self.shared.ids.next());
        let not = {
            let mut state = self.state.lock();
            state.timer = None;
            let State { first: Some(first), steps: Some(steps), speaks, .. } = &mut *state else {
                return;
            };
            let agent = first.agent.clone();
            // What has begun to answer is not slow.
            if speaks.is_some() || !steps.hedge() {
                return;
            }
            state.second = Some(Running::new(id));
            agent
        };
        let now = self.shared.runtime.now();
        self.go(id, now, not.as_deref());
    }

    fn set_timer(self: &Arc<Self>, at: Moment, job: impl FnOnce() + Send + 'static) {
        let runtime = &self.shared.runtime;
        let timer = runtime.spawn_at(at, Box::new(job));
        let unwanted = {
            let mut state = self.state.lock();
            state.timer = Some(timer);
            state.unwanted()
        };
        if unwanted {
            // It was cancelled before it could be told of the timer.
            runtime.cancel(timer);
        }
    }
}

/// What comes of it.
impl Pursuit {
    /// A try has its answer.
    fn ended(self: Arc<Self>, id: CallId, answer: Result<Outcome>) {
        match answer {
            Ok(outcome) => self.succeeded(id, outcome),
            Err(error) => self.failed(id, error),
        }
    }

    fn succeeded(&self, id: CallId, outcome: Outcome) {
        let (which, mine, other, steps, timer) = {
            let mut state = self.state.lock();
            // The other one may have been quicker.
            let Some(which) = state.which(id) else { return };
            let (first, second) = (state.first.take(), state.second.take());
            let (mine, other) =
                if which == Which::First { (first, second) } else { (second, first) };
            (which, mine, other, state.steps.take(), state.timer.take())
        };
        if let Some(timer) = timer {
            self.shared.runtime.cancel(timer);
        }
        if let Some(mine) = mine {
            if let Some(agent) = &mine.agent {
                self.shared.judge.succeeded(agent);
            }
            if let Some(guard) = mine.guard {
                guard.succeeded();
            }
        }
        if let Some(steps) = steps {
            steps.won(which);
        }
        if let Some(other) = other {
            other.end();
        }
        self.answer(Ok(outcome));
    }

    fn failed(self: Arc<Self>, id: CallId, error: Error) {
        let (agent, guard) = {
            let mut state = self.state.lock();
            let Some(running) = state.of(id) else { return };
            (running.agent.clone(), running.guard.take())
        };
        let verdict = self.shared.judge.judge(agent.as_deref(), &error, &*self.shared.runtime);
        let judged = Judgement { class: verdict.class, retry_after: verdict.retry_after };
        if let Some(mut guard) = guard {
            let _ = guard.failed_as(&error, judged);
        }
        let error = self.shared.reclassed(error, verdict);
        let (steps, timer) = {
            let mut state = self.state.lock();
            if state.take(id, Some(&error)).is_none() {
                return;
            }
            if state.speaks == Some(id) {
                state.speaks = None;
            }
            if state.first.is_some() {
                // The other one still has its time.
                return;
            }
            (state.steps.take(), state.timer.take())
        };
        if let Some(timer) = timer {
            self.shared.runtime.cancel(timer);
        }
        self.decide(steps, agent, error, judged);
    }

    /// The last try that was under way has failed.
    fn decide(
        self: Arc<Self>,
        steps: Option<Steps>,
        agent: Option<Arc<str>>,
        error: Error,
        judged: Judgement,
    ) {
        let Some(mut steps) = steps else { return self.answer(Err(error)) };
        let next = match error.code() {
            // All agents are left alone: to knock again within moments would change nothing.
            Code::BREAKER_OPEN | Code::QUARANTINED | Code::DRAINING | Code::NOT_RUNNING => {
                let before = self.state.lock().failed_with.take();
                let error = match before {
                    Some(before) => before.with(GAVE_UP, GaveUp::Rejected.name()),
                    None => steps.finish(error, GaveUp::Rejected),
                };
                drop(steps);
                return self.answer(Err(error));
            }
            _ => steps.failed_as(&error, judged),
        };
        match next {
            Next::GiveUp(why) => {
                let error = steps.finish(error, why);
                drop(steps);
                self.answer(Err(error));
            }
            Next::Retry(wait) => {
                self.shared.kept.retried();
                {
                    let mut state = self.state.lock();
                    state.steps = Some(steps);
                    state.failed_on = agent;
                    state.failed_with = Some(error.clone());
                    state.between = Some(self.shared.load.between());
                }
                let at = self.shared.runtime.now() + wait;
                // A timer must not block, and an agent may.
                let pursuit = Arc::clone(&self);
                self.set_timer(at, move || pursuit.again(error));
            }
        }
    }

    /// The wait is over.
    fn again(self: Arc<Self>, last: Error) {
        let runtime = Arc::clone(&self.shared.runtime);
        let pursuit = Arc::clone(&self);
        let failed = last.clone();
        let job = Box::new(move || {
            let now = pursuit.shared.runtime.now();
            let entered = {
                let mut state = pursuit.state.lock();
                state.timer = None;
                match &mut state.steps {
                    Some(steps) => steps.again(),
                    None => return,
                }
            };
            match entered {
                Ok(()) => {
                    Arc::clone(&pursuit).first(now);
                    pursuit.watch();
                }
                Err(_) => pursuit.answer(Err(last)),
            }
        });
        if runtime.spawn_blocking(job).is_err() {
            // There is no room to try again: what the call failed with says more than that.
            self.answer(Err(failed.with(GAVE_UP, GaveUp::Rejected.name())));
        }
    }

    fn answer(&self, answer: Result<Outcome>) {
        let (reply, between) = {
            let mut state = self.state.lock();
            (state.reply.take(), state.between.take())
        };
        if let Some(reply) = reply {
            let _ = reply.answer(answer);
        }
        drop(between);
    }

    /// Nobody wants the answer any more: cancelled, or past its deadline.
    fn cancelled(weak: &Weak<Self>) {
        let Some(pursuit) = weak.upgrade() else { return };
        let (tries, steps, timer, between) = {
            let mut state = pursuit.state.lock();
            let tries = [state.first.take(), state.second.take()];
            (tries, state.steps.take(), state.timer.take(), state.between.take())
        };
        if let Some(timer) = timer {
            pursuit.shared.runtime.cancel(timer);
        }
        drop(steps);
        let late = pursuit.shared.runtime.now() >= pursuit.deadline;
        for mut running in tries.into_iter().flatten() {
            if let (true, Some(mut guard)) = (late, running.guard.take()) {
                // An agent that hangs fails its guard, whoever notices first that time is up. A caller
                // who goes away says nothing about it.
                let late = Error::new(Code::DEADLINE_EXCEEDED, "the call ran out of time");
                let _ = guard.failed(&late);
            }
            running.end();
        }
        drop(between);
    }
}

impl State {
    /// Which of the tries under way it is.
    fn which(&self, id: CallId) -> Option<Which> {
        let is = |running: &Option<Running>| running.as_ref().is_some_and(|it| it.id == id);
        match (is(&self.first), is(&self.second)) {
            (true, _) => Some(Which::First),
            (_, true) => Some(Which::Second),
            _ => None,
        }
    }

    fn is_second(&self, id: CallId) -> bool {
        self.which(id) == Some(Which::Second)
    }

    /// The try, if it is still under way.
    fn of(&mut self, id: CallId) -> Option<&mut Running> {
        match self.which(id)? {
            Which::First => self.first.as_mut(),
            Which::Second => self.second.as_mut(),
        }
    }

    /// Takes a try from those under way. Where another one goes on, that is the first then, and the
    /// call's guard is told what this one failed with; `None` when nothing was learnt.
    fn take(&mut self, id: CallId, error: Option<&Error>) -> Option<Running> {
        let which = self.which(id)?;
        if self.first.is_some()
            && self.second.is_some()
            && let Some(steps) = &mut self.steps
        {
            steps.lost(which, error);
        }
        match which {
            Which::First => std::mem::replace(&mut self.first, self.second.take()),
            Which::Second => self.second.take(),
        }
    }

    /// Whether nobody wants an answer any more.
    fn unwanted(&self) -> bool {
        self.reply.as_ref().is_none_or(Reply::cancelled)
    }
}

impl Running {
    fn new(id: CallId) -> Self {
        Self { id, agent: None, guard: None, ends: None, leaves: None }
    }

    /// Ends it: its answer is of no use.
    fn end(self) {
        drop(self.guard);
        if let Some(leaves) = self.leaves {
            leaves.cancel();
        }
        if let Some(ends) = self.ends {
            ends.cancel();
        }
    }
}
