//! What healing does that is written in Python: actions of playbooks, and stages of the safe state.

use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use serde_json::Value;
use sutazai_core::base::payload::Payload;
use sutazai_core::port::playbook::would;
use sutazai_core::port::{ActionContext, FailsafeStage, PlaybookAction, SafeContext};
use sutazai_core::{Code, Error, Result};

use crate::{convert, error, exit};

/// Functions of Python's that a kernel holds, until it has stopped.
pub(crate) trait Releases: Send + Sync {
    /// Lets go of the functions, so that what they hold on to can be collected.
    fn release(&self);
}

/// An action whose work is a Python callable. It gets the fields of `sutazai.ActionContext`.
pub(crate) struct PythonAction {
    name: String,
    schema: Value,
    functions: Mutex<Option<Functions>>,
}

struct Functions {
    run: Py<PyAny>,
    /// Says what `run` would do.
    dry_run: Option<Py<PyAny>>,
}

impl PythonAction {
    pub(crate) fn new(
        name: String,
        schema: Value,
        run: Py<PyAny>,
        dry_run: Option<Py<PyAny>>,
    ) -> Self {
        Self { name, schema, functions: Mutex::new(Some(Functions { run, dry_run })) }
    }
}

impl Releases for PythonAction {
    fn release(&self) {
        let functions = self.functions.lock().take();
        drop(functions);
    }
}

impl PlaybookAction for PythonAction {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> Value {
        self.schema.clone()
    }

    fn run(&self, context: &ActionContext<'_>, params: &Payload, dry: bool) -> Result<Payload> {
        let called = exit::attach(|py| {
            let function = match &*self.functions.lock() {
                Some(functions) if dry => functions.dry_run.as_ref().map(|f| f.clone_ref(py)),
                Some(functions) => Some(functions.run.clone_ref(py)),
                None => return Err(stopped()),
            };
            let Some(function) = function else { return Ok(would(&self.name, params)) };
            let raised = |raised: PyErr| error::from_raised(py, &raised, "action");
            let args = (
                &self.name,
                convert::to_python(py, params).map_err(raised)?,
                context.playbook,
                context.entry,
                convert::to_python(py, context.trigger).map_err(raised)?,
                context.at.to_string(),
            );
            let args = args.into_pyobject(py).map_err(raised)?;
            let value = exit::call(function.bind(py), &args).map_err(raised)?;
            convert::to_payload(&value).map_err(|trouble| {
                Error::new(Code::INVALID, "what the action gave has no JSON form")
                    .with("reason", trouble.message())
            })
        });
        called.unwrap_or_else(|| Err(stopped()))
    }
}

/// A stage whose work is a Python callable. It gets the fields of `sutazai.SafeContext`.
pub(crate) struct PythonStage {
    name: String,
    within: Duration,
    function: Mutex<Option<Py<PyAny>>>,
}

impl PythonStage {
    pub(crate) fn new(name: String, within: Duration, function: Py<PyAny>) -> Self {
        Self { name, within, function: Mutex::new(Some(function)) }
    }
}

impl Releases for PythonStage {
    fn release(&self) {
        let function = self.function.lock().take();
        drop(function);
    }
}

impl FailsafeStage for PythonStage {
    fn name(&self) -> &str {
        &self.name
    }

    fn within(&self) -> Duration {
        self.within
    }

    fn run(&self, context: &SafeContext<'_>) -> Result<()> {
        let called = exit::attach(|py| {
            let function = match &*self.function.lock() {
                Some(function) => function.clone_ref(py),
                None => return Err(stopped()),
            };
            let raised = |raised: PyErr| error::from_raised(py, &raised, "stage");
            let within = context.within.as_secs_f64();
            let args = (&self.name, context.trigger, context.reason, within);
            let args = args.into_pyobject(py).map_err(raised)?;
            exit::call(function.bind(py), &args).map(drop).map_err(raised)
        });
        called.unwrap_or_else(|| Err(stopped()))
    }
}

pub(crate) fn stopped() -> Error {
    Error::new(Code::NOT_RUNNING, "the kernel has been stopped, or the interpreter is exiting")
}
