//! What supervised children do, written in Python: loops, and handlers of messages.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sutazai_core::port::{MessageWorker, Worker, WorkerLife, WorkerMessage};
use sutazai_core::{Code, Error, Result};

use crate::heal::Releases;
use crate::{argument, convert, error, exit};

/// A function of a worker; it gets a life of its child, or a message.
pub(crate) struct PythonWorker {
    /// Gone once the kernel has stopped.
    function: Mutex<Option<Py<PyAny>>>,
}

impl PythonWorker {
    pub(crate) fn new(function: Py<PyAny>) -> Self {
        Self { function: Mutex::new(Some(function)) }
    }

    fn call(
        &self,
        args: impl for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyTuple>>,
    ) -> Result<()> {
        let called = exit::attach(|py| {
            let Some(function) = self.function.lock().as_ref().map(|f| f.clone_ref(py)) else {
                return Err(stopped());
            };
            let raised = |raised: PyErr| error::from_raised(py, &raised, "worker");
            let args = args(py).map_err(raised)?;
            exit::call(function.bind(py), &args).map(drop).map_err(raised)
        });
        called.unwrap_or_else(|| Err(stopped()))
    }
}

impl Releases for PythonWorker {
    fn release(&self) {
        let function = self.function.lock().take();
        drop(function);
    }
}

impl Worker for PythonWorker {
    fn run(&self, life: &WorkerLife) -> Result<()> {
        self.call(|py| PyTuple::new(py, [Life { life: life.clone() }.into_pyobject(py)?]))
    }
}

impl MessageWorker for PythonWorker {
    fn handle(&self, message: &WorkerMessage<'_>) -> Result<()> {
        self.call(|py| PyTuple::new(py, [convert::to_python(py, message.body)?]))
    }
}

/// One life of a loop.
#[pyclass(frozen, name = "WorkerLife", module = "sutazai")]
pub(crate) struct Life {
    life: WorkerLife,
}

#[pymethods]
impl Life {
    #[getter]
    fn child(&self) -> &str {
        &self.life.life().path
    }

    #[getter]
    fn stopping(&self) -> bool {
        self.life.stopping()
    }

    #[pyo3(signature = (timeout))]
    fn wait(&self, py: Python<'_>, timeout: &Bound<'_, PyAny>) -> PyResult<bool> {
        let pause = argument::duration("timeout", timeout)?;
        let life = self.life.clone();
        Ok(py.detach(move || life.wait(pause)))
    }

    fn __repr__(&self) -> String {
        format!("<sutazai.WorkerLife {:?}>", self.child())
    }
}

fn stopped() -> Error {
    Error::new(Code::NOT_RUNNING, "the kernel has been stopped, or the interpreter is exiting")
}
