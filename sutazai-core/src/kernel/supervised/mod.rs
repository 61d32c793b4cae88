//! Agents under supervision: made and started by a supervisor of `recovery`, and again when they have ended.
//!
//! The agent is registered once. What does its tasks is one [life](crate::agent::Lives) after the other,
//! each made anew; the child of the tree is a life. An agent has a supervisor of its own in the tree `agents`,
//! so that one that fails too often takes no other with it, or is a child of a supervisor that the host
//! names, and shares that one's fate.
//!
//! | subject | what it says |
//! |---|---|
//! | `agent.state` | failed when a life ends, starting and ready with the next |
//! | `agent.failed` | an agent is not started again: its supervisor has given up, or was stopped |

mod child;
mod order;
mod spec;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

pub use order::TemplateOrder;
pub use spec::Supervision;

use super::Change;
use super::handle::Kernel;
use super::shared::{Phase, Shared};
use crate::agent::create::{MakeAgent, Origin};
use crate::agent::{AgentState, Entry, Lives, Registry};
use crate::base::wait;
use crate::port::{Agent, Candidate as _, ChildLife};
use crate::recovery::supervise::{
    ChildSpec, Request, Restart, Shutdown, State, Strategy, SupervisorSpec, Transition,
};
use crate::{Class, Code, Error, Result};
use child::AgentChild;

/// The tree of agents that the host puts nowhere else.
const TREE: &str = "agents";

/// The agents under supervision.
#[derive(Default)]
pub(super) struct Supervised {
    /// By the paths of their children.
    by_path: Mutex<BTreeMap<Arc<str>, Arc<Plan>>>,
    /// Those that wait for the start of their kernel.
    pending: Mutex<Vec<Arc<Plan>>>,
    /// Held while the tree of those that the host puts nowhere else is made, without children.
    tree: wait::Mutex<()>,
}

/// One agent under supervision.
struct Plan {
    shared: Weak<Shared>,
    entry: Arc<Entry>,
    lives: Lives,
    make: MakeAgent,
    /// Made when it was registered, for the first life.
    first: Mutex<Option<Arc<dyn Agent>>>,
    spec: Supervision,
    /// What its child does: the name of its factory among the workers.
    does: String,
    /// The path of its child.
    path: Arc<str>,
    /// The child that lives.
    present: Arc<Mutex<Weak<AgentChild>>>,
}

impl Kernel {
    /// Registers an agent that `make` makes, under supervision: when it ends, or is found dead, another one is
    /// made, and started, as `spec` says. Calls that it had then fail at once, with
    /// [`Code::AGENT_EXITED`]; further ones go to other agents with the skill, or where there is none wait for
    /// the next life within their deadlines. When it ends too often it has failed, and is not started again
    /// but by hand (`recovery.child_restart`).
    ///
    /// `make` is called here, for the card, and before each further life. Each life has the card of the first.
    /// On a kernel that runs the agent is started here, which may block.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use sutazai_core::agent::from_fn;
    /// use sutazai_core::kernel::{Kernel, Supervision};
    /// use sutazai_core::port::{Agent, AgentCard, Task};
    ///
    /// let kernel = Kernel::builder().build()?;
    /// kernel.start()?;
    /// let make = || {
    ///     let echo = from_fn(AgentCard::new("echo", ["echo"]), |task: &Task| Ok(task.input().clone()));
    ///     Ok(Arc::new(echo) as Arc<dyn Agent>)
    /// };
    /// kernel.supervise_agent(Supervision::default(), Arc::new(make))?;
    /// assert_eq!(kernel.supervisor("agents>echo")?.counts.active, 1);
    /// assert!(kernel.call(Task::new("echo", 1)).wait().is_ok());
    /// # kernel.stop(Duration::from_secs(1))?;
    /// # Ok::<(), sutazai_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// What `make` says; what the registry says of the card; [`Code::INVALID`] for the specification;
    /// [`Code::NOT_FOUND`] for a supervisor that does not live; [`Code::CHILD_START`] when it does not start:
    /// it is not registered then; [`Code::DRAINING`].
    pub fn supervise_agent(&self, spec: Supervision, make: MakeAgent) -> Result<Arc<str>> {
        let operation = |error: Error| error.operation("agent.supervise");
        self.shared.supervise_agent(spec, make, None).map_err(operation)
    }
}

