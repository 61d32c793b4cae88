//! `sutazai.Ticket`: a call under way.

use std::sync::Arc;
use std::task::Poll;

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use sutazai_core::base::payload::Payload;
use sutazai_core::{Code, Error};

use crate::bridge::Bridge;
use crate::fork::Owned;
use crate::pending::{Pending, Who};
use crate::{argument, convert, error};

/// A call under way. Await it, wait for it, or let it call back; dropping it cancels the call.
#[pyclass(frozen, weakref, module = "sutazai", name = "Ticket")]
pub(crate) struct Ticket {
    id: Option<u64>,
    pending: Owned<Holder>,
}

/// Dropped with the Python object, in the process it was made in.
struct Holder(Arc<Pending>);

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Ticket {
    pub(crate) fn new(id: Option<u64>, pending: Arc<Pending>) -> Self {
        Self { id, pending: Owned::new(Holder(pending)) }
    }

    fn pending(&self, py: Python<'_>) -> PyResult<&Arc<Pending>> {
        Ok(&self.pending.here(py)?.0)
    }
}

#[pymethods]
impl Ticket {
    /// The call's number; None for an operation of the table.
    #[getter]
    fn id(&self) -> Option<u64> {
        self.id
    }

    /// Whether the answer is there.
    fn done(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.pending(py)?.look())
    }

    /// Blocks until the answer is there and gives it, or raises the call's error.
    #[pyo3(signature = (timeout=None))]
    fn wait<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let pending = self.pending(py)?;
        pending.wait(py, argument::some_duration("timeout", timeout)?)?;
        pending.result(py).unwrap_or_else(|| {
            let late = Error::new(Code::TIMEOUT, "no answer yet; the call goes on");
            Err(error::raise(py, &late.operation("ticket.wait")))
        })
    }

    /// The answer, which must be there.
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let pending = self.pending(py)?;
        pending.look();
        pending.result(py).unwrap_or_else(|| {
            let early = Error::new(Code::TIMEOUT, "no answer yet")
                .operation("ticket.result")
                .advice("wait for it, or await it");
            Err(error::raise(py, &early))
        })
    }

    /// The error that the call ended with; None when it has a result, or goes on.
    fn exception<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let pending = self.pending(py)?;
        pending.look();
        pending.failure().map(|failure| error::exception(py, &failure)).transpose()
    }

    /// Answers the call with `CallCancelled`, unless it has its answer, and tells the agent.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let pending = Arc::clone(self.pending(py)?);
        py.detach(|| pending.cancel());
        Ok(())
    }

    /// Lets the call go on without anybody to hear the answer.
    fn detach(&self, py: Python<'_>) -> PyResult<()> {
        self.pending(py)?.detach();
        Ok(())
    }

    /// Calls `function(ticket)` when the answer is there: on the answering thread, or right here.
    fn on_done(slf: &Bound<'_, Self>, function: Py<PyAny>) -> PyResult<()> {
        let pending = slf.get().pending(slf.py())?;
        pending.on_answer(Who::Callback(function, slf.clone().into_any().unbind()));
        Ok(())
    }

    /// How many partial results were dropped because they were not read in time.
    #[getter]
    fn missed_parts(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.pending(py)?.missed_parts())
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        static FUTURE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let future = FUTURE.import(slf.py(), "sutazai._loop", "_future_of")?.call1((slf,))?;
        future.call_method0("__await__")
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.pending(py)?.wait_part(py)? {
            Some(part) => convert::to_python(py, &part),
            None => Err(PyStopIteration::new_err(())),
        }
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        static NEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        NEXT.import(slf.py(), "sutazai._loop", "_next_part")?.call1((slf,))
    }

    /// Gives `future` the answer on its loop.
    fn _settle(&self, py: Python<'_>, bridge: Py<Bridge>, future: Py<PyAny>) -> PyResult<()> {
        self.pending(py)?.on_answer(Who::Future(bridge, future));
        Ok(())
    }

    /// Wakes `future` on its loop when there is a part or the answer.
    fn _wake(&self, py: Python<'_>, bridge: Py<Bridge>, future: Py<PyAny>) -> PyResult<()> {
        self.pending(py)?.on_part(Who::Future(bridge, future));
        Ok(())
    }

    /// `(part,)`, `()` when there is none to come, or `None` when there is none yet.
    fn _poll_part<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        let part: Poll<Option<Payload>> = self.pending(py)?.poll_part();
        match part {
            Poll::Ready(Some(part)) => Ok(Some(vec![convert::to_python(py, &part)?])),
            Poll::Ready(None) => Ok(Some(Vec::new())),
            Poll::Pending => Ok(None),
        }
    }

    fn __repr__(&self) -> String {
        let id = self.id.map_or_else(String::new, |id| format!(" {id}"));
        let state = match self.pending.get() {
            Ok(holder) if holder.0.look() => "done",
            Ok(_) => "under way",
            Err(_) => "of another process",
        };
        format!("<sutazai.Ticket{id} {state}>")
    }
}
