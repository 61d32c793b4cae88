//! The journal in SQLite.

use rusqlite::{OptionalExtension as _, Row, params};
use serde_json::Value;

use super::{Journal, Keep, Line, SagaFilter, parsed};
use crate::base::ticket::Ticket;
use crate::base::time::Timestamp;
use crate::recovery::saga::id::SagaId;
use crate::recovery::saga::view::{SagaState, SagaView};
use crate::store::{Durability, Tx};
use crate::{Code, Error, Result};

impl Journal {
    pub(super) fn put(&self, line: Line, keep: Keep) -> Ticket<()> {
        self.store.write("recovery", Durability::Fsync, move |tx| {
            put(tx, &line)?;
            if line.view.state.is_final() {
                prune(tx, keep)?;
            }
            Ok(())
        })
    }

    pub(super) fn view(&self, id: SagaId) -> Result<Option<SagaView>> {
        self.store.read(|conn| {
            let found = conn
                .prepare_cached(
                    "SELECT id, name, state, began, changed FROM recovery_saga WHERE id = ?",
                )?
                .query_row([id.to_string()], columns)
                .optional()?;
            found.map(view).transpose()
        })
    }

    pub(super) fn lines(&self, id: SagaId) -> Result<Vec<(Timestamp, Value)>> {
        self.store.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT at, event FROM recovery_saga_event WHERE saga = ? ORDER BY seq",
            )?;
            let mut rows = statement.query([id.to_string()])?;
            let mut lines = Vec::new();
            while let Some(row) = rows.next()? {
                let text: String = row.get(1)?;
                lines.push((Timestamp::from_nanos(row.get(0)?), parsed(id, &text)?));
            }
            Ok(lines)
        })
    }

    /// The sagas that the filter wants, newest first.
    pub(in crate::recovery::saga) fn list(&self, filter: &SagaFilter) -> Result<Vec<SagaView>> {
        self.store.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT id, name, state, began, changed FROM recovery_saga
                 WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR name = ?2)
                   AND (?3 IS NULL OR id < ?3)
                 ORDER BY id DESC LIMIT ?4",
            )?;
            let wanted = params![
                filter.state.map(SagaState::name),
                filter.name,
                filter.before.map(|id| id.to_string()),
                i64::try_from(filter.most()).unwrap_or(i64::MAX),
            ];
            let rows = statement.query_map(wanted, columns)?;
            rows.map(|row| view(row?)).collect()
        })
    }

    /// The saga that was begun last.
    pub(in crate::recovery::saga) fn newest(&self) -> Result<Option<SagaId>> {
        self.store.read(|conn| {
            let newest: Option<String> =
                conn.query_row("SELECT max(id) FROM recovery_saga", [], |row| row.get(0))?;
            newest.map(|id| id.parse()).transpose()
        })
    }
}

fn put(tx: &Tx<'_>, line: &Line) -> Result<()> {
    let Line { view, seq, text } = line;
    let id = view.id.to_string();
    tx.prepare_cached(
        "INSERT INTO recovery_saga (id, name, state, began, changed) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET state = excluded.state, changed = excluded.changed",
    )?
    .execute(params![
        id,
        &*view.name,
        view.state.name(),
        view.began.as_nanos(),
        view.changed.as_nanos()
    ])?;
    let seq = i64::try_from(*seq).unwrap_or(i64::MAX);
    // A number that is taken already means that two are at one saga: the second one is refused.
    tx.prepare_cached(
        "INSERT INTO recovery_saga_event (saga, seq, at, event) VALUES (?, ?, ?, ?)",
    )?
    .execute(params![id, seq, view.changed.as_nanos(), text])?;
    Ok(())
}

const FINAL: &str = "('done', 'undone', 'resolved')";

fn prune(tx: &Tx<'_>, keep: Keep) -> Result<()> {
    let most = i64::try_from(keep.most).unwrap_or(i64::MAX);
    tx.prepare_cached(&format!(
        "DELETE FROM recovery_saga WHERE state IN {FINAL} AND (changed < ?1 OR id <= (
             SELECT id FROM recovery_saga WHERE state IN {FINAL}
             ORDER BY id DESC LIMIT 1 OFFSET ?2))"
    ))?
    .execute(params![keep.since.as_nanos(), most])?;
    Ok(())
}

type Columns = (String, String, String, i64, i64);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn view((id, name, state, began, changed): Columns) -> Result<SagaView> {
    let state = SagaState::named(&state).ok_or_else(|| {
        Error::new(Code::STORE_CORRUPT, "a saga is in a state that there is not")
            .with("saga", &id)
            .with("state", &state)
    })?;
    Ok(SagaView {
        id: id.parse()?,
        name: name.into(),
        state,
        began: Timestamp::from_nanos(began),
        changed: Timestamp::from_nanos(changed),
    })
}
