//! `_sutazai._Guard`: the native half of `sutazai.Guard`.
//!
//! A call that blocks is made here, by [`Guard::run`]; one that is awaited is made in Python, in
//! [`Steps`]. What the guarded function raises is raised again as it was; only for the decision is it
//! made into an error of the core's.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use sutazai_core::base::deadline;
use sutazai_core::base::error::Fixed;
use sutazai_core::base::reading::from_json;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::ticket::Settler;
use sutazai_core::base::time::Moment;
use sutazai_core::recovery::{
    self as core, Classifier, Forced, GaveUp, GuardPolicy, Judgement, Next, SharedParts,
};
use sutazai_core::{Class, Code, Error};

use crate::fork::Owned;
use crate::kernel::Kernel;
use crate::{error, exit, wait};

/// Parts that guards share by name: those of a kernel, or of a program.
#[pyclass(frozen, module = "sutazai._sutazai", name = "_SharedParts")]
pub(crate) struct Shared(SharedParts);

impl Shared {
    pub(crate) fn of(parts: &SharedParts) -> Self {
        Self(parts.clone())
    }
}

#[pymethods]
impl Shared {
    #[new]
    fn new() -> Self {
        Self(SharedParts::new())
    }
}

/// The native half of `sutazai.Guard`.
#[pyclass(frozen, module = "sutazai._sutazai", name = "_Guard")]
pub(crate) struct Guard {
    inner: Owned<Inner>,
    /// Which exceptions are worth another try: a class or a tuple of them; None to judge them.
    on: Option<Py<PyAny>>,
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

fn placed(
    steps: &mut core::Steps,
    place: Option<sutazai_core::Result<core::Place>>,
) -> sutazai_core::Result<()> {
    static LATE: Fixed = Fixed {
        code: Code::DEADLINE_EXCEEDED,
        message: "the bulkhead had no place before the deadline",
    };
    steps.placed(place.unwrap_or_else(|| Err(Error::from(&LATE)))?)
}

#[pymethods]
impl Guard {
    /// `policy` is JSON, as `GuardPolicy` has it.
    #[new]
    #[pyo3(signature = (name, policy, shared, kernel=None, on=None, seed=None))]
    fn new(
        py: Python<'_>,
        name: &str,
        policy: &str,
        shared: &Shared,
        kernel: Option<&Bound<'_, Kernel>>,
        on: Option<Py<PyAny>>,
        seed: Option<u64>,
    ) -> PyResult<Self> {
        let runtime = kernel.map(|kernel| kernel.get().runtime(py)).transpose()?;
        let policy = unhedged(py, read(py, policy)?)?;
        let mut builder = core::Guard::builder(name, policy).shared(&shared.0);
        if let Some(seed) = seed {
            builder = builder.seed(seed);
        }
        if let Some(runtime) = &runtime {
            builder = builder.runtime(Arc::clone(runtime));
        }
        if let Some(kernel) = kernel {
            builder = builder.classifier(&kernel.get().classifier(py)?);
        }
        if on.is_some() {
            // What the host says counts; what the failure says of when to come again does as well.
            let classifier = Classifier::new();
            builder = builder.judge_by(Arc::new(move |failure: &Error, now| Judgement {
                class: failure.class(),
                retry_after: classifier.classify_error(failure, now).retry_after,
            }));
        }
        let guard = builder.build().map_err(|error| error::raise(py, &error))?;
        Ok(Self { inner: Owned::new(Inner { guard, runtime }), on })
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
        let inner = self.inner.here(py)?;
        let mut steps = inner.guard.begin().map_err(|error| error::raise(py, &error))?;
        loop {
            if steps.waiting().is_some() {
                inner.wait_for_place(py, &mut steps)?;
            }
            let deadline = steps.attempt().deadline;
            let raised = match deadline::within(deadline, || function.call(args, kwargs)) {
                Ok(answer) => {
                    steps.succeeded();
                    return Ok(answer);
                }
                Err(raised) => raised,
            };
            match self.failed(py, &mut steps, raised.value(py).as_any())? {
                Some(pause) => inner.pause(py, pause)?,
                None => return Err(raised),
            }
            // What it failed with says more than that it was not let in again.
            if steps.again().is_err() {
                return Err(raised);
            }
        }
    }

    /// Begins a call that is made in steps.
    fn begin(&self, py: Python<'_>) -> PyResult<Steps> {
        let inner = self.inner.here(py)?;
        let steps = inner.guard.begin().map_err(|error| error::raise(py, &error))?;
        Ok(Steps { inner: Mutex::new(Some(Owned::new(steps))), place: Mutex::new(None) })
    }

    /// The try in `steps` has raised: seconds to wait before the next one, or None.
    fn raised(
        &self,
        py: Python<'_>,
        steps: &Steps,
        exception: &Bound<'_, PyAny>,
    ) -> PyResult<Option<f64>> {
        let next = steps.with(py, |steps| self.failed(py, steps, exception))?;
        Ok(next?.map(|pause| pause.as_secs_f64()))
    }

    /// Seconds until the present try in `steps` is given up; None for never.
    fn left(&self, py: Python<'_>, steps: &Steps) -> PyResult<Option<f64>> {
        let inner = self.inner.here(py)?;
        let deadline = steps.with(py, |steps| steps.attempt().deadline)?;
        Ok((deadline != Moment::FAR).then(|| deadline.since(inner.now()).as_secs_f64()))
    }

    /// The figures, as JSON.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        to_json(&self.inner.here(py)?.guard.status())
    }

    /// The policy, as JSON.
    fn policy(&self, py: Python<'_>) -> PyResult<String> {
        to_json(&self.inner.here(py)?.guard.policy())
    }

