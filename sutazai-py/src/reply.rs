//! The worker's end of a call: `sutazai.Reply`, answered once, from any thread; and
//! `sutazai.Context`, what a plain function sees of its call.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use sutazai_core::base::ticket;
use sutazai_core::port::{Outcome, Usage};
use sutazai_core::{Code, Error, Result};

use crate::bridge::{self, Bridge, Item};
use crate::fork::Owned;
use crate::task::Task;
use crate::{convert, error, exit};

/// The core's reply, shared by the threads of an agent.
///
/// Answering consumes the core's reply, and progress may be under way on another thread: the answer
/// is left beside it, and whoever lets go last gives it.
#[derive(Clone)]
pub(crate) struct Answerer(Arc<Mutex<Option<Arc<Held>>>>);

struct Held {
    reply: Option<ticket::Reply<Outcome>>,
    answer: Mutex<Option<Result<Outcome>>>,
    /// What it took, as far as the agent has said.
    used: Mutex<Option<Usage>>,
}

impl Held {
    fn take(&mut self) -> Option<(ticket::Reply<Outcome>, Result<Outcome>)> {
        let (reply, answer) = (self.reply.take(), self.answer.get_mut().take());
        let used = self.used.get_mut().take();
        let answer = answer?.map(|outcome| match used {
            Some(used) => outcome.used(used),
            None => outcome,
        });
        Some((reply?, answer))
    }

    fn finish(mut self) -> Result<()> {
        match self.take() {
            Some((reply, answer)) => reply.answer(answer).map_err(Error::from),
            None => Ok(()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Without an answer the reply is dropped, which answers `Abandoned`.
        if let Some((reply, answer)) = self.take() {
            let _ = reply.answer(answer);
        }
    }
}

impl Answerer {
    pub(crate) fn new(reply: ticket::Reply<Outcome>) -> Self {
        let held = Held { reply: Some(reply), answer: Mutex::default(), used: Mutex::default() };
        Self(Arc::new(Mutex::new(Some(Arc::new(held)))))
    }

    /// # Errors
    /// [`Code::TOO_LATE`] when the call has its answer.
    pub(crate) fn answer(&self, answer: Result<Outcome>) -> Result<()> {
        let Some(held) = self.0.lock().take() else { return Err(too_late()) };
        *held.answer.lock() = Some(answer);
        // Shared only while another thread reports progress; it gives the answer then.
        Arc::into_inner(held).map_or(Ok(()), Held::finish)
    }

    /// Whether nobody wants an answer any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.with(|reply| reply.cancelled()).unwrap_or(true)
    }

    fn with<R>(&self, f: impl FnOnce(&ticket::Reply<Outcome>) -> R) -> Option<R> {
        // A count of our own, so that nothing runs under the lock.
        let held = self.0.lock().clone()?;
        held.reply.as_ref().map(f)
    }

    /// Says what the call took, with the answer.
    fn used(&self, py: Python<'_>, used: (u64, u64, f64)) -> PyResult<()> {
        let used = Usage::new(used.0, used.1, used.2);
        used.check().map_err(|error| error::raise(py, &error))?;
        let held = self.0.lock().clone();
        let held = held.ok_or_else(|| error::raise(py, &too_late()))?;
        *held.used.lock() = Some(used);
        Ok(())
    }

    fn progress(&self, part: &Bound<'_, PyAny>) -> PyResult<()> {
        let payload = convert::to_payload(part).map_err(convert::Trouble::into_py_err)?;
        let done = self.with(|reply| reply.progress(payload)).unwrap_or_else(|| Err(too_late()));
        done.map_err(|error| error::raise(part.py(), &error))
    }

    /// Answers with the JSON form of what a function returned.
    pub(crate) fn answer_with(&self, value: &Bound<'_, PyAny>) -> Result<()> {
        self.answer(outcome_of(value))
    }

    pub(crate) fn into_reply(self) -> Reply {
        Reply { answerer: Owned::new(self) }
    }
}

/// What a function returned, as an outcome.
pub(crate) fn outcome_of(value: &Bound<'_, PyAny>) -> Result<Outcome> {
    convert::to_payload(value).map(Outcome::new).map_err(|trouble| {
        Error::new(Code::AGENT_BAD_ANSWER, "the agent's answer has no JSON form")
            .with("reason", trouble.message())
    })
}

fn too_late() -> Error {
    Error::new(Code::TOO_LATE, "the call has its answer already").operation("reply.send")
}

/// The right to answer a call: once, from any thread. Dropped unanswered, it answers with an error.
#[pyclass(frozen, weakref, module = "sutazai", name = "Reply")]
pub(crate) struct Reply {
    answerer: Owned<Answerer>,
}

impl Reply {
    /// Cancels an asyncio task when the call is settled by anybody else.
    pub(crate) fn cancels(&self, target: Py<Bridge>, task: Py<PyAny>) {
        let Ok(answerer) = self.answerer.get() else { return };
        answerer.with(|reply| {
            reply.on_cancel(move || bridge::push(&target, Item::Cancel { task }));
        });
    }

    /// Fails the call with what was raised.
    pub(crate) fn fail_with(&self, py: Python<'_>, raised: &PyErr) {
        if let Ok(answerer) = self.answerer.get() {
            let _ = answerer.answer(Err(error::from_raised(py, raised, "agent")));
        }
    }

