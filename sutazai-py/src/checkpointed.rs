//! State of Python's that is saved in checkpoints and restored from them.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sutazai_core::base::payload::Payload;
use sutazai_core::port::Checkpointed;
use sutazai_core::{Code, Error, Result};

use crate::heal::{Releases, stopped};
use crate::{convert, error, exit};

/// State that two Python callables save and put back.
pub(crate) struct PythonState {
    name: String,
    needs: Vec<String>,
    functions: Mutex<Option<Functions>>,
}

struct Functions {
    save: Py<PyAny>,
    restore: Py<PyAny>,
}

impl PythonState {
    pub(crate) fn new(
        name: String,
        needs: Vec<String>,
        save: Py<PyAny>,
        restore: Py<PyAny>,
    ) -> Self {
        Self { name, needs, functions: Mutex::new(Some(Functions { save, restore })) }
    }

    /// Calls one of the functions, with no lock held.
    fn call<T>(
        &self,
        which: impl Fn(&Functions) -> &Py<PyAny>,
        state: Option<&Payload>,
        read: impl FnOnce(&Bound<'_, PyAny>) -> Result<T>,
    ) -> Result<T> {
        let called = exit::attach(|py| {
            let function = match &*self.functions.lock() {
                Some(functions) => which(functions).clone_ref(py),
                None => return Err(stopped()),
            };
            let raised = |raised: PyErr| error::from_raised(py, &raised, "program");
            let state = state.map(|state| convert::to_python(py, state)).transpose();
            let args = PyTuple::new(py, state.map_err(raised)?).map_err(raised)?;
            read(&exit::call(function.bind(py), &args).map_err(raised)?)
        });
        called.unwrap_or_else(|| Err(stopped()))
    }
}

impl Releases for PythonState {
    fn release(&self) {
        let functions = self.functions.lock().take();
        drop(functions);
    }
}

impl Checkpointed for PythonState {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Vec<String> {
        self.needs.clone()
    }

    fn save(&self) -> Result<Payload> {
        self.call(
            |functions| &functions.save,
            None,
            |state| {
                convert::to_payload(state).map_err(|trouble| {
                    Error::new(Code::INVALID, "the state that was given has no JSON form")
                        .with("part", &self.name)
                        .with("reason", trouble.message())
                })
            },
        )
    }

    fn restore(&self, state: &Payload) -> Result<()> {
        self.call(|functions| &functions.restore, Some(state), |_| Ok(()))
    }
}
