//! Versions of the kernel's agents: a new one takes over, and an old one takes over again.

use std::sync::Arc;
use std::time::Duration;

use super::Change;
use super::handle::Kernel;
use super::shared::{Phase, Shared};
use crate::Result;
use crate::agent::{AgentState, Entry, Registry, Switched, TakenOut, Why};
use crate::port::{Agent, Candidate as _};

/// How long a version that there is no room for any more has for what it has under way.
const GRACE: Duration = Duration::from_secs(5);

/// Why a version comes to its end.
const RETIRED: &str = "there are newer versions, or it was retired";

impl Kernel {
    /// Puts another version of an agent in charge of its name, as its card says; without one of this name
    /// it registers the agent. On a running kernel it is started first, which may block, and takes over
    /// when it is ready: no call is refused meanwhile. The version before gets no new tasks, finishes
    /// those that it has, and stands by, started, to be [switched to](Self::switch_agent) again. Two
    /// versions stand by, at most; the one that has for longest is stopped then. What the agent's guard
    /// has learnt is forgotten, and what was forced on it too.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`](crate::Code::ALREADY_EXISTS) for a version that the agent has already; what
    /// the registry says of its card, and what its start says: the version before stays in charge then.
    pub fn replace_agent(&self, agent: impl Agent) -> Result<()> {
        self.replace_shared_agent(Arc::new(agent))
    }

    /// As [`replace_agent`](Self::replace_agent), for one that is shared.
    ///
    /// # Errors
    /// As [`replace_agent`](Self::replace_agent).
    pub fn replace_shared_agent(&self, agent: Arc<dyn Agent>) -> Result<()> {
        let shared = &self.shared;
        shared.takes_agents()?;
        let entry = Registry::entry(agent)?;
        shared.agents.is_new(&entry).map_err(|error| error.operation("agent.replace"))?;
        let version = entry.card().version.clone();
        let change = Change::deployment("agent.replace", entry.name()).with("version", &version);
        shared.changes(change, || shared.replace(&entry))
    }

    /// Puts a version of an agent in charge that stands by; the one that was stands by then. One that is in
    /// charge already stays so.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`](crate::Code::NOT_FOUND) when there is no agent of this name, or no version of it
    /// that stands by.
    pub fn switch_agent(&self, name: &str, version: &str) -> Result<()> {
        let change = Change::deployment("agent.switch", name).with("version", version);
        let switched = self.shared.changes(change, || self.shared.switch_agent(name, version));
        switched.map_err(|error| error.operation("agent.switch"))
    }

    /// Stops a version of an agent that stands by, after `grace` for what it has under way. May block.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`](crate::Code::NOT_FOUND) when none of this name and version stands by.
    pub fn retire_agent(&self, name: &str, version: &str, grace: Duration) -> Result<()> {
        let shared = &self.shared;
        let change = Change::deployment("agent.retire", name).with("version", version);
        let retired = shared.changes(change, || shared.agents.retire(name, version));
        let entry = retired.map_err(|error| error.operation("agent.retire"))?;
        shared.retire(&entry, grace);
        Ok(())
    }
}