    /// Takes another policy, given as JSON.
    fn set_policy(&self, py: Python<'_>, policy: &str) -> PyResult<()> {
        let guard = &self.inner.here(py)?.guard;
        guard.set_policy(unhedged(py, read(py, policy)?)?).map_err(|error| error::raise(py, &error))
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
        let breaker = self.inner.here(py)?.guard.breaker();
        let breaker = breaker.ok_or_else(|| PyValueError::new_err("this guard has no breaker"))?;
        py.detach(|| breaker.force(forced));
        Ok(())
    }
}

impl Guard {
    /// Decides after a try has raised.
    fn failed(
        &self,
        py: Python<'_>,
        steps: &mut core::Steps,
        exception: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Duration>> {
        let failure = self.judge(py, exception)?;
        match steps.failed(&failure) {
            Next::Retry(pause) => Ok(Some(pause)),
            Next::GiveUp(why) => {
                if !matches!(why, GaveUp::NoRetry | GaveUp::NotTransient) {
                    // A guard further out does not try again: layers that each retry would multiply. An
                    // exception that takes no attributes is tried again there.
                    let _ = exception.setattr(GAVE_UP, why.name());
                }
                let tries = steps.attempt().number;
                if tries > 1 {
                    let note = format!("sutazai: given up after {tries} tries ({})", why.name());
                    exception.call_method1("add_note", (note,))?;
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
        let failure = error::from_exception(exception);
        let Some(on) = &self.on else { return Ok(failure) };
        let class =
            if exception.is_instance(on.bind(py))? { Class::Transient } else { Class::Persistent };
        Ok(failure.classed(class))
    }
}

/// What `_errors._to_native` looks for.
const GAVE_UP: &str = "__sutazai_gave_up__";

/// Calls of Python's are not hedged, and a policy that wants it is refused.
fn unhedged(py: Python<'_>, policy: GuardPolicy) -> PyResult<GuardPolicy> {
    if policy.hedge.is_none() {
        return Ok(policy);
    }
    let error = Error::new(Code::UNSUPPORTED, "Python's calls are not hedged")
        .operation("recovery.guard")
        .advice("leave `hedge` out; in Rust, Guard::call hedges what is awaited");
    Err(error::raise(py, &error))
}

/// A guarded call that is made in steps.
#[pyclass(frozen, module = "sutazai._sutazai", name = "_GuardSteps")]
pub(crate) struct Steps {
    inner: Mutex<Option<Owned<core::Steps>>>,
    place: Mutex<Option<Owned<Waiting>>>,
}

impl Steps {
    fn with<T>(&self, py: Python<'_>, f: impl FnOnce(&mut core::Steps) -> T) -> PyResult<T> {
        // Taken out meanwhile: no lock is held while Python runs.
        let taken = self.inner.lock().take();
        let Some(owned) = taken else {
            return Err(PyValueError::new_err("the call has ended, or another thread is at it"));
        };
        let mut steps = owned.take(py)?;
        let answer = f(&mut steps);
        *self.inner.lock() = Some(Owned::new(steps));
        Ok(answer)
    }
}

#[pymethods]
impl Steps {
    /// Whether it waits for a place in the bulkhead.
    #[getter]
    fn waiting(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |steps| steps.waiting().is_some())
    }

    /// Calls `callback` when there is a place, on the thread that gives it, or here when there is one
    /// already. Then comes `enter`.
    fn on_place(&self, py: Python<'_>, callback: Py<PyAny>) -> PyResult<()> {
        let Some(ticket) = self.with(py, |steps| steps.take_waiting())? else { return Ok(()) };
        let place = Arc::new(Mutex::new(None));
        let (slot, leave) = (Arc::downgrade(&place), ticket.settler());
        *self.place.lock() = Some(Owned::new(Waiting { place, leave }));
        ticket.on_done(move |answer| {
            // Who has stopped waiting has taken the slot along, and the place goes to the next one.
            let Some(slot) = slot.upgrade() else { return };
            *slot.lock() = Some(answer);
            let told = exit::attach(|py| callback.call0(py).map(drop));
            if let Some(Err(error)) = told {
                exit::attach(|py| error.write_unraisable(py, None));
            }
        });
        Ok(())
    }

    /// Goes in, with the place that it was told of.
    fn enter(&self, py: Python<'_>) -> PyResult<()> {
        let waiting = self.place.lock().take();
        let place = match waiting {
            Some(waiting) => waiting.take(py)?.place.lock().take(),
            None => None,
        };
        let entered = self.with(py, |steps| placed(steps, place))?;
        entered.map_err(|error| error::raise(py, &error))
    }

    /// The try has succeeded, and with it the call.
    fn succeeded(&self, py: Python<'_>) -> PyResult<()> {
        let taken = self.inner.lock().take();
        if let Some(owned) = taken {
            owned.take(py)?.succeeded();
        }
        Ok(())
    }

    /// Goes in again after the wait; False when the guard does not let it in.
    fn again(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |steps| steps.again().is_ok())
    }

    /// Ends it: a try that is under way counts as nothing.
    fn close(&self) {
        let waiting = self.place.lock().take();
        let taken = self.inner.lock().take();
        drop((waiting, taken));
    }
}

/// A place that is waited for; dropped, it is waited for no longer.
struct Waiting {
    place: Arc<Mutex<Option<sutazai_core::Result<core::Place>>>>,
    leave: Option<Settler<core::Place>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(leave) = &self.leave {
            leave.cancel();
        }
    }
}

fn read(py: Python<'_>, policy: &str) -> PyResult<GuardPolicy> {
    from_json("recovery.guard", "policy", policy).map_err(|error| error::raise(py, &error))
}

fn to_json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| PyValueError::new_err(error.to_string()))
}
