//! The kernel's agents: registering, calling, cancelling, stopping.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Change;
use super::handle::Kernel;
use super::shared::{Phase, Shared};
use crate::agent::{AgentState, AgentView, Entry, Why};
use crate::base::id::CallId;
use crate::base::ticket::{self, Ticket};
use crate::base::time::Moment;
use crate::observe::Level;
use crate::port::{Agent, AgentHost, Candidate as _, Outcome, Task};
use crate::{Code, Error, Result};

/// Threads that start and stop agents, at most.
const SIDE_BY_SIDE: usize = 16;

/// Why agents come to their ends.
const REMOVED: &str = "it is removed";
const STOPPING: &str = "the kernel stops";

impl Kernel {
    /// Takes a task all the way: authenticate, authorise, route, guard, the agent, record. The
    /// ticket answers in any case; it may already have.
    #[inline]
    pub fn call(&self, task: Task) -> Ticket<Outcome> {
        self.shared.call(task, None).1
    }

    /// As [`call`](Self::call), on behalf of whoever the token belongs to.
    pub fn call_as(&self, token: &str, task: Task) -> Ticket<Outcome> {
        self.shared.call(task, Some(token)).1
    }

    /// As [`call`](Self::call), and says the call's number, for [`cancel`](Self::cancel).
    pub fn submit(&self, task: Task, token: Option<&str>) -> (CallId, Ticket<Outcome>) {
        self.shared.call(task, token)
    }

    /// Cancels a call by its number; false when it is not in flight.
    pub fn cancel(&self, call: CallId) -> bool {
        self.shared.cancel(call)
    }

    /// The numbers of the calls in flight, sorted.
    pub fn calls(&self) -> Vec<CallId> {
        self.shared.in_flight.ids()
    }

    /// Registers an agent; on a running kernel it is started here, which may block.
    ///
    /// # Errors
    /// What the registry says of its card, and what its start says; it is not registered then.
    pub fn add_agent(&self, agent: impl Agent) -> Result<()> {
        self.add_shared_agent(Arc::new(agent))
    }

    /// As [`add_agent`](Self::add_agent), for one that is shared.
    ///
    /// # Errors
    /// As [`add_agent`](Self::add_agent).
    pub fn add_shared_agent(&self, agent: Arc<dyn Agent>) -> Result<()> {
        let shared = &self.shared;
        shared.takes_agents()?;
        let entry = shared.agents.add(agent)?;
        let version = entry.card().version.clone();
        let change = Change::deployment("agent.add", entry.name()).with("version", &version);
        let mut begun = false;
        let added = shared.changes(change, || {
            begun = true;
            shared.begin_added(&entry)
        });
        if added.is_err() && !begun {
            shared.take_out(&entry);
            entry.release();
        }
        added
    }

    /// Removes an agent, with the versions of it that stand by: it gets no more tasks, has `grace` to finish
    /// those under way, and is stopped. May block.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is none of this name.
    pub fn remove_agent(&self, name: &str, grace: Duration) -> Result<()> {
        let remove = || self.shared.remove_agent(name, grace, REMOVED);
        let removed = self.shared.changes(Change::deployment("agent.remove", name), remove);
        removed.map_err(|error| error.operation("agent.remove"))
    }

    /// The agents, sorted by name.
    pub fn agents(&self) -> Vec<AgentView> {
        let now = self.shared.runtime.now();
        let agents = self.shared.agents.all();
        agents.iter().map(|entry| self.shared.view(entry, now)).collect()
    }

    /// The agent of this name.
    pub fn agent(&self, name: &str) -> Option<AgentView> {
        let entry = self.shared.agents.get(name)?;
        Some(self.shared.view(&entry, self.shared.runtime.now()))
    }
}

