//! [`Sagas`]: what a host does with sagas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use super::define::Saga;
use super::event::{SagaEvent, SagaFailure};
use super::id::{SagaId, SagaIds};
use super::inner::{Inner, SagaConfig};
use super::journal::{Journal, Line, SagaFilter};
use super::machine::Machine;
use super::news::{SagaNews, SagaObserver, SagaTransition};
use super::run::Run;
use super::story::{Phase, Story};
use super::view::{SagaDetail, SagaState, SagaView};
use crate::base::payload::Payload;
use crate::base::runtime::{Runtime, block};
use crate::base::ticket::{self, Ticket};
use crate::base::time::{Moment, Timestamp};
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

/// What [`Sagas::resume`] found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Resumed {
    /// Those that go on.
    pub going: Vec<SagaId>,
    /// Those that cannot: no saga of their name is defined, or it has other steps.
    pub waiting: Vec<SagaView>,
}

impl Sagas {
    /// A runner that keeps its journals in `store`, which was opened with
    /// [`MIGRATIONS`](crate::recovery::MIGRATIONS), and calls steps on the blocking pool of `runtime`. `seed` is
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

fn first_view(id: SagaId, saga: &Saga, now: Timestamp) -> SagaView {
    let name = Arc::clone(&saga.name);
    SagaView { id, name, state: SagaState::Running, began: now, changed: now }
}

fn not_stuck(id: SagaId, operation: &'static str) -> Error {
    Error::new(Code::INVALID, "the saga is not stuck").operation(operation).with("saga", id)
}

impl std::fmt::Debug for Sagas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sagas")
            .field("defined", &self.defined())
            .field("unfinished", &self.unfinished())
            .finish_non_exhaustive()
    }
}