    fn answer(&self, py: Python<'_>, answer: Result<Outcome>) -> PyResult<()> {
        let answerer = self.answerer.here(py)?;
        answerer.answer(answer).map_err(|error| error::raise(py, &error))
    }
}

#[pymethods]
impl Reply {
    /// Answers with a value that has a JSON form, or bytes.
    fn send(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let payload = convert::to_payload(value).map_err(convert::Trouble::into_py_err)?;
        self.answer(value.py(), Ok(Outcome::new(payload)))
    }

    /// Answers with an error: a message, or an exception.
    fn fail(&self, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let failure = match error.extract::<String>() {
            Ok(message) => Error::new(Code::AGENT_FAILED, message),
            Err(_) => error::from_exception(error, "agent"),
        };
        self.answer(error.py(), Err(failure))
    }

    /// Streams a partial result.
    fn progress(&self, part: &Bound<'_, PyAny>) -> PyResult<()> {
        self.answerer.here(part.py())?.progress(part)
    }

    /// Says what the call took, for the ledger and for tasks with a ceiling of cost: tokens of a model, and a cost
    /// in your unit of account. Counted when the call succeeds; said again, the last counts.
    #[pyo3(signature = (*, input_tokens = 0, output_tokens = 0, cost = 0.0))]
    fn used(
        &self,
        py: Python<'_>,
        input_tokens: u64,
        output_tokens: u64,
        cost: f64,
    ) -> PyResult<()> {
        self.answerer.here(py)?.used(py, (input_tokens, output_tokens, cost))
    }

    /// Whether nobody wants the answer any more, or it was given.
    #[getter]
    fn cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.answerer.here(py)?.is_settled())
    }

    /// Calls `function()` when the call is settled by anybody but this reply: on the cancelling
    /// thread, or right here when that has happened.
    fn on_cancel(&self, py: Python<'_>, function: Py<PyAny>) -> PyResult<()> {
        self.answerer.here(py)?.with(|reply| {
            reply.on_cancel(move || {
                let _ = exit::attach(|py| {
                    let args = PyTuple::empty(py);
                    if let Err(error) = exit::call(function.bind(py), &args) {
                        error.write_unraisable(py, Some(function.bind(py)));
                    }
                });
            });
        });
        Ok(())
    }

    /// Answers with what a coroutine returned; what has no JSON form is the agent's bad answer.
    fn _answer(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        // Too late is nobody's fault here: the caller has gone.
        let _ = self.answerer.here(value.py())?.answer_with(value);
        Ok(())
    }

    /// Answers with what a coroutine raised.
    fn _fail(&self, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let failure = error::from_exception(error, "agent");
        let _ = self.answerer.here(error.py())?.answer(Err(failure));
        Ok(())
    }

    fn __repr__(&self) -> &'static str {
        match self.answerer.get().map(Answerer::is_settled) {
            Ok(true) => "<sutazai.Reply settled>",
            Ok(false) => "<sutazai.Reply open>",
            Err(_) => "<sutazai.Reply of another process>",
        }
    }
}

/// What a function agent sees of its call: its second argument.
#[pyclass(frozen, module = "sutazai", name = "Context")]
pub(crate) struct Context {
    task: Task,
    answerer: Owned<Answerer>,
}

impl Context {
    pub(crate) fn new(task: Task, answerer: Answerer) -> Self {
        Self { task, answerer: Owned::new(answerer) }
    }
}

#[pymethods]
impl Context {
    /// The call's number.
    #[getter]
    fn id(&self) -> u64 {
        self.task.task.id().0
    }

    /// The skill that is asked for.
    #[getter]
    fn skill(&self) -> &str {
        self.task.task.skill()
    }

    /// Seconds until the caller stops waiting; None when it waits for ever.
    #[getter]
    fn remaining(&self) -> Option<f64> {
        self.task.seconds_left()
    }

    /// Whether nobody wants the answer any more.
    #[getter]
    fn cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.answerer.here(py)?.is_settled())
    }

    /// Streams a partial result.
    fn progress(&self, part: &Bound<'_, PyAny>) -> PyResult<()> {
        self.answerer.here(part.py())?.progress(part)
    }

    /// Says what the call took, for the ledger and for tasks with a ceiling of cost: tokens of a model, and a cost
    /// in your unit of account. Counted when the call succeeds; said again, the last counts.
    #[pyo3(signature = (*, input_tokens = 0, output_tokens = 0, cost = 0.0))]
    fn used(
        &self,
        py: Python<'_>,
        input_tokens: u64,
        output_tokens: u64,
        cost: f64,
    ) -> PyResult<()> {
        self.answerer.here(py)?.used(py, (input_tokens, output_tokens, cost))
    }

    /// The trace that the call is a part of, 32 hexadecimal digits.
    #[getter]
    fn trace_id(&self) -> String {
        self.task.task.trace().trace.to_string()
    }

    /// The call's span, 16 hexadecimal digits.
    #[getter]
    fn span_id(&self) -> String {
        self.task.task.trace().span.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<sutazai.Context {} {:?}>", self.task.task.id(), self.task.task.skill())
    }
}
