//! The builder: what is provided, how long it lives, and what it says it needs.

use std::any::TypeId;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use super::Any;
use super::check::{self, Edges};
use super::key::{Id, Key};
use super::resolve::{Injector, Resolver};
use crate::{Code, Error, Result};

/// Collects what is provided. [`seal`](Container::seal) checks it and turns it into an
/// [`Injector`]; nothing is built before it is asked for.
#[derive(Default)]
pub struct Container {
    pub(super) nodes: Vec<Node>,
    pub(super) index: Index,
    mistakes: Vec<Error>,
}

/// How long a provided value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifetime {
    /// Built once, when first asked for; lives as long as the injector.
    Singleton,
    /// Built once in each [`Scope`](super::Scope) that asks for it; lives as long as the scope.
    Scoped,
    /// Built anew each time it is asked for.
    Transient,
}

impl Container {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to provide a `T`; `T` may be a trait object. The verbs of [`Provide`] end it.
    pub fn provide<T: ?Sized + Send + Sync + 'static>(&mut self) -> Provide<'_, T> {
        self.provide_key(Key::new())
    }

    /// Begins to provide what `key` asks for.
    pub fn provide_key<T: ?Sized + Send + Sync + 'static>(
        &mut self,
        key: Key<T>,
    ) -> Provide<'_, T> {
        let id = key.id().clone();
        Provide { container: self, id, needs: Vec::new(), replaces: false, of: PhantomData }
    }

    /// Provides a value of the host's own under a name, with the names of what its factory asks
    /// for: the form that languages without Rust's types use.
    /// [`Injector::get_named`](super::Injector::get_named) gives it out.
    pub fn provide_named(
        &mut self,
        name: impl Into<Arc<str>>,
        needs: &[&str],
        lifetime: Lifetime,
        factory: impl Fn(&Resolver<'_>) -> Result<Arc<Any>> + Send + Sync + 'static,
    ) {
        let mut provide = self.provide_key(Key::<Any>::named(name));
        for need in needs {
            provide = provide.needs_key(&Key::<Any>::named(*need));
        }
        provide.build(lifetime, factory);
    }

    /// Whether something is provided for `key` so far.
    pub fn provides<T: ?Sized + 'static>(&self, key: &Key<T>) -> bool {
        self.index.find(key.id()).is_some()
    }

    /// How many values are provided so far.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing is provided yet.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Everything that is wrong with the declared graph, without building anything: what is
    /// provided twice ([`Code::ALREADY_EXISTS`]), needed but not provided
    /// ([`Code::INJECT_MISSING`]), needed by itself ([`Code::INJECT_CYCLE`]), and singletons that
    /// would keep a scoped value beyond its scope ([`Code::INJECT_SCOPE`]).
    pub fn check(&self) -> Vec<Error> {
        self.checked(&Edges::new(self))
    }

    /// Checks the graph and closes it.
    ///
    /// # Errors
    /// The first finding of [`check`](Self::check); [`Error::problems`] has all of them.
    pub fn seal(mut self) -> Result<Injector> {
        self.seal_or_keep()
    }

    /// As [`seal`](Self::seal); one that is refused keeps all that it holds, one that is sealed is
    /// empty afterwards.
    pub(super) fn seal_or_keep(&mut self) -> Result<Injector> {
        let edges = Edges::new(self);
        match Error::join(self.checked(&edges)) {
            Some(error) => Err(error),
            None => {
                let Self { nodes, index, .. } = std::mem::take(self);
                Ok(Injector::new(nodes, index, edges))
            }
        }
    }

    fn checked(&self, edges: &Edges) -> Vec<Error> {
        let mut errors = self.mistakes.clone();
        errors.extend(check::graph(&self.nodes, edges));
        errors
    }

    fn insert(&mut self, node: Node, replaces: bool) {
        let number = self.nodes.len();
        match self.index.insert(&node.id, number) {
            None => self.nodes.push(node),
            Some(there) if replaces => {
                if let Some(old) = self.nodes.get_mut(there) {
                    *old = node;
                }
            }
            Some(_) => self.mistakes.push(
                Error::new(Code::ALREADY_EXISTS, format!("{} is provided twice", node.id))
                    .operation("inject.seal")
                    .advice("remove one of the two, name one of them, or mark the later one as replacing"),
            ),
        }
    }
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.nodes.iter().map(|node| node.id.to_string())).finish()
    }
}

/// A value on its way into a [`Container`]: name it, say what it needs, then end with one of
/// [`value`](Self::value), [`singleton`](Self::singleton), [`scoped`](Self::scoped),
/// [`from_scope`](Self::from_scope), [`transient`](Self::transient).
#[must_use = "nothing is provided until `value`, `singleton`, `scoped`, `from_scope` or `transient`"]
pub struct Provide<'c, T: ?Sized> {
    container: &'c mut Container,
    id: Id,
    needs: Vec<Id>,
    replaces: bool,
    of: PhantomData<fn() -> Box<T>>,
}

