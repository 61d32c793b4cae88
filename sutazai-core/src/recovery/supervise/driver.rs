//! Does what the tree says, on a runtime.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::inside::{self, Inside};
use super::job::{Slot, caught};
use super::spec::{ChildSpec, SupervisorSpec};
use super::state::{Counts, State, SupervisorStatus, Transition, TreeEnd};
use super::tree::{Action, Request, Token, Tree};
use crate::base::id::TimerId;
use crate::base::runtime::Runtime;
use crate::base::ticket::{self, Reply, Ticket};
use crate::base::time::{Moment, Timestamp};
use crate::port::{Children, Generation};
use crate::{Code, Error, Result};

/// Hears of every change of state, in order, one at a time. Must be short and not block: the tree goes
/// on when it returns. It may call the supervisor in the forms that do not wait.
pub type Observer = Arc<dyn Fn(&Transition) + Send + Sync>;

/// What is left of a tree whose last handle was dropped has this long to stop.
const DROPPED: Duration = Duration::from_secs(10);

/// A tree of supervisors on a [`Runtime`]. Cheap to clone; clones are the same tree. When the last is
/// dropped, the tree is stopped, and killed after ten seconds; nobody waits for that.
///
/// Starts run on the runtime's blocking pool. Stops and kills run on threads of their own, because the
/// pool may be full of the very children that hang; under virtual time everything runs on the pool.
#[derive(Clone)]
pub struct Supervisor(Arc<Owner>);

/// Dropped with the last [`Supervisor`]; jobs and reports hold what it owns.
struct Owner(Arc<Shared>);

pub(super) struct Shared {
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) children: Arc<dyn Children>,
    observer: Observer,
    pub(super) state: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) tree: Tree,
    pub(super) slots: HashMap<Generation, Slot>,
    start: Option<Reply<()>>,
    stop: Vec<Reply<()>>,
    asked: HashMap<Token, Asked>,
    /// When the tree last ended.
    ended_at: Timestamp,
    last_token: Token,
    timer: Option<Armed>,
    timers: u64,
    /// A thread is carrying out actions; another leaves its own to that one, so that they stay in
    /// order.
    busy: bool,
}

/// Somebody waits for an answer.
struct Asked {
    reply: Reply<()>,
    /// The life that waits for it, below the supervisor that is asked.
    by: Option<Generation>,
}

/// The timer for the tree's next tick.
struct Armed {
    at: Moment,
    number: u64,
    /// None while it is being set.
    id: Option<TimerId>,
}

impl Supervisor {
    /// A tree that has not started. `name` is the identifier of its root; `children` makes its workers;
    /// pauses before restarts are drawn from `seed`.
    ///
    /// # Errors
    /// [`Code::INVALID`] for every mistake of the specification ([`Error::problems`]).
    pub fn new(
        runtime: Arc<dyn Runtime>,
        name: &str,
        spec: SupervisorSpec,
        children: Arc<dyn Children>,
        observer: Observer,
        seed: u64,
    ) -> Result<Self> {
        let state = Mutex::new(Inner {
            tree: Tree::new(name, spec, seed)?,
            slots: HashMap::new(),
            start: None,
            stop: Vec::new(),
            asked: HashMap::new(),
            ended_at: runtime.timestamp(),
            last_token: 0,
            timer: None,
            timers: 0,
            busy: false,
        });
        let shared = Shared { runtime, children, observer, state };
        Ok(Self(Arc::new(Owner(Arc::new(shared)))))
    }

    /// Starts everything, and waits for it. Where the thread must not block for the runtime (under
    /// virtual time, or on a thread that drives futures), the children start one after the other on
    /// this thread instead.
    ///
    /// # Errors
    /// [`Code::CHILD_START`] with the child's own error as its source, after everything that had started
    /// was stopped again; [`Code::CANCELLED`] when it was stopped and killed meanwhile;
    /// [`Code::INVALID`] unless it is to start for the first time or has ended.
    pub fn start(&self) -> Result<()> {
        self.wait_for(Self::begin_start)
    }

    /// As [`start`](Self::start), without waiting. Dropping the ticket does not stop anything.
    pub fn begin_start(&self) -> Ticket<()> {
        let shared = &self.0.0;
        let now = shared.runtime.now();
        let (ticket, reply) = ticket::pair();
        {
            let mut state = shared.state.lock();
            if let Err(error) = state.tree.start(now) {
                drop(state);
                return ticket::ready(Err(error));
            }
            state.start = Some(reply);
        }
        shared.pump();
        ticket
    }

    /// Stops everything, the last first, and waits for it, as `start` does. Every child has the time
    /// that its specification gives it; what still lives at `deadline` is killed. A start that is under
    /// way goes on to its end or to `deadline` before it is undone, as in OTP.
    ///
    /// # Errors
    /// None of the tree's; [`Code::WOULD_DEADLOCK`] when the thread can neither wait nor do it itself, and on
    /// that of a child of this tree, which would wait for its own end.
    pub fn stop(&self, deadline: Moment) -> Result<()> {
        if let Some(inside) = self.inside().first() {
            return Err(inside.own_end());
        }
        self.wait_for(|this| this.begin_stop(deadline))
    }

