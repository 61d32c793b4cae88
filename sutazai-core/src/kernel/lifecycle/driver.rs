//! Does what the state machine says, on a runtime.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::progress::{Event, Number, Phase, Progress, Within};
use super::state::{ComponentStatus, Transition};
use crate::base::contain;
use crate::base::id::TimerId;
use crate::base::runtime::Runtime;
use crate::base::ticket::{self, Reply, Ticket};
use crate::base::time::Moment;
use crate::port::{Component, Health};
use crate::{Code, Error, Result};

/// Hears of every change of state, in order, one at a time. Must be short and not block: starting
/// and stopping go on when it returns. It may call the lifecycle in the forms that do not wait.
pub type Observer = Arc<dyn Fn(&Transition) + Send + Sync>;

/// The components of a kernel. Cheap to clone; clones are the same lifecycle.
#[derive(Clone)]
pub struct Lifecycle(Arc<Shared>);

struct Shared {
    runtime: Arc<dyn Runtime>,
    observer: Observer,
    state: Mutex<Inner>,
}

struct Inner {
    progress: Progress,
    components: HashMap<Number, Arc<dyn Component>>,
    timers: HashMap<Number, TimerId>,
    start: Option<Reply<()>>,
    stop: Vec<Reply<()>>,
    single: HashMap<Number, Reply<()>>,
    /// A thread is carrying out events; another leaves its own to that one, so that they stay in
    /// order.
    busy: bool,
}

impl Lifecycle {
    /// One without components, which starts and stops them on `runtime`.
    pub fn new(runtime: Arc<dyn Runtime>, observer: Observer) -> Self {
        let state = Mutex::new(Inner {
            progress: Progress::new(),
            components: HashMap::new(),
            timers: HashMap::new(),
            start: None,
            stop: Vec::new(),
            single: HashMap::new(),
            busy: false,
        });
        Self(Arc::new(Shared { runtime, observer, state }))
    }

    /// Adds a component: before [`start`](Self::start) it is just noted (what it needs may be added
    /// later); to a running lifecycle it is started as well, which this waits for as `start` does.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`], [`Code::NOT_RUNNING`] (it stops), [`Code::COMPONENT_MISSING`];
    /// [`Code::COMPONENT_START`] when it failed to start: the others go on, and it is listed as
    /// failed until it is removed.
    pub fn add(&self, component: Arc<dyn Component>) -> Result<()> {
        self.wait_for(|this| this.begin_add(component))
    }

    /// As [`add`](Self::add), without waiting. Dropping the ticket does not take the component back.
    pub fn begin_add(&self, component: Arc<dyn Component>) -> Ticket<()> {
        self.0.begin_add(component)
    }

    /// Whether the components fit together.
    ///
    /// # Errors
    /// [`Code::COMPONENT_MISSING`] with the nearest name, [`Code::COMPONENT_CYCLE`] with the path.
    pub fn check(&self) -> Result<()> {
        self.0.state.lock().progress.check().map(drop)
    }

    /// Starts everything, and waits for it. Where the thread must not block for the runtime (under
    /// virtual time, or on a thread that drives futures), the components start one after the other
    /// on this thread instead.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Code::COMPONENT_START`] with the component's own error as
    /// source, after everything that had started was stopped again; [`Code::CANCELLED`] when it was
    /// stopped meanwhile; [`Code::NOT_RUNNING`] when it runs, or one still hangs in an earlier stop.
    pub fn start(&self) -> Result<()> {
        self.wait_for(Self::begin_start)
    }

    /// As [`start`](Self::start), without waiting. Dropping the ticket does not stop anything.
    pub fn begin_start(&self) -> Ticket<()> {
        self.0.begin_start()
    }

    /// Stops everything by `deadline`, and waits for it, as `start` does. Each component has the
    /// time of [`Component::stop_within`], or until `deadline` when that is sooner; what could not
    /// be asked before `deadline`, because others that need it took so long, has 100 ms.
    ///
    /// # Errors
    /// [`Code::COMPONENT_STOP`] for each that failed to stop or overran its deadline
    /// ([`Error::problems`]); everything else is stopped all the same.
    pub fn stop(&self, deadline: Moment) -> Result<()> {
        self.wait_for(|this| this.begin_stop(deadline))
    }

