//! Dependency injection by name: `kernel.provide`, `kernel.get`, `kernel.scope`.
//!
//! A host's values have a container of their own, sealed when the kernel starts or the first value is
//! asked for: a Python program goes on providing after its kernel was built.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sutazai_core::base::error::Fixed;
use sutazai_core::kernel::inject::{self, Any, Container, Injector, Lifetime, Resolver};
use sutazai_core::{Code, Error, Result};

use crate::fork::Owned;
use crate::{argument, error, exit};

/// What a Python program provides.
#[derive(Default)]
pub(crate) struct Provided(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Empty,
    Open(Container),
    Sealed(Injector),
    /// The kernel has stopped; the values are gone.
    Closed,
}

/// A Python object in the core's container.
struct Object(Py<PyAny>);

impl Provided {
    pub(crate) fn provide(
        &self,
        name: &str,
        needs: Vec<String>,
        lifetime: Lifetime,
        factory: Py<PyAny>,
    ) -> Result<()> {
        let mut state = self.0.lock();
        if matches!(*state, State::Empty) {
            *state = State::Open(Container::new());
        }
        let State::Open(container) = &mut *state else { return Err((&SEALED).into()) };
        let names: Vec<_> = needs.iter().map(String::as_str).collect();
        let wanted = needs.clone();
        container.provide_named(name, &names, lifetime, move |resolver| {
            build(&factory, &wanted, resolver)
        });
        Ok(())
    }

    /// Checks the graph; from here on nothing more is provided.
    pub(crate) fn seal(&self) -> Result<()> {
        self.injector().map(drop)
    }

    pub(crate) fn get(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        // Another thread may be building the value, and needs the GIL for it.
        let value = py.detach(|| self.injector()?.get_named(name));
        unwrap(py, value)
    }

    pub(crate) fn scope(&self) -> Result<Scope> {
        Ok(Scope(Mutex::new(Some(Owned::new(Arc::new(self.injector()?.scope()))))))
    }

    /// Lets go of the values, in the reverse order of their building.
    pub(crate) fn close(&self) {
        let state = std::mem::replace(&mut *self.0.lock(), State::Closed);
        drop(state);
    }

    fn injector(&self) -> Result<Injector> {
        let mut state = self.0.lock();
        let container = match &mut *state {
            State::Sealed(injector) => return Ok(injector.clone()),
            State::Closed => return Err((&CLOSED).into()),
            State::Empty => Container::new(),
            State::Open(container) => std::mem::take(container),
        };
        // What a refused graph held is gone: its factories were foreign, but nothing was built.
        let injector = container.seal()?;
        *state = State::Sealed(injector.clone());
        Ok(injector)
    }
}

fn build(factory: &Py<PyAny>, needs: &[String], resolver: &Resolver<'_>) -> Result<Arc<Any>> {
    let found: Vec<_> = needs.iter().map(|need| resolver.get_named(need)).collect::<Result<_>>()?;
    let built = exit::attach(|py| {
        let args: Vec<_> = found
            .iter()
            .filter_map(|value| value.downcast_ref::<Object>())
            .map(|object| object.0.bind(py))
            .collect();
        let made = PyTuple::new(py, args).and_then(|args| exit::call(factory.bind(py), &args));
        made.map(Bound::unbind).map_err(|raised| error::from_raised(py, &raised))
    });
    match built {
        Some(built) => Ok(Arc::new(Object(built?))),
        None => Err(Error::new(Code::NOT_RUNNING, "the Python interpreter is exiting")),
    }
}

fn unwrap(py: Python<'_>, value: Result<Arc<Any>>) -> PyResult<Py<PyAny>> {
    let value = value.map_err(|error| error::raise(py, &error))?;
    let object = value.downcast_ref::<Object>().ok_or_else(|| {
        error::raise(py, &Error::new(Code::INTERNAL, "the value is not a Python object"))
    })?;
    Ok(object.0.clone_ref(py))
}

/// A scope: values provided with `scope="scoped"` live as long as it.
#[pyclass(frozen, module = "sutazai", name = "Scope")]
pub(crate) struct Scope(Mutex<Option<Owned<Arc<inject::Scope>>>>);

#[pymethods]
impl Scope {
    /// The value of this name.
    fn get(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let name = argument::text("name", name)?;
        let scope = match &*self.0.lock() {
            Some(scope) => scope.get().cloned(),
            None => Err((&CLOSED).into()),
        };
        let scope = scope.map_err(|error| error::raise(py, &error))?;
        let value = py.detach(|| scope.get_named(name));
        unwrap(py, value)
    }

    /// Lets go of the scope's values.
    fn close(&self) {
        let scope = self.0.lock().take();
        drop(scope);
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (_type=None, _value=None, _traceback=None))]
    fn __exit__(
        &self,
        _type: Option<Py<PyAny>>,
        _value: Option<Py<PyAny>>,
        _traceback: Option<Py<PyAny>>,
    ) {
        self.close();
    }
}

static SEALED: Fixed = Fixed {
    code: Code::NOT_RUNNING,
    message: "nothing more can be provided once the kernel has started or a value was asked for",
};
static CLOSED: Fixed =
    Fixed { code: Code::NOT_RUNNING, message: "the kernel's values are gone: it has been stopped" };
