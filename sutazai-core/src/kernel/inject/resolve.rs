//! Giving out values: the injector, its scopes, and the resolver that factories get.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

use super::cell::{Cells, Stop, Waits};
use super::check::Edges;
use super::container::{Index, Lifetime, Node, Source, Value};
use super::key::{Id, Key};
use super::{Any, DEPTH_LIMIT, explain};
use crate::base::contain;
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
    /// The nodes from the one that was asked for to the one whose factory runs, each a declared need
    /// of the one before it; and the resolver that was asked. `None` at the top.
    above: Option<(&'a [usize], &'a Resolver<'a>)>,
    /// Not for another thread: waiting is accounted to this one.
    here: PhantomData<*const ()>,
}

struct Inner {
    singletons: Cells,
    nodes: Vec<Node>,
    index: Index,
    edges: Edges,
    /// The cell of each node, among the singletons' or a scope's.
    slots: Box<[usize]>,
    scoped: usize,
    waits: Waits,
}

impl Injector {
    pub(super) fn new(nodes: Vec<Node>, index: Index, edges: Edges) -> Self {
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
        let (singletons, waits) = (Cells::new(singletons), Waits::default());
        Self(Arc::new(Inner { singletons, nodes, index, edges, slots, scoped, waits }))
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
    pub fn put_key<T: ?Sized + Send + Sync + 'static>(
        &self,
        key: &Key<T>,
        value: Arc<T>,
    ) -> Result<()> {
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
            None => Err(self.missing(&Id::of::<Any>(Some(name.into())))),
        }
    }

    fn resolve(&self, number: usize) -> Result<Value> {
        let source = &self.root.nodes[number].source;
        if let Source::Value(value) = source {
            return Ok(Arc::clone(value));
        }
        if let Some(value) = self.cell(number).and_then(|(cells, slot)| cells.get(slot)) {
            return Ok(Arc::clone(value));
        }
        let anew = matches!(source, Source::Factory(Lifetime::Transient, _));
        if anew && self.above().any(|(nodes, _)| nodes.contains(&number)) {
            return Err(self.cycle(&[number], Vec::new()));
        }
        if !self.root.edges.of(number).is_empty() {
            self.build_needs(number)?;
        }
        self.build(&[number])
    }

    /// Builds what a node declares to need, and what that needs, deepest first, in one stack frame
    /// however deep the graph is. It ends, because `seal` found no circle among declared needs.
    fn build_needs(&self, number: usize) -> Result<()> {
        let mut path = vec![number];
        let mut next = vec![0_usize];
        while let (Some(number), Some(at)) = (path.last(), next.last_mut()) {
            if let Some(need) = self.root.edges.of(*number).get(*at) {
                *at += 1;
                let Some(need) = *need else { continue };
                if self.cell(need).is_some_and(|(cells, slot)| cells.get(slot).is_none()) {
                    path.push(need);
                    next.push(0);
                }
                continue;
            }
            if path.len() > 1 {
                self.build(&path)?;
            }
            path.pop();
            next.pop();
        }
        Ok(())
    }

    /// The value of the last node of `path`, built unless another thread is at it.
    fn build(&self, path: &[usize]) -> Result<Value> {
        let Some(&number) = path.last() else { return Err(no_such_node()) };
        let singleton = match &self.root.nodes[number].source {
            Source::Value(value) => return Ok(Arc::clone(value)),
            Source::Factory(Lifetime::Transient, _) => return self.run(path, self.scope),
            Source::Factory(Lifetime::Scoped, _) => false,
            Source::Factory(Lifetime::Singleton, _) => true,
        };
        let (cells, slot) = self.cell(number).ok_or_else(|| self.no_scope(path))?;
        // A singleton outlives every scope, so its factory sees none.
        let scope = if singleton { None } else { self.scope };
        let make = || self.run(path, scope);
        cells.get_or_fill(slot, &self.root.waits, || self.path_to(path), make).map_err(|stop| {
            match stop {
                Stop::Failed(error) => error,
                Stop::Shared(error) => explain::shared(self.show(&self.path_to(path)), &error),
                Stop::Circle(others) => self.cycle(path, others),
            }
        })
    }

    /// Runs the factory of the last node of `path`, no deeper in the stack than the limit allows.
    fn run(&self, path: &[usize], scope: Option<&Cells>) -> Result<Value> {
        let Some(node) = path.last().and_then(|number| self.root.nodes.get(*number)) else {
            return Err(no_such_node());
        };
        let Source::Factory(_, factory) = &node.source else { return Err(no_such_node()) };
        let Some(_depth) = Depth::enter() else {
            let shown = self.show(&self.path_to(path));
            return Err(explain::too_deep(&node.id, &shown, DEPTH_LIMIT));
        };
        let below =
            Resolver { root: self.root, scope, above: Some((path, self)), here: PhantomData };
        // A factory is foreign code. Nothing of ours is half-changed while it runs.
        let made = contain::run("the factory panicked", || factory(&below)).flatten();
        made.map_err(|cause| explain::failed(&node.id, || self.show(&self.path_to(path)), cause))
    }

    /// Where a node's value is kept: `None` for what is not kept, and for a scoped one where there
    /// is no scope.
    fn cell(&self, number: usize) -> Option<(&Cells, usize)> {
        let cells = match &self.root.nodes[number].source {
            Source::Value(_) | Source::Factory(Lifetime::Transient, _) => None,
            Source::Factory(Lifetime::Singleton, _) => Some(&self.root.singletons),
            Source::Factory(Lifetime::Scoped, _) => self.scope,
        };
        cells.map(|cells| (cells, self.root.slots[number]))
    }

    /// The resolvers on the way up, each with the nodes that led to it, innermost first.
    fn above(&self) -> impl Iterator<Item = (&[usize], &Resolver<'_>)> {
        std::iter::successors(self.above, |(_, resolver)| resolver.above)
    }

    /// The nodes from the one first asked for to the last of `nodes`.
    fn path_to(&self, nodes: &[usize]) -> Vec<usize> {
        let mut parts: Vec<&[usize]> = self.above().map(|(nodes, _)| nodes).collect();
        parts.reverse();
        parts.push(nodes);
        parts.concat()
    }

    fn show(&self, path: &[usize]) -> String {
        explain::path(path.iter().map(|number| &self.root.nodes[*number].id))
    }

    fn missing(&self, id: &Id) -> Error {
        let path = self.path_to(&[]);
        let way = path.iter().map(|number| &self.root.nodes[*number].id);
        explain::missing(id, &explain::path(way.chain([id])), &self.root.nodes)
            .operation("inject.get")
    }

    fn no_scope(&self, path: &[usize]) -> Error {
        let path = self.path_to(path);
        let id = path.last().map(|number| &self.root.nodes[*number].id);
        explain::no_scope(id, &self.show(&path)).operation("inject.get")
    }

    /// The cycle that the last of `path` closes, by way of other threads' paths when there are any.
    fn cycle(&self, path: &[usize], others: Vec<Vec<usize>>) -> Error {
        let mut path = self.path_to(path);
        for other in others {
            let from = path.last().copied();
            let joint = other.iter().position(|node| Some(*node) == from);
            path.extend(other.into_iter().skip(joint.map_or(0, |at| at + 1)));
        }
        let end = path.last().copied();
        let begin = path.iter().position(|node| Some(*node) == end).unwrap_or(0);
        let circle = self.show(&path[begin..]);
        let id = end.map(|number| &self.root.nodes[number].id);
        explain::cycle(id, &circle).operation("inject.get")
    }
}

impl std::fmt::Debug for Resolver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("path", &self.show(&self.path_to(&[]))).finish()
    }
}

fn typed<T: ?Sized + 'static>(value: &Value) -> Result<Arc<T>> {
    value
        .downcast_ref::<Arc<T>>()
        .cloned()
        .ok_or_else(|| Error::new(Code::INTERNAL, "a value has another type than its key"))
}

fn no_such_node() -> Error {
    Error::new(Code::INTERNAL, "the graph has no such factory")
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
