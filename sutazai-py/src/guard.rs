//! `_sutazai._Guard`: the native half of `sutazai.Guard`.
//!
//! A call that blocks is made here, by [`Guard::run`]; one that is awaited is made in Python, in
//! [`Steps`]. What the guarded function raises is raised again as it was; only for the decision is it
//! made into an error of the core's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use sutazai_core::base::deadline;
use sutazai_core::base::reading::from_value;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::time::Moment;
use sutazai_core::recovery::{
    self as core, Classifier, Forced, GaveUp, GuardPolicy, Judgement, Next, SharedParts,
};
use sutazai_core::{Class, Code, Error};

use crate::fork::{Renewed, elsewhere};
use crate::kernel::Kernel;
use crate::steps::{Steps, Timer, placed, which};
use crate::{convert, error, wait, work};

/// Parts that guards share by name: those of a kernel, or of a program.
#[pyclass(frozen, module = "sutazai._sutazai", name = "_SharedParts")]
pub(crate) struct Shared {
    parts: Renewed<SharedParts>,
    kernels: bool,
}

impl Shared {
    pub(crate) fn of(parts: &SharedParts) -> Self {
        Self { parts: Renewed::new(parts.clone()), kernels: true }
    }

    fn here(&self, py: Python<'_>) -> PyResult<Arc<SharedParts>> {
        self.parts.here(|| if self.kernels { Err(elsewhere(py)) } else { Ok(SharedParts::new()) })
    }
}

#[pymethods]
impl Shared {
    #[new]
    fn new() -> Self {
        Self { parts: Renewed::new(SharedParts::new()), kernels: false }
    }
}

/// The native half of `sutazai.Guard`.
#[pyclass(frozen, module = "sutazai._sutazai", name = "_Guard")]
pub(crate) struct Guard {
    inner: Renewed<Inner>,
    /// What it is made of in a forked child; none for one of a kernel, which stays with its process.
    recipe: Option<Recipe>,
    /// Which exceptions are worth another try: a class or a tuple of them; None to judge them.
    on: Option<Py<PyAny>>,
}

/// What a guard without a kernel is made of.
struct Recipe {
    name: String,
    policy: Mutex<GuardPolicy>,
    shared: Py<Shared>,
    on: bool,
    seed: Option<u64>,
}

impl Recipe {
    fn make(&self, py: Python<'_>) -> PyResult<Inner> {
        let shared = self.shared.get().here(py)?;
        let policy = self.policy.lock().clone();
        let builder = core::Guard::builder(self.name.as_str(), policy).shared(&shared);
        let guard = finish(builder, self.on, self.seed);
        Ok(Inner { guard: guard.map_err(|error| error::raise(py, &error))?, runtime: None })
    }
}

fn finish(
    mut builder: core::GuardBuilder,
    on: bool,
    seed: Option<u64>,
) -> sutazai_core::Result<core::Guard> {
    if let Some(seed) = seed {
        builder = builder.seed(seed);
    }
    if on {
        // What the host says counts; what the failure says of when to come again does as well.
        let classifier = Classifier::new();
        builder = builder.judge_by(Arc::new(move |failure: &Error, now| Judgement {
            class: failure.class(),
            retry_after: classifier.classify_error(failure, now).retry_after,
        }));
    }
    builder.build()
}

struct Inner {
    guard: core::Guard,
    /// A kernel's; none for the system's clock.
    runtime: Option<Arc<dyn Runtime>>,
}

impl Inner {
    fn now(&self) -> Moment {
        self.runtime.as_ref().map_or_else(Moment::now, |runtime| runtime.now())
    }

    /// A call that blocks makes no second one beside itself, and is not asked to.
    fn unhedged(&self, py: Python<'_>) -> PyResult<()> {
        if !self.guard.hedges() {
            return Ok(());
        }
        let error = Error::new(Code::UNSUPPORTED, "a call that blocks is not hedged")
            .operation("recovery.guard")
            .with("guard", self.guard.name())
            .advice("hedge what is awaited: guard.arun, or a coroutine function");
        Err(error::raise(py, &error))
    }