impl<T: ?Sized + Send + Sync + 'static> Provide<'_, T> {
    /// Gives it a name, so that several `T` can be provided.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.id.name = Some(name.into());
        self
    }

    /// Declares that the factory asks for an `A`, which is then built before the factory runs (not
    /// if it is built anew each time). Declaring is optional: it is what lets [`Container::check`]
    /// see the graph, and a graph of any depth be built. What is not declared is caught when it is
    /// resolved.
    pub fn needs<A: ?Sized + 'static>(mut self) -> Self {
        self.needs.push(Id::of::<A>(None));
        self
    }

    /// Declares that the factory asks for this key.
    pub fn needs_key<A: ?Sized + 'static>(mut self, key: &Key<A>) -> Self {
        self.needs.push(key.id().clone());
        self
    }

    /// Takes the place of one that is provided already, instead of being a mistake.
    pub fn replacing(mut self) -> Self {
        self.replaces = true;
        self
    }

    /// Provides this value.
    pub fn value(self, value: Arc<T>) {
        self.insert(Source::Value(Arc::new(value)));
    }

    /// Provides what `factory` builds once, when first asked for. A factory that fails may be
    /// asked again.
    pub fn singleton(
        self,
        factory: impl Fn(&Resolver<'_>) -> Result<Arc<T>> + Send + Sync + 'static,
    ) {
        self.build(Lifetime::Singleton, factory);
    }

    /// Provides what `factory` builds once in each scope that asks for it.
    pub fn scoped(self, factory: impl Fn(&Resolver<'_>) -> Result<Arc<T>> + Send + Sync + 'static) {
        self.build(Lifetime::Scoped, factory);
    }

    /// Says that whoever opens a scope brings the value, with [`Scope::put`](super::Scope::put).
    pub fn from_scope(self) {
        let id = self.id.clone();
        self.scoped(move |_| {
            Err(Error::new(Code::INJECT_MISSING, format!("the scope was not given its {id}"))
                .advice("call `Scope::put` before anything asks for it"))
        });
    }

    /// Provides what `factory` builds anew each time.
    pub fn transient(
        self,
        factory: impl Fn(&Resolver<'_>) -> Result<Arc<T>> + Send + Sync + 'static,
    ) {
        self.build(Lifetime::Transient, factory);
    }

    fn build(
        self,
        lifetime: Lifetime,
        factory: impl Fn(&Resolver<'_>) -> Result<Arc<T>> + Send + Sync + 'static,
    ) {
        let factory: Factory = Box::new(move |resolver| Ok(Arc::new(factory(resolver)?) as Value));
        self.insert(Source::Factory(lifetime, factory));
    }

    fn insert(self, source: Source) {
        self.container.insert(Node { id: self.id, needs: self.needs, source }, self.replaces);
    }
}

/// An `Arc<T>`, whose `T` may be unsized, behind one that `Any` can look into.
pub(super) type Value = Arc<Any>;
pub(super) type Factory = Box<dyn Fn(&Resolver<'_>) -> Result<Value> + Send + Sync>;

pub(super) struct Node {
    pub(super) id: Id,
    pub(super) needs: Vec<Id>,
    pub(super) source: Source,
}

pub(super) enum Source {
    Value(Value),
    Factory(Lifetime, Factory),
}

/// Numbers of nodes by type, then by name; two levels so that no look-up has to own its name.
#[derive(Default)]
pub(super) struct Index {
    plain: HashMap<TypeId, usize, BuildHasherDefault<TypeIdHasher>>,
    named: HashMap<TypeId, HashMap<Arc<str>, usize>, BuildHasherDefault<TypeIdHasher>>,
}

impl Index {
    pub(super) fn find(&self, id: &Id) -> Option<usize> {
        match &id.name {
            None => self.plain.get(&id.kind).copied(),
            Some(name) => self.named.get(&id.kind)?.get(name.as_ref()).copied(),
        }
    }

    pub(super) fn find_plain<T: ?Sized + 'static>(&self) -> Option<usize> {
        self.plain.get(&TypeId::of::<T>()).copied()
    }

    pub(super) fn find_named<T: ?Sized + 'static>(&self, name: &str) -> Option<usize> {
        self.named.get(&TypeId::of::<T>())?.get(name).copied()
    }

    /// The number that stands there already, if any; it stays.
    fn insert(&mut self, id: &Id, number: usize) -> Option<usize> {
        let there = match &id.name {
            None => match self.plain.entry(id.kind) {
                Entry::Occupied(there) => *there.get(),
                Entry::Vacant(free) => *free.insert(number),
            },
            Some(name) => {
                *self.named.entry(id.kind).or_default().entry(name.clone()).or_insert(number)
            }
        };
        (there != number).then_some(there)
    }
}

/// A `TypeId` is a hash already.
#[derive(Default)]
pub(super) struct TypeIdHasher(u64);

impl Hasher for TypeIdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        // `TypeId` hashes itself with one `write_u64`; this is for a standard library that does not.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
