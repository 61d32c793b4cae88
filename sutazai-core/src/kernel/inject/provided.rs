//! What a host provides by name while its program goes on: open, then sealed, then closed.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Any, Container, Injector, Key, Lifetime, Resolver, Scope};
use crate::base::error::Fixed;
use crate::{Code, Error, Result};

/// Values of a host's own, by name: the form of dependency injection for languages without Rust's
/// types. [`Kernel::provided`](crate::kernel::Kernel::provided) has one. Cheap to clone; clones are
/// the same values.
///
/// It is *open* at first: a program goes on providing after its kernel was built. The start of the
/// kernel, or the first value or scope that is asked for, *seals* it; a graph that is refused then
/// stays open, so that what it lacks can still be provided. The stop of the kernel *closes* it: the
/// values are let go of, in the reverse order of their building, but for those that somebody still
/// holds.
///
/// No lock is held while a factory runs, or a factory or a value is dropped.
///
/// ```
/// use std::sync::Arc;
/// use sutazai_core::kernel::inject::{Lifetime, Provided};
///
/// let provided = Provided::new();
/// provided.provide("sum", &["base"], Lifetime::Transient, |needs| {
///     let base = needs.iter().find_map(|need| need.downcast_ref::<u32>()).copied();
///     Ok(Arc::new(base.unwrap_or(0) + 1))
/// })?;
/// provided.provide("base", &[], Lifetime::Singleton, |_| Ok(Arc::new(20_u32)))?;
/// assert_eq!(provided.get("sum")?.downcast_ref(), Some(&21_u32));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Provided(Arc<Mutex<State>>);

enum State {
    Open(Container),
    Sealed(Injector),
    Closed,
}

impl Default for State {
    fn default() -> Self {
        Self::Open(Container::new())
    }
}

/// A [`Scope`] of what is [`Provided`]. It keeps its values, and those they may use, until it is
/// dropped; from when the kernel has stopped it gives out none.
pub struct ProvidedScope {
    scope: Scope,
    provided: Provided,
}

impl Provided {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Provides a value by name. `factory` gets the values that `needs` names, in that order; what
    /// is needed may be provided later. It runs on the thread that asks for the value; what is not a
    /// singleton may be built on several at once.
    ///
    /// # Errors
    /// [`Code::INVALID`] without a name, [`Code::ALREADY_EXISTS`] for one that is taken,
    /// [`Code::NOT_RUNNING`] once this is sealed or closed.
    pub fn provide(
        &self,
        name: &str,
        needs: &[&str],
        lifetime: Lifetime,
        factory: impl Fn(Vec<Arc<Any>>) -> Result<Arc<Any>> + Send + Sync + 'static,
    ) -> Result<()> {
        // Before the lock, so that one that is refused is dropped after it.
        let factory = gathering(needs, factory);
        let mut state = self.0.lock();
        let refusal = match &mut *state {
            State::Open(_) if name.is_empty() => {
                Error::new(Code::INVALID, "a value without a name cannot be asked for")
            }
            State::Open(container) if container.provides(&Key::<Any>::named(name)) => {
                Error::new(Code::ALREADY_EXISTS, format!("\"{name}\" is provided already"))
            }
            State::Open(container) => {
                container.provide_named(name, needs, lifetime, factory);
                return Ok(());
            }
            State::Sealed(_) => Error::from(&SEALED),
            State::Closed => Error::from(&CLOSED),
        };
        Err(refusal.operation("inject.provide"))
    }

    /// The value of this name; the first that is asked for seals.
    ///
    /// # Errors
    /// What [`Container::check`] finds in the graph, what [`Injector::get`] says of the value, and
    /// [`Code::NOT_RUNNING`] once this is closed.
    pub fn get(&self, name: &str) -> Result<Arc<Any>> {
        self.injector()?.get_named(name)
    }

