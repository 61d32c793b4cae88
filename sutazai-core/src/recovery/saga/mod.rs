//! Sagas: steps with compensations, durable, resumed after a crash.
//!
//! A saga (H. Garcia-Molina and K. Salem, "Sagas", SIGMOD 1987) is a sequence of steps that cannot be
//! one transaction, each with a compensation. When a step fails, what was done is undone, the last
//! first. Its journal is in the store: **every transition is synced to the disk before anything is
//! done on the strength of it**, so that after a crash [`Sagas::resume`] knows how far it was.
//!
//! # What is guaranteed
//!
//! - A step's action is called after all before it are done, and never again once the saga has turned
//!   back; a compensation after those of all later steps have succeeded.
//! - Every step whose action may have taken effect is compensated, unless the saga ends done. An action
//!   that failed *may* have taken effect (a request can time out after it was carried out), and so may
//!   one that a crash interrupted: its compensation is called with no result. A step whose errors mean
//!   that nothing was done says so ([`StepPolicy::atomic`]).
//! - **Effects in the store** are made exactly once, if they are made with `once`: the effect and the
//!   fact of it are one transaction.
//! - **Effects outside** are made at least once by the letter: the process can die after an effect and
//!   before the journal has heard of it, and no runner can rule that out. What it gives is the
//!   idempotency key ([`SagaContext::key`](crate::port::SagaContext::key)), the same for every call of
//!   one step in one direction. A target that takes each key once makes them exactly once *in effect*.
//! - A compensation that fails for good leaves the saga **stuck**: it is told to whoever waits
//!   ([`Code::SAGA_STUCK`](crate::Code::SAGA_STUCK)), on the bus, and in the list, until somebody has it tried again
//!   ([`Sagas::retry`]) or says that they have seen to it ([`Sagas::resolve`]).
//!
//! A saga with its data directory on a disk that lies about syncing, or in a store in memory, is as
//! durable as that. In a build without the feature `store` everything is in memory, sagas go through the
//! same states, and `once` is not there: the key-value face has no transactions.
//!
//! What is decided is decided by `machine.rs`, which takes the time and does no I/O; `run.rs` does it.

mod define;
mod event;
mod id;
mod journal;
mod machine;
#[cfg(feature = "store")]
mod once;
mod policy;
mod run;
mod story;
mod view;

#[cfg(test)]
mod tests;

pub use define::{Saga, step_fn};
pub use event::{SagaEntry, SagaEvent, SagaFailure};
pub use id::SagaId;
pub use journal::SagaFilter;
#[cfg(feature = "store")]
pub use once::{effect_of, once};
pub use policy::{OnResume, SagaPolicy, StepPolicy};
pub use view::{SagaDetail, SagaState, SagaStepState, SagaStepView, SagaView};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use define::shown;
use id::SagaIds;
use journal::{Journal, Keep, Line};
use machine::Machine;
use run::Run;
use story::{Phase, Story};

use crate::base::nearest::nearest;
use crate::base::payload::Payload;
use crate::base::runtime::{Runtime, block};
use crate::base::ticket::{self, Hook, Reply, Settled, Ticket};
use crate::base::time::{Moment, Timestamp};
use crate::event::Bus;
use crate::store::Store;
use crate::{Code, Error, Result};

