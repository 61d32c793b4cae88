//! Brings each room's tables to the version that its code speaks.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, TransactionBehavior, params};

use super::gate::{Gate, Mode, belongs};
use super::open;
use crate::base::time::Timestamp;
use crate::store::migration::{Migrations, Step, check};
use crate::{Code, Error, Result};

/// The store's own tables.
pub(super) const OWN: Migrations = Migrations {
    room: "store",
    steps: &[Step {
        version: 1,
        oldest_reader: 1,
        sql: "CREATE TABLE store_kv (
                  namespace TEXT NOT NULL,
                  key TEXT NOT NULL,
                  value TEXT NOT NULL,       -- JSON
                  updated INTEGER NOT NULL,  -- nanoseconds since 1970
                  PRIMARY KEY (namespace, key)
              ) STRICT, WITHOUT ROWID;
              CREATE TABLE store_sync (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL) STRICT;
              INSERT INTO store_sync VALUES (1, 0);",
    }],
};

/// Runs what is missing, a transaction a room, and returns each room's version.
pub(super) fn run(
    conn: &mut Connection,
    gate: &Gate,
    rooms: &[Migrations],
    place: &str,
) -> Result<BTreeMap<String, u32>> {
    let mut all = vec![OWN];
    all.extend_from_slice(rooms);
    check(&all)?;
    let located = |e: Error| e.operation("store.open").with("path", place);
    // Every room's version is looked at before any table is touched: a database that is too new
    // for one room is left as it was found.
    let mut found = versions(conn).map_err(|e| located(e.into()))?;
    for room in &all {
        refuse_newer(room, found.get(room.room)).map_err(located)?;
    }
    for room in &all {
        let before = found.get(room.room).map_or(0, |at| at.version);
        if before < room.supported() {
            migrate(conn, gate, room, before).map_err(located)?;
            found = versions(conn).map_err(|e| located(e.into()))?;
        }
    }
    Ok(found.into_iter().map(|(room, at)| (room, at.version)).collect())
}

/// Where a room's tables stand.
struct At {
    version: u32,
    oldest_reader: u32,
}

fn versions(conn: &Connection) -> rusqlite::Result<BTreeMap<String, At>> {
    if !conn.table_exists(None, "store_migrations")? {
        return Ok(BTreeMap::new());
    }
    let mut statement = conn.prepare(
        "SELECT room, max(version), max(oldest_reader) FROM store_migrations GROUP BY room",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, At { version: row.get(1)?, oldest_reader: row.get(2)? }))
    })?;
    rows.collect()
}

fn refuse_newer(room: &Migrations, at: Option<&At>) -> Result<()> {
    let supported = room.supported();
    match at {
        Some(at) if at.version > supported && supported < at.oldest_reader => {
            Err(Error::new(Code::STORE_NEWER, "the database was written by a newer version")
                .with("room", room.room)
                .with("found", at.version)
                .with("supported", supported)
                .with("oldest_reader", at.oldest_reader)
                .advice("run the newer version, or choose another data directory"))
        }
        _ => Ok(()),
    }
}

fn migrate(conn: &mut Connection, gate: &Gate, room: &Migrations, before: u32) -> Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if room.room == OWN.room {
        open::mark(&tx)?;
        tx.execute_batch(
            "CREATE TABLE IF NOT EXISTS store_migrations (
                 room TEXT NOT NULL,
                 version INTEGER NOT NULL,
                 oldest_reader INTEGER NOT NULL,
                 applied TEXT NOT NULL,  -- RFC 3339
                 PRIMARY KEY (room, version)
             ) STRICT, WITHOUT ROWID",
        )?;
    }
    let names_before = names(&tx)?;
    for step in room.steps.iter().filter(|step| step.version > before) {
        let failed = |e: Error| e.with("room", room.room).with("version", step.version);
        let (ran, refused) = gate.with(Mode::Migration(room.room), || tx.execute_batch(step.sql));
        ran.map_err(|e| match refused {
            Some(what) => failed(reaches_outside(&what).because(e)),
            None => failed(
                Error::new(Code::STORE_FAILED, "a migration failed and was undone")
                    .classed(crate::Class::Persistent)
                    .because(e),
            ),
        })?;
        tx.execute(
            "INSERT INTO store_migrations (room, version, oldest_reader, applied) VALUES (?, ?, ?, ?)",
            params![room.room, step.version, step.oldest_reader, Timestamp::now().to_string()],
        )?;
        // `ALTER TABLE … RENAME TO` shows the gate the old name only.
        if let Some(name) = names(&tx)?.difference(&names_before).find(|n| !belongs(room.room, n)) {
            return Err(failed(reaches_outside(&format!("to name a table {name}"))));
        }
    }
    tx.commit()?;
    Ok(())
}

fn reaches_outside(what: &str) -> Error {
    Error::new(Code::INVALID, format!("a migration is not permitted {what}")).advice(
        "begin the names of the room's tables with its prefix, and leave other rooms' alone",
    )
}

/// Tables and views.
fn names(conn: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    conn.prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")?
        .query_map([], |row| row.get(0))?
        .collect()
}