impl Shared {
    /// Puts an agent in the place of the version that is in charge of its name, started where the kernel runs.
    fn replace(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<()> {
        if self.phase() == Phase::Running {
            self.start_agent(entry)?;
        }
        let switched = match self.agents.put(entry) {
            Ok(switched) => switched,
            Err(error) => {
                // Somebody else was quicker with this version.
                self.stop_agent(entry, self.runtime.now() + GRACE, "another was quicker");
                return Err(error.operation("agent.replace"));
            }
        };
        let before = switched.before.clone();
        let back = || self.put_back(entry, before.as_deref());
        self.switched(entry, switched);
        // A kernel that was just starting starts it, or, when it has looked already, we do.
        if self.phase() == Phase::Running
            && let Err(error) = self.start_agent(entry)
        {
            back();
            return Err(error);
        }
        if let Err(stopping) = self.takes_agents() {
            back();
            self.stop_agent(entry, self.runtime.now(), "the kernel stops");
            return Err(stopping);
        }
        Ok(())
    }

    /// Registers an entry that has been started: it takes tasks from here on.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`](crate::Code::ALREADY_EXISTS) for a name that is taken.
    pub(super) fn join(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<()> {
        self.agents.join(entry)?;
        self.came(entry);
        self.in_charge(entry);
        Ok(())
    }

    /// Puts an entry that has been started in charge of its name; the one that was stands by.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`](crate::Code::ALREADY_EXISTS) for a version that there is already.
    pub(super) fn take_over(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<()> {
        let switched = self.agents.put(entry)?;
        self.came(entry);
        self.switched(entry, switched);
        Ok(())
    }

    /// An agent that the kernel has found, or made, is put to work: that is on the record.
    pub(super) fn came(&self, entry: &Entry) {
        let version = &entry.card().version;
        self.changed(
            Change::deployment("agent.add", entry.name())
                .by(Change::KERNEL)
                .with("version", version),
        );
    }

    /// Puts an entry that has been started in the place of the one that is in charge, whatever its version, which
    /// finishes what it has, within `grace`, and is stopped. Says whether that one was in charge.
    pub(super) fn exchange(
        self: &Arc<Self>,
        before: &Arc<Entry>,
        entry: &Arc<Entry>,
        grace: Duration,
    ) -> bool {
        if !self.agents.exchange(before, entry) {
            return false;
        }
        // Guards are made for a card, and know how the one before did.
        #[cfg(feature = "recovery")]
        self.guards.forget(entry.name());
        self.came(entry);
        self.tell_states(before);
        self.in_charge(entry);
        self.let_go(before, grace, "another one has taken its place");
        true
    }

    /// An entry that is registered no more finishes what it has, within `grace`, and is stopped.
    pub(super) fn let_go(&self, entry: &Arc<Entry>, grace: Duration, why: impl Into<Why>) {
        let (deadline, why) = (self.runtime.now() + grace, why.into());
        self.turn(entry, AgentState::Draining, why.clone());
        entry.drain(&*self.runtime, deadline);
        self.stop_agent(entry, deadline, why);
    }

    /// An entry has been put in charge of its name: it is told, and what waits is for it as well.
    fn in_charge(self: &Arc<Self>, entry: &Arc<Entry>) {
        self.tell_states(entry);
        #[cfg(feature = "recovery")]
        {
            if !self.heal.isolation.is_quiet() {
                self.set_apart(entry.name(), "it is quarantined under its name");
            }
            self.offer(entry);
        }
    }

    pub(super) fn switch_agent(self: &Arc<Self>, name: &str, version: &str) -> Result<()> {
        if self.agents.get(name).is_none() {
            return Err(self.no_agent_named(name));
        }
        if let Some(switched) = self.agents.switch(name, version)?
            && let Some(entry) = self.agents.get(name)
        {
            self.switched(&entry, switched);
        }
        Ok(())
    }

    fn switched(self: &Arc<Self>, entry: &Arc<Entry>, switched: Switched) {
        let card = entry.card();
        // Guards are made for a card, and know how the version before did.
        #[cfg(feature = "recovery")]
        self.guards.forget(&card.name);
        if let Some(before) = &switched.before {
            self.tell_states(before);
            let event = serde_json::json!({
                "agent": &*card.name,
                "version": card.version,
                "before": before.card().version,
            });
            self.publish("agent.switched", event);
        }
        self.in_charge(entry);
        if let Some(out) = &switched.out {
            self.retire(out, GRACE);
        }
    }

    /// A version did not get ready: the one before is in charge again.
    fn put_back(self: &Arc<Self>, entry: &Arc<Entry>, before: Option<&Entry>) {
        let card = entry.card();
        let gone = match before {
            Some(before) => self
                .switch_agent(&card.name, &before.card().version)
                .and_then(|()| self.agents.retire(&card.name, &card.version).map(drop)),
            None => {
                self.take_out(entry);
                Ok(())
            }
        };
        // Else somebody has switched or removed it meanwhile.
        drop(gone);
    }

    /// Takes an entry out of the registry, and no other version of its name: where it was in charge, the one before
    /// it is again. Says what it was.
    pub(super) fn take_out(self: &Arc<Self>, entry: &Arc<Entry>) -> TakenOut {
        let taken = self.agents.take_out(entry);
        if let TakenOut::Next(next) = &taken {
            let switched = Switched { before: Some(Arc::clone(entry)), out: None };
            self.switched(next, switched);
        }
        taken
    }

    /// Removes an entry, and no other version of its name, for a reason.
    pub(super) fn remove_entry(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        grace: Duration,
        why: impl Into<Why>,
    ) {
        let why = why.into();
        let change = Change::deployment("agent.remove", entry.name()).by(Change::KERNEL);
        self.changed(change.with("why", &why));
        let taken = self.take_out(entry);
        self.end_taken(taken, entry, grace, why);
    }

    /// Ends an entry that was taken out: it finishes what it has, and is stopped.
    pub(super) fn end_taken(
        &self,
        taken: TakenOut,
        entry: &Arc<Entry>,
        grace: Duration,
        why: impl Into<Why>,
    ) {
        match taken {
            TakenOut::Nothing => {}
            TakenOut::Last => self.end_removed(std::slice::from_ref(entry), grace, why.into()),
            TakenOut::Standby | TakenOut::Next(_) => self.let_go(entry, grace, why),
        }
    }

    fn retire(&self, entry: &Arc<Entry>, grace: Duration) {
        self.let_go(entry, grace, RETIRED);
    }
}