impl Shared {
    /// Starts an agent that was registered, on a kernel that runs.
    fn begin_added(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<()> {
        // A kernel that is just starting starts it, or, when it has looked already, we do.
        if self.phase() == Phase::Running
            && let Err(error) = self.start_agent(entry)
        {
            self.take_out(entry);
            entry.release();
            return Err(error);
        }
        if let Err(stopping) = self.takes_agents() {
            self.take_out(entry);
            self.stop_agent(entry, self.runtime.now(), STOPPING);
            return Err(stopping);
        }
        Ok(())
    }

    fn view(&self, entry: &Arc<Entry>, now: Moment) -> AgentView {
        AgentView { liveness: self.liveness.view(entry, now), ..self.agents.view(entry, now) }
    }

    /// # Errors
    /// [`Code::DRAINING`] for a kernel that stops.
    pub(super) fn takes_agents(&self) -> Result<()> {
        if matches!(self.phase(), Phase::Draining | Phase::Stopped) {
            return Err(Error::new(Code::DRAINING, "a kernel that stops takes no new agents"));
        }
        Ok(())
    }

    pub(super) fn no_agent_named(&self, name: &str) -> Error {
        let error =
            Error::new(Code::NOT_FOUND, "no agent of this name is registered").with("agent", name);
        let names = self.agents.all();
        match super::nearest(name, names.iter().map(|e| &**e.name())) {
            Some(near) => error.advice(format!("did you mean '{near}'?")),
            None => error,
        }
    }

    /// Removes an agent with all its versions, for a reason.
    pub(super) fn remove_agent(
        &self,
        name: &str,
        grace: Duration,
        why: impl Into<Why>,
    ) -> Result<()> {
        let removed = self.agents.remove(name);
        if removed.is_empty() {
            return Err(self.no_agent_named(name));
        }
        self.end_removed(&removed, grace, why.into());
        Ok(())
    }

    /// Ends what was taken out of the registry under one name: it finishes what it has, and is stopped.
    pub(super) fn end_removed(&self, removed: &[Arc<Entry>], grace: Duration, why: Why) {
        let deadline = self.runtime.now() + grace;
        for entry in removed {
            self.turn(entry, AgentState::Draining, why.clone());
        }
        #[cfg(feature = "recovery")]
        removed.iter().take(1).for_each(|entry| self.guards.forget(entry.name()));
        for entry in removed {
            entry.drain(&*self.runtime, deadline);
            self.stop_agent(entry, deadline, why.clone());
        }
        removed.iter().take(1).for_each(|entry| self.liveness.forget_policy(entry.name()));
        // What its last calls said of it is of no use any more.
        #[cfg(feature = "recovery")]
        removed.iter().take(1).for_each(|entry| self.heal.isolation.forget(entry.name()));
    }

    /// The kernel runs: what it does about agents from here on.
    pub(super) fn agents_begin(self: &Arc<Self>) {
        // Those that came after the others had been started.
        if let Err(error) = self.start_agents() {
            let fields = [("error", format!("{error:#}"))];
            let log = self.kept.log();
            log.record(Level::Error, "sutazai.agent", "an agent did not start", fields);
        }
        self.keep_ledgers();
        self.start_discovery();
        self.start_pools();
    }

    /// Starts every agent that has not been, side by side where the runtime can.
    pub(super) fn start_agents(self: &Arc<Self>) -> Result<()> {
        let failed = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&failed);
        let shared = Arc::clone(self);
        // All are waited for, so that what did start is known to be stopped again.
        self.side_by_side(Moment::FAR, move |entry| {
            if let Err(error) = shared.start_agent(entry) {
                seen.lock().get_or_insert(error);
            }
        });
        let failed = failed.lock().take();
        failed.map_or(Ok(()), Err)
    }

