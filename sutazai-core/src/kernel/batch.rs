//! Many calls at once, so many of them side by side.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use super::handle::Kernel;
use super::shared::Shared;
use crate::base::id::CallId;
use crate::base::payload::Payload;
use crate::base::ticket::{self, Reply, Settler, Ticket};
use crate::base::time::Moment;
use crate::port::{Outcome, Task};
use crate::{Code, Error, Result};

/// Calls side by side where nobody says how many, and nobody has set it.
pub(crate) const SIDE_BY_SIDE: usize = 16;

/// While others have all agents, it is looked so often whether one is free.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long a task waits for a free agent, at most, where calls have no time limit.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// One call of a batch, answered.
#[derive(Clone, Debug)]
pub struct BatchAnswer {
    /// The call's number.
    pub call: CallId,
    /// What came of it.
    pub answer: Result<Outcome>,
}

/// A batch that is under way.
struct Batch {
    shared: Arc<Shared>,
    token: Option<Arc<str>>,
    of: usize,
    /// Calls side by side, at most.
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(usize, Task)>,
    running: Vec<(usize, Settler<Outcome>)>,
    answers: Vec<Option<BatchAnswer>>,
    done: usize,
    /// Tasks whose calls are being made or are under way.
    active: usize,
    /// Since when nobody has been free for any of its tasks.
    full_since: Option<Moment>,
    /// None once it has its answer.
    reply: Option<Reply<Vec<BatchAnswer>>>,
}

impl Kernel {
    /// Calls many tasks, at most `side_by_side` of them at once (16 without it), and answers when all have
    /// their answers, in the order of the tasks. A call that fails does not end the others; one that no agent is
    /// free for waits until one is, for as long as a call may take. After each of
    /// them the ticket has a part: `{"done": 3, "of": 10, "index": 7, "ok": true}`. Cancelling it cancels
    /// those under way, and the rest are not made.
    pub fn call_all(
        &self,
        tasks: impl IntoIterator<Item = Task>,
        side_by_side: Option<NonZeroUsize>,
        token: Option<&str>,
    ) -> Ticket<Vec<BatchAnswer>> {
        let waiting: VecDeque<_> = tasks.into_iter().enumerate().collect();
        let of = waiting.len();
        if of == 0 {
            return ticket::ready(Ok(Vec::new()));
        }
        let (ticket, reply) = ticket::pair();
        let answers = vec![None; of];
        let batch = Arc::new(Batch {
            shared: Arc::clone(&self.shared),
            token: token.map(Arc::from),
            of,
            most: side_by_side.map_or_else(|| self.shared.side_by_side.load(Ordering::Relaxed), NonZeroUsize::get),
            state: Mutex::new(State { waiting, answers, ..State::default() }),
        });
        let weak = Arc::downgrade(&batch);
        reply.on_cancel(move || {
            if let Some(batch) = weak.upgrade() {
                batch.cancelled();
            }
        });
        batch.state.lock().reply = Some(reply);
        batch.fill();
        ticket
    }
}

impl Batch {
    /// Makes calls until there are as many as may be, or there is no room for one.
    fn fill(self: &Arc<Self>) {
        while self.next() {}
    }

    /// Makes the next call; says whether there may be another one.
    fn next(self: &Arc<Self>) -> bool {
        let (index, task) = {
            let mut state = self.state.lock();
            if state.active >= self.most || state.reply.is_none() {
                return false;
            }
            let Some(next) = state.waiting.pop_front() else { return false };
            state.active += 1;
            next
        };
        let again = task.clone();
        let (call, mut ticket) = self.shared.call(task, self.token.as_deref());
        if let Some(answer) = ticket.try_take() {
            let full = answer.as_ref().is_err_and(|error| error.code() == Code::OVERLOADED);
            if full && self.waits(index, again) {
                return false;
            }
            self.answered(index, BatchAnswer { call, answer });
            return true;
        }
        if let Some(ends) = ticket.settler() {
            let mut state = self.state.lock();
            if state.reply.is_none() {
                drop(state);
                ends.cancel();
                return false;
            }
            state.running.push((index, ends));
        }
        let batch = Arc::clone(self);
        ticket.on_done(move |answer| {
            batch.answered(index, BatchAnswer { call, answer });
            batch.fill();
        });
        true
    }

    /// Nobody is free for a task: it waits for one of the batch's own calls to end, or else, while others have the
    /// agents, a moment at a time. False where it has waited for as long as a call may take.
    fn waits(self: &Arc<Self>, index: usize, task: Task) -> bool {
        let shared = &self.shared;
        let now = shared.runtime.now();
        let mut state = self.state.lock();
        let most = shared.limits.timeout.unwrap_or(LONGEST_WAIT);
        let until = *state.full_since.get_or_insert(now) + most;
        if now >= until || task.deadline() <= now {
            return false;
        }
        state.waiting.push_front((index, task));
        state.active -= 1;
        // Whoever ends next goes on here.
        if state.active > 0 {
            return true;
        }
        drop(state);
        let batch = Arc::clone(self);
        let job = Box::new(move || batch.fill());
        shared.runtime.spawn_at(now + LOOK_AGAIN, job);
        true
    }

    fn answered(&self, index: usize, answer: BatchAnswer) {
        let ok = answer.answer.is_ok();
        let (tells, done, whole) = {
            let mut state = self.state.lock();
            state.running.retain(|(running, _)| *running != index);
            if let Some(place) = state.answers.get_mut(index) {
                *place = Some(answer);
            }
            state.done += 1;
            state.active -= 1;
            state.full_since = None;
            let done = state.done;
            let whole = (done == self.of)
                .then(|| Some((state.reply.take()?, std::mem::take(&mut state.answers))))
                .flatten();
            (state.reply.as_ref().and_then(Reply::settler), done, whole)
        };
        let part = || {
            let part = serde_json::json!({"done": done, "of": self.of, "index": index, "ok": ok});
            Payload::from(part)
        };
        if let Some(tells) = tells {
            tells.progress(part());
        }
        if let Some((reply, answers)) = whole {
            let _ = reply.progress(part());
            // All are there by now.
            let _ = reply.send(answers.into_iter().flatten().collect());
        }
    }

    fn cancelled(&self) {
        let (running, waiting, reply) = {
            let mut state = self.state.lock();
            let running = std::mem::take(&mut state.running);
            (running, std::mem::take(&mut state.waiting), state.reply.take())
        };
        running.iter().for_each(|(_, ends)| {
            ends.cancel();
        });
        drop((waiting, reply));
    }
}

/// An answer as hosts see it.
impl BatchAnswer {
    /// The error, if it failed.
    pub fn error(&self) -> Option<&Error> {
        self.answer.as_ref().err()
    }
}
