//! Components written in Python: what the kernel starts and stops.

use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sutazai_core::base::time::Moment;
use sutazai_core::port::Component;
use sutazai_core::{Code, Error, Result};

use crate::{error, exit};

/// A component whose start and stop are Python callables without arguments.
pub(crate) struct PythonComponent {
    pub(crate) name: String,
    pub(crate) needs: Vec<String>,
    pub(crate) start_within: Duration,
    pub(crate) stop_within: Duration,
    /// `(start, stop)`; gone once the kernel has stopped.
    pub(crate) functions: Mutex<Option<(Py<PyAny>, Py<PyAny>)>>,
}

impl PythonComponent {
    fn run(&self, code: Code, what: &'static str, stops: bool) -> Result<()> {
        let ran = exit::attach(|py| {
            let function = match &*self.functions.lock() {
                Some((_, stop)) if stops => stop.clone_ref(py),
                Some((start, _)) => start.clone_ref(py),
                None => return Err(Error::new(Code::NOT_RUNNING, "the kernel has been stopped")),
            };
            exit::call(function.bind(py), &PyTuple::empty(py)).map(drop).map_err(|raised| {
                Error::new(code, what).because(error::from_raised(py, &raised, "component"))
            })
        });
        ran.unwrap_or_else(|| {
            Err(Error::new(Code::NOT_RUNNING, "the Python interpreter is exiting"))
        })
    }
}

impl Component for PythonComponent {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Vec<String> {
        self.needs.clone()
    }

    fn start(&self, _deadline: Moment) -> Result<()> {
        self.run(Code::COMPONENT_START, "the component's start raised", false)
    }

    fn stop(&self, _deadline: Moment) -> Result<()> {
        self.run(Code::COMPONENT_STOP, "the component's stop raised", true)
    }

    fn start_within(&self) -> Duration {
        self.start_within
    }

    fn stop_within(&self) -> Duration {
        self.stop_within
    }
}