    /// Opens a scope; the first one seals.
    ///
    /// # Errors
    /// What [`Container::check`] finds in the graph; [`Code::NOT_RUNNING`] once this is closed.
    pub fn scope(&self) -> Result<ProvidedScope> {
        Ok(ProvidedScope { scope: self.injector()?.scope(), provided: self.clone() })
    }

    /// Checks the graph; from here on nothing more is provided.
    pub(in crate::kernel) fn seal(&self) -> Result<()> {
        self.injector().map(drop)
    }

    /// Lets go of the values, and of whatever would build more. Closing again does nothing.
    pub(in crate::kernel) fn close(&self) {
        let state = std::mem::replace(&mut *self.0.lock(), State::Closed);
        drop(state);
    }

    fn injector(&self) -> Result<Injector> {
        let mut state = self.0.lock();
        let injector = match &mut *state {
            State::Sealed(injector) => return Ok(injector.clone()),
            State::Closed => return Err(Error::from(&CLOSED).operation("inject.get")),
            State::Open(container) => container.seal_or_keep()?,
        };
        *state = State::Sealed(injector.clone());
        Ok(injector)
    }
}

impl std::fmt::Debug for Provided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.0.lock() {
            State::Open(container) => f.debug_tuple("Open").field(container).finish(),
            State::Sealed(injector) => f.debug_tuple("Sealed").field(injector).finish(),
            State::Closed => f.write_str("Closed"),
        }
    }
}

impl ProvidedScope {
    /// The value of this name: this scope's if it is scoped.
    ///
    /// # Errors
    /// As [`Provided::get`].
    pub fn get(&self, name: &str) -> Result<Arc<Any>> {
        if matches!(*self.provided.0.lock(), State::Closed) {
            return Err(Error::from(&CLOSED).operation("inject.get"));
        }
        self.scope.get_named(name)
    }
}

impl std::fmt::Debug for ProvidedScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.scope.fmt(f)
    }
}

