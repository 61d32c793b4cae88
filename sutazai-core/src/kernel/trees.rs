//! The trees of supervisors that a kernel starts and stops with itself.
//!
//! | subject | what it says |
//! |---|---|
//! | `recovery.tree.changed` | a child or a supervisor has another state, and why |
//! | `recovery.mailbox.poisoned` | a message was set aside: it brought its child down too often |

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::Change;
use super::handle::Kernel;
use super::shared::{Phase, Shared};
use crate::base::nearest::nearest;
use crate::base::payload::Payload;
use crate::base::runtime::Runtime;
use crate::base::time::Moment;
use crate::event::Bus;
use crate::observe::{Level, Log};
use crate::port::{Component, Health};
use crate::recovery::supervise::mailbox::{MessageId, Poison};
use crate::recovery::supervise::workers::Workers;
use crate::recovery::supervise::{
    Cause, ChildSpec, Counts, State, Supervisor, SupervisorSpec, SupervisorStatus, Transition,
    TreeEnd,
};
use crate::{Class, Code, Error, Result};

/// A tree, seen from outside.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TreeView {
    /// The identifier of its root.
    pub name: String,
    /// The state of its root.
    pub state: State,
    /// The children of its root, counted; none while it does not live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Why it ended; none before its first end, and while it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<TreeEnd>,
}

/// A tree that was started while its kernel stopped has so long to stop again.
const START_UNDONE: Duration = Duration::from_secs(2);

/// The trees of a kernel, by the names of their roots.
pub(super) struct Trees {
    workers: Workers,
    trees: Mutex<BTreeMap<String, Supervisor>>,
    seed: u64,
}

impl Trees {
    pub(super) fn new(runtime: &Arc<dyn Runtime>, bus: &Bus, log: &Log, seed: u64) -> Self {
        let (bus, log) = (bus.clone(), log.clone());
        let on_poison =
            Arc::new(move |path: &str, poison: &Poison| tell_poison(&bus, &log, path, poison));
        let workers = Workers::new(Arc::clone(runtime), on_poison);
        Self { workers, trees: Mutex::default(), seed }
    }

    /// Whether this thread may wait for the stop of all: not when it runs a child of one of them.
    pub(super) fn may_stop_here(&self) -> Result<()> {
        match self.trees.lock().values().find_map(Supervisor::child_here) {
            None => Ok(()),
            Some(child) => {
                let message = "a child cannot wait for the stop of its kernel";
                Err(Error::new(Code::WOULD_DEADLOCK, message)
                    .operation("kernel.stop")
                    .with("child", child)
                    .advice("have another thread stop it, and return"))
            }
        }
    }

    /// What children do, by name.
    pub(super) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The tree that a path leads into.
    fn of(&self, path: &str) -> Result<Supervisor> {
        self.named(path.split('>').next().unwrap_or_default())
    }

    fn named(&self, root: &str) -> Result<Supervisor> {
        let trees = self.trees.lock();
        trees.get(root).cloned().ok_or_else(|| {
            let error = Error::new(Code::NOT_FOUND, "there is no tree of this name")
                .operation("kernel.supervise")
                .with("tree", root);
            match nearest(root, trees.keys().map(String::as_str)) {
                Some(near) => error.advice(format!("did you mean '{near}'?")),
                None => error,
            }
        })
    }
}

/// A tree as a component: it starts and stops with the kernel.
struct TreeComponent {
    name: String,
    tree: Supervisor,
}

impl Component for TreeComponent {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&self, _deadline: Moment) -> Result<()> {
        self.tree.start()
    }

    fn stop(&self, deadline: Moment) -> Result<()> {
        self.tree.stop(deadline)
    }

    fn health(&self) -> Health {
        match self.tree.state() {
            State::Running => Health::Healthy,
            state => Health::Failed(format!("its root is {}", state.name())),
        }
    }

    /// Every start of a child has a bound of its own.
    fn start_within(&self) -> Duration {
        Duration::from_secs(600)
    }

    /// And so has every stop.
    fn stop_within(&self) -> Duration {
        Duration::from_secs(600)
    }
}

