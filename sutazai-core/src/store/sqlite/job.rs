//! [`Job`]: one write on its way through the queue, and [`Tx`], what its closure gets.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::writer::Counters;
use crate::base::contain;
use crate::base::ticket::{self, Reply};
use crate::store::Durability;
use crate::{Code, Error, Result};

/// The open transaction of a write; dereferences to the connection. Beginning, committing or
/// rolling back on it is refused: the transaction is shared with other writes, and each stands in
/// a savepoint of its own.
pub struct Tx<'c>(&'c Connection);

impl<'c> Tx<'c> {
    pub(super) fn new(conn: &'c Connection) -> Self {
        Self(conn)
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.0
    }
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tx")
    }
}

/// A queued write.
pub(super) trait Job: Send {
    /// Whose it is.
    fn room(&self) -> &'static str;
    fn durability(&self) -> Durability;
    /// Runs the closure; false when what it did is to be undone.
    fn run(&mut self, tx: &Tx<'_>) -> bool;
    /// Adds to a failed job's error what the gate refused.
    fn explain(&mut self, refused: &str);
    /// Answers the ticket of a job that never got into the queue.
    fn refuse(self: Box<Self>, error: Error);
    /// Answers the ticket, given how the batch's transaction ended.
    fn settle(self: Box<Self>, committed: &Result<()>, counters: &Counters);
}

/// A closure with its ticket.
pub(super) struct Write<T, F> {
    pub(super) room: &'static str,
    pub(super) durability: Durability,
    pub(super) closure: Option<F>,
    pub(super) result: Option<Result<T>>,
    pub(super) reply: Reply<T>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
{
    fn room(&self) -> &'static str {
        self.room
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, tx: &Tx<'_>) -> bool {
        let Some(closure) = self.closure.take() else { return false };
        let result = if self.reply.cancelled() {
            Err(ticket::cancelled())
        } else {
            // The closure is gone after this, and the savepoint undoes what it did.
            contain::run("the closure of a write panicked; its write was undone", || closure(tx))
                .flatten()
        };
        let keep = result.is_ok();
        self.result = Some(result.map_err(|e| self.located(e)));
        keep
    }

    fn explain(&mut self, refused: &str) {
        if let Some(Err(error)) = self.result.take() {
            self.result = Some(Err(error.with("refused", refused)));
        }
    }

    fn refuse(self: Box<Self>, error: Error) {
        // The ticket is not out yet, so nobody can have cancelled it.
        drop(self.reply.fail(error.with("room", self.room)));
    }

    fn settle(self: Box<Self>, committed: &Result<()>, counters: &Counters) {
        let answer = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            // Its own error tells more than the batch's.
            (Err(_), Some(Err(own))) => Err(own),
            (Err(batch), _) => Err(batch.clone().with("room", self.room)),
            (Ok(()), None) => Err(Error::new(Code::INTERNAL, "a write was not run")),
        };
        let counter = if answer.is_ok() { &counters.writes } else { &counters.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        // A callback of the ticket's runs here; its panic is not the writer's. A caller that has
        // gone (cancelled after the write ran) is told by the write itself, which stands.
        let reply = self.reply;
        let _ = contain::catch(move || drop(reply.answer(answer)));
    }
}

impl<T, F> Write<T, F> {
    fn located(&self, error: Error) -> Error {
        match error.failed_operation() {
            Some(_) => error,
            None => error.operation("store.write").with("room", self.room),
        }
    }
}