/// Runs sagas. Cheap to clone; clones are the same runner.
///
/// ```
/// use std::sync::Arc;
/// use sutazai_core::base::payload::Payload;
/// use sutazai_core::base::runtime::{Runtime, Threads};
/// use sutazai_core::port::SagaContext;
/// use sutazai_core::recovery::{MIGRATIONS, Saga, SagaConfig, SagaState, Sagas, step_fn};
/// use sutazai_core::store::Store;
/// use sutazai_core::{Code, Error};
///
/// let runtime = Arc::new(Threads::default());
/// runtime.start()?;
/// let store = Store::memory(&[MIGRATIONS])?;
/// let sagas = Sagas::new(runtime.clone(), store, 7, SagaConfig::default(), Arc::new(|_| ()))?;
/// sagas.define(
///     Saga::new("trip")
///         .step(
///             "flight",
///             step_fn(
///                 |ctx: &SagaContext<'_>| Ok(format!("a seat to {}", ctx.input).into()),
///                 |_: &SagaContext<'_>, _: Option<&Payload>| Ok(()),
///             ),
///         )
///         .step(
///             "hotel",
///             step_fn(
///                 |_: &SagaContext<'_>| Err(Error::new(Code::INVALID, "no room left")),
///                 |_: &SagaContext<'_>, _: Option<&Payload>| Ok(()),
///             ),
///         ),
/// )?;
/// let (id, mut ticket) = sagas.run("trip", "Ghent")?;
/// assert_eq!(ticket.wait().unwrap_err().code(), Code::SAGA_UNDONE);
/// assert_eq!(sagas.inspect(id)?.view.state, SagaState::Undone);
/// # runtime.stop(std::time::Duration::from_secs(1));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Sagas(Arc<Inner>);

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

/// A transition that has been written down, before anything was done on the strength of it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SagaTransition<'a> {
    /// Which saga.
    pub saga: SagaId,
    /// The name of its definition.
    pub name: &'a str,
    /// The name of the step that it is about, where it is about one.
    pub step: Option<&'a str>,
    /// What happened.
    #[serde(flatten)]
    pub event: &'a SagaEvent,
}

/// What an observer hears.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum SagaNews<'a> {
    /// A transition.
    Transition(SagaTransition<'a>),
    /// The store or the pool kept refusing, so this process is no longer at it:
    /// [`Sagas::resume`] goes on.
    SetAside {
        /// Which saga.
        saga: SagaId,
        /// The name of its definition.
        name: &'a str,
        /// What was refused last.
        error: &'a Error,
    },
}

/// Hears of every transition, those of one saga in their order. Must be quick and not block: the saga
/// goes on when it returns.
pub type SagaObserver = Arc<dyn Fn(&SagaNews<'_>) + Send + Sync>;

/// What [`Sagas::resume`] found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Resumed {
    /// Those that go on.
    pub going: Vec<SagaId>,
    /// Those that cannot: no saga of their name is defined, or it has other steps.
    pub waiting: Vec<SagaView>,
}

struct Inner {
    runtime: Arc<dyn Runtime>,
    journal: Journal,
    ids: SagaIds,
    seed: u64,
    config: SagaConfig,
    observer: SagaObserver,
    definitions: Mutex<BTreeMap<Arc<str>, Saga>>,
    live: Mutex<HashMap<SagaId, Arc<Run>>>,
    left: Condvar,
    /// Sagas in the store that have not come to their end.
    unfinished: AtomicUsize,
    stopping: AtomicBool,
}

impl Sagas {
    /// A runner that keeps its journals in `store`, which was opened with
    /// [`MIGRATIONS`](super::MIGRATIONS), and calls steps on the blocking pool of `runtime`. `seed` is
    /// where jitter and half of each identifier come from. Reads the store; starts nothing.
    ///
    /// # Errors
    /// [`Code::INVALID`] for bounds that are not; what the store says.
    pub fn new(
        runtime: Arc<dyn Runtime>,
        store: Store,
        seed: u64,
        config: SagaConfig,
        observer: SagaObserver,
    ) -> Result<Self> {
        if config.most == 0 {
            return Err(Error::new(Code::INVALID, "the bounds of sagas are not valid")
                .operation("recovery.saga")
                .with("field", "most")
                .with("rule", "must be at least 1"));
        }
        let journal = Journal::new(store);
        let ids = SagaIds::new(seed, journal.newest()?);
        let unfinished = AtomicUsize::new(journal.unfinished()?.len());
        Ok(Self(Arc::new(Inner {
            runtime,
            journal,
            ids,
            seed,
            config,
            observer,
            definitions: Mutex::default(),
            live: Mutex::default(),
            left: Condvar::new(),
            unfinished,
            stopping: AtomicBool::new(false),
        })))
    }

