//! [`Inner`]: what a runner of sagas and its runs share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use super::define::{Saga, shown};
use super::event::SagaEvent;
use super::id::{SagaId, SagaIds};
use super::journal::{Journal, Keep};
use super::news::{SagaNews, SagaObserver, SagaTransition};
use super::run::Run;
use super::story::Story;
use crate::base::nearest::nearest;
use crate::base::runtime::Runtime;
use crate::base::ticket::{self, Hook, Reply, Settled, Ticket};
use crate::base::time::{Moment, Timestamp};
use crate::recovery::caught::caught;
use crate::{Code, Error, Result};

/// The bounds of a runner of sagas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SagaConfig {
    /// Sagas that have not come to their end, at most, stuck ones among them; 1 or more. Beyond it none
    /// is begun. Default 1,024.
    pub most: usize,
    /// Finished sagas that are kept, at most. Default 1,000.
    pub keep: usize,
    /// Milliseconds that a finished saga is kept. Default 604,800,000: a week.
    pub keep_ms: u64,
}

impl Default for SagaConfig {
    fn default() -> Self {
        Self { most: 1_024, keep: 1_000, keep_ms: 7 * 24 * 3_600 * 1_000 }
    }
}

pub(super) struct Inner {
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) journal: Journal,
    pub(super) ids: SagaIds,
    pub(super) seed: u64,
    pub(super) config: SagaConfig,
    pub(super) observer: SagaObserver,
    pub(super) definitions: Mutex<BTreeMap<Arc<str>, Saga>>,
    pub(super) live: Mutex<HashMap<SagaId, Arc<Run>>>,
    pub(super) left: Condvar,
    /// Sagas in the store that have not come to their end.
    pub(super) unfinished: AtomicUsize,
    pub(super) stopping: AtomicBool,
}

impl Inner {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(super) fn definition(&self, name: &str) -> Result<Saga> {
        let definitions = self.definitions.lock();
        definitions.get(name).cloned().ok_or_else(|| {
            let error = Error::new(Code::NOT_FOUND, "no saga of this name is defined")
                .operation("recovery.saga")
                .with("name", shown(name));
            match nearest(name, definitions.keys().map(|name| &**name)) {
                Some(near) => error.advice(format!("did you mean '{near}'?")),
                None => error,
            }
        })
    }

    /// Takes a place among the unfinished.
    pub(super) fn take_place(&self) -> Result<()> {
        let most = self.config.most;
        let taken = self.unfinished.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            (now < most).then_some(now + 1)
        });
        taken.map(drop).map_err(|_| {
            Error::new(Code::OVERLOADED, "as many sagas as are allowed have not come to their end")
                .operation("recovery.saga_run")
                .with("most", most)
                .advice("stuck ones count: recovery.saga_list, then saga_retry or saga_resolve")
        })
    }

    /// One of the unfinished is none any more.
    pub(super) fn forget_one(&self) {
        self.unfinished.fetch_sub(1, Ordering::Relaxed);
    }

    /// Enters a run, unless this process is at that saga.
    pub(super) fn enter(&self, run: &Arc<Run>) -> bool {
        match self.live.lock().entry(run.id) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Arc::clone(run));
                true
            }
        }
    }

    pub(super) fn left(&self, id: SagaId) {
        let run = self.live.lock().remove(&id);
        self.left.notify_all();
        drop(run);
    }

    pub(super) fn announce(&self, id: SagaId, saga: &Saga, event: &SagaEvent) {
        if event.state().is_final() {
            self.forget_one();
        }
        let step = event.step().and_then(|step| saga.steps.get(step)).map(|step| &*step.name);
        let transition = SagaTransition { saga: id, name: saga.name(), step, event };
        self.observe(&SagaNews::Transition(transition));
    }

    pub(super) fn set_aside(&self, id: SagaId, saga: &Saga, error: &Error) {
        self.observe(&SagaNews::SetAside { saga: id, name: saga.name(), error });
    }

    pub(super) fn observe(&self, news: &SagaNews<'_>) {
        let _ = caught(|| {
            (self.observer)(news);
            Ok(())
        });
    }

    pub(super) fn keep(&self, now: Timestamp) -> Keep {
        let age = i64::try_from(self.config.keep_ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        let since = Timestamp::from_nanos(now.as_nanos().saturating_sub(age));
        Keep { most: self.config.keep, since }
    }

    /// The deadline of one that was begun in another process, on this one's clock.
    pub(super) fn deadline(&self, story: &Story) -> Moment {
        let Some(at) = story.deadline else { return Moment::FAR };
        let left = at.saturating_sub(self.runtime.timestamp().as_nanos());
        let left = u64::try_from(left).map_or(Duration::ZERO, Duration::from_nanos);
        self.runtime.now() + left
    }

    pub(super) fn chance(&self, id: SagaId) -> u64 {
        self.seed ^ id.chance()
    }

    pub(super) fn pair<T: 'static>(&self) -> (Ticket<T>, Reply<T>) {
        ticket::pair_with(Box::new(Waits(Arc::clone(&self.runtime))))
    }
}

/// Tells a ticket whether it may be waited for.
struct Waits(Arc<dyn Runtime>);

impl<T> Hook<T> for Waits {
    fn settled(&self, _answer: &Result<T>, _by: Settled) {}
    fn finished(&self) {}
    fn may_block(&self) -> bool {
        self.0.may_block()
    }
}
