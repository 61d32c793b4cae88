//! What most calls do without: verdicts, cancellation callbacks and partial results.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use crate::Result;
use crate::base::payload::Payload;

/// Parts that wait to be read, at most; beyond it the oldest is dropped and counted.
pub(super) const PARTS: usize = 256;

pub(super) type OnPart = Arc<dyn Fn(Payload) + Send + Sync>;
type OnCancel = Box<dyn FnOnce() + Send>;

pub(super) struct Extra<T> {
    /// The answer that was given in the worker's stead, until it is taken.
    pub(super) verdict: Option<Result<T>>,
    pub(super) cancels: Vec<OnCancel>,
    parts: VecDeque<Payload>,
    missed: u64,
    reader: Option<Waker>,
    pub(super) on_part: Option<OnPart>,
}

impl<T> Default for Extra<T> {
    fn default() -> Self {
        Self {
            verdict: None,
            cancels: Vec::new(),
            parts: VecDeque::new(),
            missed: 0,
            reader: None,
            on_part: None,
        }
    }
}

impl<T> Extra<T> {
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