    /// Adds a definition.
    ///
    /// # Errors
    /// [`Code::INVALID`] for one that is not valid, [`Code::ALREADY_EXISTS`].
    pub fn define(&self, saga: Saga) -> Result<()> {
        saga.check()?;
        let mut definitions = self.0.definitions.lock();
        if definitions.contains_key(&saga.name) {
            return Err(Error::new(Code::ALREADY_EXISTS, "a saga of this name is defined")
                .operation("recovery.saga_define")
                .with("saga", saga.name()));
        }
        definitions.insert(Arc::clone(&saga.name), saga);
        Ok(())
    }

    /// The names of the definitions, sorted.
    pub fn defined(&self) -> Vec<Arc<str>> {
        self.0.definitions.lock().keys().cloned().collect()
    }

    /// Begins a saga. The ticket answers with what the last step gave;
    /// [`Code::SAGA_UNDONE`] when it failed and was undone, with why as its cause; [`Code::SAGA_STUCK`];
    /// [`Code::NOT_RUNNING`] when it was interrupted by a [`stop`](Self::stop) and goes on another time;
    /// or what kept the store from writing. Cancelling or dropping the ticket gives the saga up as
    /// [`cancel`](Self::cancel) does; `detach` it to let it go on.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when none of this name is defined; [`Code::OVERLOADED`] when as many as
    /// [`SagaConfig::most`] are unfinished; [`Code::INVALID`] for an input of more than 256 KiB;
    /// [`Code::NOT_RUNNING`] after a stop.
    pub fn run(&self, name: &str, input: impl Into<Payload>) -> Result<(SagaId, Ticket<Payload>)> {
        let (run, begun) = self.prepare(name, input.into())?;
        let (ticket, reply) = self.0.pair();
        let weak = Arc::downgrade(&run);
        reply.on_cancel(move || {
            if let Some(run) = weak.upgrade() {
                run.cancel();
            }
        });
        let _ = run.tell(reply);
        let id = run.id;
        self.0.enter(&run);
        run.open(begun, None);
        Ok((id, ticket))
    }

