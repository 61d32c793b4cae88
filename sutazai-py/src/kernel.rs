//! Long because: pyo3 wants all methods of a class in one block.
//!
//! `_sutazai.Kernel`: the native half of `sutazai.Kernel`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::Value;
use sutazai_core::agent::discover::DiscoveryPolicy;
use sutazai_core::base::id::CallId;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::priority;
use sutazai_core::base::reading::{from_json, from_value};
use sutazai_core::base::runtime::{Manual, Runtime};
use sutazai_core::base::ticket;
use sutazai_core::event::Overflow;
use sutazai_core::kernel::grammar;
use sutazai_core::kernel::inject::Lifetime;
use sutazai_core::kernel::{Kernel as Core, Phase};
use sutazai_core::observe::log::SinkId;
use sutazai_core::port::{AgentCard, Outcome, RunMode, Task, Terms};
use sutazai_core::recovery::Classifier;
use sutazai_core::recovery::supervise::SupervisorSpec;
use sutazai_core::recovery::supervise::mailbox::MailboxPolicy;
use sutazai_core::recovery::{FeatureMode, SafeState, Saga, SagaPolicy, StepPolicy, Trigger};
use sutazai_core::security::{SecurityOptions, SecuritySpec};
use sutazai_core::surface::Surface;
use sutazai_core::{Code, Error};

use crate::agent::{Echo, PythonAgent};
use crate::auth::PythonProvider;
use crate::checkpointed::PythonState;
use crate::component::PythonComponent;
use crate::discover::PythonSource;
use crate::event::{self, Subscription};
use crate::factory::PythonFactory;
use crate::fork::Owned;
use crate::guard::Shared;
use crate::heal::{PythonAction, PythonStage, Releases};
use crate::inject::{self, Scope};
use crate::keywords::Keywords;
use crate::log::{self, Relay};
use crate::monitor::PythonMonitor;
use crate::pending::{Pending, Source};
use crate::saga::PythonStep;
use crate::ticket::Ticket;
use crate::worker::PythonWorker;
use crate::{argument, convert, error, wait, work};

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
    /// Steps of sagas and actions of playbooks.
    functions: Vec<Weak<dyn Releases>>,
    stages: Vec<Weak<PythonStage>>,
    pulls: Vec<Weak<event::Source>>,
    callbacks: Vec<Py<Subscription>>,
    relays: Vec<(SinkId, Arc<Relay>)>,
}

/// How long a kernel that Python lets go of unstopped gives what it runs.
const STOP_IN_DROP: Duration = Duration::from_millis(100);
/// How long a stop may take yet that Ctrl-C has hurried: long enough, unless something hangs.
const HURRIED_STOP: Duration = Duration::from_secs(3);
/// How long a removed agent may finish what it has, unless told otherwise.
const REMOVE_GRACE: Duration = Duration::from_secs(5);

impl Kernel {
    /// What classifies failures, by the rules of the kernel.
    pub(crate) fn classifier(&self, py: Python<'_>) -> PyResult<Arc<Classifier>> {
        Ok(Arc::clone(self.inner.here(py)?.core().classifier()))
    }

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

    fn add_agent(
        &self,
        py: Python<'_>,
        agent: PythonAgent,
        replace: bool,
    ) -> sutazai_core::Result<()> {
        let agent = Arc::new(agent);
        {
            let mut held = self.held.lock();
            held.agents.retain(|agent| agent.strong_count() > 0);
            held.agents.push(Arc::downgrade(&agent));
        }
        let core = self.core();
        py.detach(|| match replace {
            true => core.replace_shared_agent(agent),
            false => core.add_shared_agent(agent),
        })
    }