/// A factory that asks for its needs itself.
fn gathering(
    needs: &[&str],
    factory: impl Fn(Vec<Arc<Any>>) -> Result<Arc<Any>> + Send + Sync + 'static,
) -> impl Fn(&Resolver<'_>) -> Result<Arc<Any>> + Send + Sync + 'static {
    let needs: Vec<Box<str>> = needs.iter().map(|need| Box::from(*need)).collect();
    move |resolver| {
        factory(needs.iter().map(|need| resolver.get_named(need)).collect::<Result<_>>()?)
    }
}

static SEALED: Fixed = Fixed {
    code: Code::NOT_RUNNING,
    message: "nothing more can be provided once the kernel has started or a value was asked for",
};
static CLOSED: Fixed =
    Fixed { code: Code::NOT_RUNNING, message: "the kernel's values are gone: it has been stopped" };

#[cfg(test)]
mod tests {
    use super::*;

    type Story = Arc<Mutex<Vec<&'static str>>>;

    /// Tells when it is dropped, and asks for something then: with the lock held that would never
    /// end.
    struct Noisy(&'static str, Provided, Story);

    impl Drop for Noisy {
        fn drop(&mut self) {
            assert!(self.1.get("nothing").is_err());
            self.2.lock().push(self.0);
        }
    }

    fn noisy(
        provided: &Provided,
        name: &'static str,
        needs: &[&str],
        lifetime: Lifetime,
        story: &Story,
    ) {
        let (own, story) = (provided.clone(), Arc::clone(story));
        let made = move |_| Ok(Arc::new(Noisy(name, own.clone(), Arc::clone(&story))) as Arc<Any>);
        provided.provide(name, needs, lifetime, made).unwrap();
    }

    fn is<T>(result: Result<T>, code: Code) -> Error {
        let error = result.err().unwrap();
        assert_eq!(error.code(), code, "{error}");
        error
    }

    #[test]
    fn it_is_open_then_sealed_then_closed() {
        let provided = Provided::new();
        let one = |_| Ok(Arc::new(1_u8) as Arc<Any>);
        provided.provide("one", &[], Lifetime::Singleton, one).unwrap();
        is(provided.provide("one", &[], Lifetime::Singleton, one), Code::ALREADY_EXISTS);
        is(provided.provide("", &[], Lifetime::Singleton, one), Code::INVALID);
        assert_eq!(provided.get("one").unwrap().downcast_ref(), Some(&1_u8));
        is(provided.get("two"), Code::INJECT_MISSING);
        is(provided.provide("two", &[], Lifetime::Singleton, one), Code::NOT_RUNNING);
        let scope = provided.scope().unwrap();
        assert!(Arc::ptr_eq(&scope.get("one").unwrap(), &provided.get("one").unwrap()));
        provided.close();
        provided.close();
        is(provided.get("one"), Code::NOT_RUNNING);
        is(provided.scope(), Code::NOT_RUNNING);
        is(scope.get("one"), Code::NOT_RUNNING);
        is(provided.provide("two", &[], Lifetime::Singleton, one), Code::NOT_RUNNING);
        is(provided.seal(), Code::NOT_RUNNING);
    }

    #[test]
    fn what_a_refused_graph_lacks_can_still_be_provided() {
        let provided = Provided::new();
        let sum = |needs: Vec<Arc<Any>>| {
            let parts = needs.iter().filter_map(|need| need.downcast_ref::<u32>());
            Ok(Arc::new(parts.fold(0, |sum, part| sum * 10 + part)) as Arc<Any>)
        };
        provided.provide("sum", &["one", "two"], Lifetime::Singleton, sum).unwrap();
        provided.provide("one", &[], Lifetime::Singleton, |_| Ok(Arc::new(1_u32))).unwrap();
        let error = is(provided.seal(), Code::INJECT_MISSING);
        assert!(error.to_string().contains("\"sum\" → \"two\""), "{error}");
        is(provided.scope(), Code::INJECT_MISSING);
        provided.provide("two", &[], Lifetime::Singleton, |_| Ok(Arc::new(2_u32))).unwrap();
        assert_eq!(provided.get("sum").unwrap().downcast_ref(), Some(&12_u32));
    }

    #[test]
    fn closing_lets_go_in_reverse_without_a_lock() {
        let (provided, story) = (Provided::new(), Story::default());
        noisy(&provided, "a", &[], Lifetime::Singleton, &story);
        noisy(&provided, "b", &["a"], Lifetime::Singleton, &story);
        noisy(&provided, "c", &["b"], Lifetime::Singleton, &story);
        let kept = provided.get("b").unwrap();
        provided.get("c").unwrap();
        provided.close();
        assert_eq!(*story.lock(), ["c", "a"]);
        drop(kept);
        assert_eq!(*story.lock(), ["c", "a", "b"]);
    }

    #[test]
    fn a_scope_keeps_what_its_values_may_use() {
        let (provided, story) = (Provided::new(), Story::default());
        noisy(&provided, "root", &[], Lifetime::Singleton, &story);
        noisy(&provided, "leaf", &["root"], Lifetime::Scoped, &story);
        let scope = provided.scope().unwrap();
        scope.get("leaf").unwrap();
        provided.close();
        assert!(story.lock().is_empty());
        drop(scope);
        assert_eq!(*story.lock(), ["leaf", "root"]);
    }

    #[test]
    fn a_factory_that_is_refused_is_dropped_without_a_lock() {
        let (provided, story) = (Provided::new(), Story::default());
        noisy(&provided, "a", &[], Lifetime::Singleton, &story);
        let held = Noisy("refused", provided.clone(), Arc::clone(&story));
        let refused = move |_| {
            let _all_of = &held;
            Ok(Arc::new(()) as Arc<Any>)
        };
        is(provided.provide("a", &[], Lifetime::Transient, refused), Code::ALREADY_EXISTS);
        assert_eq!(*story.lock(), ["refused"]);
    }
}
