//! Dependency injection by name: `kernel.provide`, `kernel.get`, `kernel.scope`.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sutazai_core::base::error::Fixed;
use sutazai_core::kernel::inject::{Any, Lifetime, Provided, ProvidedScope};
use sutazai_core::{Code, Error, Result};

use crate::fork::Owned;
use crate::{argument, error, exit};

/// A Python object in the core's container.
struct Object(Py<PyAny>);

pub(crate) fn provide(
    py: Python<'_>,
    provided: &Provided,
    name: &str,
    needs: &[String],
    lifetime: Lifetime,
    factory: Py<PyAny>,
) -> PyResult<()> {
    let needs: Vec<_> = needs.iter().map(String::as_str).collect();
    provided
        .provide(name, &needs, lifetime, move |needs| build(&factory, &needs))
        .map_err(|error| error::raise(py, &error.operation("kernel.provide")))
}

pub(crate) fn get(py: Python<'_>, provided: &Provided, name: &str) -> PyResult<Py<PyAny>> {
    // Another thread may be building the value, and needs the GIL for it.
    let value = py.detach(|| provided.get(name));
    unwrap(py, value)
}

pub(crate) fn scope(py: Python<'_>, provided: &Provided) -> PyResult<Scope> {
    let scope = py.detach(|| provided.scope()).map_err(|error| error::raise(py, &error))?;
    Ok(Scope(Mutex::new(Some(Owned::new(Arc::new(scope))))))
}

fn build(factory: &Py<PyAny>, needs: &[Arc<Any>]) -> Result<Arc<Any>> {
    let built = exit::attach(|py| {
        let args: Vec<_> = needs
            .iter()
            .filter_map(|value| value.downcast_ref::<Object>())
            .map(|object| object.0.bind(py))
            .collect();
        let made = PyTuple::new(py, args).and_then(|args| exit::call(factory.bind(py), &args));
        made.map(Bound::unbind).map_err(|raised| error::from_raised(py, &raised, "factory"))
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
pub(crate) struct Scope(Mutex<Option<Owned<Arc<ProvidedScope>>>>);

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
        let value = py.detach(|| scope.get(name));
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

static CLOSED: Fixed = Fixed { code: Code::NOT_RUNNING, message: "the scope has been closed" };
