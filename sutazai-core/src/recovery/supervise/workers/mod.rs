//! What the children of trees do, by name: a registry from which supervisors make their workers.
//!
//! A host registers what can be done ([`Workers::add`], [`Workers::add_messages`]), and a
//! [`ChildSpec`] names it. A child that does messages has a [`Mailbox`] under its path, which outlives it.
//!
//! ```
//! use std::sync::Arc;
//! use sutazai_core::Result;
//! use sutazai_core::base::payload::Payload;
//! use sutazai_core::base::runtime::Manual;
//! use sutazai_core::base::time::Moment;
//! use sutazai_core::port::WorkerMessage;
//! use sutazai_core::recovery::supervise::{ChildSpec, Strategy, Supervisor, SupervisorSpec};
//! use sutazai_core::recovery::supervise::{mailbox::MailboxPolicy, workers::Workers};
//!
//! let runtime = Arc::new(Manual::new());
//! let workers = Workers::new(runtime.clone(), Arc::new(|_, _| ()));
//! let print = |message: &WorkerMessage<'_>| -> Result<()> { Ok(println!("{:?}", message.body)) };
//! workers.add_messages("print", MailboxPolicy::default(), Arc::new(print))?;
//!
//! let spec = SupervisorSpec::new(Strategy::OneForOne)
//!     .child(ChildSpec::worker("first").does("print"));
//! workers.check(&spec)?;
//! let observer = Arc::new(|_: &_| ());
//! let children = Arc::new(workers.clone());
//! let main = Supervisor::new(runtime.clone(), "main", spec, children, observer, 0)?;
//! main.start()?;
//! workers.push("main>first", Payload::from("hello"))?;
//! runtime.run();
//! assert_eq!(workers.mailbox("main>first").unwrap().status().done, 1);
//! # main.stop(Moment::FAR)?;
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod looped;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use self::looped::Looped;
use super::mailbox::{Fate, Mailbox, MailboxPolicy, MailboxWorker, MessageId, Poison};
use super::spec::{ChildSpec, SupervisorSpec};
use crate::base::nearest::nearest;
use crate::base::payload::Payload;
use crate::base::runtime::Runtime;
use crate::port::{Child, ChildLife, Children, MessageWorker, Worker, WorkerMessage};
use crate::{Code, Error, Result};

/// Hears of a message that is set aside, with the path of the child.
pub type OnPoison = Arc<dyn Fn(&str, &Poison) + Send + Sync>;

/// What children do, by name. Cheap to clone; clones are the same registry.
#[derive(Clone)]
pub struct Workers(Arc<Inner>);

struct Inner {
    runtime: Arc<dyn Runtime>,
    on_poison: OnPoison,
    kinds: RwLock<HashMap<String, Kind>>,
    /// By the path of the child.
    mailboxes: Mutex<BTreeMap<Arc<str>, Mailbox<Payload>>>,
}

#[derive(Clone)]
enum Kind {
    Made(Arc<dyn Children>),
    Loop(Arc<dyn Worker>),
    Messages(MailboxPolicy, Arc<dyn MessageWorker>),
}

/// A name has at most so many bytes.
const LONGEST_NAME: usize = 256;

impl Workers {
    /// An empty registry; its workers run on this runtime.
    pub fn new(runtime: Arc<dyn Runtime>, on_poison: OnPoison) -> Self {
        let (kinds, mailboxes) = (RwLock::default(), Mutex::default());
        Self(Arc::new(Inner { runtime, on_poison, kinds, mailboxes }))
    }

    /// Registers a loop. Each life of a child that does it has a thread of its own.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`]; [`Code::INVALID`] for a name that is empty or longer than 256 bytes.
    pub fn add(&self, name: &str, worker: Arc<dyn Worker>) -> Result<()> {
        self.register(name, Kind::Loop(worker))
    }

    /// Registers what is done with messages. Each child that does it has a mailbox of its own, and a thread
    /// of its own while there is something to do.
    ///
    /// # Errors
    /// As [`add`](Self::add); what [`MailboxPolicy::check`] says.
    pub fn add_messages(
        &self,
        name: &str,
        policy: MailboxPolicy,
        worker: Arc<dyn MessageWorker>,
    ) -> Result<()> {
        policy.check().map_err(|error| error.with("worker", name))?;
        self.register(name, Kind::Messages(policy, worker))
    }

