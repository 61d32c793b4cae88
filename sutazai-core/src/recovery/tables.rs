//! The room's tables in the store.

use crate::store::{Migrations, Step};

/// The tables of sagas and checkpoints. A store that [`Sagas`](super::Sagas) or
/// [`Checkpoints`](super::Checkpoints) work on is opened with these among its migrations; the kernel's
/// is.
pub const MIGRATIONS: Migrations = Migrations {
    room: "recovery",
    steps: &[Step {
        version: 1,
        oldest_reader: 1,
        sql: "CREATE TABLE recovery_saga (
                  id TEXT PRIMARY KEY,          -- 32 hexadecimal digits, in order of begin
                  name TEXT NOT NULL,
                  state TEXT NOT NULL,
                  began INTEGER NOT NULL,       -- nanoseconds since 1970
                  changed INTEGER NOT NULL      -- nanoseconds since 1970
              ) STRICT, WITHOUT ROWID;
              CREATE INDEX recovery_saga_by_state ON recovery_saga (state, id);
              CREATE TABLE recovery_saga_event (
                  saga TEXT NOT NULL REFERENCES recovery_saga (id) ON DELETE CASCADE,
                  seq INTEGER NOT NULL,         -- from 0
                  at INTEGER NOT NULL,          -- nanoseconds since 1970
                  event TEXT NOT NULL,          -- JSON
                  PRIMARY KEY (saga, seq)
              ) STRICT, WITHOUT ROWID;
              CREATE TABLE recovery_saga_effect (
                  saga TEXT NOT NULL REFERENCES recovery_saga (id) ON DELETE CASCADE,
                  key TEXT NOT NULL,
                  gave TEXT NOT NULL,           -- JSON
                  PRIMARY KEY (saga, key)
              ) STRICT, WITHOUT ROWID;
              CREATE TABLE recovery_checkpoint (
                  id INTEGER PRIMARY KEY AUTOINCREMENT,
                  label TEXT NOT NULL,
                  taken INTEGER NOT NULL,       -- nanoseconds since 1970
                  digest TEXT NOT NULL          -- SHA-256 over the names and digests of its parts
              ) STRICT;
              CREATE TABLE recovery_checkpoint_part (
                  checkpoint INTEGER NOT NULL REFERENCES recovery_checkpoint (id) ON DELETE CASCADE,
                  position INTEGER NOT NULL,    -- from 0, the order they are restored in
                  name TEXT NOT NULL,
                  digest TEXT NOT NULL,         -- SHA-256 of the state's text
                  state TEXT NOT NULL,          -- JSON
                  PRIMARY KEY (checkpoint, position)
              ) STRICT, WITHOUT ROWID;",
    }],
};
