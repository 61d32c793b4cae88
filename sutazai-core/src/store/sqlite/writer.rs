//! [`Writer`]: the one thread that writes, and its group commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use parking_lot::Mutex;
use rusqlite::Connection;

use super::gate::{Gate, Mode};
use super::job::{Job, Tx};
use super::pace::Pace;
use super::pool::Pool;
use super::watch::{At, Ending, Watch};
use crate::base::runtime;
use crate::store::{DataDir, Durability};
use crate::{Code, Error, Result};

/// What the writer counts.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) syncs: AtomicU64,
}

pub(super) struct Writer {
    state: Mutex<State>,
    queue: usize,
    watch: Arc<Watch>,
    pub(super) counters: Arc<Counters>,
}

enum State {
    /// Nothing was written yet: the thread is not there.
    Resting(Box<Bench>),
    Running {
        sender: Sender<Box<dyn Job>>,
        thread: JoinHandle<()>,
        /// Disconnected when the thread has let go of the database.
        ended: Receiver<()>,
    },
    Closed,
}

impl Writer {
    pub(super) fn new(bench: Bench, queue: usize) -> Self {
        let (counters, watch) = (Arc::clone(&bench.counters), Arc::clone(&bench.watch));
        Self { state: Mutex::new(State::Resting(Box::new(bench))), queue, watch, counters }
    }

    /// Starts the thread, if it is not there.
    pub(super) fn start(&self) -> Result<()> {
        self.sender().map(drop)
    }

    /// Queues a job; gives it back with the reason when it cannot.
    pub(super) fn submit(&self, job: Box<dyn Job>) -> Result<(), (Box<dyn Job>, Error)> {
        let sender = match self.sender() {
            Ok(sender) => sender,
            Err(error) => return Err((job, error)),
        };
        sender.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(job) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                let error = Error::new(Code::OVERLOADED, "too many writes wait for the store")
                    .operation("store.write")
                    .with("queue", self.queue)
                    .advice("write less often, or wait for earlier writes");
                (job, error)
            }
            TrySendError::Disconnected(job) => (job, super::closed()),
        })
    }

    /// How many jobs wait.
    pub(super) fn queued(&self) -> usize {
        match &*self.state.lock() {
            State::Running { sender, .. } => sender.len(),
            State::Resting(_) | State::Closed => 0,
        }
    }

    /// Refuses further jobs, finishes the queued ones and ends the thread. Waits for that, for at
    /// most `patience`, unless called on the thread itself.
    ///
    /// # Errors
    /// [`Code::STORE_HANGS`] when it took longer. The thread is left behind: it goes on, and gives
    /// the directory's lock back when it ends.
    pub(super) fn close(&self, patience: Duration) -> Result<()> {
        let before = std::mem::replace(&mut *self.state.lock(), State::Closed);
        match before {
            State::Resting(bench) => drop(bench),
            State::Running { sender, thread, ended } => {
                drop(sender);
                if thread.thread().id() == std::thread::current().id() {
                    return Ok(());
                }
                let timed_out = || ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
                if timed_out() && self.watch.leave_behind(&ended) {
                    return Err(self.watch.hangs());
                }
                // A panic of the thread was a defect of a callback's, and was reported there.
                let _ = thread.join();
            }
            State::Closed => {}
        }
        Ok(())
    }

    /// Forgets thread and connection: for a forked child, which has no such thread and must leave
    /// the parent's files alone.
    pub(super) fn abandon(&self) {
        if let Some(mut state) = self.state.try_lock() {
            std::mem::forget(std::mem::replace(&mut *state, State::Closed));
        }
    }

    fn sender(&self) -> Result<Sender<Box<dyn Job>>> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Closed) {
            State::Running { sender, thread, ended } => {
                let copy = sender.clone();
                *state = State::Running { sender, thread, ended };
                Ok(copy)
            }
            State::Resting(bench) => {
                let (sender, receiver) = crossbeam_channel::bounded(self.queue);
                // The bench reaches the thread through a slot, so that it is not lost when the
                // thread cannot be started.
                let (end, ended) = crossbeam_channel::bounded(0);
                let slot = Arc::new(Mutex::new(Some(bench)));
                let theirs = Arc::clone(&slot);
                let started =
                    std::thread::Builder::new().name("sutazai-store".to_owned()).spawn(move || {
                        let bench = theirs.lock().take();
                        if let Some(bench) = bench {
                            // Dropped after the bench and its connection, also when unwinding.
                            let _ending = Ending::of(&bench, end);
                            // A ticket's callback that waits for another write would wait for itself.
                            runtime::forbidden(|| bench.run(&receiver));
                        }
                    });
                match started {
                    Ok(thread) => {
                        *state = State::Running { sender: sender.clone(), thread, ended };
                        Ok(sender)
                    }
                    Err(e) => {
                        if let Some(bench) = slot.lock().take() {
                            *state = State::Resting(bench);
                        }
                        Err(Error::new(Code::IO, "the store's thread could not be started")
                            .operation("store.start")
                            .because(e))
                    }
                }
            }
            State::Closed => Err(super::closed()),
        }
    }
}