    /// Waits without the GIL; virtual time moves instead.
    fn pause(&self, py: Python<'_>, time: Duration) -> PyResult<()> {
        if let Some(manual) = self.runtime.as_ref().and_then(|runtime| runtime.virtual_time()) {
            py.detach(|| manual.advance(time));
            return Ok(());
        }
        wait::in_slices(py, Some(time), |slice| {
            std::thread::sleep(slice);
            None::<()>
        })
        .map(drop)
    }

    /// Waits for a place, as long as the call has time.
    fn wait_for_place(&self, py: Python<'_>, steps: &mut core::Steps) -> PyResult<()> {
        let deadline = steps.deadline();
        let Some(ticket) = steps.waiting() else { return Ok(()) };
        wait::check_here(py, "await guard.arun(…) there")?;
        let left = (deadline != Moment::FAR).then(|| deadline.since(self.now()));
        let place = wait::in_slices(py, left, |slice| ticket.wait_timeout(slice))?;
        placed(steps, place).map_err(|error| error::raise(py, &error))
    }
}

#[pymethods]
impl Guard {
    /// `policy` is a dict, as `GuardPolicy` has it.
    #[new]
    #[pyo3(signature = (name, policy, shared, kernel=None, on=None, seed=None))]
    fn new(
        py: Python<'_>,
        name: &str,
        policy: &Bound<'_, PyAny>,
        shared: Py<Shared>,
        kernel: Option<&Bound<'_, Kernel>>,
        on: Option<Py<PyAny>>,
        seed: Option<u64>,
    ) -> PyResult<Self> {
        let policy = read(policy)?;
        let Some(kernel) = kernel else {
            let recipe = Recipe {
                name: name.to_owned(),
                policy: Mutex::new(policy),
                shared,
                on: on.is_some(),
                seed,
            };
            let inner = Renewed::new(recipe.make(py)?);
            return Ok(Self { inner, recipe: Some(recipe), on });
        };
        let runtime = kernel.get().runtime(py)?;
        let builder = core::Guard::builder(name, policy)
            .shared(&*shared.get().here(py)?)
            .runtime(Arc::clone(&runtime))
            .classifier(&kernel.get().classifier(py)?);
        let guard =
            finish(builder, on.is_some(), seed).map_err(|error| error::raise(py, &error))?;
        let inner = Renewed::new(Inner { guard, runtime: Some(runtime) });
        Ok(Self { inner, recipe: None, on })
    }

