//! A call that goes through guards: tried, and tried again, on the agents that can do it.
//!
//! The caller has one ticket; each try has a ticket of its own, and the books of a call besides, so that
//! every agent's figures say how its tries went. Whoever calls is looked at once.
//!
//! At most two tries are under way at a time: where the call's guard hedges, a second one beside a first
//! that is slow, with another agent where there is one. The first answer counts, and the other try is
//! cancelled.

mod outcome;
mod queues;
mod state;
mod tries;

use std::sync::Arc;

use parking_lot::Mutex;
use state::State;

pub(super) use queues::Queues;

use super::call::Refusal;
use super::caller::Caller;
use super::inflight::What;
use super::shared::Shared;
use super::tracing::{PartOf, Story};
use crate::base::deadline;
use crate::base::id::CallId;
use crate::base::ticket::{self, Hook, Settled, Settler, Ticket};
use crate::base::time::Moment;
use crate::port::{Outcome, Task};
use crate::recovery::{Guard, Verdict};
use crate::{Error, Result};

/// One call and its tries.
pub(super) struct Pursuit {
    id: CallId,
    shared: Arc<Shared>,
    task: Task,
    from: Caller,
    #[cfg(feature = "monitor")]
    began: Moment,
    #[cfg_attr(not(feature = "monitor"), expect(dead_code, reason = "the room asks for it"))]
    story: Story,
    /// When the whole call is given up.
    deadline: Moment,
    /// The caller's end, for partial results.
    caller: Option<Settler<Outcome>>,
    state: Mutex<State>,
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
        mut task: Task,
        token: Option<&str>,
    ) -> (CallId, Ticket<Outcome>) {
        let now = self.runtime.now();
        let id = CallId(self.ids.next());
        let entered = super::caught(|| Ok(self.identify(&mut task, token, now)))
            .unwrap_or_else(|error| Err(Refusal::early(error)))
            .and_then(|caller| {
                let own = task.given_timeout().map_or(Moment::FAR, |timeout| now + timeout);
                let begin = |guard: Guard| deadline::within(own, || guard.begin());
                match self.guards.of_call(task.skill()).map(begin).transpose() {
                    Ok(steps) => Ok((caller, steps)),
                    Err(error) => Err(Refusal::of(error, &caller, None)),
                }
            });
        let (caller, steps) = match entered {
            Ok(entered) => entered,
            Err(refusal) => return (id, self.turned_away(task, token, id, now, refusal)),
        };
        if token.is_some() && task.given_caller().is_none() {
            task = task.caller(caller.session.principal());
        }
        let own = task.given_timeout().map_or(Moment::FAR, |timeout| now + timeout);
        let own = own.min(deadline::current());
        let deadline = steps.as_ref().map_or(own, |steps| own.min(steps.deadline()));
        let (ticket, reply) = ticket::pair_with(Box::new(Entered { id, shared: Arc::clone(self) }));
        let settler = ticket.settler();
        let pursuit = Arc::new(Pursuit {
            id,
            shared: Arc::clone(self),
            task,
            from: caller,
            #[cfg(feature = "monitor")]
            began: now,
            story: Story::new(PartOf::default(), false),
            deadline,
            caller: settler.clone(),
            state: Mutex::new(State {
                steps,
                pursued: Some(self.load.pursued()),
                ..State::default()
            }),
        });
        let weak = Arc::downgrade(&pursuit);
        reply.on_cancel(move || Pursuit::cancelled(&weak));
        pursuit.state.lock().reply = Some(reply);
        Arc::clone(&pursuit).first(now);
        if !ticket.is_done()
            && let Some(settler) = settler
        {
            let what = What::Tried(Arc::downgrade(&pursuit));
            self.enter_call(id, deadline, settler, now, what);
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