    /// Starts an agent, unless somebody does or did, and tells of it.
    pub(super) fn start_agent(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<()> {
        if self.bring_up(entry)? {
            self.announce(entry);
        }
        Ok(())
    }

    /// An agent takes tasks now.
    pub(super) fn announce(self: &Arc<Self>, entry: &Arc<Entry>) {
        let card = entry.card();
        let event = serde_json::json!({"agent": &*card.name, "version": card.version});
        self.publish("agent.registered", event);
        #[cfg(feature = "recovery")]
        self.offer(entry);
    }

    /// Starts an agent, unless somebody does or did; says whether it has.
    pub(super) fn bring_up(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<bool> {
        if entry.supervised().is_some()
            || !entry.turn_from(&[AgentState::Registered], AgentState::Starting, "it is registered")
        {
            return Ok(false);
        }
        self.tell_states(entry);
        self.recall(entry);
        let (weak, watched) = (Arc::downgrade(self), Arc::downgrade(entry));
        let host = AgentHost::new(Arc::clone(&self.runtime), self.kept.log().clone());
        let host = host.on_end(move |why| {
            if let (Some(shared), Some(entry)) = (weak.upgrade(), watched.upgrade()) {
                shared.ended(&entry, &why);
            }
        });
        let gone = || Err(Error::new(Code::NOT_RUNNING, "the agent has been stopped"));
        let start = || entry.with_agent(|agent| agent.start(&host)).unwrap_or_else(gone);
        super::caught(start).map_err(|error| {
            self.turn(entry, AgentState::Failed, format!("it did not start: {error}"));
            if error.context().any(|(key, _)| key == "agent") {
                error
            } else {
                error.with("agent", entry.name())
            }
        })?;
        self.is_up(entry, &[AgentState::Starting], "it has started");
        self.watch(entry);
        Ok(true)
    }

    /// Stops every agent that was started, side by side. One that overruns `deadline` by a second is
    /// left behind.
    pub(super) fn stop_agents(self: &Arc<Self>, deadline: Moment) {
        let shared = Arc::clone(self);
        self.creation.close();
        self.side_by_side(deadline + Duration::from_secs(1), move |entry| {
            if entry.state() != AgentState::Registered {
                shared.stop_agent(entry, deadline, STOPPING);
            }
        });
    }

    /// Does something with every agent, on a few threads of its own: the pool may be full of agents
    /// that hang. Waits until all are done, or until `end`; in place where the runtime may not be
    /// waited for.
    fn side_by_side(
        self: &Arc<Self>,
        end: Moment,
        f: impl Fn(&Arc<Entry>) + Send + Sync + 'static,
    ) {
        let mut agents = self.agents.everything();
        agents.extend(self.creation.making());
        let threads = if self.runtime.may_block() { agents.len().min(SIDE_BY_SIDE) } else { 0 };
        let (queue, work) = crossbeam_channel::unbounded();
        for entry in agents {
            let _ = queue.send(entry);
        }
        drop(queue);
        let f = Arc::new(f);
        // Threads hold `done`; it is disconnected when the last has ended.
        let (done, all_done) = crossbeam_channel::bounded::<()>(0);
        for n in 1..=threads {
            let (work, f, done) = (work.clone(), Arc::clone(&f), done.clone());
            let name = format!("sutazai-agents-{n}");
            // Without the thread the others do its share, or this one below.
            let _ = std::thread::Builder::new().name(name).spawn(move || {
                for entry in work {
                    f(&entry);
                }
                drop(done);
            });
        }
        drop(done);
        if threads == 0 {
            work.iter().for_each(|entry| f(&entry));
            return;
        }
        let left = end.since(self.runtime.now());
        let waited = crate::base::runtime::block(|| match Instant::now().checked_add(left) {
            Some(end) => drop(all_done.recv_deadline(end)),
            None => drop(all_done.recv()),
        });
        if waited.is_err() || self.runtime.now() < end {
            // No thread could be had, or none may be waited for here: what is left is done in place.
            work.try_iter().for_each(|entry| f(&entry));
        }
    }

    /// Stops an agent, which takes no tasks from here on, and tells that it is gone.
    pub(super) fn stop_agent(&self, entry: &Arc<Entry>, deadline: Moment, why: impl Into<Why>) {
        self.turn(entry, AgentState::Draining, why);
        self.put_down(entry, deadline);
        let card = entry.card();
        let event = serde_json::json!({"agent": &*card.name, "version": card.version});
        // Where another version goes on, only this one is gone.
        let goes_on = self.agents.get(&card.name).is_some_and(|other| !Arc::ptr_eq(&other, entry));
        self.publish(if goes_on { "agent.retired" } else { "agent.removed" }, event);
    }

    /// Stops an agent and lets go of it.
    pub(super) fn put_down(&self, entry: &Arc<Entry>, deadline: Moment) {
        self.liveness.forget(entry);
        let _ = super::caught(|| {
            entry.with_agent(|agent| agent.stop(deadline));
            Ok(())
        });
        self.turn(entry, AgentState::Stopped, "it has been stopped");
        #[cfg(feature = "recovery")]
        self.unsupervise(entry);
        entry.release();
        self.keep(entry);
    }

    /// Moves an agent to another state, for a reason, and tells of it; says whether that could be.
    pub(super) fn turn(&self, entry: &Entry, to: AgentState, why: impl Into<Why>) -> bool {
        let turned = entry.turn(to, why).is_some();
        self.tell_states(entry);
        turned
    }

    /// An agent in one of these states can do tasks now: it does when it is in charge and not set apart.
    /// Says whether it was in one of them.
    pub(super) fn is_up(
        &self,
        entry: &Arc<Entry>,
        from: &[AgentState],
        why: impl Into<Why>,
    ) -> bool {
        let up = self.agents.is_up(entry, from, why);
        self.tell_states(entry);
        #[cfg(feature = "recovery")]
        if up && !self.heal.isolation.is_quiet() {
            self.set_apart(entry.name(), "it is quarantined under its name");
        }
        up
    }

    /// Tells of the states that an agent has come into.
    pub(super) fn tell_states(&self, entry: &Entry) {
        let card = entry.card();
        entry.tell(|change| {
            let event = serde_json::json!({
                "agent": &*card.name,
                "version": card.version,
                "from": change.from,
                "to": change.to,
                "why": change.why,
            });
            self.publish("agent.state", event);
        });
    }

    pub(super) fn cancel(&self, call: CallId) -> bool {
        self.in_flight.settler(call).is_some_and(|settler| {
            self.in_flight.leave(call);
            settler.settle(Err(ticket::cancelled()))
        })
    }

    /// Answers every call in flight: the kernel stops.
    pub(super) fn cancel_all(&self) {
        for (id, settler) in self.in_flight.take_all() {
            let error = Error::new(Code::CANCELLED, "the kernel stopped before the agent answered")
                .operation("kernel.stop")
                .with("call", id);
            settler.settle(Err(error));
        }
    }
}