    /// Calls `function`, as often as it takes.
    #[pyo3(signature = (function, /, *args, **kwargs))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.here(py)?;
        inner.unhedged(py)?;
        work::present(py, || self.run_in(py, &inner, function, args, kwargs))?
    }

    /// Begins a call that is made in steps.
    fn begin(&self, py: Python<'_>) -> PyResult<Steps> {
        let inner = self.here(py)?;
        let begun = work::present(py, || inner.guard.begin())?;
        let steps = begun.map_err(|error| rejected(py, &inner.guard, error))?;
        Steps::begun(py, steps, count())
    }

    /// Whether it makes second tries beside slow ones.
    #[getter]
    fn hedged(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.here(py)?.guard.hedges())
    }

    /// Whether it goes by a kernel's virtual time.
    #[getter]
    fn r#virtual(&self, py: Python<'_>) -> PyResult<bool> {
        let inner = self.here(py)?;
        let runtime = &inner.runtime;
        Ok(runtime.as_ref().is_some_and(|runtime| runtime.virtual_time().is_some()))
    }

    /// Seconds until a second try is due beside the present one in `steps`; None for never.
    fn hedge_in(&self, py: Python<'_>, steps: &Steps) -> PyResult<Option<f64>> {
        let inner = self.here(py)?;
        let due = steps.with(py, |steps| steps.hedge_at())?;
        Ok(due.map(|due| due.since(inner.now()).as_secs_f64()))
    }

    /// Under a kernel's virtual time: calls `callback` after so many seconds of it, on whichever thread
    /// moves it. None where time is real.
    fn after(&self, py: Python<'_>, seconds: f64, callback: Py<PyAny>) -> PyResult<Option<Timer>> {
        let inner = self.here(py)?;
        let Some(runtime) = inner.runtime.as_ref().filter(|it| it.virtual_time().is_some()) else {
            return Ok(None);
        };
        let pause = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let at = runtime.now() + pause;
        Ok(Some(Timer::at(runtime, at, callback)))
    }

    /// The try in `steps` has raised: seconds to wait before the next one, or None.
    fn raised(
        &self,
        py: Python<'_>,
        steps: &Steps,
        exception: &Bound<'_, PyAny>,
    ) -> PyResult<Option<f64>> {
        steps.uncarry(py)?;
        let since = steps.since();
        let next = steps.with(py, |steps| self.failed(py, steps, exception, since))?;
        Ok(next?.map(|pause| pause.as_secs_f64()))
    }

    /// One of the two tries in `steps` has raised, and the other goes on.
    fn lost(
        &self,
        py: Python<'_>,
        steps: &Steps,
        second: bool,
        exception: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let failure = self.judge(py, exception)?;
        steps.with(py, |steps| steps.lost(which(second), Some(&failure)))
    }

    /// Seconds until the present try in `steps` is given up; None for never.
    fn left(&self, py: Python<'_>, steps: &Steps) -> PyResult<Option<f64>> {
        let inner = self.here(py)?;
        let deadline = steps.with(py, |steps| steps.attempt().deadline)?;
        Ok((deadline != Moment::FAR).then(|| deadline.since(inner.now()).as_secs_f64()))
    }

    /// The figures, as JSON.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        to_json(&self.here(py)?.guard.status())
    }

    /// The policy, as JSON.
    fn policy(&self, py: Python<'_>) -> PyResult<String> {
        to_json(&self.here(py)?.guard.policy())
    }

    /// Takes another policy, given as a dict.
    fn set_policy(&self, py: Python<'_>, policy: &Bound<'_, PyAny>) -> PyResult<()> {
        let policy = read(policy)?;
        let set = self.here(py)?.guard.set_policy(policy.clone());
        set.map_err(|error| error::raise(py, &error))?;
        if let Some(recipe) = &self.recipe {
            *recipe.policy.lock() = policy;
        }
        Ok(())
    }

    /// Puts the breaker into a state that it does not leave by itself: "open", "closed", or None.
    #[pyo3(signature = (state))]
    fn force(&self, py: Python<'_>, state: Option<&str>) -> PyResult<()> {
        let forced = match state {
            None => None,
            Some("open") => Some(Forced::Open),
            Some("closed") => Some(Forced::Closed),
            Some(other) => {
                let message = format!("a breaker is forced 'open' or 'closed', not {other:?}");
                return Err(PyValueError::new_err(message));
            }
        };
        let breaker = self.here(py)?.guard.breaker();
        let breaker = breaker.ok_or_else(|| PyValueError::new_err("this guard has no breaker"))?;
        py.detach(|| breaker.force(forced));
        Ok(())
    }
}

impl Guard {
    fn here(&self, py: Python<'_>) -> PyResult<Arc<Inner>> {
        self.inner.here(|| match &self.recipe {
            Some(recipe) => recipe.make(py),
            None => Err(elsewhere(py)),
        })
    }