impl Shared {
    fn supervise_agent(
        self: &Arc<Self>,
        spec: Supervision,
        make: MakeAgent,
        origin: Option<Origin>,
    ) -> Result<Arc<str>> {
        self.takes_agents()?;
        spec.check()?;
        let first = super::caught(|| make())?;
        let plan = self.lives_of(spec, make, first)?;
        if let Some(origin) = origin {
            plan.entry.made_from(origin);
        }
        let name = Arc::clone(plan.entry.name());
        self.agents.put_new(&plan.entry)?;
        let version = plan.entry.card().version.clone();
        let change = Change::deployment("agent.supervise", &name).with("version", &version);
        let place = || match self.phase() {
            Phase::Running => self.place_child(&plan),
            _ => {
                self.supervised.pending.lock().push(Arc::clone(&plan));
                // A kernel that was just starting may have looked already.
                if self.phase() == Phase::Running { self.start_pending() } else { Ok(()) }
            }
        };
        let placed = self.changes(change, place).and_then(|()| self.takes_agents());
        if let Err(error) = placed {
            self.take_out(&plan.entry);
            self.stop_agent(&plan.entry, self.runtime.now(), "it did not start");
            return Err(error);
        }
        Ok(name)
    }

    fn lives_of(
        self: &Arc<Self>,
        spec: Supervision,
        make: MakeAgent,
        first: Arc<dyn Agent>,
    ) -> Result<Arc<Plan>> {
        let card = super::caught(|| Ok(first.card()))?;
        let id = match card.version.as_str() {
            "" => card.name.to_string(),
            version => format!("{} {version}", card.name),
        };
        let path: Arc<str> = match &spec.under {
            Some(supervisor) => format!("{supervisor}>{id}").into(),
            None => format!("{TREE}>{id}>life").into(),
        };
        let present: Arc<Mutex<Weak<AgentChild>>> = Arc::default();
        let silent = Arc::clone(&present);
        let on_silence = Box::new(move |why: &Error| {
            let child = silent.lock().upgrade();
            if let Some(child) = child {
                child.is_silent(why);
            }
        });
        let queue = usize::try_from(spec.queue).unwrap_or(usize::MAX);
        let lives = Lives::new(card, queue, Arc::clone(&self.runtime), on_silence);
        let entry = Registry::entry(Arc::new(lives.share()))?;
        entry.set_supervised(Arc::clone(&path));
        Ok(Arc::new(Plan {
            shared: Arc::downgrade(self),
            entry,
            lives,
            make,
            first: Mutex::new(Some(first)),
            does: format!("agent {id}"),
            path,
            spec,
            present,
        }))
    }

    /// Puts an agent's child into its tree, and waits for its start.
    fn place_child(self: &Arc<Self>, plan: &Arc<Plan>) -> Result<()> {
        let making = Arc::downgrade(plan);
        let children = move |life: &ChildLife| AgentChild::of(&making, life);
        let workers = &self.trees.workers();
        workers.add_children(&plan.does, Arc::new(children))?;
        self.supervised.by_path.lock().insert(Arc::clone(&plan.path), Arc::clone(plan));
        let placed = self.start_in_tree(plan);
        if placed.is_err() {
            self.supervised.by_path.lock().remove(&plan.path);
            workers.remove(&plan.does);
        }
        placed
    }

    fn start_in_tree(self: &Arc<Self>, plan: &Plan) -> Result<()> {
        let life = ChildSpec::worker("life").does(&plan.does).restart(plan.spec.restart);
        let life = plan.spec.timed(life);
        let (above, child) = match plan.path.rsplit_once('>') {
            Some((above, id)) if plan.spec.under.is_some() => {
                (above, ChildSpec { id: id.to_owned(), ..life })
            }
            other => {
                let own = other.map_or("", |(above, _)| above);
                let id = own.split_once('>').map_or(own, |(_, id)| id);
                let supervisor = plan.spec.supervisor().child(life);
                // Its end, when it has given up, is nobody else's business.
                let child = ChildSpec::supervisor(id, supervisor).restart(Restart::Transient);
                (TREE, child.shutdown(Shutdown::Infinity))
            }
        };
        if above == TREE {
            // Nobody asks for it before it lives.
            let _making = self.supervised.tree.lock();
            match self.supervise(TREE, SupervisorSpec::new(Strategy::OneForOne)) {
                Err(error) if error.code() != Code::ALREADY_EXISTS => return Err(error),
                _ => {}
            }
        }
        self.tree_of(above)?.start_child(above, child)
    }

