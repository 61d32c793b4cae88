//! Checkpoints in the store: in one transaction, or under one key.

use super::digest;
use super::view::{CheckpointDetail, CheckpointId, CheckpointPartView, CheckpointView};
use crate::base::payload::Payload;
use crate::base::ticket::Ticket;
use crate::base::time::Timestamp;
use crate::store::Store;
use crate::{Code, Error, Result};

/// The longest state of one thing, in bytes of JSON text.
#[cfg(feature = "store")]
pub(super) const STATE_MAX: usize = 4 * 1024 * 1024;
/// The longest state of one thing: what one value of the key-value face leaves for several.
#[cfg(not(feature = "store"))]
pub(super) const STATE_MAX: usize = 64 * 1024;

/// A state as it is written.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) text: String,
}

impl Part {
    /// # Errors
    /// [`Code::INVALID`] for a state that is too long.
    pub(super) fn new(name: &str, state: &Payload) -> Result<Self> {
        // The value's own text, so that states that are equal have equal texts.
        let text = state.value()?.to_string();
        if text.len() > STATE_MAX {
            return Err(Error::new(Code::INVALID, "the state is too long for a checkpoint")
                .operation("recovery.checkpoint_create")
                .with("name", name)
                .with("bytes", text.len())
                .with("most", STATE_MAX));
        }
        Ok(Self { name: name.to_owned(), digest: digest::of_text(&text), text })
    }
}

/// A checkpoint that is to be written.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) label: String,
    pub(super) taken: Timestamp,
    pub(super) digest: String,
    pub(super) parts: Vec<Part>,
}

impl Draft {
    pub(super) fn new(label: &str, taken: Timestamp, parts: Vec<Part>) -> Self {
        let digest = digest::of_parts(parts.iter().map(|p| (p.name.as_str(), p.digest.as_str())));
        Self { label: label.to_owned(), taken, digest, parts }
    }

    fn view(&self, id: CheckpointId) -> CheckpointView {
        let part = |part: &Part| CheckpointPartView {
            name: part.name.clone(),
            digest: part.digest.clone(),
        };
        CheckpointView {
            id,
            label: self.label.clone(),
            taken: self.taken,
            digest: self.digest.clone(),
            parts: self.parts.iter().map(part).collect(),
        }
    }
}

/// Where they are.
#[derive(Clone)]
pub(super) struct Records(pub(super) Store);

impl Records {
    /// Writes one, and lets go of the oldest beyond `keep`; answers when it is synced to the disk.
    pub(super) fn add(&self, new: Draft, keep: usize) -> Ticket<CheckpointView> {
        faces::add(&self.0, new, keep)
    }

    /// All of them, newest first.
    pub(super) fn list(&self) -> Result<Vec<CheckpointView>> {
        faces::list(&self.0)
    }

    /// One with its states, each the one that was saved.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::STORE_CORRUPT`] when a digest does not fit.
    pub(super) fn get(&self, id: CheckpointId) -> Result<CheckpointDetail> {
        let missing = || {
            Error::new(Code::NOT_FOUND, "there is no checkpoint of this number")
                .operation("recovery.checkpoint")
                .with("checkpoint", id)
                .advice("old ones are let go of; recovery.checkpoint_list shows what there is")
        };
        let (view, texts) = faces::get(&self.0, id)?.ok_or_else(missing)?;
        let corrupt = |name: &str| {
            Error::new(Code::STORE_CORRUPT, "a checkpoint is not what was saved")
                .operation("recovery.checkpoint")
                .with("checkpoint", id)
                .with("name", name)
                .advice("restore another one")
        };
        let parts = view.parts.iter().map(|p| (p.name.as_str(), p.digest.as_str()));
        if digest::of_parts(parts) != view.digest || texts.len() != view.parts.len() {
            return Err(corrupt(""));
        }
        let mut states = Vec::with_capacity(texts.len());
        for (part, text) in view.parts.iter().zip(texts) {
            if digest::of_text(&text) != part.digest {
                return Err(corrupt(&part.name));
            }
            states.push((part.name.clone(), Payload::json_text(text)?));
        }
        Ok(CheckpointDetail { view, states })
    }

    /// Deletes one; whether it was there.
    pub(super) fn delete(&self, id: CheckpointId) -> Ticket<bool> {
        faces::delete(&self.0, id)
    }
}

#[cfg(feature = "store")]
mod faces {
    use rusqlite::{Connection, OptionalExtension as _, params};

    use super::*;
    use crate::store::Durability;