    /// As [`stop`](Self::stop), without waiting.
    pub fn begin_stop(&self, deadline: Moment) -> Ticket<()> {
        self.0.0.begin_stop(deadline)
    }

    /// Asks for something, without waiting; see [`Request`] for what there is. Dropping the ticket does
    /// not take it back.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for a path that leads nowhere; [`Code::NOT_RUNNING`] when the supervisor ends
    /// before it comes to it; [`Code::OVERLOADED`] when too many requests wait for it;
    /// [`Code::ALREADY_EXISTS`], [`Code::CHILD_START`], [`Code::INVALID`] (the specification, or the
    /// child's state, which is in the context then).
    pub fn ask(&self, request: Request) -> Ticket<()> {
        self.ask_for(request, None)
    }

    fn ask_for(&self, request: Request, by: Option<Generation>) -> Ticket<()> {
        let shared = &self.0.0;
        let now = shared.runtime.now();
        let (ticket, reply) = ticket::pair();
        {
            let mut state = shared.state.lock();
            if by.and_then(|life| state.slots.get(&life)).is_some_and(Slot::is_told_to_stop) {
                drop(state);
                return ticket::ready(Err(inside::told_to_stop()));
            }
            state.last_token += 1;
            let token = state.last_token;
            state.asked.insert(token, Asked { reply, by });
            state.tree.ask(token, request, now);
        }
        shared.pump();
        ticket
    }

    /// Adds a child behind the others of a supervisor and starts it, and waits for it, as `start` does.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn start_child(&self, supervisor: &str, spec: ChildSpec) -> Result<()> {
        let supervisor = supervisor.to_owned();
        self.ask_and_wait(Request::StartChild { supervisor, spec: Box::new(spec) })
    }

    /// Stops a child, and waits for it, as `start` does.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); [`Code::WOULD_DEADLOCK`] on the thread of that child, or of one below it.
    pub fn terminate_child(&self, path: &str) -> Result<()> {
        let path = path.to_owned();
        self.ask_and_wait(Request::TerminateChild { path })
    }

    /// Starts a child that does not live, and waits for it, as `start` does.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn restart_child(&self, path: &str) -> Result<()> {
        let path = path.to_owned();
        self.ask_and_wait(Request::RestartChild { path })
    }

    /// Forgets a child that does not live, and waits for it, as `start` does.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn delete_child(&self, path: &str) -> Result<()> {
        let path = path.to_owned();
        self.ask_and_wait(Request::DeleteChild { path })
    }

    /// The state of the root.
    pub fn state(&self) -> State {
        self.0.0.state.lock().tree.state()
    }

    /// The root and everything below it; none while it does not live.
    pub fn status(&self) -> Option<SupervisorStatus> {
        let now = self.0.0.runtime.now();
        self.0.0.state.lock().tree.status(now)
    }

    /// A supervisor by its path, and everything below it; none while it does not live.
    pub fn supervisor(&self, path: &str) -> Option<SupervisorStatus> {
        let now = self.0.0.runtime.now();
        self.0.0.state.lock().tree.supervisor(path, now)
    }

    /// How many children a supervisor has; none while it does not live.
    pub fn counts(&self, path: &str) -> Option<Counts> {
        self.0.0.state.lock().tree.counts(path)
    }

    /// Why it lives no longer: its last end. None before its first, and while it lives.
    pub fn end(&self) -> Option<TreeEnd> {
        let state = self.0.0.state.lock();
        let (cause, blame) = state.tree.over()?.clone();
        let error = blame.as_ref().and_then(|blame| blame.error.clone());
        let error = error.filter(|_| cause.error().is_none());
        let child = blame.map(|blame| blame.child);
        Some(TreeEnd { cause, child, error, at: state.ended_at })
    }

    /// The path of the child of this tree whose code runs on this thread, if one's does: it must not wait
    /// for its own end. Threads that it has started do not count.
    pub fn child_here(&self) -> Option<Arc<str>> {
        self.inside().first().map(|inside| Arc::clone(inside.path()))
    }

    /// The children of this tree that live and whose code runs on this thread.
    fn inside(&self) -> Vec<Inside> {
        let mut inside = Inside::of(&self.0.0);
        if !inside.is_empty() {
            let state = self.0.0.state.lock();
            inside.retain(|inside| state.tree.has(inside.generation()));
        }
        inside
    }

    fn ask_and_wait(&self, request: Request) -> Result<()> {
        let mut by = None;
        for child in self.inside() {
            if let Request::TerminateChild { path } = &request {
                child.may_end(path)?;
            }
            let supervisor = request.supervisor().unwrap_or_default();
            child.may_ask(supervisor)?;
            by = by.or(child.is_below(supervisor).then(|| child.generation()));
        }
        self.wait_for(|this| this.ask_for(request, by))
    }

    fn wait_for(&self, begin: impl FnOnce(&Self) -> Ticket<()>) -> Result<()> {
        let shared = &self.0.0;
        if shared.runtime.may_block() {
            return begin(self).wait();
        }
        // Whatever `begin` sets off is left to the loop below, which carries it out here.
        let first = !std::mem::replace(&mut shared.state.lock().busy, true);
        let mut ticket = begin(self);
        if first {
            shared.carry_out(true);
        }
        ticket.try_take().unwrap_or_else(|| {
            Err(Error::new(Code::WOULD_DEADLOCK, "cannot wait for children on this thread")
                .operation("supervise")
                .advice("use the `begin_` form, or `ask`, and await its ticket"))
        })
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Supervisor").field(&self.0.0.state.lock().tree).finish()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let state = self.0.state.lock().tree.state();
        if !matches!(state, State::Waiting | State::Stopped) {
            let deadline = self.0.runtime.now() + DROPPED;
            self.0.begin_stop(deadline).detach();
        }
    }
}

