//! [`Store`] on SQLite.

mod fault;
mod gate;
mod job;
mod kv;
mod migrate;
mod open;
mod pace;
mod pool;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

pub use job::Tx;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;

use gate::Gate;
use job::Write;
use pace::Pace;
use pool::Pool;
use writer::{Bench, Desk, Writer};

use super::{DataDir, Durability, Entry, LIST_MAX, Migrations, Options, Status, entry};
use crate::base::error::Fixed;
use crate::base::payload::Payload;
use crate::base::ticket::{self, Ticket};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// The embedded database. Clones are handles on the same one; it is closed when the last goes, or
/// by [`Store::close`].
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    writer: Writer,
    pace: Arc<Pace>,
    readers: Arc<Pool>,
    rooms: BTreeMap<String, u32>,
    /// `None`: in memory.
    file: Option<PathBuf>,
    /// The process that opened it.
    pid: u32,
}

impl Store {
    /// Opens `state.db` in the directory with the default [`Options`].
    ///
    /// # Errors
    /// As [`Store::open_with`].
    pub fn open(dir: &DataDir, rooms: &[Migrations]) -> Result<Self> {
        Self::open_with(dir, rooms, Options::default())
    }

    /// Opens `state.db` in the directory, checks it, and brings every room's tables up to date.
    /// Starts no thread: the writer's comes with the first write or [`Store::start`].
    ///
    /// # Errors
    /// - [`Code::STORE_CORRUPT`]: not a database, another program's, or damaged.
    /// - [`Code::STORE_NEWER`]: a room's tables are newer than this code, and say that it is too
    ///   old to read them; nothing was changed.
    /// - [`Code::STORE_READ_ONLY`]: the file cannot be written.
    /// - [`Code::STORE_LOCKED`]: another program held SQLite's lock for the whole busy timeout.
    /// - [`Code::STORE_FAILED`], [`Code::INVALID`]: a migration failed and was undone, or is not
    ///   well-formed; names the room and the version.
    pub fn open_with(dir: &DataDir, rooms: &[Migrations], options: Options) -> Result<Self> {
        let options = options.clamped();
        let path = dir.database();
        let busy = options.busy_timeout;
        let mut conn = open::writer(&path, busy)?;
        let gate = Gate::install(&mut conn)?;
        let versions = migrate::run(&mut conn, &gate, rooms, &path.display().to_string())?;
        let file = path.clone();
        let readers =
            Pool::opening(options.readers, busy, Box::new(move || open::reader(&file, busy)));
        let desk = Desk::Own(conn);
        Ok(Self::with(desk, gate, readers, versions, Some(dir.clone()), &options))
    }

    /// A database in memory with the default [`Options`]; it ends with its last handle.
    ///
    /// # Errors
    /// As [`Store::memory_with`].
    pub fn memory(rooms: &[Migrations]) -> Result<Self> {
        Self::memory_with(rooms, Options::default())
    }

    /// A database in memory.
    ///
    /// # Errors
    /// [`Code::STORE_FAILED`], [`Code::INVALID`]: a migration failed or is not well-formed.
    pub fn memory_with(rooms: &[Migrations], options: Options) -> Result<Self> {
        let options = options.clamped();
        let mut conn = open::memory()?;
        let gate = Gate::install(&mut conn)?;
        let versions = migrate::run(&mut conn, &gate, rooms, "memory")?;
        let readers = Pool::of_one(conn, options.busy_timeout);
        let desk = Desk::Shared(Arc::clone(&readers));
        Ok(Self::with(desk, gate, readers, versions, None, &options))
    }

    fn with(
        desk: Desk,
        gate: Gate,
        readers: Arc<Pool>,
        rooms: BTreeMap<String, u32>,
        dir: Option<DataDir>,
        options: &Options,
    ) -> Self {
        let file = dir.as_ref().map(DataDir::database);
        let pace = Arc::new(Pace::new(options));
        let bench = Bench {
            desk,
            gate,
            full: false,
            pace: Arc::clone(&pace),
            counters: Arc::default(),
            watch: Arc::default(),
            dir,
        };
        let writer = Writer::new(bench, options.queue);
        Self(Arc::new(Inner { writer, pace, readers, rooms, file, pid: std::process::id() }))
    }

    /// Starts the writer thread, `sutazai-store`. The first write does so, too.
    ///
    /// # Errors
    /// [`Code::IO`] when the system has no thread to give; [`Code::NOT_RUNNING`] when closed.
    pub fn start(&self) -> Result<()> {
        self.check_process()?;
        self.0.writer.start()
    }

