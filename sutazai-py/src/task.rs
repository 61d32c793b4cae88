//! `sutazai.Task`: what an agent is asked to do.

use std::sync::Arc;

use pyo3::prelude::*;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::time::Moment;
use sutazai_core::port;

use crate::convert;

/// One piece of work: a skill and an input.
#[pyclass(frozen, module = "sutazai", name = "Task")]
pub(crate) struct Task {
    pub(crate) task: port::Task,
    pub(crate) runtime: Arc<dyn Runtime>,
}

impl Task {
    /// Seconds until the caller stops waiting.
    pub(crate) fn seconds_left(&self) -> Option<f64> {
        let deadline = self.task.deadline();
        (deadline != Moment::FAR).then(|| deadline.since(self.runtime.now()).as_secs_f64())
    }
}

#[pymethods]
impl Task {
    /// The call's number.
    #[getter]
    fn id(&self) -> u64 {
        self.task.id().0
    }

    /// The skill it asks for.
    #[getter]
    fn skill(&self) -> &str {
        self.task.skill()
    }

    /// What to work on; a new object each time.
    #[getter]
    fn input<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::to_python(py, self.task.input())
    }

    /// Seconds until the caller stops waiting; None when it waits for ever.
    #[getter]
    fn remaining(&self) -> Option<f64> {
        self.seconds_left()
    }

    /// The trace that the call is a part of, 32 hexadecimal digits.
    #[getter]
    fn trace_id(&self) -> String {
        self.task.trace().trace.to_string()
    }

    /// The call's span, 16 hexadecimal digits.
    #[getter]
    fn span_id(&self) -> String {
        self.task.trace().span.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<sutazai.Task {} {:?}>", self.task.id(), self.task.skill())
    }
}
