//! Giving out values: the injector, its scopes, and the resolver that factories get.

use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::cell::{Cells, Stop, Waits};
use super::container::{Index, Lifetime, Node, Source, Value};
use super::key::{Id, Key};
use super::{Any, DEPTH_LIMIT, explain};
use crate::{Code, Error, Result};

/// Gives out what a [`Container`](super::Container) provides. Cheap to clone; the singletons live
/// as long as the last clone and the last scope.
#[derive(Clone)]
pub struct Injector(Arc<Inner>);

/// The values of one call (or of whatever else is opened and closed): each scoped value is built at
/// most once in it, and dropped with it, in the reverse order of building.
pub struct Scope {
    // Declared first: the scope's values go before the singletons that they may use.
    cells: Cells,
    root: Arc<Inner>,
}

/// What a factory asks for its needs; valid during the factory's call and on its thread only.
///
/// A resolver remembers the path of factories that led to it. A factory that asks an [`Injector`]
/// it captured instead loses the path, not the safety: a cycle is still an error.
pub struct Resolver<'a> {
    root: &'a Inner,
    scope: Option<&'a Cells>,
    /// The node whose factory runs, and the resolver that its own need was asked of.
    above: Option<(usize, &'a Resolver<'a>)>,
    /// Not for another thread: waiting is accounted to this one.
    here: PhantomData<*const ()>,
}

struct Inner {
    singletons: Cells,
    nodes: Vec<Node>,
    index: Index,
    /// The cell of each node, among the singletons' or a scope's.
    slots: Box<[usize]>,
    scoped: usize,
    waits: Waits,
}

impl Injector {
    pub(super) fn new(nodes: Vec<Node>, index: Index) -> Self {
        let (mut singletons, mut scoped) = (0, 0);
        let slots = nodes
            .iter()
            .map(|node| {
                let count = match node.source {
                    Source::Factory(Lifetime::Singleton, _) => &mut singletons,
                    Source::Factory(Lifetime::Scoped, _) => &mut scoped,
                    Source::Value(_) | Source::Factory(Lifetime::Transient, _) => return 0,
                };
                *count += 1;
                *count - 1
            })
            .collect();
        let waits = Waits::default();
        Self(Arc::new(Inner { singletons: Cells::new(singletons), nodes, index, slots, scoped, waits }))
    }

    /// The `T` that is provided without a name.
    ///
    /// # Errors
    /// [`Code::INJECT_MISSING`], [`Code::INJECT_CYCLE`], [`Code::INJECT_SCOPE`] (it is scoped, or
    /// needs something that is), [`Code::INJECT_FAILED`] with the factory's error as its source.
    /// While another thread builds the value, this one waits.
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Result<Arc<T>> {
        self.resolver().get()
    }

    /// What `key` asks for. Errors as [`get`](Self::get).
    pub fn get_key<T: ?Sized + Send + Sync + 'static>(&self, key: &Key<T>) -> Result<Arc<T>> {
        self.resolver().get_key(key)
    }

    /// What a host provided under this name. Errors as [`get`](Self::get).
    pub fn get_named(&self, name: &str) -> Result<Arc<Any>> {
        self.resolver().get_named(name)
    }

    /// Opens a scope. Costs one allocation, none when nothing scoped is provided.
    pub fn scope(&self) -> Scope {
        Scope { cells: Cells::new(self.0.scoped), root: Arc::clone(&self.0) }
    }

    fn resolver(&self) -> Resolver<'_> {
        Resolver { root: &self.0, scope: None, above: None, here: PhantomData }
    }
}

impl std::fmt::Debug for Injector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.nodes.iter().map(|node| node.id.to_string())).finish()
    }
}

impl Scope {
    /// The `T` that is provided without a name: this scope's if it is scoped. Errors as
    /// [`Injector::get`].
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Result<Arc<T>> {
        self.resolver().get()
    }

