//! What most calls do without: cancellation callbacks and partial results.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use crate::base::payload::Payload;

/// Parts that wait to be read, at most; beyond it the oldest is dropped and counted.
pub(super) const PARTS: usize = 256;

pub(super) type OnPart = Arc<dyn Fn(Payload) + Send + Sync>;
type OnCancel = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Extra {
    pub(super) cancels: Vec<OnCancel>,
    parts: VecDeque<Payload>,
    missed: u64,
    reader: Option<Waker>,
    pub(super) on_part: Option<OnPart>,
}

impl Extra {
    /// Queues a part; gives back the reader to wake.
    pub(super) fn push(&mut self, part: Payload) -> (Option<Payload>, Option<Waker>) {
        let dropped = if self.parts.len() >= PARTS {
            self.missed += 1;
            self.parts.pop_front()
        } else {
            None
        };
        self.parts.push_back(part);
        (dropped, self.reader.take())
    }

    pub(super) fn pop(&mut self) -> Option<Payload> {
        self.parts.pop_front()
    }

    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    /// Leaves a waker for the next part; gives back the old one to be dropped outside the lock.
    pub(super) fn register(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.reader {
            Some(old) if old.will_wake(waker) => None,
            _ => self.reader.replace(waker.clone()),
        }
    }

    /// The call has its answer: the cancellation callbacks, and the reader to wake.
    pub(super) fn settle(&mut self) -> (Vec<OnCancel>, Option<Waker>) {
        (std::mem::take(&mut self.cancels), self.reader.take())
    }
}