impl Kernel {
    /// What the children of its trees do, by name: register it before the trees that need it.
    pub fn workers(&self) -> &Workers {
        self.shared.trees.workers()
    }

    /// Adds a tree of supervisors that starts and stops with the kernel; on a running one it is started
    /// here, and waited for. Its children do what is registered in [`workers`](Self::workers).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use sutazai_core::Result;
    /// use sutazai_core::kernel::Kernel;
    /// use sutazai_core::port::WorkerLife;
    /// use sutazai_core::recovery::supervise::{ChildSpec, State, Strategy, SupervisorSpec};
    ///
    /// let kernel = Kernel::builder().build()?;
    /// let poll = |life: &WorkerLife| -> Result<()> {
    ///     while !life.wait(Duration::from_millis(50)) { /* a round */ }
    ///     Ok(())
    /// };
    /// kernel.workers().add("poll", Arc::new(poll))?;
    /// let spec = SupervisorSpec::new(Strategy::OneForOne)
    ///     .child(ChildSpec::worker("mail").does("poll"))
    ///     .child(ChildSpec::worker("feeds").does("poll"));
    /// kernel.supervise("main", spec)?;
    /// kernel.start()?;
    /// assert_eq!(kernel.trees()[0].counts.unwrap().active, 2);
    /// kernel.stop(Duration::from_secs(1))?;
    /// # Ok::<(), sutazai_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::INVALID`] for every mistake of the specification, [`Code::NOT_FOUND`] for every worker
    /// that is not registered ([`Error::problems`]); [`Code::ALREADY_EXISTS`];
    /// [`Code::CHILD_START`] on a running kernel when a child does not start: the tree is not added
    /// then.
    pub fn supervise(&self, name: &str, spec: SupervisorSpec) -> Result<()> {
        spec.check()?;
        self.shared.trees.workers.check(&spec)?;
        let change = Change::deployment("recovery.tree_add", name);
        self.shared.changes(change, || self.shared.supervise(name, spec))
    }

    /// Starts a tree again that has ended: because it gave up, with its significant children, or because it
    /// was stopped. It begins with what its specification says; what its children had in their mailboxes is
    /// still there.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use sutazai_core::base::time::Moment;
    /// use sutazai_core::kernel::Kernel;
    /// use sutazai_core::port::WorkerLife;
    /// use sutazai_core::recovery::supervise::{ChildSpec, State, Strategy, SupervisorSpec};
    /// use sutazai_core::{Code, Error, Result};
    ///
    /// let kernel = Kernel::builder().build()?;
    /// let wait = |life: &WorkerLife| -> Result<()> {
    ///     while !life.wait(Duration::from_secs(60)) {}
    ///     Ok(())
    /// };
    /// kernel.workers().add("wait", Arc::new(wait))?;
    /// kernel.start()?;
    /// let spec = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::worker("wait"));
    /// kernel.supervise("main", spec)?;
    /// assert_eq!(kernel.start_tree("main").unwrap_err().code(), Code::INVALID);
    ///
    /// kernel.tree("main")?.stop(Moment::FAR)?;
    /// kernel.start_tree("main")?;
    /// assert_eq!(kernel.trees()[0].state, State::Running);
    /// # kernel.stop(Duration::from_secs(1))?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::NOT_RUNNING`] when the kernel does not run; [`Code::INVALID`] when the tree
    /// has not ended, with its state in the context; [`Code::CHILD_START`] when a child does not start: the
    /// tree has ended again then.
    pub fn start_tree(&self, name: &str) -> Result<()> {
        let shared = &self.shared;
        let tree = shared.trees.named(name)?;
        let not_running = || {
            Err(Error::new(Code::NOT_RUNNING, "a tree starts on a kernel that runs")
                .operation("kernel.supervise")
                .with("tree", name))
        };
        if shared.phase() != Phase::Running {
            return not_running();
        }
        shared.changes(Change::deployment("recovery.tree_start", name), || tree.start())?;
        if shared.phase() == Phase::Running {
            return Ok(());
        }
        // The kernel's stop may have come to the tree before it lived again.
        tree.stop(shared.runtime.now() + START_UNDONE)?;
        not_running()
    }