    fn run_in<'py>(
        &self,
        py: Python<'py>,
        inner: &Inner,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let since = count();
        let begun = inner.guard.begin();
        let mut steps = begun.map_err(|error| rejected(py, &inner.guard, error))?;
        loop {
            if steps.waiting().is_some() {
                inner.wait_for_place(py, &mut steps)?;
            }
            let deadline = steps.attempt().deadline;
            let raised = match deadline::within(deadline, || function.call(args, kwargs)) {
                Ok(answer) => {
                    if is_coroutine(py, &answer)? {
                        return Err(unawaited(&answer));
                    }
                    steps.succeeded();
                    return Ok(answer);
                }
                Err(raised) => raised,
            };
            match self.failed(py, &mut steps, raised.value(py).as_any(), since)? {
                Some(pause) => inner.pause(py, pause)?,
                None => return Err(raised),
            }
            // What it failed with says more than that it was not let in again.
            if steps.again().is_err() {
                return Err(raised);
            }
        }
    }

    /// Decides after a try has raised.
    fn failed(
        &self,
        py: Python<'_>,
        steps: &mut core::Steps,
        exception: &Bound<'_, PyAny>,
        since: u64,
    ) -> PyResult<Option<Duration>> {
        static GAVE_UP_ON: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let mut failure = self.judge(py, exception)?;
        let below = GAVE_UP_ON.import(py, "sutazai._errors", "_gave_up")?;
        if let Some(why) = below.call1((exception, since))?.extract::<Option<String>>()? {
            failure = failure.with(core::GAVE_UP, why);
        }
        match steps.failed(&failure) {
            Next::Retry(pause) => Ok(Some(pause)),
            Next::GiveUp(why) => {
                if !matches!(why, GaveUp::NoRetry | GaveUp::NotTransient) {
                    // A guard further out does not try again: layers that each retry would multiply. An
                    // exception that takes no attributes is tried again there.
                    let _ = exception.setattr(GAVE_UP, (why.name(), count()));
                }
                let tries = steps.attempt().number;
                let says =
                    matches!(why, GaveUp::Budget | GaveUp::Deadline | GaveUp::AskedToWaitTooLong);
                if tries > 1 || says {
                    let tries =
                        if tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") };
                    let note = format!("sutazai: given up after {tries} ({})", why.name());
                    // An exception that takes no notes is raised without.
                    let _ = exception.call_method1("add_note", (note,));
                }
                Ok(None)
            }
        }
    }

    fn judge(&self, py: Python<'_>, exception: &Bound<'_, PyAny>) -> PyResult<Error> {
        if !exception.is_instance_of::<PyException>() {
            // Ctrl-C, an exit, a cancelled task: says nothing about what was called.
            return Ok(Error::new(Code::CANCELLED, "the call was interrupted"));
        }
        let failure = error::from_exception(exception, "guarded function");
        let Some(on) = &self.on else { return Ok(failure) };
        let class =
            if exception.is_instance(on.bind(py))? { Class::Transient } else { Class::Persistent };
        Ok(failure.classed(class))
    }
}

/// What `_errors._gave_up` looks for: why, and when in the count.
const GAVE_UP: &str = "__sutazai_gave_up__";

/// Counts calls and what was given up, one after the other.
fn count() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// What the guard rejected, and which guard it was.
#[cold]
fn rejected(py: Python<'_>, guard: &core::Guard, error: Error) -> PyErr {
    error::raise(py, &error.operation("recovery.guard").with("guard", guard.name()))
}

fn is_coroutine(py: Python<'_>, answer: &Bound<'_, PyAny>) -> PyResult<bool> {
    static COROUTINE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(answer.get_type().is(COROUTINE.import(py, "types", "CoroutineType")?))
}

/// Nothing of a coroutine that was only made is guarded.
#[cold]
fn unawaited(answer: &Bound<'_, PyAny>) -> PyErr {
    let _ = answer.call_method0("close");
    PyTypeError::new_err(
        "the guarded function gave a coroutine, of which nothing is guarded: await \
         guard.arun(function, …), or guard the coroutine function itself",
    )
}

fn read(policy: &Bound<'_, PyAny>) -> PyResult<GuardPolicy> {
    convert::read(policy, |value| from_value("recovery.guard", "policy", value))
}

fn to_json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| PyValueError::new_err(error.to_string()))
}