    /// As [`run`](Self::run), for one that goes on whoever waits: the ticket answers when the beginning is
    /// in the store, and what happens to it does not touch the saga.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn begin(&self, name: &str, input: impl Into<Payload>) -> Result<Ticket<SagaId>> {
        let (run, begun) = self.prepare(name, input.into())?;
        let (ticket, reply) = self.0.pair();
        self.0.enter(&run);
        run.open(begun, Some(reply));
        Ok(ticket)
    }

    /// One that has all but begun.
    fn prepare(&self, name: &str, input: Payload) -> Result<(Arc<Run>, SagaEvent)> {
        let inner = &self.0;
        if inner.is_stopping() {
            return Err(Error::new(Code::NOT_RUNNING, "what runs sagas has been stopped")
                .operation("recovery.saga_run"));
        }
        let saga = inner.definition(name)?;
        let now = inner.runtime.timestamp();
        let timeout = saga.policy.deadline_ms.map(Duration::from_millis);
        let begun = SagaEvent::Begun {
            name: Arc::clone(&saga.name),
            steps: saga.names(),
            input,
            deadline: timeout.map(|timeout| (now + timeout).as_nanos()),
        };
        let until = timeout.map_or(Moment::FAR, |timeout| inner.runtime.now() + timeout);
        let id = inner.ids.next(now);
        let plan = Arc::new(saga.plan());
        let machine = Machine::begin(begun.clone(), plan, until, inner.chance(id))?;
        // Said here rather than through a ticket: nothing of it exists yet.
        Line::new(first_view(id, &saga, now), 0, &begun)?;
        inner.take_place()?;
        Ok((Run::new(id, now, saga, inner, machine), begun))
    }

    /// Finds the sagas that an earlier process left unfinished, and goes on with those whose definition
    /// is known; stuck ones stay stuck. Blocks while it reads the store.
    ///
    /// # Errors
    /// What the store says; [`Code::STORE_CORRUPT`] for a journal that makes no sense (the others go
    /// on).
    pub fn resume(&self) -> Result<Resumed> {
        let inner = &self.0;
        let mut resumed = Resumed::default();
        let mut failed = None;
        for view in inner.journal.unfinished()? {
            if view.state == SagaState::Stuck || inner.live.lock().contains_key(&view.id) {
                continue;
            }
            match self.resume_one(&view) {
                Ok(true) => resumed.going.push(view.id),
                Ok(false) => resumed.waiting.push(view),
                Err(error) => failed = failed.or(Some(error.with("saga", view.id))),
            }
        }
        failed.map_or(Ok(resumed), Err)
    }

    fn resume_one(&self, view: &SagaView) -> Result<bool> {
        let inner = &self.0;
        let Ok(saga) = inner.definition(&view.name) else { return Ok(false) };
        let (view, story) = self.story(view.id)?;
        if story.steps != saga.names() {
            return Ok(false);
        }
        if view.state.is_final() || view.state == SagaState::Stuck {
            return Ok(true);
        }
        let until = inner.deadline(&story);
        let plan = Arc::new(saga.plan());
        let machine = Machine::resumed(story, plan, until, inner.chance(view.id));
        let run = Run::new(view.id, view.began, saga, inner, machine);
        if inner.enter(&run) {
            run.pump();
        }
        Ok(true)
    }

    /// A ticket of a saga's end, as [`run`](Self::run) gives one. Cancelling it does not touch the saga.
    /// Blocks while it reads the store, for one that this process is not at.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::NOT_RUNNING`] for one that waits for its definition.
    pub fn watch(&self, id: SagaId) -> Result<Ticket<Payload>> {
        let inner = &self.0;
        let (ticket, reply) = inner.pair();
        let live = inner.live.lock().get(&id).cloned();
        match live.map(|run| run.tell(reply)) {
            Some(Ok(())) => Ok(ticket),
            // It has just come to its end.
            Some(Err(_)) | None => self.ended(id),
        }
    }

    /// The answer of one that this process is not at.
    fn ended(&self, id: SagaId) -> Result<Ticket<Payload>> {
        let (_, story) = self.story(id)?;
        let why = |error: Error, failure: &Option<SagaFailure>| match failure {
            Some(failure) => error.with("saga", id).because(failure.error()),
            None => error.with("saga", id),
        };
        let answer = match story.phase {
            Phase::Done => Ok(story.gave.last().cloned().flatten().unwrap_or_default()),
            Phase::Undone | Phase::Resolved => Err(why(
                Error::new(Code::SAGA_UNDONE, "the saga failed, and was undone"),
                &story.failure,
            )),
            Phase::Stuck(_) => {
                Err(why(Error::new(Code::SAGA_STUCK, "the saga is stuck"), &story.trouble))
            }
            _ => {
                return Err(Error::new(Code::NOT_RUNNING, "nobody is at this saga")
                    .operation("recovery.saga")
                    .with("saga", id)
                    .with("name", &story.name)
                    .advice("define the saga of its name with the steps it was begun with"));
            }
        };
        Ok(ticket::ready(answer))
    }

    /// Gives a saga up: no further step is begun, and what was done is undone. False when it is on its
    /// way back already, at its end, or all its steps are done.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`].
    pub fn cancel(&self, id: SagaId) -> Result<bool> {
        let run = self.0.live.lock().get(&id).cloned();
        match run {
            Some(run) => Ok(run.cancel()),
            None => match self.0.journal.entries(id) {
                Ok(_) => Ok(false),
                Err(error) => Err(error.operation("recovery.saga_cancel")),
            },
        }
    }

    /// Has the compensation of a stuck saga tried again, with a fresh count of tries. The ticket is as
    /// that of [`run`](Self::run). Blocks while it reads the store.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::INVALID`] when it is not stuck, or its definition is not there.
    pub fn retry(&self, id: SagaId) -> Result<Ticket<Payload>> {
        let inner = &self.0;
        let operation = "recovery.saga_retry";
        let (view, story) = self.stuck(id, operation)?;
        let saga = inner.definition(&story.name)?;
        if story.steps != saga.names() {
            return Err(Error::new(Code::INVALID, "the saga is defined with other steps now")
                .operation(operation)
                .with("saga", id)
                .with("name", &story.name));
        }
        let plan = Arc::new(saga.plan());
        let machine = Machine::retry(story, plan, Moment::FAR, inner.chance(id));
        let run = Run::new(id, view.began, saga, inner, machine);
        let (ticket, reply) = inner.pair();
        let _ = run.tell(reply);
        if !inner.enter(&run) {
            return Err(not_stuck(id, operation));
        }
        run.open(SagaEvent::Retried, None);
        Ok(ticket)
    }

    /// Says that somebody has seen to what a stuck saga left; `note` is kept, up to 2,000 characters of
    /// it. The ticket answers when that is written. Blocks while it reads the store.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::INVALID`] when it is not stuck.
    pub fn resolve(&self, id: SagaId, note: &str) -> Result<Ticket<SagaView>> {
        let inner = Arc::clone(&self.0);
        let (mut view, story) = self.stuck(id, "recovery.saga_resolve")?;
        if inner.live.lock().contains_key(&id) {
            return Err(not_stuck(id, "recovery.saga_resolve"));
        }
        let now = inner.runtime.timestamp();
        let event = SagaEvent::Resolved { note: note.chars().take(2_000).collect() };
        (view.state, view.changed) = (event.state(), now);
        let line = Line::new(view.clone(), story.events, &event)?;
        let (ticket, reply) = ticket::pair();
        inner.journal.append(line, inner.keep(now)).on_done(move |written| {
            let answer = written.map(|()| {
                inner.forget_one();
                let transition =
                    SagaTransition { saga: id, name: &view.name, step: None, event: &event };
                inner.observe(&SagaNews::Transition(transition));
                view
            });
            let _ = reply.answer(answer);
        });
        Ok(ticket)
    }

    /// The sagas that the filter wants, newest first. Blocks while it reads the store.
    ///
    /// # Errors
    /// What the store says.
    pub fn list(&self, filter: &SagaFilter) -> Result<Vec<SagaView>> {
        self.0.journal.list(filter)
    }

    /// One saga in full, with its journal. Blocks while it reads the store.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::STORE_CORRUPT`] for a journal that makes no sense.
    pub fn inspect(&self, id: SagaId) -> Result<SagaDetail> {
        let (view, entries) = self.0.journal.entries(id)?;
        let story = Story::of(entries.iter().map(|entry| &entry.event))?;
        let live = self.0.live.lock().contains_key(&id);
        Ok(SagaDetail::new(view, live, &story, entries))
    }

    /// Sagas that have not come to their end, stuck ones among them.
    pub fn unfinished(&self) -> usize {
        self.0.unfinished.load(Ordering::Relaxed)
    }

    /// Interrupts: begins no further saga and no further step, and waits until `deadline` for those that
    /// run to be done and written down. Everything unfinished goes on at the next
    /// [`resume`](Self::resume), in this process or another. Where nothing may block it does not wait.
    pub fn stop(&self, deadline: Moment) {
        let inner = &self.0;
        inner.stopping.store(true, Ordering::SeqCst);
        let live: Vec<_> = inner.live.lock().values().cloned().collect();
        for run in live {
            run.pump();
        }
        if !inner.runtime.may_block() {
            return;
        }
        let _ = block(|| {
            let mut live = inner.live.lock();
            while !live.is_empty() {
                let left = deadline.since(inner.runtime.now());
                if left.is_zero() || inner.left.wait_for(&mut live, left).timed_out() {
                    break;
                }
            }
        });
    }

    fn story(&self, id: SagaId) -> Result<(SagaView, Story)> {
        let (view, entries) = self.0.journal.entries(id)?;
        let story = Story::of(entries.iter().map(|entry| &entry.event))?;
        Ok((view, story))
    }

    fn stuck(&self, id: SagaId, operation: &'static str) -> Result<(SagaView, Story)> {
        let (view, story) = self.story(id).map_err(|error| error.operation(operation))?;
        if !matches!(story.phase, Phase::Stuck(_)) {
            return Err(not_stuck(id, operation).with("state", view.state.name()));
        }
        Ok((view, story))
    }
}

