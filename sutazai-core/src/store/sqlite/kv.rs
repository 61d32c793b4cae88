//! The built-in key-value table, as SQL.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::job::Tx;
use crate::Result;
use crate::base::payload::Payload;
use crate::base::time::Timestamp;
use crate::store::Entry;

pub(super) fn put(
    tx: &Tx<'_>,
    namespace: &str,
    key: &str,
    value: &str,
    now: Timestamp,
) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO store_kv (namespace, key, value, updated) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET value = excluded.value, updated = excluded.updated",
    )?
    .execute(params![namespace, key, value, now.as_nanos()])?;
    Ok(())
}

pub(super) fn delete(tx: &Tx<'_>, namespace: &str, key: &str) -> Result<bool> {
    let deleted = tx
        .prepare_cached("DELETE FROM store_kv WHERE namespace = ? AND key = ?")?
        .execute(params![namespace, key])?;
    Ok(deleted > 0)
}

pub(super) fn get(conn: &Connection, namespace: &str, key: &str) -> Result<Option<Entry>> {
    conn.prepare_cached("SELECT key, value, updated FROM store_kv WHERE namespace = ? AND key = ?")?
        .query_row(params![namespace, key], columns)
        .optional()?
        .map(entry)
        .transpose()
}

pub(super) fn list(
    conn: &Connection,
    namespace: &str,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Entry>> {
    let mut statement = conn.prepare_cached(
        "SELECT key, value, updated FROM store_kv
         WHERE namespace = ?1 AND key >= ?2 AND (?3 IS NULL OR key > ?3) ORDER BY key",
    )?;
    let from = after.unwrap_or_default().max(prefix);
    let mut rows = statement.query(params![namespace, from, after])?;
    let mut found = Vec::new();
    // Rows come in order of key, so the first one without the prefix ends the listing.
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let row = columns(row)?;
        if !row.0.starts_with(prefix) {
            break;
        }
        found.push(entry(row)?);
    }
    Ok(found)
}

type Columns = (String, String, i64);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn entry((key, value, updated): Columns) -> Result<Entry> {
    Ok(Entry { key, value: Payload::json_text(value)?, updated: Timestamp::from_nanos(updated) })
}