    /// Starts those that were registered before their kernel ran.
    pub(super) fn start_pending(self: &Arc<Self>) -> Result<()> {
        let pending = std::mem::take(&mut *self.supervised.pending.lock());
        let mut failed = None;
        for plan in pending {
            if plan.entry.state() != AgentState::Registered {
                continue;
            }
            if let Err(error) = self.place_child(&plan) {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// An agent has been stopped for good: its child goes too.
    pub(super) fn unsupervise(&self, entry: &Arc<Entry>) {
        let Some(path) = entry.supervised() else { return };
        self.supervised.pending.lock().retain(|plan| !Arc::ptr_eq(&plan.entry, entry));
        let plan = {
            let mut by_path = self.supervised.by_path.lock();
            match by_path.get(path) {
                Some(plan) if Arc::ptr_eq(&plan.entry, entry) => by_path.remove(path),
                _ => None,
            }
        };
        let Some(plan) = plan else { return };
        self.trees.workers().remove(&plan.does);
        if self.phase() != Phase::Running {
            // The tree stops with the kernel.
            return;
        }
        let top = match &plan.spec.under {
            Some(_) => &*plan.path,
            None => plan.path.rsplit_once('>').map_or(&*plan.path, |(above, _)| above),
        };
        if let Ok(tree) = self.tree_of(top) {
            // One after the other, and nobody waits: this may be a thread of the child.
            tree.ask(Request::TerminateChild { path: top.to_owned() }).detach();
            tree.ask(Request::DeleteChild { path: top.to_owned() }).detach();
        }
    }

    /// Something changed in a tree: agents whose children do not live any more, and are not about to, have
    /// failed.
    pub(super) fn supervised_changed(&self, change: &Transition) {
        if !matches!(change.to, State::Stopped | State::Removed) {
            return;
        }
        let plans: Vec<Arc<Plan>> = {
            let by_path = self.supervised.by_path.lock();
            let below: Arc<str> = format!("{}>", change.path).into();
            let within = by_path.range(Arc::clone(&below)..);
            let within = within.take_while(|(path, _)| path.starts_with(&*below));
            let within = within.map(|(_, plan)| plan);
            by_path.get(&change.path).into_iter().chain(within).cloned().collect()
        };
        for plan in plans {
            let cause = serde_json::to_value(&change.cause).unwrap_or_default();
            let cause = cause.get("cause").and_then(serde_json::Value::as_str).unwrap_or_default();
            plan.is_over(cause);
        }
    }
}

impl Plan {
    /// It is not started again.
    fn is_over(&self, cause: &str) {
        let Some(shared) = self.shared.upgrade() else { return };
        let last = match self.entry.state() {
            AgentState::Failed => self.entry.why().unwrap_or_default(),
            _ => "".into(),
        };
        let why = Error::new(Code::AGENT_EXITED, "the agent has ended, and is not started again")
            .classed(Class::Persistent)
            .operation("agent.supervise")
            .with("agent", self.entry.name())
            .with("supervision", cause)
            .with("last", last)
            .advice("see why it ended; recovery.child_restart starts it again");
        if !self.entry.holds() {
            // It has been told.
            return;
        }
        self.entry.set_holds(false);
        self.lives.over(&why);
        if !shared.turn(&self.entry, AgentState::Failed, why.to_string()) {
            self.entry.explain(why.to_string());
        }
        let card = self.entry.card();
        shared.publish(
            "agent.failed",
            serde_json::json!({
                "agent": &*card.name,
                "version": card.version,
                "why": why.to_string(),
            }),
        );
    }
}
