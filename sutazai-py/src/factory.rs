//! Factories of agents, written in Python.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use sutazai_core::base::runtime::Runtime;
use sutazai_core::port::{Agent, AgentFactory, AgentOrder};
use sutazai_core::{Code, Error, Result};

use crate::agent::PythonAgent;
use crate::heal::Releases;
use crate::{convert, error, exit};

/// Makes agents of what a Python callable gives: it is called with an order, and answers with what
/// `Kernel._add_agent` takes.
pub(crate) struct PythonFactory {
    runtime: Arc<dyn Runtime>,
    /// Gone once the kernel has stopped.
    make: Mutex<Option<Py<PyAny>>>,
    made: Mutex<Vec<Weak<PythonAgent>>>,
}

impl PythonFactory {
    pub(crate) fn new(runtime: Arc<dyn Runtime>, make: Py<PyAny>) -> Self {
        Self { runtime, make: Mutex::new(Some(make)), made: Mutex::default() }
    }
}

impl AgentFactory for PythonFactory {
    fn make(&self, order: &AgentOrder) -> Result<Arc<dyn Agent>> {
        let made = exit::attach(|py| {
            let Some(make) = self.make.lock().as_ref().map(|make| make.clone_ref(py)) else {
                return Err(stopped());
            };
            let raised = |raised: PyErr| error::from_raised(py, &raised, "factory");
            let order = order_of(py, order).map_err(raised)?;
            let args = PyTuple::new(py, [order]).map_err(raised)?;
            let given = exit::call(make.bind(py), &args).map_err(raised)?;
            PythonAgent::described(&given, &self.runtime).map(Arc::new).map_err(raised)
        });
        let agent = made.unwrap_or_else(|| Err(stopped()))?;
        let mut made = self.made.lock();
        made.retain(|agent| agent.strong_count() > 0);
        made.push(Arc::downgrade(&agent));
        Ok(agent)
    }
}

impl Releases for PythonFactory {
    fn release(&self) {
        let make = self.make.lock().take();
        let made = std::mem::take(&mut *self.made.lock());
        made.iter().filter_map(Weak::upgrade).for_each(|agent| agent.release());
        drop(make);
    }
}

/// An order as a dict.
fn order_of<'py>(py: Python<'py>, order: &AgentOrder) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &*order.name)?;
    dict.set_item("template", &*order.template)?;
    dict.set_item("skills", &order.skills)?;
    let parameters = serde_json::Value::Object(order.parameters.clone());
    dict.set_item("parameters", convert::from_value(py, &parameters)?)?;
    Ok(dict)
}

fn stopped() -> Error {
    Error::new(Code::NOT_RUNNING, "the kernel has been stopped, or the interpreter is exiting")
}
