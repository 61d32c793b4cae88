//! Opens the database file, and says precisely why when it cannot.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::fault;
use crate::{Code, Error, Result};

/// SQLite's `application_id` of our files: the letters `SutZ`.
const APPLICATION: i32 = i32::from_be_bytes(*b"SutZ");

/// Databases up to this size are checked page by page when they are opened (about 1 ms a MiB);
/// damage in larger ones is found when the damaged page is read.
const CHECK_UP_TO: u64 = 64 * 1024 * 1024;

/// The write-ahead log is cut back to this many bytes after a checkpoint.
const LOG_MAX: i64 = 16 * 1024 * 1024;

/// The writer's connection: checks the file, and sets what lives in the file.
pub(super) fn writer(path: &Path, busy: Duration) -> Result<Connection> {
    let conn = open(path, busy)?;
    check(&conn, path)?;
    let failed = |e| fault::opening(path, e);
    let mode: String =
        conn.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(Error::new(
            Code::STORE_FAILED,
            "the file system does not support SQLite's WAL",
        )
        .operation("store.open")
        .with("path", path.display())
        .with("journal_mode", mode)
        .advice("put the data directory on a local disk"));
    }
    conn.pragma_update(None, "journal_size_limit", LOG_MAX).map_err(failed)?;
    if conn.is_readonly("main").map_err(failed)? {
        return Err(Error::new(Code::STORE_READ_ONLY, "the database cannot be opened for writing")
            .operation("store.open")
            .with("path", path.display())
            .advice("make the directory and its files writable for this user"));
    }
    set_up(&conn).map_err(failed)?;
    Ok(conn)
}

/// A reader's connection to the same file.
pub(super) fn reader(path: &Path, busy: Duration) -> Result<Connection> {
    let conn = open(path, busy)?;
    let failed = |e| fault::opening(path, e);
    set_up(&conn).map_err(failed)?;
    conn.pragma_update(None, "query_only", true).map_err(failed)?;
    Ok(conn)
}

/// A database in memory, with one connection.
pub(super) fn memory() -> Result<Connection> {
    let conn = Connection::open_in_memory()?;
    set_up(&conn)?;
    Ok(conn)
}

/// Marks the file as ours; part of the first migration's transaction.
pub(super) fn mark(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "application_id", APPLICATION)
}

fn open(path: &Path, busy: Duration) -> Result<Connection> {
    // Each connection is used by one thread at a time, so SQLite need not lock it as well.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |e| fault::opening(path, e);
    let conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    conn.busy_timeout(busy).map_err(failed)?;
    Ok(conn)
}

fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    // A damaged or planted schema must not run functions, nor a damaged page mislead the B-tree.
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)
}

fn check(conn: &Connection, path: &Path) -> Result<()> {
    let failed = |e| fault::opening(path, e);
    // The first read of the file: SQLite looks at the header, and recovers a write-ahead log.
    let application: i32 =
        conn.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    if application != APPLICATION && (application != 0 || tables != 0) {
        return Err(Error::new(Code::STORE_CORRUPT, "the database belongs to another program")
            .operation("store.open")
            .with("path", path.display())
            .with("application_id", format!("{application:#010x}"))
            .advice("move it away, or choose another data directory"));
    }
    let size = std::fs::metadata(path).map_or(0, |m| m.len());
    if size > CHECK_UP_TO {
        return Ok(());
    }
    let verdict: String =
        conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        let first = verdict.lines().next().unwrap_or_default().to_owned();
        return Err(Error::new(Code::STORE_CORRUPT, "the database is damaged")
            .operation("store.open")
            .with("path", path.display())
            .with("found", first)
            .advice("restore it from a backup, or move it away to start anew; `sqlite3 state.db .recover` saves what can be read"));
    }
    Ok(())
}
