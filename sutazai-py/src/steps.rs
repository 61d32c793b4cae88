//! A guarded call that Python makes in steps: what is awaited.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use sutazai_core::base::error::Fixed;
use sutazai_core::base::id::TimerId;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::ticket::Settler;
use sutazai_core::base::time::Moment;
use sutazai_core::recovery::{self as core, Which};
use sutazai_core::{Code, Error};

use crate::fork::Owned;
use crate::{error, exit, work};

/// A guarded call that is made in steps.
#[pyclass(frozen, module = "sutazai._sutazai", name = "_GuardSteps")]
pub(crate) struct Steps {
    inner: Mutex<Option<Owned<core::Steps>>>,
    place: Mutex<Option<Owned<Waiting>>>,
    /// What ends the deadline of the present try in the present context.
    token: Mutex<Option<Py<PyAny>>>,
    /// When in the count of guards it began.
    since: u64,
}

impl Steps {
    /// A call that has begun; its try's deadline is in force in the present context from here on.
    pub(crate) fn begun(py: Python<'_>, mut steps: core::Steps, since: u64) -> PyResult<Self> {
        let token = carried(py, &mut steps)?;
        let inner = Mutex::new(Some(Owned::new(steps)));
        Ok(Self { inner, place: Mutex::default(), token: Mutex::new(token), since })
    }

    /// Ends the deadline of the try in the present context.
    pub(crate) fn uncarry(&self, py: Python<'_>) -> PyResult<()> {
        let token = self.token.lock().take();
        token.map_or(Ok(()), |token| work::uncarry(token.bind(py)))
    }

    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    pub(crate) fn with<T>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut core::Steps) -> T,
    ) -> PyResult<T> {
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
    /// How the try goes on: 0, it is made; 1, it waits for a place in the bulkhead; 2, it is made, and may
    /// be hedged.
    #[getter]
    fn way(&self, py: Python<'_>) -> PyResult<u8> {
        self.with(py, |steps| {
            if steps.waiting().is_some() {
                1
            } else if steps.hedge_at().is_some() {
                2
            } else {
                0
            }
        })
    }

    /// The place in the bulkhead that this of two tries has, or None; whoever takes it gives it back when
    /// the try has ended, which may be after the call.
    fn take_place(&self, py: Python<'_>, second: bool) -> PyResult<Option<Held>> {
        let place = self.with(py, |steps| steps.take_place(which(second)))?;
        Ok(place.map(|place| Held(Mutex::new(Some(Owned::new(place))))))
    }

    /// Runs a coroutine up to where it first waits: True and its answer when it has one, else False and
    /// what it waits for.
    #[staticmethod]
    fn first<'py>(coroutine: &Bound<'py, PyAny>) -> PyResult<(bool, Bound<'py, PyAny>)> {
        send(coroutine)
    }

    /// Lets a second try in beside the present one, if it can be paid for and there is room.
    fn hedge(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, core::Steps::hedge)
    }

    /// This of two tries has succeeded, and with it the call.
    fn won(&self, py: Python<'_>, second: bool) -> PyResult<()> {
        let taken = self.inner.lock().take();
        if let Some(owned) = taken {
            owned.take(py)?.won(which(second));
        }
        Ok(())
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
        entered.map_err(|error| error::raise(py, &error))?;
        *self.token.lock() = self.with(py, |steps| carried(py, steps))??;
        Ok(())
    }

    /// The try has succeeded, and with it the call.
    fn succeeded(&self, py: Python<'_>) -> PyResult<()> {
        self.uncarry(py)?;
        let taken = self.inner.lock().take();
        if let Some(owned) = taken {
            owned.take(py)?.succeeded();
        }
        Ok(())
    }

    /// Goes in again after the wait; False when the guard does not let it in.
    fn again(&self, py: Python<'_>) -> PyResult<bool> {
        let entered = self.with(py, |steps| work::present(py, || steps.again().is_ok()))??;
        if entered {
            *self.token.lock() = self.with(py, |steps| carried(py, steps))??;
        }
        Ok(entered)
    }

    /// Ends it: a try that is under way counts as nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let waiting = self.place.lock().take();
        let taken = self.inner.lock().take();
        drop((waiting, taken));
        self.uncarry(py)
    }
}

/// Puts the deadline of a try into the present context, if it has one and does not wait for its place.
fn carried(py: Python<'_>, steps: &mut core::Steps) -> PyResult<Option<Py<PyAny>>> {
    if steps.waiting().is_some() {
        return Ok(None);
    }
    let deadline = steps.attempt().deadline;
    if deadline == Moment::FAR {
        return Ok(None);
    }
    work::carry(py, Some(deadline.as_nanos()), None).map(|token| Some(token.unbind()))
}

/// A place in a bulkhead.
#[pyclass(frozen, module = "sutazai._sutazai", name = "_Place")]
pub(crate) struct Held(Mutex<Option<Owned<core::Place>>>);

#[pymethods]
impl Held {
    /// Gives it back.
    fn leave(&self) {
        let place = self.0.lock().take();
        drop(place);
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
/// Goes on with a coroutine: whether it has ended, and its answer or what it waits for.
fn send<'py>(coroutine: &Bound<'py, PyAny>) -> PyResult<(bool, Bound<'py, PyAny>)> {
    let py = coroutine.py();
    let mut value = std::ptr::null_mut();
    // SAFETY: live objects, an attached thread, and a place for what comes back: a new reference.
    let sent = unsafe { ffi::PyIter_Send(coroutine.as_ptr(), py.None().as_ptr(), &raw mut value) };
    // SAFETY: as it says, except that for an error it is null and the exception is set.
    let value = unsafe { Bound::from_owned_ptr_or_err(py, value) };
    Ok((sent == ffi::PySendResult::PYGEN_RETURN, value?))
}

/// Virtual time that a guard waits for.
#[pyclass(frozen, module = "sutazai._sutazai", name = "_Timer")]
pub(crate) struct Timer {
    id: TimerId,
    runtime: Arc<dyn Runtime>,
}

impl Timer {
    /// Calls `callback` at that moment, on the thread that moves the clock.
    pub(crate) fn at(runtime: &Arc<dyn Runtime>, at: Moment, callback: Py<PyAny>) -> Self {
        let tell = Box::new(move || {
            let told = exit::attach(|py| callback.call0(py).map(drop));
            if let Some(Err(error)) = told {
                exit::attach(|py| error.write_unraisable(py, None));
            }
        });
        Self { id: runtime.spawn_at(at, tell), runtime: Arc::clone(runtime) }
    }
}

#[pymethods]
impl Timer {
    /// Takes it back.
    fn cancel(&self, py: Python<'_>) {
        py.detach(|| self.runtime.cancel(self.id));
    }
}

pub(crate) fn which(second: bool) -> Which {
    if second { Which::Second } else { Which::First }
}

pub(crate) fn placed(
    steps: &mut core::Steps,
    place: Option<sutazai_core::Result<core::Place>>,
) -> sutazai_core::Result<()> {
    static LATE: Fixed = Fixed {
        code: Code::DEADLINE_EXCEEDED,
        message: "the bulkhead had no place before the deadline",
    };
    steps.placed(place.unwrap_or_else(|| Err(Error::from(&LATE)))?)
}
