//! The kernel's agents: registering, calling, cancelling, stopping.

use std::sync::Arc;
use std::time::Duration;

use super::handle::Kernel;
use super::shared::{Phase, Shared};
use crate::agent::{AgentState, AgentView, Entry};
use crate::base::id::CallId;
use crate::base::runtime::Job;
use crate::base::ticket::{self, Ticket};
use crate::base::time::Moment;
use crate::port::{Agent, AgentHost, Outcome, Task};
use crate::{Code, Error, Result};

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
        match shared.phase() {
            Phase::Built | Phase::Starting => shared.agents.add(agent).map(drop),
            Phase::Running => {
                let entry = shared.agents.add(agent)?;
                shared.start_agent(&entry).inspect_err(|_| {
                    shared.agents.remove(entry.name());
                })
            }
            Phase::Draining | Phase::Stopped => {
                Err(Error::new(Code::DRAINING, "a kernel that stops takes no new agents"))
            }
        }
    }

    /// Removes an agent: it gets no more tasks, has `grace` to finish those under way, and is
    /// stopped. May block.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is none of this name.
    pub fn remove_agent(&self, name: &str, grace: Duration) -> Result<()> {
        let shared = &self.shared;
        let Some(entry) = shared.agents.remove(name) else {
            let error = Error::new(Code::NOT_FOUND, "no agent of this name is registered")
                .operation("agent.remove")
                .with("agent", name);
            let names: Vec<_> = shared.agents.all();
            return Err(match super::nearest(name, names.iter().map(|e| &**e.name())) {
                Some(near) => error.advice(format!("did you mean '{near}'?")),
                None => error,
            });
        };
        let deadline = shared.runtime.now() + grace;
        entry.set_state(AgentState::Draining);
        entry.drain(&*shared.runtime, deadline);
        shared.stop_agent(&entry, deadline);
        Ok(())
    }

    /// The agents, sorted by name.
    pub fn agents(&self) -> Vec<AgentView> {
        self.shared.agents.all().iter().map(|entry| entry.view()).collect()
    }

    /// The agent of this name.
    pub fn agent(&self, name: &str) -> Option<AgentView> {
        self.shared.agents.get(name).map(|entry| entry.view())
    }
}

impl Shared {
    /// Starts every agent, side by side where the runtime can.
    pub(super) fn start_agents(self: &Arc<Self>) -> Result<()> {
        let starting: Vec<_> = self
            .agents
            .all()
            .into_iter()
            .map(|entry| {
                let shared = Arc::clone(self);
                self.aside(move || shared.start_agent(&entry))
            })
            .collect();
        // Wait for all, so that what did start is known to be stopped again.
        let mut failed = None;
        for mut ticket in starting {
            if let Err(error) = ticket.wait().flatten() {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    pub(super) fn start_agent(&self, entry: &Arc<Entry>) -> Result<()> {
        let host = AgentHost { runtime: Arc::clone(&self.runtime), log: self.kept.log().clone() };
        let start = || entry.with_agent(|agent| agent.start(&host)).unwrap_or(Ok(()));
        super::caught(start).map_err(|error| {
            if error.context().any(|(key, _)| key == "agent") {
                error
            } else {
                error.with("agent", entry.name())
            }
        })?;
        entry.set_state(AgentState::Ready);
        self.publish("agent.registered", serde_json::json!({"agent": &**entry.name()}));
        Ok(())
    }

    /// Stops every agent, side by side where the runtime can.
    pub(super) fn stop_agents(self: &Arc<Self>, deadline: Moment) {
        let started = |entry: &Arc<Entry>| entry.state() != AgentState::Registered;
        let stopping: Vec<_> = self
            .agents
            .all()
            .into_iter()
            .filter(started)
            .map(|entry| {
                let shared = Arc::clone(self);
                self.aside(move || shared.stop_agent(&entry, deadline))
            })
            .collect();
        for mut ticket in stopping {
            // One that overruns is left behind; its process group is killed when it is dropped.
            let left = deadline.since(self.runtime.now()) + Duration::from_secs(1);
            if ticket.wait_timeout(left).is_none() {
                ticket.detach();
            }
        }
    }

    /// Runs `work` on the blocking pool; here when that is full or waiting for it is forbidden.
    fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Ticket<T> {
        let (ticket, reply) = ticket::pair();
        let job: Job = Box::new(move || drop(reply.send(work())));
        if !self.runtime.may_block() {
            job();
        } else if let Err(refused) = self.runtime.spawn_blocking(job) {
            (refused.work)();
        }
        ticket
    }

    fn stop_agent(&self, entry: &Arc<Entry>, deadline: Moment) {
        let _ = super::caught(|| {
            entry.with_agent(|agent| agent.stop(deadline));
            Ok(())
        });
        entry.set_state(AgentState::Stopped);
        entry.release();
        self.publish("agent.removed", serde_json::json!({"agent": &**entry.name()}));
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