    /// Stops a tree and forgets it, with the messages of its children.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::WOULD_DEADLOCK`] on the thread of one of its children.
    pub fn remove_tree(&self, name: &str) -> Result<()> {
        let shared = &self.shared;
        let tree = shared.trees.named(name)?;
        if let Some(child) = tree.child_here() {
            return Err(Error::new(
                Code::WOULD_DEADLOCK,
                "a child cannot wait for the end of its tree",
            )
            .operation("kernel.supervise")
            .with("child", child)
            .advice("remove the tree from another thread, and return"));
        }
        let change = Change::deployment("recovery.tree_remove", name);
        let removed = shared.changes(change, || shared.lifecycle.remove(&component_of(name)));
        let gone = shared.trees.trees.lock().remove(name);
        drop(gone);
        shared.trees.workers.forget(name);
        removed
    }

    /// A tree, by the path of anything in it: to ask, or to start, stop and add children.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`].
    pub fn tree(&self, path: &str) -> Result<Supervisor> {
        self.shared.trees.of(path)
    }

    /// Adds a child behind the others of a supervisor, by its path, and starts it.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for the supervisor or for what the child does; and as [`Supervisor::ask`].
    /// [`Code::WOULD_DEADLOCK`] when it is a child that asks, and it is told to stop meanwhile.
    pub fn start_child(&self, supervisor: &str, child: ChildSpec) -> Result<()> {
        let tree = self.shared.trees.of(supervisor)?;
        self.shared.trees.workers.check_child(&child)?;
        let change = Change::deployment("recovery.child_start", supervisor);
        self.shared.changes(change, || tree.start_child(supervisor, child))
    }

    /// Stops a child and starts it again.
    ///
    /// # Errors
    /// As [`Supervisor::terminate_child`].
    pub fn restart_child(&self, path: &str) -> Result<()> {
        let change = Change::forced("recovery.child_restart", path);
        self.shared.changes(change, || self.shared.restart_child(path))
    }

    /// A supervisor by its path, and everything below it.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::NOT_RUNNING`] when it does not live.
    pub fn supervisor(&self, path: &str) -> Result<SupervisorStatus> {
        let tree = self.shared.trees.of(path)?;
        tree.supervisor(path).ok_or_else(|| {
            Error::new(Code::NOT_RUNNING, "no supervisor of this path lives")
                .operation("kernel.supervise")
                .with("supervisor", path)
                .with("root", tree.state().name())
        })
    }

    /// Puts a message behind the others of a child that does messages, and gives its number.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`], [`Code::OVERLOADED`] as [`Workers::push`]; [`Code::NOT_RUNNING`] when the tree
    /// has ended, with its kernel or by itself: nobody would do it.
    pub fn push_message(&self, child: &str, message: Payload) -> Result<MessageId> {
        let workers = &self.shared.trees.workers;
        workers.mailbox(child)?;
        let state = self.shared.trees.of(child)?.state();
        if matches!(state, State::Stopped | State::Removed) {
            return Err(Error::new(Code::NOT_RUNNING, "the child's tree has ended")
                .operation("kernel.supervise")
                .with("child", child)
                .advice("recovery.tree_list says why; recovery.tree_start starts it again"));
        }
        workers.push(child, message)
    }

    /// Its trees, sorted by name.
    pub fn trees(&self) -> Vec<TreeView> {
        let trees = self.shared.trees.trees.lock().clone();
        let view = |(name, tree): (String, Supervisor)| TreeView {
            state: tree.state(),
            counts: tree.counts(&name),
            why: tree.end(),
            name,
        };
        trees.into_iter().map(view).collect()
    }
}

