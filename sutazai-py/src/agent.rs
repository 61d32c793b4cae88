//! Agents written in Python: a function, a coroutine function, or one that answers through a reply;
//! and the echo, which is there without writing any.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use sutazai_core::base::error::Fixed;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::ticket;
use sutazai_core::port::{
    Agent, AgentCard, AgentHost, Beat, LivenessPolicy, Outcome, RunMode, Task,
};
use sutazai_core::{Code, Error, Result};

use crate::bridge::{self, Bridge, Item};
use crate::keywords::Keywords;
use crate::reply::{Answerer, Context, outcome_of};
use crate::{convert, error, exit, task, wait, work};

/// How the function is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `f(input)`
    Input,
    /// `f(input, context)`
    WithContext,
    /// `f(task, reply)`
    Reply,
}

impl Form {
    /// The form of this name.
    fn of(name: &str) -> Self {
        match name {
            "input" => Self::Input,
            "context" => Self::WithContext,
            _ => Self::Reply,
        }
    }
}

/// An agent whose work is a Python callable.
pub(crate) struct PythonAgent {
    card: AgentCard,
    form: Form,
    runtime: Arc<dyn Runtime>,
    function: Mutex<Option<Py<PyAny>>>,
    coroutine: Option<Coroutine>,
    /// Says whether it lives.
    beat: Mutex<Option<Py<PyAny>>>,
    /// Whether it is asked that at all.
    mortal: bool,
}

/// Where the coroutines run.
pub(crate) struct Coroutine {
    /// Gives the bridge of the loop; asked when the agent is started.
    open: Mutex<Option<Py<PyAny>>>,
    bridge: Mutex<Option<Py<Bridge>>>,
}

impl Coroutine {
    fn new(open: Py<PyAny>) -> Self {
        Self { open: Mutex::new(Some(open)), bridge: Mutex::default() }
    }
}

impl PythonAgent {
    fn new(
        card: AgentCard,
        form: Form,
        runtime: Arc<dyn Runtime>,
        function: Py<PyAny>,
        coroutine: Option<Coroutine>,
        beat: Option<Py<PyAny>>,
    ) -> Self {
        let mortal = beat.is_some();
        let (function, beat) = (Mutex::new(Some(function)), Mutex::new(beat));
        Self { card, form, runtime, function, coroutine, beat, mortal }
    }

    /// As `sutazai.Kernel` describes it: card, form, function, where coroutines run, and what says whether it
    /// lives.
    pub(crate) fn described(
        described: &Bound<'_, PyAny>,
        runtime: &Arc<dyn Runtime>,
    ) -> PyResult<Self> {
        type Parts<'py> =
            (Bound<'py, PyDict>, String, Py<PyAny>, Option<Py<PyAny>>, Option<Py<PyAny>>);
        let (card, form, function, open, beat): Parts<'_> = described.extract()?;
        let card = Keywords::new(&card).card()?;
        let form = Form::of(&form);
        let coroutine = open.map(Coroutine::new);
        Ok(Self::new(card, form, Arc::clone(runtime), function, coroutine, beat))
    }

    /// A reference of our own; nothing waits for the GIL under the lock.
    fn function<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        let function = self.function.lock();
        let function = function.as_ref().ok_or_else(|| Error::from(&STOPPED))?;
        Ok(function.bind(py).clone())
    }

    /// Lets go of the function, so that what it holds on to can be collected: the kernel has
    /// stopped for good.
    pub(crate) fn release(&self) {
        let function = (self.function.lock().take(), self.beat.lock().take());
        let rest = self.coroutine.as_ref().map(|c| (c.open.lock().take(), c.bridge.lock().take()));
        drop((function, rest));
    }

    fn shown(&self, task: Task) -> task::Task {
        task::Task { task, runtime: Arc::clone(&self.runtime) }
    }

    /// `f(input)`: the answer. The core's reply stays with the caller.
    fn ask(&self, task: &Task) -> Result<Outcome> {
        let answer = exit::attach(|py| {
            let function = self.function(py)?;
            let raised = |raised: PyErr| self.failure(py, &raised);
            let input = convert::to_python(py, task.input()).map_err(raised)?;
            let args = PyTuple::new(py, [input]).map_err(raised)?;
            let called = work::inside(py, task, || exit::call(&function, &args));
            outcome_of(&called.map_err(raised)?)
        });
        answer.unwrap_or_else(|| Err(Error::from(&EXITING)))
    }

    /// `f(input, context)` and `f(task, reply)`.
    fn hand_over(&self, task: Task, answerer: Answerer) {
        let handed = exit::attach(|py| {
            let function = self.function(py)?;
            let raised = |raised: PyErr| self.failure(py, &raised);
            let args = self.args(py, task.clone(), &answerer).map_err(raised)?;
            let called = work::inside(py, &task, || exit::call(&function, &args));
            let value = called.map_err(raised)?;
            match self.form {
                // It answers when it likes. What it holds of the reply decides.
                Form::Reply => Ok(None),
                Form::Input | Form::WithContext => outcome_of(&value).map(Some),
            }
        });
        let _ = match handed.unwrap_or_else(|| Err(Error::from(&EXITING))) {
            Ok(Some(outcome)) => answerer.answer(Ok(outcome)),
            Ok(None) => Ok(()),
            // After its answer an exception changes nothing any more.
            Err(error) => answerer.answer(Err(error)),
        };
    }

