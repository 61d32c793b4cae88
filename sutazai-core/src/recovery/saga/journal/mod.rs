//! [`Journal`]: sagas in the store.
//!
//! On SQLite an event and the saga's line in the list change in one transaction, and a second event of
//! the same number is refused. Without the feature `store` the key-value face keeps the same records in
//! memory.

#[cfg(not(feature = "store"))]
mod map;
#[cfg(feature = "store")]
mod sql;

use super::event::{SagaEntry, SagaEvent};
use super::id::SagaId;
use super::view::{SagaState, SagaView};
use crate::base::ticket::Ticket;
use crate::base::time::Timestamp;
use crate::store::Store;
use crate::{Code, Error, Result};

/// The most sagas that one listing returns.
pub const LIST_MAX: usize = 1_000;

/// The longest event, in bytes of JSON text: what a saga is begun with, and what a step gives, have to
/// fit in.
pub(super) const EVENT_MAX: usize = 256 * 1024;

#[derive(Clone)]
pub(super) struct Journal {
    store: Store,
}

/// An event on its way into the journal.
pub(super) struct Line {
    pub(super) view: SagaView,
    pub(super) seq: u64,
    text: String,
}

/// What of the finished sagas is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub(super) most: usize,
    /// Those that changed before this go.
    pub(super) since: Timestamp,
}

/// Which sagas are listed.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SagaFilter {
    /// Those in this state only.
    pub state: Option<SagaState>,
    /// Those of this definition only.
    pub name: Option<String>,
    /// Those begun before this one: for the next page.
    pub before: Option<SagaId>,
    /// How many, at most 1,000. Default 100.
    pub limit: Option<usize>,
}

impl SagaFilter {
    /// Those in this state.
    pub fn state(state: SagaState) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    fn most(&self) -> usize {
        self.limit.unwrap_or(100).min(LIST_MAX)
    }
}

impl Line {
    /// # Errors
    /// [`Code::INVALID`] for an event that is too long.
    pub(super) fn new(view: SagaView, seq: u64, event: &SagaEvent) -> Result<Self> {
        let text = serde_json::to_string(event).map_err(|e| {
            Error::new(Code::INVALID, "the saga's event has no JSON form").because(e)
        })?;
        if text.len() > EVENT_MAX {
            return Err(Error::new(Code::INVALID, "what the saga is to keep is too long")
                .operation("recovery.saga")
                .with("bytes", text.len())
                .with("most", EVENT_MAX)
                .advice("keep large things elsewhere, and their names here"));
        }
        Ok(Self { view, seq, text })
    }
}

impl Journal {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Writes an event; answers when it is synced to the disk. One that ends a saga lets old ones go.
    pub(super) fn append(&self, line: Line, keep: Keep) -> Ticket<()> {
        self.put(line, keep)
    }

    /// The journal of one saga.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::STORE_CORRUPT`] for what is no event.
    pub(super) fn entries(&self, id: SagaId) -> Result<(SagaView, Vec<SagaEntry>)> {
        let Some(view) = self.view(id)? else { return Err(unknown(id)) };
        let lines = self.lines(id)?;
        let entries = lines
            .into_iter()
            .map(|(at, value)| {
                let event = serde_json::from_value(value).map_err(|e| corrupt(id).because(e))?;
                Ok(SagaEntry { at, event })
            })
            .collect::<Result<_>>()?;
        Ok((view, entries))
    }

    /// Every saga that has not come to its end, oldest first.
    pub(super) fn unfinished(&self) -> Result<Vec<SagaView>> {
        let mut all = Vec::new();
        for state in [SagaState::Running, SagaState::Compensating, SagaState::Stuck] {
            let mut filter = SagaFilter { limit: Some(LIST_MAX), ..SagaFilter::state(state) };
            loop {
                let page = self.list(&filter)?;
                let last = page.last().map(|view| view.id);
                let more = page.len() == LIST_MAX;
                all.extend(page);
                if !more {
                    break;
                }
                filter.before = last;
            }
        }
        all.sort_unstable_by_key(|view| view.id);
        Ok(all)
    }
}

pub(super) fn unknown(id: SagaId) -> Error {
    Error::new(Code::NOT_FOUND, "there is no saga of this identifier")
        .operation("recovery.saga")
        .with("saga", id)
        .advice("finished sagas are kept for a while only; recovery.saga_list shows what there is")
}

fn corrupt(id: SagaId) -> Error {
    Error::new(Code::STORE_CORRUPT, "a saga's journal holds something that is no event")
        .operation("recovery.saga")
        .with("saga", id)
}

#[cfg(feature = "store")]
fn parsed(id: SagaId, text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text).map_err(|e| corrupt(id).because(e))
}