    /// What `key` asks for. Errors as [`Injector::get`].
    pub fn get_key<T: ?Sized + Send + Sync + 'static>(&self, key: &Key<T>) -> Result<Arc<T>> {
        self.resolver().get_key(key)
    }

    /// What a host provided under this name. Errors as [`Injector::get`].
    pub fn get_named(&self, name: &str) -> Result<Arc<Any>> {
        self.resolver().get_named(name)
    }

    /// Gives the scope its value of a scoped `T`, instead of the one its factory would build.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] when the scope has one; [`Code::INJECT_MISSING`] when nothing is
    /// provided for `T`, [`Code::INJECT_SCOPE`] when what is provided is not scoped.
    pub fn put<T: ?Sized + Send + Sync + 'static>(&self, value: Arc<T>) -> Result<()> {
        self.put_key(&Key::new(), value)
    }

    /// Gives the scope its value for a key. Errors as [`put`](Self::put).
    pub fn put_key<T: ?Sized + Send + Sync + 'static>(&self, key: &Key<T>, value: Arc<T>) -> Result<()> {
        let id = key.id();
        let number = self.root.index.find(id).ok_or_else(|| {
            explain::missing(id, &id.to_string(), &self.root.nodes).operation("inject.put")
        })?;
        if !matches!(self.root.nodes[number].source, Source::Factory(Lifetime::Scoped, _)) {
            return Err(Error::new(Code::INJECT_SCOPE, format!("{id} is not scoped"))
                .operation("inject.put")
                .advice("provide it with `scoped` or `from_scope`"));
        }
        self.cells.put(self.root.slots[number], Arc::new(value)).map_err(|_| {
            Error::new(Code::ALREADY_EXISTS, format!("the scope has its {id} already"))
                .operation("inject.put")
        })
    }

    fn resolver(&self) -> Resolver<'_> {
        Resolver { root: &self.root, scope: Some(&self.cells), above: None, here: PhantomData }
    }
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

