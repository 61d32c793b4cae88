//! Long because: pyo3 wants all methods of a class in one block.
//!
//! `_sutazai.Kernel`: the native half of `sutazai.Kernel`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::Value;
use sutazai_core::base::id::CallId;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::{Manual, Runtime};
use sutazai_core::base::ticket;
use sutazai_core::config::Manifest;
use sutazai_core::event::Overflow;
use sutazai_core::kernel::{Kernel as Core, Limits, LogConfig, Phase};
use sutazai_core::observe::log::SinkId;
use sutazai_core::port::{AgentCard, Outcome, RunMode, Task};
use sutazai_core::surface::Surface;
use sutazai_core::{Code, Error};

use crate::agent::{Coroutine, Echo, Form, PythonAgent};
use crate::component::PythonComponent;
use crate::event::{self, Subscription};
use crate::fork::Owned;
use crate::guard::Shared;
use crate::inject::{self, Scope};
use crate::log::{self, Relay};
use crate::pending::{Pending, Source};
use crate::ticket::Ticket;
use crate::{convert, error, wait};

/// The native half of `sutazai.Kernel`.
#[pyclass(frozen, subclass, module = "sutazai._sutazai", name = "Kernel")]
pub(crate) struct Kernel {
    inner: Owned<Inner>,
}

struct Inner {
    surface: Surface,
    /// Whether the caller's thread may run code of an agent that Python does not know of, while it
    /// calls: the GIL is given up for the call then. What runs otherwise (queueing a job, the echo,
    /// a Python function) does not wait for another thread that may want the GIL.
    strangers: AtomicBool,
    held: Mutex<Held>,
}

/// What is let go of when the kernel has stopped, so that cycles through it can be collected.
#[derive(Default)]
struct Held {
    agents: Vec<Weak<PythonAgent>>,
    components: Vec<Weak<PythonComponent>>,
    pulls: Vec<Weak<event::Source>>,
    callbacks: Vec<Py<Subscription>>,
    relays: Vec<(SinkId, Arc<Relay>)>,
}

/// How long a kernel that Python lets go of unstopped gives what it runs.
const STOP_IN_DROP: Duration = Duration::from_millis(100);

impl Kernel {
    /// What the kernel runs on.
    pub(crate) fn runtime(&self, py: Python<'_>) -> PyResult<Arc<dyn Runtime>> {
        Ok(Arc::clone(self.inner.here(py)?.core().runtime()))
    }
}

impl Inner {
    fn core(&self) -> &Core {
        self.surface.kernel()
    }

    fn source(&self, source: Source) -> Arc<Pending> {
        Pending::new(source, Arc::clone(self.core().runtime()))
    }

    fn add_agent(&self, py: Python<'_>, agent: PythonAgent) -> sutazai_core::Result<()> {
        let agent = Arc::new(agent);
        {
            let mut held = self.held.lock();
            held.agents.retain(|agent| agent.strong_count() > 0);
            held.agents.push(Arc::downgrade(&agent));
        }
        py.detach(|| self.core().add_shared_agent(agent))
    }

    /// Lets go of everything that came from Python.
    fn release(&self, py: Python<'_>) {
        let Held { agents, components, pulls, callbacks, relays } =
            std::mem::take(&mut *self.held.lock());
        for (sink, relay) in relays {
            self.core().log().detach(sink);
            relay.empty();
            relay.close();
        }
        for subscription in callbacks {
            subscription.get().close();
        }
        for source in pulls.iter().filter_map(Weak::upgrade) {
            source.end();
        }
        for component in components.iter().filter_map(Weak::upgrade) {
            let functions = component.functions.lock().take();
            drop(functions);
        }
        for agent in agents.iter().filter_map(Weak::upgrade) {
            agent.release();
        }
        // What was dropped without the GIL is let go of by the next who attaches.
        py.detach(|| {});
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let Ok(inner) = self.inner.get() else { return };
        let core = inner.core().clone();
        // Agents need the GIL to finish; whoever drops the last handle holds it.
        let stop = move || drop(core.stop(STOP_IN_DROP));
        match Python::try_attach(|py| {
            py.detach(stop);
            inner.release(py);
        }) {
            Some(()) => {}
            None => drop(inner.core().stop(STOP_IN_DROP)),
        }
    }
}

