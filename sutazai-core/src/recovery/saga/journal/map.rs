//! The journal on the key-value face, in a build without SQLite: in memory.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Journal, Keep, Line, SagaFilter};
use crate::base::payload::Payload;
use crate::base::ticket::{self, Ticket};
use crate::base::time::Timestamp;
use crate::recovery::saga::id::SagaId;
use crate::recovery::saga::view::{SagaState, SagaView};
use crate::store::{Durability, Entry, LIST_MAX};
use crate::{Code, Error, Result};

/// A saga's line in the list, by identifier.
const SAGAS: &str = "recovery.saga";
/// Its events, by identifier and number.
const EVENTS: &str = "recovery.saga_event";

#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    state: SagaState,
    began: i64,
}

impl Journal {
    pub(super) fn put(&self, line: Line, keep: Keep) -> Ticket<()> {
        ticket::ready(self.put_now(&line, keep))
    }

    fn put_now(&self, line: &Line, keep: Keep) -> Result<()> {
        let Line { view, seq, text } = line;
        let key = format!("{}/{seq:010}", view.id);
        if self.store.get(EVENTS, &key)?.is_some() {
            return Err(Error::new(Code::STORE_FAILED, "the saga has an event of this number")
                .classed(crate::Class::Persistent));
        }
        let text = Payload::json_text(text.as_str())?;
        self.store.put(EVENTS, &key, &text, view.changed, Durability::Fsync).wait()?;
        let kept = Payload::json(&Kept {
            name: view.name.to_string(),
            state: view.state,
            began: view.began.as_nanos(),
        })?;
        let id = view.id.to_string();
        self.store.put(SAGAS, &id, &kept, view.changed, Durability::Fsync).wait()?;
        if view.state.is_final() { self.prune(keep) } else { Ok(()) }
    }

    pub(super) fn view(&self, id: SagaId) -> Result<Option<SagaView>> {
        self.store.get(SAGAS, &id.to_string())?.map(view).transpose()
    }

    pub(super) fn lines(&self, id: SagaId) -> Result<Vec<(Timestamp, Value)>> {
        let entries = self.all(EVENTS, &format!("{id}/"))?;
        entries.into_iter().map(|e| Ok((e.updated, Value::clone(&*e.value.value()?)))).collect()
    }

    /// The sagas that the filter wants, newest first.
    pub(in crate::recovery::saga) fn list(&self, filter: &SagaFilter) -> Result<Vec<SagaView>> {
        let views = self.all(SAGAS, "")?.into_iter().rev().map(view);
        let wanted = |view: &SagaView| {
            filter.state.is_none_or(|state| view.state == state)
                && filter.name.as_ref().is_none_or(|name| **name == *view.name)
                && filter.before.is_none_or(|before| view.id < before)
        };
        views.filter(|view| view.as_ref().map_or(true, wanted)).take(filter.most()).collect()
    }

    /// The saga that was begun last.
    pub(in crate::recovery::saga) fn newest(&self) -> Result<Option<SagaId>> {
        self.all(SAGAS, "")?.last().map(|entry| entry.key.parse()).transpose()
    }

    fn all(&self, namespace: &str, prefix: &str) -> Result<Vec<Entry>> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let after = all.last().map(|entry| entry.key.clone());
            let page = self.store.list(namespace, prefix, after.as_deref(), LIST_MAX)?;
            let more = page.len() == LIST_MAX;
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    fn prune(&self, keep: Keep) -> Result<()> {
        let views = self.all(SAGAS, "")?.into_iter().rev().map(view).collect::<Result<Vec<_>>>()?;
        let finished = views.iter().filter(|view| view.state.is_final());
        for (rank, old) in finished.enumerate() {
            if rank < keep.most && old.changed >= keep.since {
                continue;
            }
            for entry in self.all(EVENTS, &format!("{}/", old.id))? {
                self.store.delete(EVENTS, &entry.key, Durability::Fsync).wait()?;
            }
            self.store.delete(SAGAS, &old.id.to_string(), Durability::Fsync).wait()?;
        }
        Ok(())
    }
}

fn view(entry: Entry) -> Result<SagaView> {
    let kept: Kept = entry.value.to()?;
    Ok(SagaView {
        id: entry.key.parse()?,
        name: kept.name.into(),
        state: kept.state,
        began: Timestamp::from_nanos(kept.began),
        changed: entry.updated,
    })
}