impl Shared {
    fn begin_stop(self: &Arc<Self>, deadline: Moment) -> Ticket<()> {
        let now = self.runtime.now();
        let (ticket, reply) = ticket::pair();
        {
            let mut state = self.state.lock();
            state.stop.push(reply);
            state.tree.stop(deadline, now);
        }
        self.pump();
        ticket
    }

    /// Carries out what the tree says, unless another thread is at it, which then does.
    pub(super) fn pump(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.state.lock().busy, true) {
            self.carry_out(false);
        }
    }

    fn carry_out(self: &Arc<Self>, here: bool) {
        loop {
            let mut state = self.state.lock();
            match state.tree.poll() {
                Some(action) => self.act(state, action, here),
                None if state.armed_right() => {
                    state.busy = false;
                    return;
                }
                None => self.arm(state),
            }
        }
    }

    fn act(self: &Arc<Self>, mut state: MutexGuard<'_, Inner>, action: Action, here: bool) {
        match action {
            Action::Start { life, deadline, .. } => {
                let slot = Slot::new(Inside::busy(self, &life));
                state.slots.insert(life.generation, slot);
                drop(state);
                self.call_start(life, deadline, here);
            }
            Action::Stop { generation, deadline } => {
                let child = state.slots.get_mut(&generation).and_then(Slot::stop);
                let mine = |_: &Token, asked: &mut Asked| asked.by == Some(generation);
                let waits: Vec<_> = state.asked.extract_if(mine).collect();
                drop(state);
                let waits = waits.into_iter().map(|(_, asked)| asked.reply);
                answer(waits, &Err(inside::told_to_stop()));
                self.call_stop(generation, child, deadline, here);
            }
            Action::Kill { generation } => {
                let child = state.slots.get_mut(&generation).and_then(Slot::kill);
                drop(state);
                self.call_kill(generation, child, here);
            }
            Action::Changed(transition) => {
                if transition.to == State::Stopped && *transition.path == *state.tree.name() {
                    state.ended_at = self.runtime.timestamp();
                }
                drop(state);
                let _ = caught(|| (self.observer)(&transition));
            }
            Action::Up(result) => {
                let reply = state.start.take();
                drop(state);
                answer(reply, &result);
            }
            Action::Down(_) => {
                let replies = std::mem::take(&mut state.stop);
                drop(state);
                answer(replies, &Ok(()));
            }
            Action::Answer(token, result) => {
                let asked = state.asked.remove(&token);
                drop(state);
                answer(asked.map(|asked| asked.reply), &result);
            }
        }
    }

    /// Sets the timer for the tree's next tick. Only whoever is busy comes here.
    fn arm(self: &Arc<Self>, mut state: MutexGuard<'_, Inner>) {
        let before = state.timer.take().and_then(|armed| armed.id);
        let Some(at) = state.tree.next_tick() else {
            drop(state);
            return self.disarm(before);
        };
        state.timers += 1;
        let number = state.timers;
        state.timer = Some(Armed { at, number, id: None });
        drop(state);
        self.disarm(before);
        let shared: Weak<Self> = Arc::downgrade(self);
        let ring = move || {
            if let Some(shared) = shared.upgrade() {
                shared.tick(number);
            }
        };
        let id = self.runtime.spawn_at(at, Box::new(ring));
        // It may have rung already.
        if let Some(armed) = &mut self.state.lock().timer
            && armed.number == number
        {
            armed.id = Some(id);
        }
    }

    fn disarm(&self, timer: Option<TimerId>) {
        if let Some(timer) = timer {
            self.runtime.cancel(timer);
        }
    }

    fn tick(self: &Arc<Self>, number: u64) {
        let now = self.runtime.now();
        {
            let mut state = self.state.lock();
            if state.timer.as_ref().is_some_and(|armed| armed.number == number) {
                state.timer = None;
            }
            state.tree.tick(now);
        }
        self.pump();
    }
}

impl Inner {
    /// Whether the timer stands where the tree wants it.
    fn armed_right(&self) -> bool {
        self.timer.as_ref().map(|armed| armed.at) == self.tree.next_tick()
    }
}

fn answer(replies: impl IntoIterator<Item = Reply<()>>, result: &Result<()>) {
    for reply in replies {
        // Too late only when the caller has dropped its ticket.
        let _ = reply.answer(result.clone());
    }
}