    /// As [`stop`](Self::stop), without waiting.
    pub fn begin_stop(&self, deadline: Moment) -> Ticket<()> {
        self.0.begin_stop(deadline)
    }

    /// Stops one and takes it out, and waits for it, as `start` does.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::INVALID`] when another needs it, or (transient) when it is
    /// starting or stopping just now; [`Code::COMPONENT_STOP`] when it failed to stop: it is taken
    /// out all the same.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.wait_for(|this| this.begin_remove(name))
    }

    /// As [`remove`](Self::remove), without waiting.
    pub fn begin_remove(&self, name: &str) -> Ticket<()> {
        self.0.begin_remove(name)
    }

    /// The state of each component, in the order they start in.
    pub fn states(&self) -> Vec<ComponentStatus> {
        self.0.state.lock().progress.states()
    }

    /// How each component is; one that does not run is failed.
    pub fn health(&self) -> Vec<(String, Health)> {
        let components: HashMap<String, Arc<dyn Component>> = {
            let state = self.0.state.lock();
            state.components.values().map(|c| (c.name().to_owned(), Arc::clone(c))).collect()
        };
        let ask = |status: &ComponentStatus| match components.get(&status.name) {
            Some(component) if status.state == super::State::Running => {
                contain::catch(|| component.health())
                    .unwrap_or_else(|_| Health::Failed("it panicked when asked".to_owned()))
            }
            _ => Health::Failed(status.state.name().to_owned()),
        };
        self.states().iter().map(|status| (status.name.clone(), ask(status))).collect()
    }

    fn wait_for(&self, begin: impl FnOnce(&Self) -> Ticket<()>) -> Result<()> {
        if self.0.runtime.may_block() {
            return begin(self).wait();
        }
        // Whatever `begin` sets off is left to the loop below, which carries it out here.
        let first = !std::mem::replace(&mut self.0.state.lock().busy, true);
        let mut ticket = begin(self);
        if first {
            self.0.carry_out(true);
        }
        ticket.try_take().unwrap_or_else(|| {
            Err(Error::new(Code::WOULD_DEADLOCK, "cannot wait for components on this thread")
                .operation("lifecycle")
                .advice("use the `begin_` form and await its ticket"))
        })
    }
}

impl std::fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.states()).finish()
    }
}

impl Shared {
    fn begin_add(self: &Arc<Self>, component: Arc<dyn Component>) -> Ticket<()> {
        // Foreign code, so before the lock.
        let name = component.name().to_owned();
        let needs = component.needs();
        let within = Within { start: component.start_within(), stop: component.stop_within() };
        let now = self.runtime.now();
        let (ticket, reply) = ticket::pair();
        {
            let mut state = self.state.lock();
            match state.progress.add(&name, needs, within, now) {
                Err(error) => return refused(state, error),
                Ok(number) => {
                    state.components.insert(number, component);
                    if matches!(state.progress.phase(), Phase::New | Phase::Down) {
                        return ticket::ready(Ok(()));
                    }
                    state.single.insert(number, reply);
                }
            }
        }
        self.pump();
        ticket
    }

    fn begin_start(self: &Arc<Self>) -> Ticket<()> {
        let now = self.runtime.now();
        let (ticket, reply) = ticket::pair();
        {
            let mut state = self.state.lock();
            if let Err(error) = state.progress.begin(now) {
                return refused(state, error);
            }
            state.start = Some(reply);
        }
        self.pump();
        ticket
    }

    fn begin_stop(self: &Arc<Self>, deadline: Moment) -> Ticket<()> {
        let now = self.runtime.now();
        let (ticket, reply) = ticket::pair();
        {
            let mut state = self.state.lock();
            state.stop.push(reply);
            state.progress.finish(now, deadline);
        }
        if deadline < Moment::FAR {
            self.tick_at(deadline);
        }
        self.pump();
        ticket
    }

    fn begin_remove(self: &Arc<Self>, name: &str) -> Ticket<()> {
        let now = self.runtime.now();
        let (ticket, reply) = ticket::pair();
        {
            let mut state = self.state.lock();
            match state.progress.remove(name, now) {
                Err(error) => return refused(state, error),
                Ok(number) => drop(state.single.insert(number, reply)),
            }
        }
        self.pump();
        ticket
    }

