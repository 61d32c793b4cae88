//! Many calls at once, so many of them side by side.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::Mutex;

use super::handle::Kernel;
use super::shared::Shared;
use crate::base::id::CallId;
use crate::base::payload::Payload;
use crate::base::ticket::{self, Reply, Settler, Ticket};
use crate::port::{Outcome, Task};
use crate::{Error, Result};

/// Calls side by side where nobody says how many.
pub(crate) const SIDE_BY_SIDE: usize = 16;

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
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(usize, Task)>,
    running: Vec<(usize, Settler<Outcome>)>,
    answers: Vec<Option<BatchAnswer>>,
    done: usize,
    /// None once it has its answer.
    reply: Option<Reply<Vec<BatchAnswer>>>,
}

impl Kernel {
    /// Calls many tasks, at most `side_by_side` of them at once (16 without it), and answers when all have
    /// their answers, in the order of the tasks. A call that fails does not end the others. After each of
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
            state: Mutex::new(State { waiting, answers, ..State::default() }),
        });
        let weak = Arc::downgrade(&batch);
        reply.on_cancel(move || {
            if let Some(batch) = weak.upgrade() {
                batch.cancelled();
            }
        });
        batch.state.lock().reply = Some(reply);
        for _ in 0..side_by_side.map_or(SIDE_BY_SIDE, NonZeroUsize::get).min(of) {
            batch.next();
        }
        ticket
    }
}

impl Batch {
    /// Makes calls on this thread until one has no answer at once.
    fn next(self: &Arc<Self>) {
        loop {
            let (index, task) = {
                let mut state = self.state.lock();
                match (state.waiting.pop_front(), &state.reply) {
                    (Some(next), Some(_)) => next,
                    _ => return,
                }
            };
            let (call, mut ticket) = self.shared.call(task, self.token.as_deref());
            if let Some(answer) = ticket.try_take() {
                self.answered(index, BatchAnswer { call, answer });
                continue;
            }
            if let Some(ends) = ticket.settler() {
                let mut state = self.state.lock();
                if state.reply.is_none() {
                    drop(state);
                    ends.cancel();
                    return;
                }
                state.running.push((index, ends));
            }
            let batch = Arc::clone(self);
            ticket.on_done(move |answer| {
                batch.answered(index, BatchAnswer { call, answer });
                batch.next();
            });
            return;
        }
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
