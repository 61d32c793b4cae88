//! Steps of sagas written in Python: a function that does it, and one that undoes it.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use sutazai_core::base::payload::Payload;
use sutazai_core::port::{SagaContext, SagaStep};
use sutazai_core::{Code, Error, Result};

use crate::heal::Releases;
use crate::{convert, error, exit};

/// A step whose action and compensation are Python callables. They get the fields of
/// `sutazai.SagaContext`; a compensation, before them, what the action gave.
pub(crate) struct PythonStep {
    /// `(do, undo)`; gone once the kernel has stopped.
    functions: Mutex<Option<(Py<PyAny>, Py<PyAny>)>>,
}

impl PythonStep {
    pub(crate) fn new(act: Py<PyAny>, undo: Py<PyAny>) -> Self {
        Self { functions: Mutex::new(Some((act, undo))) }
    }

    fn call(&self, ctx: &SagaContext<'_>, undone: Option<Option<&Payload>>) -> Result<Payload> {
        let called = exit::attach(|py| {
            let function = match (&*self.functions.lock(), undone.is_some()) {
                (Some((act, _)), false) => act.clone_ref(py),
                (Some((_, undo)), true) => undo.clone_ref(py),
                (None, _) => return Err(stopped()),
            };
            let raised = |raised: PyErr| error::from_raised(py, &raised, "step");
            let args = args(py, ctx, undone).map_err(raised)?;
            let value = exit::call(function.bind(py), &args).map_err(raised)?;
            if undone.is_some() {
                return Ok(Payload::NULL);
            }
            convert::to_payload(&value).map_err(|trouble| {
                Error::new(Code::INVALID, "what the step gave has no JSON form")
                    .with("reason", trouble.message())
            })
        });
        called.unwrap_or_else(|| Err(stopped()))
    }
}

impl Releases for PythonStep {
    fn release(&self) {
        let functions = self.functions.lock().take();
        drop(functions);
    }
}

impl SagaStep for PythonStep {
    fn act(&self, ctx: &SagaContext<'_>) -> Result<Payload> {
        self.call(ctx, None)
    }

    fn undo(&self, ctx: &SagaContext<'_>, gave: Option<&Payload>) -> Result<()> {
        self.call(ctx, Some(gave)).map(drop)
    }
}

fn args<'py>(
    py: Python<'py>,
    ctx: &SagaContext<'_>,
    undone: Option<Option<&Payload>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let gave = PyDict::new(py);
    for (name, payload) in ctx.gave {
        gave.set_item(&**name, convert::to_python(py, payload)?)?;
    }
    let mut args = Vec::with_capacity(8);
    if let Some(result) = undone {
        args.push(match result {
            Some(payload) => convert::to_python(py, payload)?,
            None => py.None().into_bound(py),
        });
    }
    for text in [ctx.saga, ctx.name, ctx.step, ctx.key] {
        args.push(text.into_pyobject(py)?.into_any());
    }
    args.push(ctx.attempt.into_pyobject(py)?.into_any());
    args.push(convert::to_python(py, ctx.input)?);
    args.push(gave.into_any());
    PyTuple::new(py, args)
}

fn stopped() -> Error {
    Error::new(Code::NOT_RUNNING, "the kernel has been stopped, or the interpreter is exiting")
}