    pub(super) fn add(store: &Store, new: Draft, keep: usize) -> Ticket<CheckpointView> {
        store.write("recovery", Durability::Fsync, move |tx| {
            tx.prepare_cached(
                "INSERT INTO recovery_checkpoint (label, taken, digest) VALUES (?, ?, ?)",
            )?
            .execute(params![new.label, new.taken.as_nanos(), new.digest])?;
            let id = tx.last_insert_rowid();
            let mut insert = tx.prepare_cached(
                "INSERT INTO recovery_checkpoint_part (checkpoint, position, name, digest, state)
                 VALUES (?, ?, ?, ?, ?)",
            )?;
            for (position, part) in (0_i64..).zip(&new.parts) {
                insert.execute(params![id, position, part.name, part.digest, part.text])?;
            }
            let keep = i64::try_from(keep).unwrap_or(i64::MAX);
            tx.prepare_cached(
                "DELETE FROM recovery_checkpoint WHERE id <= (
                     SELECT id FROM recovery_checkpoint ORDER BY id DESC LIMIT 1 OFFSET ?)",
            )?
            .execute([keep])?;
            Ok(new.view(CheckpointId(id.unsigned_abs())))
        })
    }

    pub(super) fn list(store: &Store) -> Result<Vec<CheckpointView>> {
        store.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT id, label, taken, digest FROM recovery_checkpoint ORDER BY id DESC",
            )?;
            let rows = statement.query_map([], columns)?.collect::<rusqlite::Result<Vec<_>>>()?;
            rows.into_iter().map(|row| view(conn, row)).collect()
        })
    }

    pub(super) fn get(
        store: &Store,
        id: CheckpointId,
    ) -> Result<Option<(CheckpointView, Vec<String>)>> {
        store.read(|conn| {
            let row = conn
                .prepare_cached(
                    "SELECT id, label, taken, digest FROM recovery_checkpoint WHERE id = ?",
                )?
                .query_row([number(id)], columns)
                .optional()?;
            let Some(row) = row else { return Ok(None) };
            let mut statement = conn.prepare_cached(
                "SELECT state FROM recovery_checkpoint_part WHERE checkpoint = ? ORDER BY position",
            )?;
            let texts = statement.query_map([number(id)], |row| row.get(0))?;
            let texts = texts.collect::<rusqlite::Result<_>>()?;
            Ok(Some((view(conn, row)?, texts)))
        })
    }

    pub(super) fn delete(store: &Store, id: CheckpointId) -> Ticket<bool> {
        store.write("recovery", Durability::Fsync, move |tx| {
            let deleted = tx
                .prepare_cached("DELETE FROM recovery_checkpoint WHERE id = ?")?
                .execute([number(id)])?;
            Ok(deleted > 0)
        })
    }

    type Columns = (i64, String, i64, String);

    fn columns(row: &rusqlite::Row<'_>) -> rusqlite::Result<Columns> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    }

    fn view(conn: &Connection, (id, label, taken, digest): Columns) -> Result<CheckpointView> {
        let mut statement = conn.prepare_cached(
            "SELECT name, digest FROM recovery_checkpoint_part
             WHERE checkpoint = ? ORDER BY position",
        )?;
        let parts = statement.query_map([id], |row| {
            Ok(CheckpointPartView { name: row.get(0)?, digest: row.get(1)? })
        })?;
        Ok(CheckpointView {
            id: CheckpointId(id.unsigned_abs()),
            label,
            taken: Timestamp::from_nanos(taken),
            digest,
            parts: parts.collect::<rusqlite::Result<_>>()?,
        })
    }

    /// A number beyond what the table can hold is one that it does not.
    fn number(id: CheckpointId) -> i64 {
        i64::try_from(id.0).unwrap_or(-1)
    }
}

#[cfg(not(feature = "store"))]
mod faces {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::base::ticket;
    use crate::store::{Durability, Entry, LIST_MAX};

    /// A checkpoint under its number.
    const CHECKPOINTS: &str = "recovery.checkpoint";
    /// The number that was used last.
    const LAST: &str = "recovery.checkpoint_last";

    #[derive(Serialize, Deserialize)]
    struct Kept {
        label: String,
        digest: String,
        parts: Vec<(String, String, String)>,
    }

    pub(super) fn add(store: &Store, new: Draft, keep: usize) -> Ticket<CheckpointView> {
        ticket::ready(add_now(store, &new, keep))
    }

    fn add_now(store: &Store, new: &Draft, keep: usize) -> Result<CheckpointView> {
        let last = store.get(LAST, "id")?.map_or(Ok(0), |entry| entry.value.to::<u64>())?;
        let id = CheckpointId(last + 1);
        let parts = new.parts.iter();
        let parts = parts.map(|p| (p.name.clone(), p.digest.clone(), p.text.clone())).collect();
        let (label, digest) = (new.label.clone(), new.digest.clone());
        let kept = Payload::json(&Kept { label, digest, parts })?;
        store.put(CHECKPOINTS, &key(id), &kept, new.taken, Durability::Fsync).wait()?;
        store.put(LAST, "id", &id.0.into(), new.taken, Durability::Fsync).wait()?;
        for old in list(store)?.iter().skip(keep) {
            store.delete(CHECKPOINTS, &key(old.id), Durability::Fsync).wait()?;
        }
        Ok(new.view(id))
    }

    pub(super) fn list(store: &Store) -> Result<Vec<CheckpointView>> {
        let entries = store.list(CHECKPOINTS, "", None, LIST_MAX)?;
        entries.into_iter().rev().map(|entry| Ok(read(entry)?.0)).collect()
    }

    pub(super) fn get(
        store: &Store,
        id: CheckpointId,
    ) -> Result<Option<(CheckpointView, Vec<String>)>> {
        store.get(CHECKPOINTS, &key(id))?.map(read).transpose()
    }

    pub(super) fn delete(store: &Store, id: CheckpointId) -> Ticket<bool> {
        store.delete(CHECKPOINTS, &key(id), Durability::Fsync)
    }

    /// In order of number.
    fn key(id: CheckpointId) -> String {
        format!("{:020}", id.0)
    }

    fn read(entry: Entry) -> Result<(CheckpointView, Vec<String>)> {
        let kept: Kept = entry.value.to()?;
        let id = entry.key.parse().map(CheckpointId).map_err(|e| {
            Error::new(Code::STORE_CORRUPT, "a checkpoint has no number").because(e)
        })?;
        let (mut parts, mut texts) = (Vec::new(), Vec::new());
        for (name, digest, text) in kept.parts {
            parts.push(CheckpointPartView { name, digest });
            texts.push(text);
        }
        let taken = entry.updated;
        let view = CheckpointView { id, label: kept.label, taken, digest: kept.digest, parts };
        Ok((view, texts))
    }
}