    fn args<'py>(
        &self,
        py: Python<'py>,
        task: Task,
        answerer: &Answerer,
    ) -> PyResult<Bound<'py, PyTuple>> {
        match self.form {
            Form::Input => PyTuple::new(py, [convert::to_python(py, task.input())?]),
            Form::WithContext => {
                let input = convert::to_python(py, task.input())?;
                let context = Context::new(self.shown(task), answerer.clone());
                PyTuple::new(py, [input, Bound::new(py, context)?.into_any()])
            }
            Form::Reply => {
                let reply = Bound::new(py, answerer.clone().into_reply())?.into_any();
                PyTuple::new(py, [Bound::new(py, self.shown(task))?.into_any(), reply])
            }
        }
    }

    fn start_coroutine(&self, coroutine: &Coroutine, task: Task, answerer: Answerer) {
        let work = work::Work::of(&task);
        let prepared = exit::attach(|py| {
            let function = self.function(py)?.unbind();
            let target = coroutine.bridge.lock().as_ref().map(|bridge| bridge.clone_ref(py));
            let target = target.ok_or_else(|| Error::from(&STOPPED))?;
            let args = self.args(py, task, &answerer);
            let args = args.map_err(|raised| self.failure(py, &raised))?.into_any().unbind();
            Ok((target, function, args))
        });
        match prepared.unwrap_or_else(|| Err(Error::from(&EXITING))) {
            Ok((target, function, args)) => {
                bridge::push(&target, Item::Start { function, args, answerer, work });
            }
            Err(error) => drop(answerer.answer(Err(error))),
        }
    }

    /// What was raised. Ctrl-C in an inline agent is the caller's: it comes up there, once the
    /// call is answered.
    fn failure(&self, py: Python<'_>, raised: &PyErr) -> Error {
        if self.card.run == RunMode::Inline && raised.is_instance_of::<PyKeyboardInterrupt>(py) {
            wait::interrupt_here();
        }
        error::from_raised(py, raised, "agent")
    }
}

impl Agent for PythonAgent {
    fn card(&self) -> AgentCard {
        self.card.clone()
    }

    fn handle(&self, task: Task, reply: ticket::Reply<Outcome>) {
        match (&self.coroutine, self.form) {
            (Some(coroutine), _) => self.start_coroutine(coroutine, task, Answerer::new(reply)),
            (None, Form::Input) => drop(reply.answer(self.ask(&task))),
            (None, _) => self.hand_over(task, Answerer::new(reply)),
        }
    }

    fn start(&self, _host: &AgentHost) -> Result<()> {
        let Some(coroutine) = &self.coroutine else { return Ok(()) };
        let opened = exit::attach(|py| {
            let open = coroutine.open.lock().as_ref().map(|open| open.clone_ref(py));
            let open = open.ok_or_else(|| Error::from(&STOPPED))?;
            let bridge = exit::call(open.bind(py), &PyTuple::empty(py)).and_then(|bridge| {
                bridge.cast_into::<Bridge>().map(Bound::unbind).map_err(PyErr::from)
            });
            bridge.map_err(|raised| {
                Error::new(Code::AGENT_START, "there is no event loop for the agent")
                    .with("reason", raised.value(py))
            })
        });
        *coroutine.bridge.lock() = Some(opened.unwrap_or_else(|| Err(Error::from(&EXITING)))?);
        Ok(())
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        self.mortal.then(LivenessPolicy::default)
    }

    /// On the pool also for one whose tasks run inline, which says nothing of this function.
    fn beat(&self, reply: ticket::Reply<Beat>) {
        if !self.mortal {
            drop(reply.send(Beat::Alive));
            return;
        }
        let beat = exit::attach(|py| self.beat.lock().as_ref().map(|beat| beat.clone_ref(py)));
        let Some(beat) = beat.flatten() else {
            drop(reply.fail(Error::from(&STOPPED)));
            return;
        };
        let name = self.card.name.clone();
        let ask = move || drop(reply.answer(ask(beat, &name)));
        match self.card.run {
            RunMode::Pool => ask(),
            RunMode::Inline => drop(self.runtime.spawn_blocking(Box::new(ask))),
        }
    }
}

/// Calls what says whether an agent lives.
fn ask(beat: Py<PyAny>, agent: &str) -> Result<Beat> {
    let asked = exit::attach(|py| {
        let said = exit::call(beat.bind(py), &PyTuple::empty(py));
        let said = said.map_err(|raised| error::from_raised(py, &raised, "agent"))?;
        drop(beat);
        Ok(match said.extract::<bool>() {
            Ok(false) => {
                let away = Error::new(Code::IO, "the agent says that it cannot be reached");
                Beat::Unreachable(away.operation("agent.beat").with("agent", agent))
            }
            _ => Beat::Alive,
        })
    });
    asked.unwrap_or_else(|| Err(Error::from(&EXITING)))
}

impl Drop for PythonAgent {
    /// On whatever thread its last call came back: without this the function would go only when somebody
    /// comes by with the interpreter's lock.
    fn drop(&mut self) {
        if self.function.get_mut().is_some() {
            let _ = exit::attach(|_| self.release());
        }
    }
}

/// An agent of the core's own kind that answers its input: a target for health checks and
/// measurements.
pub(crate) struct Echo(pub(crate) AgentCard);

impl Agent for Echo {
    fn card(&self) -> AgentCard {
        self.0.clone()
    }

    fn handle(&self, task: Task, reply: ticket::Reply<Outcome>) {
        let _ = reply.send(Outcome::new(task.input().clone()));
    }
}

static STOPPED: Fixed = Fixed { code: Code::NOT_RUNNING, message: "the agent has been stopped" };
static EXITING: Fixed =
    Fixed { code: Code::NOT_RUNNING, message: "the Python interpreter is exiting" };
