//! Monitors that are written in Python.

use std::collections::HashMap;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sutazai_core::Result;
use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{Monitor, Samples};

use crate::heal::{Releases, stopped};
use crate::{error, exit};

/// A monitor whose work is a Python callable, which answers with a dict of series and their values.
pub(crate) struct PythonMonitor {
    name: String,
    sample: Mutex<Option<Py<PyAny>>>,
}

impl PythonMonitor {
    pub(crate) fn new(name: String, sample: Py<PyAny>) -> Self {
        Self { name, sample: Mutex::new(Some(sample)) }
    }
}

impl Monitor for PythonMonitor {
    fn name(&self) -> &str {
        &self.name
    }

    fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
        let measured = exit::attach(|py| {
            let Some(sample) = self.sample.lock().as_ref().map(|sample| sample.clone_ref(py))
            else {
                return Err(stopped());
            };
            let failed = |raised: PyErr| error::from_raised(py, &raised, "monitor");
            let given = exit::call(sample.bind(py), &PyTuple::empty(py)).map_err(failed)?;
            given.extract::<HashMap<String, f64>>().map_err(failed)
        });
        for (series, value) in measured.unwrap_or_else(|| Err(stopped()))? {
            out.add(series, value);
        }
        Ok(())
    }
}

impl Releases for PythonMonitor {
    fn release(&self) {
        let sample = self.sample.lock().take();
        drop(sample);
    }
}