/// What the thread works with.
pub(super) struct Bench {
    pub(super) desk: Desk,
    pub(super) gate: Gate,
    /// Whether the connection has `synchronous=FULL`.
    pub(super) full: bool,
    pub(super) pace: Arc<Pace>,
    pub(super) counters: Arc<Counters>,
    pub(super) watch: Arc<Watch>,
    /// Keeps the directory's lock until the thread has ended.
    pub(super) dir: Option<DataDir>,
}

/// Where the writer's connection comes from.
pub(super) enum Desk {
    /// Its own, on a file.
    Own(Connection),
    /// The only one of a database in memory, shared with the readers.
    Shared(Arc<Pool>),
}

impl Desk {
    fn with<R>(&mut self, f: impl FnOnce(&mut Connection) -> R) -> Result<R> {
        match self {
            Self::Own(conn) => Ok(f(conn)),
            Self::Shared(pool) => {
                let mut lease = pool.lend()?;
                Ok(f(lease.get()?))
            }
        }
    }
}

impl Bench {
    fn run(mut self, jobs: &Receiver<Box<dyn Job>>) {
        let mut sync_at: Option<Instant> = None;
        loop {
            let first = match sync_at {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => jobs.recv_deadline(at),
            };
            match first {
                Ok(first) => {
                    let mut batch = vec![first];
                    batch.extend(jobs.try_iter().take(self.pace.batch() - 1));
                    match self.commit(batch) {
                        Durability::Fsync => sync_at = None,
                        Durability::Interval => {
                            sync_at = sync_at.or_else(|| Some(Instant::now() + self.pace.sync_every()));
                        }
                        Durability::Process | Durability::Memory => {}
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    // A sync that failed is tried again after another interval.
                    sync_at = self.sync().is_err().then(|| Instant::now() + self.pace.sync_every());
                }
                // Closing the last connection checkpoints the log, and that syncs it.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // An interval that passed under a stream of writes must not wait for it to end.
            if sync_at.is_some_and(|at| at <= Instant::now()) {
                sync_at = self.sync().is_err().then(|| Instant::now() + self.pace.sync_every());
            }
        }
    }

    /// Runs a batch and answers its tickets. Says how durable all of it is: `Interval` when it
    /// needs a sync yet.
    fn commit(&mut self, mut batch: Vec<Box<dyn Job>>) -> Durability {
        let wanted = match self.dir {
            Some(_) => batch.iter().map(|job| job.durability()).max().unwrap_or_default(),
            None => Durability::Memory,
        };
        let sync = wanted == Durability::Fsync;
        // How many jobs each transaction took, and how it ended.
        let mut ends: Vec<(usize, Result<()>)> = Vec::with_capacity(1);
        let (gate, full, watch) = (&self.gate, &mut self.full, &*self.watch);
        let reached = self.desk.with(|conn| {
            set_full(conn, full, sync)?;
            let mut rest = batch.as_mut_slice();
            while !rest.is_empty() {
                let (taken, end) = transact(conn, gate, watch, rest);
                ends.push((taken, end));
                rest = rest.split_at_mut(taken).1;
            }
            Ok(())
        });
        if let Err(error) | Ok(Err(error)) = reached {
            ends = vec![(batch.len(), Err(error))];
        }
        let synced = sync && ends.iter().all(|(_, end)| end.is_ok());
        self.counters.syncs.fetch_add(u64::from(synced), Ordering::Relaxed);
        // The connection is free again, no transaction is open: now others' code may run.
        let mut jobs = batch.into_iter();
        for (taken, end) in ends {
            let committed = u64::from(end.is_ok());
            self.counters.commits.fetch_add(committed, Ordering::Relaxed);
            for job in jobs.by_ref().take(taken) {
                let _at = self.watch.at(At::Callback(job.room()));
                job.settle(&end, &self.counters);
            }
        }
        match (synced, wanted) {
            (true, _) => Durability::Fsync,
            // What of it was committed is not on the disk yet.
            (false, Durability::Fsync) => Durability::Interval,
            (false, other) => other,
        }
    }

    /// Syncs the log: a commit of our own under `synchronous=FULL`, which syncs the whole file.
    fn sync(&mut self) -> Result<()> {
        let full = &mut self.full;
        self.desk.with(|conn| {
            set_full(conn, full, true)?;
            conn.execute("UPDATE store_sync SET count = count + 1", [])?;
            Ok::<_, Error>(())
        })??;
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Switches between commits that sync and commits that do not; not possible in a transaction.
fn set_full(conn: &Connection, full: &mut bool, wanted: bool) -> Result<()> {
    if *full != wanted {
        conn.pragma_update(None, "synchronous", if wanted { "FULL" } else { "NORMAL" })?;
        *full = wanted;
    }
    Ok(())
}

/// Runs jobs in one transaction, each in a savepoint of its own. Returns how many it took: all,
/// or those up to one at which SQLite itself ended the transaction (disk full, I/O error), which
/// undid them all.
fn transact(
    conn: &mut Connection,
    gate: &Gate,
    watch: &Watch,
    jobs: &mut [Box<dyn Job>],
) -> (usize, Result<()>) {
    let all = jobs.len();
    if let Err(e) = conn.execute_batch("BEGIN IMMEDIATE") {
        return (all, Err(e.into()));
    }
    for (index, job) in jobs.iter_mut().enumerate() {
        if let Err(error) = in_savepoint(conn, gate, watch, job.as_mut()) {
            // The savepoint is broken, so nothing of the transaction can be trusted.
            if !conn.is_autocommit() {
                let _ = conn.execute_batch("ROLLBACK");
            }
            return (index + 1, Err(error));
        }
    }
    match conn.execute_batch("COMMIT") {
        Ok(()) => (all, Ok(())),
        Err(e) => {
            if !conn.is_autocommit() {
                let _ = conn.execute_batch("ROLLBACK");
            }
            (all, Err(e.into()))
        }
    }
}

fn in_savepoint(conn: &Connection, gate: &Gate, watch: &Watch, job: &mut dyn Job) -> Result<()> {
    conn.prepare_cached("SAVEPOINT \"sutazai write\"")?.execute([])?;
    let (keep, refused) = {
        let _at = watch.at(At::Write(job.room()));
        gate.with(Mode::Write, || job.run(&Tx::new(conn)))
    };
    if let (false, Some(what)) = (keep, refused) {
        job.explain(&what);
    }
    if conn.is_autocommit() {
        return Err(Error::new(Code::STORE_FAILED, "the database ended the transaction")
            .operation("store.write")
            .advice("see the error of the write that failed first; free some space on the disk"));
    }
    if !keep {
        conn.prepare_cached("ROLLBACK TO \"sutazai write\"")?.execute([])?;
    }
    conn.prepare_cached("RELEASE \"sutazai write\"")?.execute([])?;
    Ok(())
}