    /// Registers what makes its children itself.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_children(&self, name: &str, children: Arc<dyn Children>) -> Result<()> {
        self.register(name, Kind::Made(children))
    }

    /// Forgets what is registered under this name; children that do it live on, and are not started again.
    pub fn remove(&self, name: &str) {
        let gone = self.0.kinds.write().remove(name);
        drop(gone);
    }

    fn register(&self, name: &str, kind: Kind) -> Result<()> {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(Error::new(Code::INVALID, "a worker's name has 1 to 256 bytes")
                .operation("supervise.worker"));
        }
        let mut kinds = self.0.kinds.write();
        if kinds.contains_key(name) {
            return Err(Error::new(Code::ALREADY_EXISTS, "there is a worker of this name")
                .operation("supervise.worker")
                .with("worker", name));
        }
        kinds.insert(name.to_owned(), kind);
        Ok(())
    }

    /// The names of what is registered, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.kinds.read().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Whether everything that the children of a tree do is registered.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for each that is not, with the child.
    pub fn check(&self, spec: &SupervisorSpec) -> Result<()> {
        let mut problems = Vec::new();
        spec.children.iter().for_each(|child| self.missing(child, &mut problems));
        Error::join(problems).map_or(Ok(()), Err)
    }

    /// As [`check`](Self::check), for a child and those below it.
    ///
    /// # Errors
    /// The same.
    pub fn check_child(&self, child: &ChildSpec) -> Result<()> {
        let mut problems = Vec::new();
        self.missing(child, &mut problems);
        Error::join(problems).map_or(Ok(()), Err)
    }

    fn missing(&self, child: &ChildSpec, problems: &mut Vec<Error>) {
        if let Some(below) = &child.supervisor {
            below.children.iter().for_each(|child| self.missing(child, problems));
        } else if let Err(error) = self.kind(child.what()) {
            problems.push(error.with("child", &child.id));
        }
    }

    fn kind(&self, name: &str) -> Result<Kind> {
        let kinds = self.0.kinds.read();
        kinds.get(name).cloned().ok_or_else(|| {
            let error = Error::new(Code::NOT_FOUND, "no worker of this name is registered")
                .operation("supervise")
                .with("worker", name);
            match nearest(name, kinds.keys().map(String::as_str)) {
                Some(near) => error.advice(format!("did you mean '{near}'?")),
                None => error.advice("register it before the tree"),
            }
        })
    }

    /// Puts a message behind the others of a child that does messages.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is no such child, or it has not been started yet;
    /// [`Code::OVERLOADED`] when its mailbox is full.
    pub fn push(&self, path: &str, message: Payload) -> Result<MessageId> {
        match self.mailbox(path)?.push(message) {
            Ok(accepted) => Ok(accepted.id),
            Err(rejected) => Err(rejected.error.with("child", path)),
        }
    }

    /// The mailbox of a child.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is no such child, or it has not been started yet.
    pub fn mailbox(&self, path: &str) -> Result<Mailbox<Payload>> {
        let mailboxes = self.0.mailboxes.lock();
        mailboxes.get(path).cloned().ok_or_else(|| {
            let error = Error::new(Code::NOT_FOUND, "no child of this path has a mailbox")
                .operation("supervise.mailbox")
                .with("child", path);
            match nearest(path, mailboxes.keys().map(|path| &**path)) {
                Some(near) => error.advice(format!("did you mean '{near}'?")),
                None => error,
            }
        })
    }

    /// Forgets the mailboxes of a child or tree that is gone, and what is in them.
    pub fn forget(&self, path: &str) {
        let below = format!("{path}>");
        let gone = |at: &Arc<str>| **at == *path || at.starts_with(&below);
        let mut mailboxes = self.0.mailboxes.lock();
        let paths: Vec<_> = mailboxes.keys().filter(|at| gone(at)).cloned().collect();
        let forgotten: Vec<_> = paths.iter().filter_map(|at| mailboxes.remove(at)).collect();
        drop(mailboxes);
        drop(forgotten);
    }

    fn mailbox_for(&self, path: &Arc<str>, policy: MailboxPolicy) -> Mailbox<Payload> {
        let mut mailboxes = self.0.mailboxes.lock();
        let make = || {
            let (path, told) = (Arc::clone(path), Arc::clone(&self.0.on_poison));
            Mailbox::with(
                policy,
                Arc::new(move |fate: Fate<'_, Payload>| {
                    if let Fate::SetAside(poison, _) = fate {
                        told(&path, poison);
                    }
                }),
            )
        };
        mailboxes.entry(Arc::clone(path)).or_insert_with(make).clone()
    }
}

impl Children for Workers {
    fn child(&self, life: &ChildLife) -> Result<Arc<dyn Child>> {
        let runtime = Arc::clone(&self.0.runtime);
        match self.kind(&life.does)? {
            Kind::Made(children) => children.child(life),
            Kind::Loop(worker) => Ok(Arc::new(Looped::new(worker, life.clone(), runtime))),
            Kind::Messages(policy, worker) => {
                let mailbox = self.mailbox_for(&life.path, policy);
                let own = life.clone();
                let work = Arc::new(move |message: &super::mailbox::Message<Payload>| {
                    let message =
                        WorkerMessage::new(&own, message.id, message.kills, &message.body);
                    worker.handle(&message)
                });
                Ok(Arc::new(MailboxWorker::apart(mailbox, runtime, life, work)))
            }
        }
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("names", &self.names()).finish_non_exhaustive()
    }
}