/// Keyword arguments of the constructor that a manifest says as well.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Bounds {
    deadline: Option<f64>,
    calls: Option<usize>,
    pool: Option<usize>,
    queue: Option<usize>,
    log: Option<String>,
    log_terminal: Option<bool>,
    log_file: Option<PathBuf>,
}

impl Bounds {
    fn is_empty(&self) -> bool {
        self.deadline.is_none()
            && self.calls.is_none()
            && self.pool.is_none()
            && self.queue.is_none()
            && self.log.is_none()
            && self.log_terminal.is_none()
            && self.log_file.is_none()
    }

    fn limits(&self) -> PyResult<Limits> {
        let mut limits = Limits::default();
        match self.deadline {
            Some(f64::INFINITY) => limits.deadline = None,
            Some(given) => limits.deadline = Some(convert::seconds("deadline", given)?),
            None => {}
        }
        limits.calls = self.calls.unwrap_or(limits.calls);
        limits.pool = self.pool;
        limits.queue = self.queue;
        Ok(limits)
    }

    fn log(self) -> LogConfig {
        let mut log = LogConfig::default().terminal(self.log_terminal.unwrap_or(false));
        if let Some(filter) = self.log {
            log = log.filter(filter);
        }
        if let Some(file) = self.log_file {
            log = log.file(file);
        }
        log
    }
}

#[pymethods]
impl Kernel {
    #[new]
    #[pyo3(signature = (data_dir, manifest, seed, clock, bounds))]
    fn new(
        py: Python<'_>,
        data_dir: Option<PathBuf>,
        manifest: Option<PathBuf>,
        seed: Option<u64>,
        clock: &str,
        bounds: Bounds,
    ) -> PyResult<Self> {
        let mut builder = Core::builder();
        match clock {
            "real" => {}
            "virtual" => builder = builder.runtime(Arc::new(Manual::new())),
            other => {
                return Err(PyValueError::new_err(format!(
                    "clock must be 'real' or 'virtual', not {other:?}"
                )));
            }
        }
        if let Some(seed) = seed {
            builder = builder.seed(seed);
        }
        let mut strangers = false;
        if let Some(path) = manifest {
            if !bounds.is_empty() {
                return Err(PyValueError::new_err(
                    "with a manifest, limits and log are said there, not in arguments",
                ));
            }
            let read = py.detach(|| Manifest::read(path));
            let mut manifest = read.map_err(|error| error::raise(py, &error))?;
            if data_dir.is_some() {
                manifest.data_dir = data_dir;
            }
            strangers = !manifest.agents.is_empty();
            builder = builder.manifest(&manifest);
        } else {
            builder = builder.limits(bounds.limits()?).log(bounds.log());
            if let Some(path) = data_dir {
                builder = builder.data_dir(path);
            }
        }
        let core = py.detach(|| builder.build()).map_err(|error| error::raise(py, &error))?;
        Ok(Self {
            inner: Owned::new(Inner {
                surface: Surface::new(&core),
                strangers: AtomicBool::new(strangers),
                held: Mutex::default(),
            }),
        })
    }

    fn _start(&self, py: Python<'_>) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let core = inner.core().clone();
        wait::aside(py, move || core.start())?.map_err(|error| error::raise(py, &error))
    }

    fn _stop(&self, py: Python<'_>, grace: Option<f64>) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let core = inner.core().clone();
        let grace = convert::some_seconds("grace", grace)?.unwrap_or(core.limits().drain);
        let stopped = wait::aside(py, move || core.stop(grace))?;
        inner.release(py);
        stopped.map_err(|error| error::raise(py, &error))
    }

    /// The parts that guards of this kernel share by name.
    fn _shared_parts(&self, py: Python<'_>) -> PyResult<Shared> {
        Ok(Shared::of(self.inner.here(py)?.core().shared_parts()))
    }

    /// Where the kernel is in its life: built, starting, running, draining, stopped.
    #[getter]
    fn phase(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(match self.inner.here(py)?.core().phase() {
            Phase::Built => "built",
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        })
    }

    /// Where state is kept; None when it is in memory.
    #[getter]
    fn data_dir(&self, py: Python<'_>) -> PyResult<Option<PathBuf>> {
        Ok(self.inner.here(py)?.core().data_dir().map(Into::into))
    }

