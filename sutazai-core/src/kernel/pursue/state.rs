//! Where a call stands: the tries that are under way, and what is waited for.

use std::sync::Arc;

use super::queues::Listed;
use crate::Error;
use crate::base::id::{CallId, TimerId};
use crate::base::ticket::{Reply, Settler};
use crate::base::time::Moment;
use crate::kernel::load::Pursued;
use crate::port::Outcome;
use crate::recovery::{Place, Steps, Which};

#[derive(Default)]
pub(super) struct State {
    /// None once the call has its answer.
    pub(super) reply: Option<Reply<Outcome>>,
    /// The call's guard, when it has one.
    pub(super) steps: Option<Steps>,
    /// The tries that are under way.
    pub(super) first: Option<Running>,
    pub(super) second: Option<Running>,
    /// The try whose partial results the caller gets; the other is of no use any more.
    pub(super) speaks: Option<CallId>,
    /// Whether the caller got any: another try would tell it everything again.
    pub(super) begun: bool,
    /// The agent that the last try failed on: the next goes to another, if there is one.
    pub(super) failed_on: Option<Arc<str>>,
    /// What it failed with: says more than that no other could be made.
    pub(super) failed_with: Option<Error>,
    /// The waits for the next try, and for a second one beside the first. They hold this call, which holds
    /// the kernel: whoever ends the call takes them back.
    pub(super) timer: Option<TimerId>,
    pub(super) hedges: Option<TimerId>,
    /// The pauses between its tries.
    #[cfg(feature = "monitor")]
    pub(super) pauses: Vec<crate::monitor::Wait>,
    /// Until it has its answer.
    pub(super) pursued: Option<Pursued>,
}

/// A try that is under way.
pub(super) struct Running {
    pub(super) id: CallId,
    /// Since when it has been on its way.
    pub(super) since: Moment,
    /// Its agent, and the agent's guard, when it has one.
    pub(super) agent: Option<Arc<str>>,
    pub(super) guard: Option<Steps>,
    /// How to end it.
    pub(super) ends: Option<Settler<Outcome>>,
    /// The queue that it waits in.
    pub(super) waits: Option<Waits>,
    /// No agent had room for it.
    pub(super) turned_away: bool,
}

/// A try in the queue of an agent's bulkhead.
pub(super) struct Waits {
    pub(super) agent: Arc<str>,
    /// How to leave it; `None` once the wait is over.
    pub(super) leaves: Option<Settler<Place>>,
    /// Until the wait is over, agents that have a place may take it.
    pub(super) _listed: Option<Listed>,
}

impl State {
    /// Which of the tries under way it is.
    pub(super) fn which(&self, id: CallId) -> Option<Which> {
        let is = |running: &Option<Running>| running.as_ref().is_some_and(|it| it.id == id);
        match (is(&self.first), is(&self.second)) {
            (true, _) => Some(Which::First),
            (_, true) => Some(Which::Second),
            _ => None,
        }
    }

    /// Whether this is a second try; it could not be made then, and the first one goes on alone.
    pub(super) fn unmade(&mut self, id: CallId) -> bool {
        let second = self.which(id) == Some(Which::Second);
        if second {
            self.second = None;
            if let Some(steps) = &mut self.steps {
                steps.unhedge();
            }
        }
        second
    }

    /// The try, if it is still under way.
    pub(super) fn of(&mut self, id: CallId) -> Option<&mut Running> {
        match self.which(id)? {
            Which::First => self.first.as_mut(),
            Which::Second => self.second.as_mut(),
        }
    }

    /// Takes a try from those under way. Where another one goes on, that is the first then, and the
    /// call's guard is told what this one failed with; `None` when nothing was learnt.
    pub(super) fn take(&mut self, id: CallId, error: Option<&Error>) -> Option<Running> {
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

    /// The timers, to be taken back.
    pub(super) fn timers(&mut self) -> [Option<TimerId>; 2] {
        [self.timer.take(), self.hedges.take()]
    }

    /// Whether nobody wants an answer any more.
    pub(super) fn unwanted(&self) -> bool {
        self.reply.as_ref().is_none_or(Reply::cancelled)
    }
}

impl Waits {
    /// Leaves the queue.
    pub(super) fn leave(self) {
        if let Some(leaves) = self.leaves {
            leaves.cancel();
        }
    }
}

impl Running {
    pub(super) fn new(id: CallId, since: Moment) -> Self {
        Self { id, since, agent: None, guard: None, ends: None, waits: None, turned_away: false }
    }

    /// Ends it: another one was quicker.
    pub(super) fn outpaced(mut self) {
        if let Some(guard) = self.guard.take() {
            guard.outpaced();
        }
        self.end();
    }

    /// Ends it: its answer is of no use.
    pub(super) fn end(self) {
        drop(self.guard);
        if let Some(waits) = self.waits {
            waits.leave();
        }
        if let Some(ends) = self.ends {
            ends.cancel();
        }
    }
}
