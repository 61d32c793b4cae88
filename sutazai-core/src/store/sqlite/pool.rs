//! [`Pool`]: a few connections, each lent to one thread at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use crate::{Code, Error, Result};

/// Opens one more connection.
pub(super) type Opener = Box<dyn Fn() -> Result<Connection> + Send + Sync>;

pub(super) struct Pool {
    state: Mutex<State>,
    returned: Condvar,
    most: usize,
    patience: Duration,
    /// `None`: what was put in at the start is all there is.
    opener: Option<Opener>,
}

struct State {
    idle: Vec<Connection>,
    lent: usize,
    closed: bool,
}

impl Pool {
    /// A pool that opens up to `most` connections as they are needed.
    pub(super) fn opening(most: usize, patience: Duration, opener: Opener) -> Arc<Self> {
        Self::with(Vec::new(), most, patience, Some(opener))
    }

    /// A pool of exactly this connection.
    pub(super) fn of_one(conn: Connection, patience: Duration) -> Arc<Self> {
        Self::with(vec![conn], 1, patience, None)
    }

    fn with(
        idle: Vec<Connection>,
        most: usize,
        patience: Duration,
        opener: Option<Opener>,
    ) -> Arc<Self> {
        let state = Mutex::new(State { idle, lent: 0, closed: false });
        Arc::new(Self { state, returned: Condvar::new(), most, patience, opener })
    }

    /// Lends a connection, waiting for one when all are out.
    ///
    /// # Errors
    /// [`Code::NOT_RUNNING`] when closed; [`Code::OVERLOADED`] when none came back in time.
    pub(super) fn lend(self: &Arc<Self>) -> Result<Lease> {
        let until = Instant::now() + self.patience;
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(super::closed());
            }
            if let Some(conn) = state.idle.pop() {
                state.lent += 1;
                return Ok(Lease { conn: Some(conn), restrained: false, pool: Arc::clone(self) });
            }
            if let (true, Some(opener)) = (state.lent < self.most, &self.opener) {
                state.lent += 1;
                drop(state);
                // Made first, so that a failure (or a panic) gives the place back.
                let mut lease = Lease { conn: None, restrained: false, pool: Arc::clone(self) };
                lease.conn = Some(opener()?);
                return Ok(lease);
            }
            if self.returned.wait_until(&mut state, until).timed_out() {
                return Err(Error::new(
                    Code::OVERLOADED,
                    "all connections to the database are in use",
                )
                .operation("store.read")
                .with("connections", self.most)
                .advice("do not read or wait for the store inside a read or a write"));
            }
        }
    }

    /// Closes what is idle, and what is lent as it comes back.
    pub(super) fn close(&self) {
        let idle = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        self.returned.notify_all();
        drop(idle);
    }

    /// Forgets the connections without touching their files: for a forked child.
    pub(super) fn abandon(&self) {
        // Another thread of the parent may have held the lock at the fork.
        if let Some(mut state) = self.state.try_lock() {
            state.closed = true;
            std::mem::forget(std::mem::take(&mut state.idle));
        }
    }
}

/// A connection on loan.
pub(super) struct Lease {
    conn: Option<Connection>,
    /// Whether writing has to be permitted again before the connection goes back.
    restrained: bool,
    pool: Arc<Pool>,
}

impl Lease {
    /// The connection. There is one from [`Pool::lend`] until the drop.
    pub(super) fn get(&mut self) -> Result<&mut Connection> {
        self.conn.as_mut().ok_or_else(|| Error::new(Code::INTERNAL, "a lease without a connection"))
    }

    /// Makes every write on the connection fail until it goes back.
    pub(super) fn forbid_writing(&mut self) -> Result<()> {
        self.get()?.pragma_update(None, "query_only", true)?;
        self.restrained = true;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A connection that cannot be brought back to where it was is not lent again.
        let conn = self.conn.take().filter(|conn| {
            (conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok())
                && (!self.restrained || conn.pragma_update(None, "query_only", false).is_ok())
        });
        let surplus = {
            let mut state = self.pool.state.lock();
            state.lent -= 1;
            match conn {
                Some(conn) if !state.closed => {
                    state.idle.push(conn);
                    None
                }
                other => other,
            }
        };
        self.pool.returned.notify_one();
        drop(surplus);
    }
}
