//! [`Gate`]: what SQL may do on the writer's connection, decided as statements are prepared.
//!
//! The writer's transaction is shared by a batch of writes, so no write may end it; and a room's
//! migration may touch that room's tables only.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Who is writing SQL on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The store itself.
    Store,
    /// A closure of [`Store::write`](super::Store::write).
    Write,
    /// A migration of this room.
    Migration(&'static str),
}

/// The gate of one connection; clones are the same gate.
#[derive(Clone)]
pub(super) struct Gate(Arc<Mutex<State>>);

struct State {
    mode: Mode,
    refused: Option<String>,
}

impl Gate {
    /// Puts a gate, open for the store, on a connection.
    pub(super) fn install(conn: &mut Connection) -> rusqlite::Result<Self> {
        let gate = Self(Arc::new(Mutex::new(State { mode: Mode::Store, refused: None })));
        let state = Arc::clone(&gate.0);
        conn.authorizer(Some(move |context: AuthContext<'_>| {
            let mut state = state.lock();
            match refusal(state.mode, &context.action) {
                None => Authorization::Allow,
                Some(what) => {
                    state.refused = Some(what);
                    Authorization::Deny
                }
            }
        }))?;
        Ok(gate)
    }

    /// Runs `f` with the rules of `mode`; says what was refused, if something was.
    pub(super) fn with<R>(&self, mode: Mode, f: impl FnOnce() -> R) -> (R, Option<String>) {
        struct Reset<'a>(&'a Gate);
        impl Drop for Reset<'_> {
            fn drop(&mut self) {
                self.0.0.lock().mode = Mode::Store;
            }
        }
        {
            let mut state = self.0.lock();
            state.mode = mode;
            state.refused = None;
        }
        let reset = Reset(self);
        let result = f();
        drop(reset);
        (result, self.0.lock().refused.take())
    }
}

fn refusal(mode: Mode, action: &AuthAction<'_>) -> Option<String> {
    if mode == Mode::Store {
        return None;
    }
    match action {
        AuthAction::Transaction { .. } => Some("to begin or end a transaction".to_owned()),
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            Some("to attach or detach a database".to_owned())
        }
        AuthAction::Pragma { pragma_name, pragma_value: Some(_) } => {
            Some(format!("to set the pragma {pragma_name}"))
        }
        _ => match mode {
            Mode::Migration(room) => changed_table(action)
                .filter(|table| !belongs(room, table))
                .map(|table| format!("to change {table}, which is not one of {room}_…")),
            Mode::Store | Mode::Write => None,
        },
    }
}

/// Whether a table is one of the room's. SQLite's own tables are written by its own statements
/// only (it refuses everyone else), so they count as everybody's.
pub(super) fn belongs(room: &str, table: &str) -> bool {
    let ours = table.strip_prefix(room).is_some_and(|rest| rest.len() > 1 && rest.starts_with('_'));
    ours || table.starts_with("sqlite_")
}

fn changed_table<'c>(action: &AuthAction<'c>) -> Option<&'c str> {
    match *action {
        AuthAction::CreateTable { table_name }
        | AuthAction::CreateIndex { table_name, .. }
        | AuthAction::CreateTrigger { table_name, .. }
        | AuthAction::CreateView { view_name: table_name }
        | AuthAction::CreateVtable { table_name, .. }
        | AuthAction::DropTable { table_name }
        | AuthAction::DropIndex { table_name, .. }
        | AuthAction::DropTrigger { table_name, .. }
        | AuthAction::DropView { view_name: table_name }
        | AuthAction::DropVtable { table_name, .. }
        | AuthAction::AlterTable { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => Some(table_name),
        _ => None,
    }
}
