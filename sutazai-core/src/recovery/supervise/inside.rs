//! Which children's code the present thread runs, so that none waits for its own end.
//!
//! A child that waits for something that waits for the child is found out in three ways. What would have to
//! end it is refused before it is begun. So is, while its start or stop runs, what needs a supervisor above
//! it, which does nothing else meanwhile. And when it is told to stop while it waits for one, it is answered.
//!
//! That belongs to the thread. Threads that a child starts are not known here, with one exception: a host
//! that waits for an operation on the pool ([`waiting`]) takes it along.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Weak};

use super::driver::Shared;
use crate::port::{ChildLife, Generation};
use crate::{Code, Error, Result};

/// A child whose code runs.
#[derive(Clone)]
pub(super) struct Inside {
    tree: Weak<Shared>,
    path: Arc<str>,
    generation: Generation,
    /// Its start or stop runs: the supervisors above it wait for that.
    busy: bool,
}

thread_local! {
    /// The innermost last.
    static INSIDE: RefCell<Vec<Inside>> = const { RefCell::new(Vec::new()) };
    static WAITS: Cell<bool> = const { Cell::new(false) };
}

impl Inside {
    /// The start or stop of a life.
    pub(super) fn busy(tree: &Arc<Shared>, life: &ChildLife) -> Self {
        let (path, generation) = (Arc::clone(&life.path), life.generation);
        Self { tree: Arc::downgrade(tree), path, generation, busy: true }
    }

    /// What the innermost child of this thread does on threads of its own.
    pub(super) fn here() -> Option<Self> {
        let inner = look(|all| all.last().cloned()).flatten();
        inner.map(|inside| Self { busy: false, ..inside })
    }

    /// The children of a tree whose code runs on this thread.
    pub(super) fn of(tree: &Arc<Shared>) -> Vec<Self> {
        let here = |inside: &&Self| inside.tree.as_ptr() == Arc::as_ptr(tree);
        look(|all| all.iter().filter(here).cloned().collect()).unwrap_or_default()
    }

    pub(super) fn path(&self) -> &Arc<str> {
        &self.path
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// For one that would wait for its own end.
    pub(super) fn own_end(&self) -> Error {
        Error::new(Code::WOULD_DEADLOCK, "a child cannot wait for its own end")
            .operation("supervise.ask")
            .with("child", &self.path)
            .advice("return, or fail to be started again; or ask from another thread")
    }

    /// An error when it must not wait until everything at this path has ended.
    pub(super) fn may_end(&self, path: &str) -> Result<()> {
        match self.path.strip_prefix(path) {
            Some(rest) if rest.is_empty() || rest.starts_with('>') => Err(self.own_end()),
            _ => Ok(()),
        }
    }

    /// Whether a supervisor is above it.
    pub(super) fn is_below(&self, supervisor: &str) -> bool {
        self.path.strip_prefix(supervisor).is_some_and(|rest| rest.starts_with('>'))
    }

    /// An error when it must not wait for a supervisor.
    pub(super) fn may_ask(&self, supervisor: &str) -> Result<()> {
        if self.busy && self.is_below(supervisor) {
            let message = "the supervisor waits for the start or stop of the child that asks it";
            return Err(Error::new(Code::WOULD_DEADLOCK, message)
                .operation("supervise.ask")
                .with("child", &self.path)
                .advice("ask when it has started, or from another thread"));
        }
        Ok(())
    }
}

/// For a child that waits for a supervisor above it although, or when, it is told to stop.
pub(super) fn told_to_stop() -> Error {
    Error::new(Code::WOULD_DEADLOCK, "the child that waits for this is told to stop")
        .operation("supervise.ask")
        .advice("return; what was asked for may be done all the same")
}

/// None on a thread that has ended its thread-locals: no child's code runs there any more.
fn look<R>(f: impl FnOnce(&Vec<Inside>) -> R) -> Option<R> {
    INSIDE.try_with(|all| f(&all.borrow())).ok()
}

/// Runs `f` as code of a child.
pub(super) fn within<R>(inside: impl IntoIterator<Item = Inside>, f: impl FnOnce() -> R) -> R {
    struct Restored(usize, bool);
    impl Drop for Restored {
        fn drop(&mut self) {
            WAITS.set(self.1);
            let gone = INSIDE.with_borrow_mut(|all| all.split_off(self.0.min(all.len())));
            drop(gone);
        }
    }
    let _restored = INSIDE.with_borrow_mut(|all| {
        let before = Restored(all.len(), WAITS.replace(false));
        all.extend(inside);
        before
    });
    f()
}

/// Runs `f`, which begins something that this thread waits for next.
pub(crate) fn waiting<R>(f: impl FnOnce() -> R) -> R {
    struct Restored(bool);
    impl Drop for Restored {
        fn drop(&mut self) {
            WAITS.set(self.0);
        }
    }
    let _restored = Restored(WAITS.replace(true));
    f()
}

/// The children whose thread waits for work that another does.
pub(crate) struct Carried(Vec<Inside>);

/// What the present thread's work takes along to the thread that does it.
pub(crate) fn carried() -> Carried {
    Carried(if WAITS.get() { look(Vec::clone).unwrap_or_default() } else { Vec::new() })
}

impl Carried {
    /// Runs `f` as code of those who wait for it.
    pub(crate) fn run<R>(self, f: impl FnOnce() -> R) -> R {
        within(self.0, f)
    }
}