    /// Takes a task all the way and waits for the answer.
    #[pyo3(signature = (skill, input=None, *, agent=None, timeout=None, token=None))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        skill: &str,
        input: Option<&Bound<'py, PyAny>>,
        agent: Option<&str>,
        timeout: Option<f64>,
        token: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.inner.here(py)?;
        let task = task(skill, input, agent, timeout)?;
        let mut source = Source::Call(inner.submit(py, task, token)?.1);
        let answer = match source.try_take() {
            Some(answer) => answer,
            None => block(py, &mut source)?,
        };
        let payload = answer.map_err(|error| error::raise(py, &error))?;
        convert::to_python(py, &payload)
    }

    /// Takes a task all the way; the ticket answers in any case.
    #[pyo3(signature = (skill, input=None, *, agent=None, timeout=None, token=None))]
    fn submit(
        &self,
        py: Python<'_>,
        skill: &str,
        input: Option<&Bound<'_, PyAny>>,
        agent: Option<&str>,
        timeout: Option<f64>,
        token: Option<&str>,
    ) -> PyResult<Ticket> {
        let inner = self.inner.here(py)?;
        let task = task(skill, input, agent, timeout)?;
        let (id, ticket) = inner.submit(py, task, token)?;
        Ok(Ticket::new(Some(id.0), inner.source(Source::Call(ticket))))
    }

    /// Cancels a call by its number; False when it is not in flight.
    fn cancel(&self, py: Python<'_>, call: u64) -> PyResult<bool> {
        let inner = self.inner.here(py)?;
        Ok(py.detach(|| inner.core().cancel(CallId(call))))
    }

    /// Calls an operation of the table and waits for the answer.
    #[pyo3(signature = (operation, /, **request))]
    fn invoke<'py>(
        &self,
        py: Python<'py>,
        operation: &str,
        request: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.inner.here(py)?;
        let mut source = inner.begin(py, operation, request)?;
        let answer = match source.try_take() {
            Some(answer) => answer,
            None => block(py, &mut source)?,
        };
        convert::view(py, answer)
    }

    /// Calls an operation of the table; the ticket answers in any case.
    #[pyo3(signature = (operation, /, **request))]
    fn begin(
        &self,
        py: Python<'_>,
        operation: &str,
        request: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Ticket> {
        let inner = self.inner.here(py)?;
        let source = inner.begin(py, operation, request)?;
        Ok(Ticket::new(None, inner.source(source)))
    }

    /// Moves the clock of a kernel in virtual time on; says how many pieces of work ran.
    fn advance(&self, py: Python<'_>, seconds: f64) -> PyResult<usize> {
        let inner = self.inner.here(py)?;
        let by = convert::seconds("seconds", seconds)?;
        py.detach(|| inner.core().advance(by)).map_err(|error| error::raise(py, &error))
    }

    /// What the kernel is doing.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.inner.here(py)?;
        convert::view(py, py.detach(|| Payload::json(&inner.core().status())))
    }

    /// The agents, sorted by name, with how their calls went.
    fn agents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.inner.here(py)?;
        convert::view(py, py.detach(|| Payload::json(&inner.core().agents())))
    }

    /// The numbers of the calls in flight, sorted.
    fn calls(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        Ok(self.inner.here(py)?.core().calls().into_iter().map(|call| call.0).collect())
    }

    /// Removes an agent: no more tasks, `grace` seconds to finish, then it is stopped.
    #[pyo3(signature = (name, grace=5.0))]
    fn remove_agent(&self, py: Python<'_>, name: String, grace: f64) -> PyResult<()> {
        let core = self.inner.here(py)?.core().clone();
        let grace = convert::seconds("grace", grace)?;
        wait::aside(py, move || core.remove_agent(&name, grace))?
            .map_err(|error| error::raise(py, &error))
    }

    /// Adds an in-process agent that answers its input, for health checks and measurements.
    #[pyo3(signature = (name="echo", *, skill="echo"))]
    fn add_echo_agent(&self, py: Python<'_>, name: &str, skill: &str) -> PyResult<()> {
        let core = self.inner.here(py)?.core();
        let echo = Echo(AgentCard::new(name, [skill]).run(RunMode::Inline));
        py.detach(|| core.add_agent(echo)).map_err(|error| error::raise(py, &error))
    }

    fn _add_agent(
        &self,
        py: Python<'_>,
        card: &Bound<'_, PyAny>,
        form: &str,
        function: Py<PyAny>,
        open: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let card = convert::to_json(card).map_err(convert::Trouble::into_py_err)?;
        let card = Payload::from(card).to::<AgentCard>();
        let card = card.map_err(|error| error::raise(py, &error))?;
        let form = match form {
            "input" => Form::Input,
            "context" => Form::WithContext,
            _ => Form::Reply,
        };
        let runtime = Arc::clone(inner.core().runtime());
        let coroutine = open.map(Coroutine::new);
        let agent = PythonAgent::new(card, form, runtime, function, coroutine);
        inner.add_agent(py, agent).map_err(|error| error::raise(py, &error))
    }

    fn _add_component(
        &self,
        py: Python<'_>,
        name: String,
        needs: Vec<String>,
        functions: (Py<PyAny>, Py<PyAny>),
        within: (f64, f64),
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let component = Arc::new(PythonComponent {
            name,
            needs,
            start_within: convert::seconds("start_within", within.0)?,
            stop_within: convert::seconds("stop_within", within.1)?,
            functions: Mutex::new(Some(functions)),
        });
        {
            let mut held = inner.held.lock();
            held.components.retain(|component| component.strong_count() > 0);
            held.components.push(Arc::downgrade(&component));
        }
        let core = inner.core().clone();
        wait::aside(py, move || core.lifecycle().add(component))?
            .map_err(|error| error::raise(py, &error))
    }

    /// Provides a value by name; `factory` gets what `needs` names, in order.
    #[pyo3(signature = (name, factory, *, needs=Vec::new(), scope="singleton"))]
    fn provide(
        &self,
        py: Python<'_>,
        name: &str,
        factory: Py<PyAny>,
        needs: Vec<String>,
        scope: &str,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        inject::provide(py, inner.core().provided(), name, &needs, scope, factory)
    }

    /// The value of this name.
    fn get(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        inject::get(py, self.inner.here(py)?.core().provided(), name)
    }

    /// Opens a scope for values that are provided with `scope="scoped"`.
    fn scope(&self, py: Python<'_>) -> PyResult<Scope> {
        inject::scope(py, self.inner.here(py)?.core().provided())
    }

    fn _publish(
        &self,
        py: Python<'_>,
        subject: &str,
        payload: &Bound<'_, PyAny>,
        wait: Option<f64>,
    ) -> PyResult<(usize, usize)> {
        let bus = self.inner.here(py)?.core().bus();
        let payload = convert::to_payload(payload).map_err(convert::Trouble::into_py_err)?;
        let delivered = match convert::some_seconds("wait", wait)? {
            None => bus.publish(subject, payload),
            Some(wait) => {
                wait::check_here(py)?;
                py.detach(|| bus.publish_wait(subject, payload, wait))
            }
        };
        let delivered = delivered.map_err(|error| error::raise(py, &error))?;
        Ok((delivered.queued, delivered.overflowed))
    }

    #[pyo3(signature = (pattern, function, queue_group, capacity, overflow))]
    fn _subscribe(
        &self,
        py: Python<'_>,
        pattern: &str,
        function: Option<Py<PyAny>>,
        queue_group: Option<String>,
        capacity: Option<usize>,
        overflow: &str,
    ) -> PyResult<Py<Subscription>> {
        let inner = self.inner.here(py)?;
        let overflow = match overflow {
            "drop_oldest" => Overflow::DropOldest,
            "drop_newest" => Overflow::DropNewest,
            "close" => Overflow::Close,
            other => {
                return Err(PyValueError::new_err(format!(
                    "overflow must be 'drop_oldest', 'drop_newest' or 'close', not {other:?}"
                )));
            }
        };
        let mut builder = inner.core().bus().subscribe(pattern).overflow(overflow);
        if let Some(group) = queue_group {
            builder = builder.queue_group(group);
        }
        if let Some(capacity) = capacity {
            builder = builder.capacity(capacity);
        }
        let made = match function {
            Some(function) => Subscription::deliver(builder, function).map(|made| (made, None)),
            None => Subscription::pull(builder, Arc::clone(inner.core().runtime()))
                .map(|(made, source)| (made, Some(source))),
        };
        let (made, source) = made.map_err(|error| error::raise(py, &error))?;
        let made = Py::new(py, made)?;
        let closed: Vec<_> = {
            let Held { pulls, callbacks, .. } = &mut *inner.held.lock();
            match source {
                Some(source) => {
                    pulls.retain(|source| source.strong_count() > 0);
                    pulls.push(Arc::downgrade(&source));
                }
                // Subscribed until it is unsubscribed, whether the object is kept or not.
                None => callbacks.push(made.clone_ref(py)),
            }
            callbacks.extract_if(.., |callback| !callback.get().is_open()).collect()
        };
        drop(closed);
        Ok(made)
    }

    fn _log(
        &self,
        py: Python<'_>,
        level: i64,
        target: String,
        message: String,
        fields: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let core = self.inner.here(py)?.core();
        let level = log::level_of(level);
        if core.log().enabled(level, &target) {
            let fields = match convert::to_json(fields).map_err(convert::Trouble::into_py_err)? {
                Value::Object(fields) => fields,
                _ => serde_json::Map::new(),
            };
            core.log().record(level, target, message, fields);
        }
        Ok(())
    }

    /// Gives the kernel's log records to `function(level, target, message, fields, nanos, missed)`.
    fn _relay_log(&self, py: Python<'_>, function: Py<PyAny>) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let relay = Relay::new(Arc::clone(inner.core().runtime()), function);
        let sink = inner.core().log().attach(Arc::<Relay>::clone(&relay));
        let sink = sink.map_err(|error| error::raise(py, &error))?;
        inner.held.lock().relays.push((sink, relay));
        Ok(())
    }

    /// Sets which log records are kept: a level, and rules by target: `info,sutazai.agent=debug`.
    fn set_log_filter(&self, py: Python<'_>, filter: &str) -> PyResult<()> {
        let core = self.inner.here(py)?.core();
        core.log().set_filter(filter).map_err(|error| error::raise(py, &error))
    }

    fn __repr__(&self) -> String {
        match self.inner.get() {
            Ok(inner) => {
                let phase = format!("{:?}", inner.core().phase()).to_lowercase();
                format!("<sutazai.Kernel {phase}>")
            }
            Err(_) => "<sutazai.Kernel of another process>".to_owned(),
        }
    }
}