    /// Remembers functions that are let go of when the kernel has stopped.
    fn hold<T: Releases + 'static>(&self, functions: &Arc<T>) {
        let functions: Weak<dyn Releases> = Arc::<T>::downgrade(functions);
        let held = &mut self.held.lock().functions;
        held.retain(|functions| functions.strong_count() > 0);
        held.push(functions);
    }

    /// Lets go of everything that came from Python.
    fn release(&self, py: Python<'_>) {
        let Held { agents, components, functions, stages, pulls, callbacks, relays } =
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
        for function in functions.iter().filter_map(Weak::upgrade) {
            function.release();
        }
        if self.core().recovery().failsafe().status().state == SafeState::Taking {
            // A stop does not keep the stages from their turns; they go with the kernel.
            self.held.lock().stages.extend(stages);
        } else {
            stages.iter().filter_map(Weak::upgrade).for_each(|stage| stage.release());
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

#[pymethods]
impl Kernel {
    #[new]
    #[pyo3(signature = (data_dir, manifest, seed, clock, bounds, security=None))]
    fn new(
        py: Python<'_>,
        data_dir: Option<&Bound<'_, PyAny>>,
        manifest: Option<&Bound<'_, PyAny>>,
        seed: Option<&Bound<'_, PyAny>>,
        clock: &Bound<'_, PyAny>,
        bounds: &Bound<'_, PyDict>,
        security: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let bounds = Keywords::new(bounds);
        let path =
            |name, given: Option<_>| given.map(|path| argument::path(name, path)).transpose();
        let (data_dir, manifest) = (path("data_dir", data_dir)?, path("manifest", manifest)?);
        let mut builder = Core::builder();
        if argument::choice("clock", &[("real", false), ("virtual", true)], clock)? {
            builder = builder.runtime(Arc::new(Manual::new()));
        }
        if let Some(seed) = seed {
            builder = builder.seed(argument::number("seed", 0, seed)?);
        }
        if let Some(security) = security {
            builder = builder.security(options(py, security)?);
        }
        let mut strangers = false;
        if let Some(path) = manifest {
            if !bounds.is_empty() {
                return Err(PyValueError::new_err(
                    "with a manifest, limits and log are said there, not in arguments",
                ));
            }
            let read = py.detach(|| grammar().read(path));
            let mut manifest = read.map_err(|error| error::raise(py, &error))?;
            if security.is_some() && manifest.security.is_some() {
                return Err(PyValueError::new_err(
                    "the manifest has a section [security]: say it there, or in the argument",
                ));
            }
            if data_dir.is_some() {
                manifest.data_dir = data_dir;
            }
            strangers = !manifest.agents.is_empty()
                || manifest.discovery.is_some()
                || manifest.create.is_some();
            builder = builder.manifest(&manifest);
        } else {
            builder = builder.limits(bounds.limits()?).log(bounds.log()?);
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

    fn _stop(&self, py: Python<'_>, grace: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let core = inner.core().clone();
        let grace = argument::some_duration("grace", grace)?.unwrap_or(core.limits().drain);
        // Here: the stop itself may run on another thread.
        core.may_stop_here().map_err(|error| error::raise(py, &error))?;
        let stopped = wait::hurried_aside(
            py,
            move || core.stop(grace),
            || {
                let _ = inner.core().stop(Duration::ZERO);
                HURRIED_STOP
            },
        );
        // Not while another thread is in its stop, which needs the functions of what it stops.
        if inner.core().phase() == Phase::Stopped {
            inner.release(py);
        }
        stopped?.map_err(|error| error::raise(py, &error))
    }

    /// How long a stop waits for calls under way unless it is told, in seconds.
    #[getter]
    fn _drain(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.inner.here(py)?.core().limits().drain.as_secs_f64())
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
    ///
    /// Not where an asyncio loop runs, in a coroutine or a notebook: there it raises
    /// `WouldDeadlock`, and `await kernel.acall(…)` does the same. Waiting would stop the loop and
    /// all its tasks, and a coroutine agent on this very loop could never answer. It is refused
    /// before the agent gets the task, and for every agent: if it depended on whether the answer is
    /// there at once, a program would work or fail by chance.
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    #[pyo3(signature = (skill, input=None, *, agent=None, timeout=None, priority=None, token=None, terms=None))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        skill: &Bound<'py, PyAny>,
        input: Option<&Bound<'py, PyAny>>,
        agent: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
        priority: Option<&Bound<'_, PyAny>>,
        token: Option<&Bound<'py, PyAny>>,
        terms: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.inner.here(py)?;
        wait::check_here(py, "await kernel.acall(…) instead of kernel.call(…)")?;
        let task = task(skill, input, agent, timeout, terms)?;
        let mut source = Source::Call(inner.submit(py, task, priority, token)?.1);
        let answer = match source.try_take() {
            Some(answer) => answer,
            None => block(py, &mut source)?,
        };
        let payload = answer.map_err(|error| error::raise(py, &error))?;
        convert::to_python(py, &payload)
    }

    /// Takes a task all the way; the ticket answers in any case.
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    #[pyo3(signature = (skill, input=None, *, agent=None, timeout=None, priority=None, token=None, terms=None))]
    fn submit(
        &self,
        py: Python<'_>,
        skill: &Bound<'_, PyAny>,
        input: Option<&Bound<'_, PyAny>>,
        agent: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
        priority: Option<&Bound<'_, PyAny>>,
        token: Option<&Bound<'_, PyAny>>,
        terms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Ticket> {
        let inner = self.inner.here(py)?;
        let task = task(skill, input, agent, timeout, terms)?;
        let (id, ticket) = inner.submit(py, task, priority, token)?;
        Ok(Ticket::new(Some(id.0), inner.source(Source::Call(ticket))))
    }

    /// Cancels a call by its number; False when it is not in flight.
    fn cancel(&self, py: Python<'_>, call: &Bound<'_, PyAny>) -> PyResult<bool> {
        let inner = self.inner.here(py)?;
        let call = argument::number("call", 0, call)?;
        Ok(py.detach(|| inner.core().cancel(CallId(call))))
    }

    /// Calls an operation of the table and waits for the answer; where an asyncio loop runs, await
    /// `ainvoke`, as with `call` and `acall`.
    #[pyo3(signature = (operation, /, **request))]
    fn invoke<'py>(
        &self,
        py: Python<'py>,
        operation: &Bound<'py, PyAny>,
        request: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.inner.here(py)?;
        wait::check_here(py, "await kernel.ainvoke(…) instead of kernel.invoke(…)")?;
        let mut source = inner.begin(py, operation, request, true)?;
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
        operation: &Bound<'_, PyAny>,
        request: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Ticket> {
        let inner = self.inner.here(py)?;
        let source = inner.begin(py, operation, request, false)?;
        Ok(Ticket::new(None, inner.source(source)))
    }

    /// Moves the clock of a kernel in virtual time on; says how many pieces of work ran.
    fn advance(&self, py: Python<'_>, seconds: &Bound<'_, PyAny>) -> PyResult<usize> {
        let inner = self.inner.here(py)?;
        let by = argument::finite_duration("seconds", seconds)?;
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

    /// Removes an agent: no more tasks, `grace` to finish, then it is stopped.
    #[pyo3(signature = (name, grace=None), text_signature = "($self, name, grace=5.0)")]
    fn remove_agent(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        grace: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let core = self.inner.here(py)?.core().clone();
        let name = argument::text("name", name)?.to_owned();
        let grace = argument::some_duration("grace", grace)?.unwrap_or(REMOVE_GRACE);
        wait::aside(py, move || core.remove_agent(&name, grace))?
            .map_err(|error| error::raise(py, &error))
    }

    /// Stops a version of an agent that stands by, after `grace` for what it has under way.
    #[pyo3(
        signature = (name, version, grace=None),
        text_signature = "($self, name, version, grace=5.0)"
    )]
    fn retire_agent(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        version: &Bound<'_, PyAny>,
        grace: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let core = self.inner.here(py)?.core().clone();
        let name = argument::text("name", name)?.to_owned();
        let version = argument::text("version", version)?.to_owned();
        let grace = argument::some_duration("grace", grace)?.unwrap_or(REMOVE_GRACE);
        wait::aside(py, move || core.retire_agent(&name, &version, grace))?
            .map_err(|error| error::raise(py, &error))
    }

    /// Adds an in-process agent that answers its input, for health checks and measurements.
    #[pyo3(
        signature = (name=None, *, skill=None),
        text_signature = "($self, name='echo', *, skill='echo')"
    )]
    fn add_echo_agent(
        &self,
        py: Python<'_>,
        name: Option<&Bound<'_, PyAny>>,
        skill: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let name = argument::some_text("name", name)?.unwrap_or("echo");
        let skill = argument::some_text("skill", skill)?.unwrap_or("echo");
        let core = self.inner.here(py)?.core();
        let echo = Echo(AgentCard::new(name, [skill]).run(RunMode::Inline));
        py.detach(|| core.add_agent(echo)).map_err(|error| error::raise(py, &error))
    }

    fn _add_agent(
        &self,
        py: Python<'_>,
        described: &Bound<'_, PyAny>,
        replace: bool,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let agent = PythonAgent::described(described, inner.core().runtime())?;
        inner.add_agent(py, agent, replace).map_err(|error| error::raise(py, &error))
    }

    fn _add_source(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        find: Py<PyAny>,
        policy: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let name = argument::text("name", name)?.to_owned();
        let policy: DiscoveryPolicy = read_policy("agent.source_add", policy)?;
        let source = PythonSource::new(name, Arc::clone(inner.core().runtime()), find);
        let source = Arc::new(source);
        inner.hold(&source);
        py.detach(|| inner.core().add_shared_source(source, policy))
            .map_err(|error| error::raise(py, &error))
    }

    fn _add_factory(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        make: Py<PyAny>,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let name = argument::text("name", name)?;
        let factory = Arc::new(PythonFactory::new(Arc::clone(inner.core().runtime()), make));
        inner.hold(&factory);
        let added = inner.core().add_shared_agent_factory(name, factory);
        added.map_err(|error| error::raise(py, &error))
    }

    fn _add_auth_provider(
        &self,
        py: Python<'_>,
        scheme: &Bound<'_, PyAny>,
        authenticate: Py<PyAny>,
        challenge: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let scheme = argument::text("scheme", scheme)?.to_owned();
        let provider = Arc::new(PythonProvider::new(scheme, authenticate, challenge));
        inner.hold(&provider);
        py.detach(|| inner.core().add_shared_auth_provider(provider))
            .map_err(|error| error::raise(py, &error))
    }

    fn _add_monitor(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        sample: Py<PyAny>,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let name = argument::text("name", name)?.to_owned();
        let monitor = Arc::new(PythonMonitor::new(name, sample));
        inner.hold(&monitor);
        py.detach(|| inner.core().add_shared_monitor(monitor))
            .map_err(|error| error::raise(py, &error))
    }

    fn _add_component(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        needs: &Bound<'_, PyAny>,
        functions: (Py<PyAny>, Py<PyAny>),
        within: (Bound<'_, PyAny>, Bound<'_, PyAny>),
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let component = Arc::new(PythonComponent {
            name: argument::text("name", name)?.to_owned(),
            needs: argument::texts("needs", needs)?,
            start_within: argument::duration("start_within", &within.0)?,
            stop_within: argument::duration("stop_within", &within.1)?,
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

    fn _define_saga(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        policy: &Bound<'_, PyAny>,
        steps: Vec<Step<'_>>,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let policy: SagaPolicy = read_policy("saga.define", policy)?;
        let mut saga = Saga::new(argument::text("name", name)?).policy(policy);
        for (name, policy, act, undo) in steps {
            let step = Arc::new(PythonStep::new(act, undo));
            inner.hold(&step);
            saga = saga.shared_step(name, read_policy::<StepPolicy>("saga.define", &policy)?, step);
        }
        py.detach(|| inner.core().define_saga(saga)).map_err(|error| error::raise(py, &error))
    }

    fn _add_action(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        schema: &Bound<'_, PyAny>,
        run: Py<PyAny>,
        dry_run: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let name = argument::text("name", name)?.to_owned();
        let schema = convert::to_json(schema).map_err(convert::Trouble::into_py_err)?;
        let action = Arc::new(PythonAction::new(name, schema, run, dry_run));
        inner.hold(&action);
        py.detach(|| inner.core().recovery().add_action(action))
            .map_err(|error| error::raise(py, &error))
    }

    /// Has state saved in checkpoints and restored from them.
    fn _add_checkpointed(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        needs: &Bound<'_, PyAny>,
        save: Py<PyAny>,
        restore: Py<PyAny>,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let name = argument::text("name", name)?.to_owned();
        let needs = argument::texts("needs", needs)?;
        let state = Arc::new(PythonState::new(name, needs, save, restore));
        inner.hold(&state);
        py.detach(|| inner.core().checkpoints().register(state))
            .map_err(|error| error::raise(py, &error))
    }

    /// What an exception is, by the kernel's rules or by these, as JSON.
    fn _classify(
        &self,
        py: Python<'_>,
        exception: &Bound<'_, PyAny>,
        rules: Option<&str>,
    ) -> PyResult<String> {
        let core = self.inner.here(py)?.core();
        let failure = error::from_exception(exception, "program");
        let now = core.runtime().timestamp();
        let verdict = match rules {
            None => core.classifier().classify_error(&failure, now),
            Some(rules) => {
                let rules = from_json("recovery.classify", "rules", rules)
                    .map_err(|error| error::raise(py, &error))?;
                let classifier = Classifier::with_rules(rules);
                classifier.map_err(|error| error::raise(py, &error))?.classify_error(&failure, now)
            }
        };
        serde_json::to_string(&verdict).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Adds a tree, also to a kernel that was not started.
    fn _supervise(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        spec: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let core = self.inner.here(py)?.core().clone();
        let name = argument::text("name", name)?.to_owned();
        let spec: SupervisorSpec = read_policy("kernel.supervise", spec)?;
        if core.phase() == Phase::Running {
            wait::check_here(py, "await kernel.supervision.aadd(…) instead of add(…)")?;
        }
        wait::aside(py, move || core.supervise(&name, spec))?
            .map_err(|error| error::raise(py, &error))
    }

    /// A loop; with the policy of a mailbox, what is done with messages.
    fn _add_worker(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        function: Py<PyAny>,
        mailbox: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let name = argument::text("name", name)?;
        let policy: Option<MailboxPolicy> =
            mailbox.map(|policy| read_policy("worker.add", &policy)).transpose()?;
        let worker = Arc::new(PythonWorker::new(function));
        inner.hold(&worker);
        let workers = inner.core().workers();
        let added = match policy {
            None => workers.add(name, worker),
            Some(policy) => workers.add_messages(name, policy, worker),
        };
        added.map_err(|error| error::raise(py, &error))
    }

    fn _add_stage(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        within: &Bound<'_, PyAny>,
        function: Py<PyAny>,
    ) -> PyResult<()> {
        let inner = self.inner.here(py)?;
        let name = argument::text("name", name)?.to_owned();
        let within = argument::duration("within", within)?;
        let stage = Arc::new(PythonStage::new(name, within, function));
        inner.held.lock().stages.push(Arc::downgrade(&stage));
        py.detach(|| inner.core().recovery().add_stage(stage))
            .map_err(|error| error::raise(py, &error))
    }

    /// What a feature does at the present level; cheap, for it is asked often.
    fn _check_feature<'py>(
        &self,
        py: Python<'py>,
        feature: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let recovery = self.inner.here(py)?.core().recovery();
        let mode = recovery.check(argument::text("feature", feature)?);
        match mode.map_err(|error| error::raise(py, &error))? {
            FeatureMode::On => Ok(intern!(py, "on").clone().into_any()),
            mode => convert::view(py, Payload::json(&mode)),
        }
    }

    /// Takes the safe state, on threads that need nothing of the kernel's; says whether it was this
    /// call that did it. `panic` is for exceptions that nobody catches.
    fn _take_safe_state(
        &self,
        py: Python<'_>,
        reason: &Bound<'_, PyAny>,
        panic: bool,
    ) -> PyResult<bool> {
        let recovery = self.inner.here(py)?.core().recovery();
        let reason = argument::text("reason", reason)?.to_owned();
        let trigger = if panic { Trigger::panic(reason) } else { Trigger::host(reason) };
        Ok(py.detach(|| recovery.failsafe().trigger(trigger)))
    }

    /// Takes the safe state if the exception is a reason to by the policy; says whether it did.
    fn _report(&self, py: Python<'_>, exception: &Bound<'_, PyAny>) -> PyResult<bool> {
        let recovery = self.inner.here(py)?.core().recovery();
        let error = error::from_exception(exception, "program");
        Ok(py.detach(|| recovery.report(&error)))
    }

    /// Blocks until the safe state is taken, or `timeout` has passed.
    fn _wait_safe(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let recovery = self.inner.here(py)?.core().recovery();
        wait::check_here(py, "await asyncio.to_thread(kernel.failsafe.wait, …)")?;
        let timeout = argument::some_duration("timeout", timeout)?;
        wait::in_slices(py, timeout, |slice| {
            (recovery.wait_safe(slice).state == SafeState::Safe).then_some(())
        })?;
        Ok(())
    }

    /// Whether the policy of the safe state says that what nobody catches takes it.
    #[getter]
    fn _on_panic(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.inner.here(py)?.core().recovery().failsafe().policy().on_panic)
    }

    /// Provides a value by name; `factory` gets what `needs` names, in order.
    #[pyo3(
        signature = (name, factory, *, needs=None, scope=None),
        text_signature = "($self, name, factory, *, needs=(), scope='singleton')"
    )]
    fn provide(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        factory: Py<PyAny>,
        needs: Option<&Bound<'_, PyAny>>,
        scope: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        const SCOPES: [(&str, Lifetime); 3] = [
            ("singleton", Lifetime::Singleton),
            ("scoped", Lifetime::Scoped),
            ("transient", Lifetime::Transient),
        ];
        let inner = self.inner.here(py)?;
        let name = argument::text("name", name)?;
        let needs = needs.map(|needs| argument::texts("needs", needs)).transpose()?;
        let needs = needs.unwrap_or_default();
        let lifetime = scope.map(|scope| argument::choice("scope", &SCOPES, scope)).transpose()?;
        let lifetime = lifetime.unwrap_or(Lifetime::Singleton);
        inject::provide(py, inner.core().provided(), name, &needs, lifetime, factory)
    }

    /// The value of this name.
    fn get(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let name = argument::text("name", name)?;
        inject::get(py, self.inner.here(py)?.core().provided(), name)
    }

    /// Opens a scope for values that are provided with `scope="scoped"`.
    fn scope(&self, py: Python<'_>) -> PyResult<Scope> {
        inject::scope(py, self.inner.here(py)?.core().provided())
    }

    fn _publish(
        &self,
        py: Python<'_>,
        subject: &Bound<'_, PyAny>,
        payload: &Bound<'_, PyAny>,
        wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(usize, usize)> {
        let bus = self.inner.here(py)?.core().bus();
        let subject = argument::text("subject", subject)?;
        let payload = convert::to_payload(payload).map_err(convert::Trouble::into_py_err)?;
        let delivered = match argument::some_duration("wait", wait)? {
            None => bus.publish(subject, payload),
            Some(wait) => {
                wait::check_here(py, "publish without `wait`")?;
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
        pattern: &Bound<'_, PyAny>,
        function: Option<Py<PyAny>>,
        queue_group: Option<&Bound<'_, PyAny>>,
        capacity: Option<&Bound<'_, PyAny>>,
        overflow: &Bound<'_, PyAny>,
    ) -> PyResult<Py<Subscription>> {
        const POLICIES: [(&str, Overflow); 3] = [
            ("drop_oldest", Overflow::DropOldest),
            ("drop_newest", Overflow::DropNewest),
            ("close", Overflow::Close),
        ];
        let inner = self.inner.here(py)?;
        let pattern = argument::text("pattern", pattern)?;
        let overflow = argument::choice("overflow", &POLICIES, overflow)?;
        let mut builder = inner.core().bus().subscribe(pattern).overflow(overflow);
        if let Some(group) = argument::some_text("queue_group", queue_group)? {
            builder = builder.queue_group(group);
        }
        if let Some(capacity) = capacity {
            let capacity = argument::number("capacity", 0, capacity)?;
            builder = builder.capacity(usize::try_from(capacity).unwrap_or(usize::MAX));
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
    fn set_log_filter(&self, py: Python<'_>, filter: &Bound<'_, PyAny>) -> PyResult<()> {
        let core = self.inner.here(py)?.core();
        let filter = argument::text("filter", filter)?;
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
        priority: Option<&Bound<'_, PyAny>>,
        token: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(CallId, ticket::Ticket<Outcome>)> {
        let token = argument::some_text("token", token)?;
        let priority = priority.map(|given| argument::priority("priority", given)).transpose()?;
        wait::interruptible(|| {
            work::present(py, || {
                let urgency = priority.unwrap_or_else(priority::current);
                let task = task.priority(urgency).part_of_current();
                if self.strangers.load(Ordering::Relaxed) {
                    py.detach(|| self.core().submit(task, token))
                } else {
                    self.core().submit(task, token)
                }
            })
        })?
    }

    fn begin(
        &self,
        py: Python<'_>,
        operation: &Bound<'_, PyAny>,
        request: Option<&Bound<'_, PyDict>>,
        waits: bool,
    ) -> PyResult<Source> {
        let operation = argument::text("operation", operation)?;
        let request = match request {
            Some(request) => convert::to_json(request)
                .map_err(|trouble| refusal(py, operation, request, trouble))?,
            None => Value::Object(serde_json::Map::new()),
        };
        let run_strangers = [
            "agent.add_process",
            "agent.add_mcp",
            "agent.add_a2a",
            "agent.add_openai",
            "agent.supervise",
            "agent.source_add",
            "agent.create",
            "agent.pool_add",
        ];
        if run_strangers.contains(&operation) {
            self.strangers.store(true, Ordering::Relaxed);
        }
        let request = request.to_string();
        let begin = || match waits {
            true => self.surface.invoke_waiting(operation, &request),
            false => self.surface.invoke(operation, &request),
        };
        let invoke = || work::present(py, || py.detach(begin));
        wait::interruptible(invoke)?.map(Source::Operation)
    }
}

/// Why a request has no JSON form. Where an int is too large that is said in the operation's words, with the range that it allows.
fn refusal(
    py: Python<'_>,
    operation: &str,
    request: &Bound<'_, PyDict>,
    trouble: convert::Trouble,
) -> PyErr {
    if !trouble.is_huge() {
        return trouble.into_py_err();
    }
    let near = convert::to_near_json(request).ok();
    let row = sutazai_core::surface::operation(operation);
    match row.zip(near).map(|(row, near)| row.check(&near.to_string())) {
        Some(Err(error)) => error::raise(py, &error),
        _ => trouble.in_request().into_py_err(),
    }
}

fn task(
    skill: &Bound<'_, PyAny>,
    input: Option<&Bound<'_, PyAny>>,
    agent: Option<&Bound<'_, PyAny>>,
    timeout: Option<&Bound<'_, PyAny>>,
    terms: Option<&Bound<'_, PyAny>>,
) -> PyResult<Task> {
    let skill = argument::text("skill", skill)?;
    let input = match input {
        Some(input) => convert::to_payload(input).map_err(convert::Trouble::into_py_err)?,
        None => Payload::NULL,
    };
    let mut task = Task::new(skill, input);
    if let Some(agent) = argument::some_text("agent", agent)? {
        task = task.to_agent(agent);
    }
    if let Some(timeout) = argument::some_duration("timeout", timeout)? {
        task = task.timeout(timeout);
    }
    if let Some(terms) = terms {
        let read = |value: &Value| from_value::<Terms>("agent.call", "terms", value);
        task = task.terms(convert::read(terms, read)?);
    }
    Ok(task)
}

/// Waits for the answer of a ticket that nobody else sees.
fn block(py: Python<'_>, source: &mut Source) -> PyResult<sutazai_core::Result<Payload>> {
    let answer = wait::in_slices(py, None, |slice| source.wait_timeout(slice))?;
    Ok(answer.unwrap_or_else(|| Err(Error::new(Code::INTERNAL, "a wait without end ended"))))
}

/// A step of a saga as Python hands it in: its name, its policy, what does it and what undoes it.
type Step<'py> = (String, Bound<'py, PyAny>, Py<PyAny>, Py<PyAny>);

/// How the room `security` is set up, as a dict; paths in it begin where the process is.
fn options(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<SecurityOptions> {
    let read =
        convert::read(given, |value| from_value::<SecuritySpec>("kernel.new", "security", value))?;
    // A passphrase is derived, files are read.
    let options = py.detach(|| read.options(Path::new("")));
    options.map_err(|error| error::raise(py, &error))
}

/// A policy that came as a dict.
fn read_policy<T: serde::de::DeserializeOwned + schemars::JsonSchema>(
    operation: &'static str,
    given: &Bound<'_, PyAny>,
) -> PyResult<T> {
    convert::read(given, |value| from_value(operation, "policy", value))
}