impl Shared {
    /// As [`Kernel::supervise`]; what children do may be registered until they start.
    pub(super) fn supervise(self: &Arc<Self>, name: &str, spec: SupervisorSpec) -> Result<()> {
        let tree = Supervisor::new(
            Arc::clone(&self.runtime),
            name,
            spec,
            Arc::new(self.trees.workers.clone()),
            observer(self),
            self.trees.seed,
        )?;
        {
            let mut trees = self.trees.trees.lock();
            if trees.contains_key(name) {
                return Err(Error::new(Code::ALREADY_EXISTS, "there is a tree of this name")
                    .operation("kernel.supervise")
                    .with("tree", name));
            }
            trees.insert(name.to_owned(), tree.clone());
        }
        let component = TreeComponent { name: component_of(name), tree: tree.clone() };
        let mut added = self.lifecycle.add(Arc::new(component));
        if let Err(error) = &added {
            if error.code() == Code::COMPONENT_START {
                let _ = self.lifecycle.remove(&component_of(name));
            }
            if let Some(TreeEnd { cause: Cause::StartFailed { error }, .. }) = tree.end() {
                added = Err(error);
            }
            let gone = self.trees.trees.lock().remove(name);
            drop(gone);
            self.trees.workers.forget(name);
        }
        added
    }

    /// The tree that a path leads into.
    #[cfg(feature = "agent")]
    pub(super) fn tree_of(&self, path: &str) -> Result<Supervisor> {
        self.trees.of(path)
    }

    /// Whether there is a tree that a path leads into.
    pub(super) fn has_tree(&self, path: &str) -> Result<()> {
        self.trees.of(path).map(drop)
    }

    pub(super) fn restart_child(&self, path: &str) -> Result<()> {
        let tree = self.trees.of(path)?;
        match tree.terminate_child(path) {
            // It had ended by itself.
            Err(error) if error.code() == Code::INVALID => {}
            other => other?,
        }
        tree.restart_child(path)
    }
}

fn component_of(tree: &str) -> String {
    format!("tree:{tree}")
}

/// Makes events and records of the changes in a tree, which holds its kernel weakly.
fn observer(shared: &Arc<Shared>) -> crate::recovery::supervise::Observer {
    let weak: Weak<Shared> = Arc::downgrade(shared);
    Arc::new(move |change: &Transition| {
        let Some(shared) = weak.upgrade() else { return };
        #[cfg(feature = "agent")]
        shared.supervised_changed(change);
        let root = !change.path.contains('>');
        let level = match &change.cause {
            Cause::Intensity if root => Level::Error,
            cause if cause.is_failure() => Level::Warn,
            _ => Level::Debug,
        };
        publish(&shared.bus, shared.kept.log(), level, "recovery.tree.changed", change);
        if level == Level::Error {
            // There is nobody above it to start it again.
            let error = Error::new(Code::NOT_RUNNING, "a tree of supervisors has given up")
                .classed(Class::Critical)
                .with("tree", &change.path);
            shared.heal.failed(&error);
        }
    })
}

fn tell_poison(bus: &Bus, log: &Log, path: &str, poison: &Poison) {
    #[derive(Serialize)]
    struct Poisoned<'p> {
        child: &'p str,
        #[serde(flatten)]
        poison: &'p Poison,
    }
    publish(bus, log, Level::Error, "recovery.mailbox.poisoned", &Poisoned { child: path, poison });
}

fn publish(bus: &Bus, log: &Log, level: Level, subject: &'static str, what: &impl Serialize) {
    let event = Payload::json(what).unwrap_or_default();
    let fields = event.value().unwrap_or_default();
    let fields = fields.as_object().cloned().unwrap_or_default();
    log.record(level, "sutazai.recovery", subject, fields);
    // The subjects are well-formed.
    let _ = bus.publish(subject, event);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::runtime::Manual;
    use crate::recovery::supervise::Strategy;

    #[test]
    fn a_tree_that_does_not_start_leaves_nothing_behind() {
        let kernel = Kernel::builder().runtime(Arc::new(Manual::new())).build().unwrap();
        kernel.start().unwrap();
        let spec = || SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::worker("a"));
        // What the child does is not looked for here, and is missing when it starts.
        for _ in 0..2 {
            let error = kernel.shared.supervise("main", spec()).unwrap_err();
            assert_eq!(error.code(), Code::CHILD_START);
        }
        assert!(kernel.trees().is_empty());
        assert!(kernel.lifecycle().states().is_empty());
    }
}
