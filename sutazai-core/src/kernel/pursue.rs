//! A call that goes through guards: tried, and tried again, on the agents that can do it.
//!
//! The caller has one ticket; each try has a ticket of its own, and the books of a call besides, so that
//! every agent's figures say how its tries went. Whoever calls is looked at once.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::call::Refusal;
use super::shared::Shared;
use crate::base::deadline;
use crate::base::id::{CallId, TimerId};
use crate::base::ticket::{self, Hook, Reply, Settled, Settler, Ticket};
use crate::base::time::Moment;
use crate::port::{Outcome, Session, Task};
use crate::recovery::{GAVE_UP, GaveUp, Guard, Judgement, Next, Steps, Verdict};
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

struct State {
    /// None once the call has its answer.
    reply: Option<Reply<Outcome>>,
    /// The call's guard, when it has one.
    steps: Option<Steps>,
    /// The try that is under way: its agent, the agent's guard, when it has one, and how to end it.
    agent: Option<Arc<str>>,
    agents: Option<Steps>,
    /// The agent that the last try failed on: the next goes to another, if there is one.
    failed_on: Option<Arc<str>>,
    /// What it failed with: says more than that no other could be made.
    failed_with: Option<Error>,
    running: Option<Settler<Outcome>>,
    /// The wait for the next try. It holds this call, which holds the kernel: whoever ends the call takes
    /// it back.
    timer: Option<TimerId>,
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
            state: Mutex::new(State {
                reply: None,
                steps,
                agent: None,
                agents: None,
                failed_on: None,
                failed_with: None,
                running: None,
                timer: None,
            }),
        });
        let weak = Arc::downgrade(&pursuit);
        reply.on_cancel(move || Pursuit::cancelled(&weak));
        pursuit.state.lock().reply = Some(reply);
        pursuit.go(now);
        if !ticket.is_done()
            && let Some(settler) = settler
        {
            self.enter_call(id, deadline, settler, now);
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

impl Pursuit {
    /// Makes a try, on this thread up to where the agent gets it.
    fn go(self: Arc<Self>, now: Moment) {
        let shared = &self.shared;
        let id = CallId(shared.ids.next());
        let task = self.task.clone();
        let session = self.session.clone();
        let not = self.state.lock().failed_on.take();
        let place =
            || Ok(shared.place_guarded(&task, session, id, now, self.deadline, not.as_deref()));
        let placed = super::caught(place).unwrap_or_else(|error| Err(Refusal::early(error)));
        let ticket = match placed {
            Ok((placed, agents)) => {
                let mut state = self.state.lock();
                state.agent = Some(Arc::clone(placed.agent()));
                state.agents = agents;
                drop(state);
                shared.dispatch(task, placed, id, now)
            }
            Err(refusal) => {
                let error = refusal.error.clone();
                shared.refused(&task, id, now, refusal);
                ticket::ready(Err(error))
            }
        };
        let settler = ticket.settler();
        let wanted = {
            let mut state = self.state.lock();
            state.running = settler.clone();
            state.reply.as_ref().is_some_and(|reply| !reply.cancelled())
        };
        if !wanted && let Some(settler) = settler {
            // It was cancelled before it could be told of this try.
            settler.cancel();
        }
        let parts = Arc::downgrade(&self);
        ticket.on_part(move |part| {
            if let Some(pursuit) = parts.upgrade()
                && let Some(caller) = &pursuit.caller
            {
                caller.progress(part);
            }
        });
        ticket.on_done(move |answer| self.ended(answer));
    }

    /// A try has its answer.
    fn ended(self: Arc<Self>, answer: Result<Outcome>) {
        let (agent, agents, steps) = {
            let mut state = self.state.lock();
            state.running = None;
            (state.agent.take(), state.agents.take(), state.steps.take())
        };
        let judge = &self.shared.judge;
        let error = match answer {
            Ok(outcome) => {
                if let Some(agent) = agent {
                    judge.succeeded(&agent);
                }
                agents.into_iter().chain(steps).for_each(Steps::succeeded);
                return self.answer(Ok(outcome));
            }
            Err(error) => error,
        };
        let verdict = judge.judge(agent.as_deref(), &error, &*self.shared.runtime);
        let judged = Judgement { class: verdict.class, retry_after: verdict.retry_after };
        if let Some(mut agents) = agents {
            let _ = agents.failed_as(&error, judged);
        }
        let error = self.shared.reclassed(error, verdict);
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
                }
                let runtime = Arc::clone(&self.shared.runtime);
                let at = runtime.now() + wait;
                // A timer must not block, and an agent may.
                let pursuit = Arc::clone(&self);
                let timer = runtime.spawn_at(at, Box::new(move || Self::again(pursuit, error)));
                let gone = {
                    let mut state = self.state.lock();
                    state.timer = Some(timer);
                    state.reply.as_ref().is_none_or(Reply::cancelled)
                };
                if gone {
                    // It was cancelled before it could be told of the timer.
                    runtime.cancel(timer);
                }
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
            let entered = match &mut pursuit.state.lock().steps {
                Some(steps) => steps.again(),
                None => return,
            };
            match entered {
                Ok(()) => pursuit.go(now),
                Err(_) => pursuit.answer(Err(last)),
            }
        });
        if runtime.spawn_blocking(job).is_err() {
            // There is no room to try again: what the call failed with says more than that.
            self.answer(Err(failed.with(GAVE_UP, GaveUp::Rejected.name())));
        }
    }

    fn answer(&self, answer: Result<Outcome>) {
        let reply = self.state.lock().reply.take();
        if let Some(reply) = reply {
            let _ = reply.answer(answer);
        }
    }

    /// Nobody wants the answer any more: cancelled, or past its deadline.
    fn cancelled(weak: &Weak<Self>) {
        let Some(pursuit) = weak.upgrade() else { return };
        let (running, steps, agents, timer) = {
            let mut state = pursuit.state.lock();
            (state.running.take(), state.steps.take(), state.agents.take(), state.timer.take())
        };
        if let Some(timer) = timer {
            pursuit.shared.runtime.cancel(timer);
        }
        drop(steps);
        let late = pursuit.shared.runtime.now() >= pursuit.deadline;
        if let (true, Some(mut agents)) = (late, agents) {
            // An agent that hangs fails its guard, whoever notices first that time is up. A caller
            // who goes away says nothing about it.
            let _ = agents.failed(&Error::new(Code::DEADLINE_EXCEEDED, "the call ran out of time"));
        }
        if let Some(running) = running {
            running.cancel();
        }
    }
}