impl Inner {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn definition(&self, name: &str) -> Result<Saga> {
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
    fn take_place(&self) -> Result<()> {
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
    fn forget_one(&self) {
        self.unfinished.fetch_sub(1, Ordering::Relaxed);
    }

    /// Enters a run, unless this process is at that saga.
    fn enter(&self, run: &Arc<Run>) -> bool {
        match self.live.lock().entry(run.id) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Arc::clone(run));
                true
            }
        }
    }

    fn left(&self, id: SagaId) {
        let run = self.live.lock().remove(&id);
        self.left.notify_all();
        drop(run);
    }

    fn announce(&self, id: SagaId, saga: &Saga, event: &SagaEvent) {
        if event.state().is_final() {
            self.forget_one();
        }
        let step = event.step().and_then(|step| saga.steps.get(step)).map(|step| &*step.name);
        let transition = SagaTransition { saga: id, name: saga.name(), step, event };
        self.observe(&SagaNews::Transition(transition));
    }

    fn set_aside(&self, id: SagaId, saga: &Saga, error: &Error) {
        self.observe(&SagaNews::SetAside { saga: id, name: saga.name(), error });
    }

    fn observe(&self, news: &SagaNews<'_>) {
        let _ = super::caught::caught(|| {
            (self.observer)(news);
            Ok(())
        });
    }

    fn keep(&self, now: Timestamp) -> Keep {
        let age = i64::try_from(self.config.keep_ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        let since = Timestamp::from_nanos(now.as_nanos().saturating_sub(age));
        Keep { most: self.config.keep, since }
    }

    /// The deadline of one that was begun in another process, on this one's clock.
    fn deadline(&self, story: &Story) -> Moment {
        let Some(at) = story.deadline else { return Moment::FAR };
        let left = at.saturating_sub(self.runtime.timestamp().as_nanos());
        let left = u64::try_from(left).map_or(Duration::ZERO, Duration::from_nanos);
        self.runtime.now() + left
    }

    fn chance(&self, id: SagaId) -> u64 {
        self.seed ^ id.chance()
    }

    fn pair<T: 'static>(&self) -> (Ticket<T>, Reply<T>) {
        ticket::pair_with(Box::new(Waits(Arc::clone(&self.runtime))))
    }
}

/// Publishes the news on the bus: `recovery.saga.begun`, `recovery.saga.step_started` and so on, after
/// [`SagaEvent::name`], and `recovery.saga.set_aside`, with [`SagaNews`] as the payload.
pub fn publish_sagas(bus: &Bus) -> SagaObserver {
    let bus = bus.clone();
    Arc::new(move |news| {
        let what = match news {
            SagaNews::Transition(transition) => transition.event.name(),
            SagaNews::SetAside { .. } => "set_aside",
        };
        // The subject is well-formed.
        let _ =
            bus.publish(format!("recovery.saga.{what}"), Payload::json(news).unwrap_or_default());
    })
}

fn first_view(id: SagaId, saga: &Saga, now: Timestamp) -> SagaView {
    let name = Arc::clone(&saga.name);
    SagaView { id, name, state: SagaState::Running, began: now, changed: now }
}

fn not_stuck(id: SagaId, operation: &'static str) -> Error {
    Error::new(Code::INVALID, "the saga is not stuck").operation(operation).with("saga", id)
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

impl std::fmt::Debug for Sagas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sagas")
            .field("defined", &self.defined())
            .field("unfinished", &self.unfinished())
            .finish_non_exhaustive()
    }
}