impl Inner {
    fn submit(
        &self,
        py: Python<'_>,
        task: Task,
        token: Option<&str>,
    ) -> PyResult<(CallId, ticket::Ticket<Outcome>)> {
        wait::interruptible(|| {
            if self.strangers.load(Ordering::Relaxed) {
                py.detach(|| self.core().submit(task, token))
            } else {
                self.core().submit(task, token)
            }
        })
    }

    fn begin(
        &self,
        py: Python<'_>,
        operation: &str,
        request: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Source> {
        let request = match request {
            Some(request) => convert::to_json(request).map_err(convert::Trouble::into_py_err)?,
            None => Value::Object(serde_json::Map::new()),
        };
        if operation == "agent.add_process" {
            self.strangers.store(true, Ordering::Relaxed);
        }
        let request = request.to_string();
        wait::interruptible(|| py.detach(|| self.surface.invoke(operation, &request)))
            .map(Source::Operation)
    }
}

fn task(
    skill: &str,
    input: Option<&Bound<'_, PyAny>>,
    agent: Option<&str>,
    timeout: Option<f64>,
) -> PyResult<Task> {
    let input = match input {
        Some(input) => convert::to_payload(input).map_err(convert::Trouble::into_py_err)?,
        None => Payload::NULL,
    };
    let mut task = Task::new(skill, input);
    if let Some(agent) = agent {
        task = task.to_agent(agent);
    }
    if let Some(timeout) = convert::some_seconds("timeout", timeout)? {
        task = task.timeout(timeout);
    }
    Ok(task)
}

/// Waits for the answer of a ticket that nobody else sees.
fn block(py: Python<'_>, source: &mut Source) -> PyResult<sutazai_core::Result<Payload>> {
    wait::check_here(py)?;
    let answer = wait::in_slices(py, None, |slice| source.wait_timeout(slice))?;
    Ok(answer.unwrap_or_else(|| Err(Error::new(Code::INTERNAL, "a wait without end ended"))))
}
