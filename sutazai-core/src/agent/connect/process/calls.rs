//! The tasks that a process has, and those that wait for it. A table without locks or threads: what
//! must happen outside of the lock (answering, dropping a reply) is handed out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::ticket::Reply;
use crate::base::time::Moment;
use crate::port::{Outcome, Task};

pub(super) type Replies = Vec<Reply<Outcome>>;

#[derive(Default)]
pub(super) struct Calls {
    waiting: BTreeMap<u64, Waiting>,
    sent: BTreeMap<u64, Sent>,
    cancelled: BTreeSet<(Moment, u64)>,
    /// Tasks that were let go of: an answer may still come.
    gone: BTreeSet<u64>,
    bytes: usize,
}

/// Tasks that were let go of, of which it is known, at most; the oldest are forgotten.
const GONE: usize = 1024;

pub(super) struct Waiting {
    pub(super) task: Task,
    pub(super) input: Arc<str>,
    pub(super) reply: Reply<Outcome>,
}

struct Sent {
    /// None while a partial result is being delivered.
    reply: Option<Reply<Outcome>>,
    /// Until when it may go on after it was cancelled.
    give_up: Option<Moment>,
}

/// What a cancellation means.
pub(super) enum Cancelled {
    /// It was waiting; its reply is to be dropped.
    Waiting(Reply<Outcome>),
    /// The process has it and must be told.
    Sent,
    /// It has ended.
    Unknown,
}

impl Calls {
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes of input that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn under_way(&self) -> usize {
        self.sent.len()
    }

    /// Whether nobody waits for anything that it has or is to have.
    pub(super) fn is_idle(&self) -> bool {
        let wanted = |call: &Sent| call.reply.as_ref().is_none_or(|reply| !reply.cancelled());
        self.waiting.is_empty() && !self.sent.values().any(wanted)
    }

    pub(super) fn add(&mut self, id: u64, call: Waiting) {
        self.bytes += call.input.len();
        self.waiting.insert(id, call);
    }

    /// The next task for the process, which holds at most `most`.
    pub(super) fn send(&mut self, most: usize) -> Option<(u64, Task, Arc<str>)> {
        if self.sent.len() >= most {
            return None;
        }
        let (id, call) = self.waiting.pop_first()?;
        self.bytes -= call.input.len();
        self.sent.insert(id, Sent { reply: Some(call.reply), give_up: None });
        Some((id, call.task, call.input))
    }

    /// The caller no longer wants the answer; the process may hold on to it until `give_up`.
    pub(super) fn cancel(&mut self, id: u64, give_up: Option<Moment>) -> Cancelled {
        if let Some(call) = self.waiting.remove(&id) {
            self.bytes -= call.input.len();
            return Cancelled::Waiting(call.reply);
        }
        let Some(call) = self.sent.get_mut(&id) else { return Cancelled::Unknown };
        if let (Some(at), None) = (give_up, call.give_up) {
            call.give_up = Some(at);
            self.cancelled.insert((at, id));
        }
        Cancelled::Sent
    }

    /// The first moment at which a cancelled task has been held on to for too long.
    pub(super) fn give_up(&self) -> Option<Moment> {
        self.cancelled.first().map(|(at, _)| *at)
    }

    /// Frees the places of the tasks that were cancelled and have been held on to for too long: their
    /// replies.
    #[must_use]
    pub(super) fn let_go(&mut self, now: Moment) -> Replies {
        let mut replies = Vec::new();
        while let Some((at, id)) = self.cancelled.first().copied()
            && at <= now
        {
            self.cancelled.pop_first();
            let Some(call) = self.sent.remove(&id) else { continue };
            replies.extend(call.reply);
            self.gone.insert(id);
            if self.gone.len() > GONE {
                self.gone.pop_first();
            }
        }
        replies
    }

    /// Whether the task was let go of; after its answer that is forgotten.
    pub(super) fn was_let_go(&mut self, id: u64, answered: bool) -> bool {
        if answered { self.gone.remove(&id) } else { self.gone.contains(&id) }
    }

    /// The process answered: the reply, if it had that task.
    pub(super) fn take(&mut self, id: u64) -> Option<Reply<Outcome>> {
        let call = self.sent.remove(&id)?;
        if let Some(at) = call.give_up {
            self.cancelled.remove(&(at, id));
        }
        call.reply
    }

    /// The reply, to be given back: a partial result is delivered without the lock.
    pub(super) fn lend(&mut self, id: u64) -> Option<Reply<Outcome>> {
        self.sent.get_mut(&id)?.reply.take()
    }

    /// Takes it back, unless the task was let go of meanwhile.
    pub(super) fn give_back(&mut self, id: u64, reply: Reply<Outcome>) -> Option<Reply<Outcome>> {
        match self.sent.get_mut(&id) {
            Some(call) => call.reply.replace(reply),
            None => Some(reply),
        }
    }

    /// The process is gone: what it had.
    #[must_use]
    pub(super) fn lose(&mut self) -> Replies {
        self.cancelled.clear();
        self.gone.clear();
        std::mem::take(&mut self.sent).into_values().filter_map(|call| call.reply).collect()
    }

    /// There will be no process: what waits for one.
    #[must_use]
    pub(super) fn dismiss(&mut self) -> Replies {
        self.bytes = 0;
        std::mem::take(&mut self.waiting).into_values().map(|call| call.reply).collect()
    }
}