    /// Carries out what the state machine says, unless another thread is at it, which then does.
    fn pump(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.state.lock().busy, true) {
            self.carry_out(false);
        }
    }

    fn carry_out(self: &Arc<Self>, here: bool) {
        loop {
            let mut state = self.state.lock();
            let Some(event) = state.progress.poll() else {
                state.busy = false;
                return;
            };
            match event {
                Event::Start(number, until) | Event::Stop(number, until) => {
                    let start = matches!(event, Event::Start(..));
                    let component = state.components.get(&number).map(Arc::clone);
                    drop(state);
                    if let Some(component) = component {
                        self.call(number, component, start, until, here);
                    }
                }
                Event::Changed(transition) => {
                    drop(state);
                    let _ = contain::catch(|| (self.observer)(&transition));
                }
                Event::Up(result) => {
                    let reply = state.start.take();
                    drop(state);
                    answer(reply, &result);
                }
                Event::Down(result) => {
                    let replies = std::mem::take(&mut state.stop);
                    drop(state);
                    answer(replies, &result);
                }
                Event::Added(number, result) => {
                    let reply = state.single.remove(&number);
                    drop(state);
                    answer(reply, &result);
                }
                Event::Removed(number, result) => {
                    let reply = state.single.remove(&number);
                    let component = state.components.remove(&number);
                    drop(state);
                    drop(component);
                    answer(reply, &result);
                }
            }
        }
    }

    /// Calls a component's `start` on the blocking pool, its `stop` on a thread of its own (the pool
    /// may be full of agents that hang), or either right here.
    fn call(
        self: &Arc<Self>,
        number: Number,
        component: Arc<dyn Component>,
        start: bool,
        until: Moment,
        here: bool,
    ) {
        if !here {
            let timer = self.tick_at(until);
            let before = self.state.lock().timers.insert(number, timer);
            if let Some(before) = before {
                self.runtime.cancel(before);
            }
        }
        if !here && !start && self.runtime.may_block() {
            let (shared, component) = (Arc::clone(self), Arc::clone(&component));
            let stop = move || shared.run(number, &*component, false, until);
            // Without the thread it goes to the pool, as a start does.
            if std::thread::Builder::new().name("sutazai-stop".to_owned()).spawn(stop).is_ok() {
                return;
            }
        }
        let shared = Arc::clone(self);
        let job = Box::new(move || shared.run(number, &*component, start, until));
        if here {
            return job();
        }
        if let Err(refused) = self.runtime.spawn_blocking(job) {
            if !start && self.runtime.may_block() {
                // Nobody else would ever stop it.
                return (refused.work)();
            }
            self.tell(number, start, Err(refused.error));
        }
    }

    fn run(
        self: &Arc<Self>,
        number: Number,
        component: &dyn Component,
        start: bool,
        until: Moment,
    ) {
        let call = || if start { component.start(until) } else { component.stop(until) };
        let result = contain::run("the component panicked", call).flatten();
        self.tell(number, start, result);
    }

    fn tell(self: &Arc<Self>, number: Number, start: bool, result: Result<()>) {
        let now = self.runtime.now();
        let timer = {
            let mut state = self.state.lock();
            let timer = state.timers.remove(&number);
            if start {
                state.progress.started(number, result, now);
            } else {
                state.progress.stopped(number, result, now);
            }
            timer
        };
        if let Some(timer) = timer {
            self.runtime.cancel(timer);
        }
        self.pump();
    }

    fn tick_at(self: &Arc<Self>, at: Moment) -> TimerId {
        let shared: Weak<Self> = Arc::downgrade(self);
        let tick = move || {
            if let Some(shared) = shared.upgrade() {
                let now = shared.runtime.now();
                shared.state.lock().progress.tick(now);
                shared.pump();
            }
        };
        self.runtime.spawn_at(at, Box::new(tick))
    }
}

/// An answer without anything begun. The lock is released first: a ticket may run a callback.
fn refused(state: parking_lot::MutexGuard<'_, Inner>, error: Error) -> Ticket<()> {
    drop(state);
    ticket::ready(Err(error))
}

fn answer(replies: impl IntoIterator<Item = Reply<()>>, result: &Result<()>) {
    for reply in replies {
        // Too late only when the caller has dropped its ticket.
        let _ = reply.answer(result.clone());
    }
}