impl Resolver<'_> {
    /// The `T` that is provided without a name. Errors as [`Injector::get`].
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Result<Arc<T>> {
        match self.root.index.find_plain::<T>() {
            Some(number) => typed(&self.resolve(number)?),
            None => Err(self.missing(&Id::of::<T>(None))),
        }
    }

    /// What `key` asks for. Errors as [`Injector::get`].
    pub fn get_key<T: ?Sized + Send + Sync + 'static>(&self, key: &Key<T>) -> Result<Arc<T>> {
        match self.root.index.find(key.id()) {
            Some(number) => typed(&self.resolve(number)?),
            None => Err(self.missing(key.id())),
        }
    }

    /// What a host provided under this name. Errors as [`Injector::get`].
    pub fn get_named(&self, name: &str) -> Result<Arc<Any>> {
        match self.root.index.find_named::<Any>(name) {
            Some(number) => typed(&self.resolve(number)?),
            None => Err(self.missing(&Id::of::<Any>(Some(name.to_owned().into())))),
        }
    }

    fn resolve(&self, number: usize) -> Result<Value> {
        let root = self.root;
        let node = &root.nodes[number];
        let slot = root.slots[number];
        let (cells, scope) = match &node.source {
            Source::Value(value) => return Ok(Arc::clone(value)),
            Source::Factory(Lifetime::Singleton, _) => (&root.singletons, None),
            Source::Factory(Lifetime::Transient, _) => {
                if self.above().any(|(above, _)| above == number) {
                    return Err(self.cycle(number, Vec::new()));
                }
                return self.run(number, self.scope).map_err(|e| self.failed(number, e));
            }
            Source::Factory(Lifetime::Scoped, _) => {
                let cells = self.scope.ok_or_else(|| self.no_scope(number))?;
                (cells, self.scope)
            }
        };
        if let Some(value) = cells.get(slot) {
            return Ok(Arc::clone(value));
        }
        let path = || self.path_to(number);
        // The error of an attempt is worded before waiting threads share it.
        let make = || self.run(number, scope).map_err(|e| self.failed(number, e));
        cells.get_or_fill(slot, &root.waits, path, make).map_err(|stop| match stop {
            Stop::Failed(error) => error,
            Stop::Shared(error) => explain::shared(self.show(&self.path_to(number)), &error),
            Stop::Circle(others) => self.cycle(number, others),
        })
    }

    /// Runs a node's factory, as deep in the stack as the limit allows.
    fn run(&self, number: usize, scope: Option<&Cells>) -> Result<Value> {
        let Source::Factory(_, factory) = &self.root.nodes[number].source else {
            return Err(Error::new(Code::INTERNAL, "a value has no factory"));
        };
        let _depth = Depth::enter().ok_or_else(|| {
            explain::too_deep(
                &self.root.nodes[number].id,
                &self.show(&self.path_to(number)),
                DEPTH_LIMIT,
            )
        })?;
        let below =
            Resolver { root: self.root, scope, above: Some((number, self)), here: PhantomData };
        // A factory is foreign code. Nothing of ours is half-changed while it runs.
        catch_unwind(AssertUnwindSafe(|| factory(&below))).unwrap_or_else(|panic| {
            Err(Error::new(Code::PANIC, "the factory panicked").with("panic", panic_text(&*panic)))
        })
    }

    /// The nodes whose factories run, outermost first.
    fn path(&self) -> Vec<usize> {
        let mut path: Vec<usize> = self.above().map(|(number, _)| number).collect();
        path.reverse();
        path
    }

    /// The nodes whose factories run, innermost first.
    fn above(&self) -> impl Iterator<Item = (usize, &Resolver<'_>)> {
        std::iter::successors(self.above, |(_, resolver)| resolver.above)
    }

    fn path_to(&self, number: usize) -> Vec<usize> {
        let mut path = self.path();
        path.push(number);
        path
    }

    fn show(&self, path: &[usize]) -> String {
        explain::path(path.iter().map(|number| &self.root.nodes[*number].id))
    }

    fn missing(&self, id: &Id) -> Error {
        let path = self.path();
        let way = path.iter().map(|number| &self.root.nodes[*number].id);
        explain::missing(id, &explain::path(way.chain([id])), &self.root.nodes)
            .operation("inject.get")
    }

    fn failed(&self, number: usize, cause: Error) -> Error {
        let id = &self.root.nodes[number].id;
        explain::failed(id, || self.show(&self.path_to(number)), cause)
    }

    fn no_scope(&self, number: usize) -> Error {
        let path = self.show(&self.path_to(number));
        explain::no_scope(&self.root.nodes[number].id, &path).operation("inject.get")
    }

    /// The cycle that `number` closes, by way of other threads' paths when there are any.
    fn cycle(&self, number: usize, others: Vec<Vec<usize>>) -> Error {
        let mut path = self.path_to(number);
        for other in others {
            let from = path.last().copied();
            let joint = other.iter().position(|node| Some(*node) == from);
            path.extend(other.into_iter().skip(joint.map_or(0, |at| at + 1)));
        }
        let end = path.last().copied();
        let begin = path.iter().position(|node| Some(*node) == end).unwrap_or(0);
        let circle = self.show(&path[begin..]);
        let id = &self.root.nodes[end.unwrap_or(number)].id;
        explain::cycle(id, &circle).operation("inject.get")
    }
}

impl std::fmt::Debug for Resolver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("path", &self.show(&self.path())).finish()
    }
}

fn typed<T: ?Sized + 'static>(value: &Value) -> Result<Arc<T>> {
    value
        .downcast_ref::<Arc<T>>()
        .cloned()
        .ok_or_else(|| Error::new(Code::INTERNAL, "a value has another type than its key"))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "not a text".to_owned()
    }
}

/// One factory on the current thread's stack.
struct Depth;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

impl Depth {
    fn enter() -> Option<Self> {
        DEPTH.with(|depth| {
            let now = depth.get();
            (now < DEPTH_LIMIT).then(|| {
                depth.set(now + 1);
                Self
            })
        })
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}

#[cfg(test)]
impl Injector {
    /// Whether some thread waits for another's factory.
    pub(super) fn awaited(&self) -> bool {
        self.0.waits.any()
    }
}