    /// Queues a write: `closure` runs on the writer thread, in a transaction that it shares with
    /// other writes but in a savepoint of its own, so that its error or panic undoes its own
    /// changes only. It must not wait for anything, and may not end the transaction. `room` names
    /// the writer in errors.
    ///
    /// The ticket answers when the write is as durable as asked for, with what the closure
    /// returned; or with [`Code::OVERLOADED`] (the queue is full), [`Code::NOT_RUNNING`] (closed),
    /// [`Code::PANIC`], [`Code::CANCELLED`], the closure's error, or that of the commit.
    pub fn write<T, F>(&self, room: &'static str, durability: Durability, closure: F) -> Ticket<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        if let Err(error) = self.check_process() {
            return ticket::ready(Err(error));
        }
        let (ticket, reply) = ticket::pair();
        let job = Write { room, durability, closure: Some(closure), result: None, reply };
        match self.0.writer.submit(Box::new(job)) {
            Ok(()) => ticket,
            Err((job, error)) => {
                job.refuse(error);
                ticket
            }
        }
    }

    /// Runs a read on this thread, on a snapshot of the database: what is committed when it makes
    /// its first query is what it sees. Blocks while it runs, and while all connections are out.
    ///
    /// # Errors
    /// The closure's; [`Code::OVERLOADED`] when no connection became free within the busy timeout;
    /// [`Code::NOT_RUNNING`] when closed.
    pub fn read<T>(&self, closure: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.check_process()?;
        let mut lease = self.0.readers.lend()?;
        if self.0.file.is_none() {
            // The writer's connection: keep it from being written, as those of a file are.
            lease.forbid_writing()?;
        }
        let tx = lease.get()?.transaction()?;
        let result = closure(&tx)?;
        tx.finish()?;
        Ok(result)
    }

    /// Puts a value under a key of the key-value table; `now` is kept as the time of the change.
    /// Answers [`Code::INVALID`] for names or values beyond their bounds
    /// ([`NAMESPACE_MAX`](super::NAMESPACE_MAX), [`KEY_MAX`](super::KEY_MAX),
    /// [`VALUE_MAX`](super::VALUE_MAX)), otherwise as [`Store::write`].
    pub fn put(
        &self,
        namespace: &str,
        key: &str,
        value: &Payload,
        now: Timestamp,
        durability: Durability,
    ) -> Ticket<()> {
        let checked = entry::check_names(namespace, key).and_then(|()| entry::check_value(value));
        let text = match checked {
            Ok(text) => text,
            Err(error) => return ticket::ready(Err(error)),
        };
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        self.write("store", durability, move |tx| kv::put(tx, &namespace, &key, &text, now))
    }

    /// The entry of a key, if there is one.
    ///
    /// # Errors
    /// [`Code::INVALID`] for names beyond their bounds, otherwise as [`Store::read`].
    pub fn get(&self, namespace: &str, key: &str) -> Result<Option<Entry>> {
        entry::check_names(namespace, key)?;
        self.read(|conn| kv::get(conn, namespace, key))
    }

    /// Deletes a key; answers whether it was there. Errors as [`Store::put`].
    pub fn delete(&self, namespace: &str, key: &str, durability: Durability) -> Ticket<bool> {
        if let Err(error) = entry::check_names(namespace, key) {
            return ticket::ready(Err(error));
        }
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        self.write("store", durability, move |tx| kv::delete(tx, &namespace, &key))
    }

    /// The first `limit` entries (at most [`LIST_MAX`]) whose keys begin with `prefix` and come
    /// after `after`, in order of the keys' bytes.
    ///
    /// # Errors
    /// [`Code::INVALID`] for names beyond their bounds, otherwise as [`Store::read`].
    pub fn list(
        &self,
        namespace: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        entry::check_listing(namespace, prefix)?;
        self.read(|conn| kv::list(conn, namespace, prefix, after, limit.min(LIST_MAX)))
    }

    /// The figures. Works on a closed store, too.
    pub fn status(&self) -> Status {
        let counters = &self.0.writer.counters;
        let bytes = match &self.0.file {
            Some(file) => size(file) + size(&file.with_extension("db-wal")),
            None => self.read(pages).unwrap_or(0),
        };
        Status {
            place: self.0.file.as_ref().map_or("memory".to_owned(), |f| f.display().to_string()),
            engine: format!("sqlite {}", rusqlite::version()),
            rooms: self.0.rooms.clone(),
            bytes,
            queued: self.0.writer.queued(),
            commits: counters.commits.load(Ordering::Relaxed),
            writes: counters.writes.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
        }
    }

    /// Refuses further operations with [`Code::NOT_RUNNING`], finishes the queued writes, syncs
    /// and closes the file. Waits for that, for at most `patience`, unless called from a ticket's
    /// callback on the writer thread. Idempotent.
    ///
    /// # Errors
    /// [`Code::STORE_HANGS`] when it took longer, with the room whose write or callback does not
    /// return. The writer goes on without anybody who waits; until it has come to its end the
    /// directory stays locked, and then it is [released](DataDir::release).
    pub fn close(&self, patience: Duration) -> Result<()> {
        self.0.close(patience)
    }

    fn check_process(&self) -> Result<()> {
        static FORKED: Fixed = Fixed {
            code: Code::FORKED,
            message: "the store belongs to the process that this one was forked from",
        };
        if self.0.pid == std::process::id() { Ok(()) } else { Err(Error::from(&FORKED)) }
    }
}

/// How long dropping the last handle waits for the writer. Long, because only what is broken takes
/// so long, and whoever opens the database next expects all of it.
const DROP_PATIENCE: Duration = Duration::from_secs(30);

impl Inner {
    fn close(&self, patience: Duration) -> Result<()> {
        if self.pid == std::process::id() {
            let closed = self.writer.close(patience);
            self.readers.close();
            closed
        } else {
            // Closing would checkpoint the log and delete it below the parent.
            self.writer.abandon();
            self.readers.abandon();
            Ok(())
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // There is nobody to tell; the thread keeps the directory's lock as long as it needs it.
        let _ = self.close(DROP_PATIENCE);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("file", &self.0.file).finish_non_exhaustive()
    }
}

fn closed() -> Error {
    static CLOSED: Fixed = Fixed { code: Code::NOT_RUNNING, message: "the store is closed" };
    Error::from(&CLOSED)
}

fn size(path: &std::path::Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

fn pages(conn: &Connection) -> Result<u64> {
    let pages: u32 = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let size: u32 = conn.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    Ok(u64::from(pages) * u64::from(size))
}
