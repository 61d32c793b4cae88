//! `sutazai.Event` and `sutazai.Subscription`: the kernel's bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::ticket::{self, Reply};
use sutazai_core::event::{self, CallbackGuard, Delivery};
use sutazai_core::{Code, Error};

use crate::bridge::{self, Bridge, Item};
use crate::fork::Owned;
use crate::{argument, convert, error, exit, wait};

/// What was published, on its arrival.
#[pyclass(frozen, module = "sutazai", name = "Event")]
pub(crate) struct Event(Delivery);

#[pymethods]
impl Event {
    /// What it is about.
    #[getter]
    fn subject(&self) -> &str {
        self.0.event.subject.as_str()
    }

    /// What it says; a new object each time.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::to_python(py, &self.0.event.payload)
    }

    /// How many matching events were missed between the one before and this one.
    #[getter]
    fn missed_before(&self) -> u64 {
        self.0.missed_before
    }

    fn __repr__(&self) -> String {
        format!("<sutazai.Event {:?}>", self.0.event.subject.as_str())
    }
}

/// Events that match a pattern: pulled, or given to a function.
#[pyclass(frozen, weakref, module = "sutazai", name = "Subscription")]
pub(crate) struct Subscription {
    pattern: String,
    inner: Owned<Inner>,
}

enum Inner {
    Pull(Arc<Source>),
    Callback(Mutex<Option<CallbackGuard>>),
}

/// A subscription to pull from. Nothing foreign runs under its lock, and nobody sleeps under it.
pub(crate) struct Source {
    subscription: Mutex<Option<event::Subscription>>,
    runtime: Arc<dyn Runtime>,
    waiting: Mutex<Vec<Who>>,
    /// Nothing more will come than what waits: the kernel has stopped.
    ended: AtomicBool,
}

enum Who {
    Thread(Reply<()>),
    Future(Py<Bridge>, Py<PyAny>),
}

/// What a look at the queue found.
enum Found {
    Event(Delivery),
    End,
    Failure(Error),
}

impl Wake for Source {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for who in waiting {
            match who {
                Who::Thread(bell) => drop(bell.send(())),
                Who::Future(target, future) => bridge::push(&target, Item::Wake { future }),
            }
        }
    }
}

impl Source {
    /// What is there; leaves the waker when nothing is.
    fn look(self: &Arc<Self>) -> Option<Found> {
        let waker = Waker::from(Arc::clone(self));
        let mut subscription = self.subscription.lock();
        let Some(open) = &mut *subscription else { return Some(Found::End) };
        match open.poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(Ok(delivery)) => Some(Found::Event(delivery)),
            Poll::Ready(Err(failure)) => Some(Found::Failure(failure)),
            Poll::Pending if self.ended.load(Ordering::Acquire) => Some(Found::End),
            Poll::Pending => None,
        }
    }

    fn enlist(self: &Arc<Self>, who: Who) {
        self.waiting.lock().push(who);
    }

    fn wait(
        self: &Arc<Self>,
        py: Python<'_>,
        timeout: Option<Duration>,
    ) -> PyResult<Option<Found>> {
        if let Some(found) = self.look() {
            return Ok(Some(found));
        }
        if timeout == Some(Duration::ZERO) {
            return Ok(None);
        }
        wait::check_here(py, "iterate over the subscription with `async for`")?;
        if !self.runtime.may_block() && self.runtime.virtual_time().is_none() {
            let error = Error::new(Code::WOULD_DEADLOCK, "cannot wait here for an event");
            return Err(error::raise(py, &error));
        }
        let (mut bell, ring) = ticket::pair();
        self.enlist(Who::Thread(ring));
        let found = wait::in_slices(py, timeout, |slice| {
            if let Some(found) = self.look() {
                return Some(found);
            }
            if bell.wait_timeout(slice).is_some() {
                let (next_bell, ring) = ticket::pair();
                bell = next_bell;
                self.enlist(Who::Thread(ring));
            }
            self.look()
        });
        drop(bell);
        // Bells that nobody hears any more.
        let stale = |who: &mut Who| matches!(who, Who::Thread(bell) if bell.cancelled());
        let gone: Vec<_> = self.waiting.lock().extract_if(.., stale).collect();
        drop(gone);
        found
    }

    fn close(self: &Arc<Self>) {
        let closed = self.subscription.lock().take();
        drop(closed);
        self.wake_by_ref();
    }

    /// Nothing more comes; what waits can still be had.
    pub(crate) fn end(self: &Arc<Self>) {
        self.ended.store(true, Ordering::Release);
        self.wake_by_ref();
    }
}

impl Subscription {
    pub(crate) fn pull(
        builder: event::SubscribeBuilder,
        runtime: Arc<dyn Runtime>,
    ) -> sutazai_core::Result<(Self, Arc<Source>)> {
        let subscription = builder.pull()?;
        let pattern = subscription.pattern().as_str().to_owned();
        let source = Arc::new(Source {
            subscription: Mutex::new(Some(subscription)),
            runtime,
            waiting: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let inner = Owned::new(Inner::Pull(Arc::clone(&source)));
        Ok((Self { pattern, inner }, source))
    }

    pub(crate) fn deliver(
        builder: event::SubscribeBuilder,
        function: Py<PyAny>,
    ) -> sutazai_core::Result<Self> {
        let guard = builder.deliver(move |delivery| {
            let _ = exit::attach(|py| {
                let call = || {
                    let event = Bound::new(py, Event(delivery))?.into_any();
                    exit::call(function.bind(py), &PyTuple::new(py, [event])?)
                };
                if let Err(error) = call() {
                    error.write_unraisable(py, Some(function.bind(py)));
                }
            });
        })?;
        let pattern = guard.pattern().as_str().to_owned();
        Ok(Self { pattern, inner: Owned::new(Inner::Callback(Mutex::new(Some(guard)))) })
    }

    fn source(&self, py: Python<'_>) -> PyResult<&Arc<Source>> {
        match self.inner.here(py)? {
            Inner::Pull(source) => Ok(source),
            Inner::Callback(_) => {
                let error = Error::new(
                    Code::UNSUPPORTED,
                    "the subscription gives its events to a function",
                );
                Err(error::raise(py, &error.advice("subscribe without one to pull")))
            }
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        match self.inner.get() {
            Ok(Inner::Pull(source)) => source.subscription.lock().is_some(),
            Ok(Inner::Callback(guard)) => guard.lock().is_some(),
            Err(_) => false,
        }
    }

    pub(crate) fn close(&self) {
        match self.inner.get() {
            Ok(Inner::Pull(source)) => source.close(),
            Ok(Inner::Callback(guard)) => {
                let guard = guard.lock().take();
                drop(guard);
            }
            Err(_) => {}
        }
    }
}

fn raise_or_give(py: Python<'_>, found: Found) -> PyResult<Option<Event>> {
    match found {
        Found::Event(delivery) => Ok(Some(Event(delivery))),
        Found::End => Ok(None),
        Found::Failure(failure) => Err(error::raise(py, &failure)),
    }
}

#[pymethods]
impl Subscription {
    /// The pattern.
    #[getter]
    fn pattern(&self) -> &str {
        &self.pattern
    }

    /// How many matching events were lost to overflow so far, exactly.
    #[getter]
    fn missed(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(match self.inner.here(py)? {
            Inner::Pull(source) => {
                source.subscription.lock().as_ref().map_or(0, event::Subscription::missed)
            }
            Inner::Callback(guard) => guard.lock().as_ref().map_or(0, CallbackGuard::missed),
        })
    }

    /// The next event; None when none came within `timeout`, or none will come any more.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Event>> {
        let timeout = argument::some_duration("timeout", timeout)?;
        match self.source(py)?.wait(py, timeout)? {
            Some(found) => raise_or_give(py, found),
            None => Ok(None),
        }
    }

    /// Ends it: no further event is delivered.
    fn unsubscribe(&self, py: Python<'_>) -> PyResult<()> {
        self.inner.here(py)?;
        self.close();
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (_type=None, _value=None, _traceback=None))]
    fn __exit__(
        &self,
        _type: Option<Py<PyAny>>,
        _value: Option<Py<PyAny>>,
        _traceback: Option<Py<PyAny>>,
    ) {
        self.close();
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Event> {
        let found = self.source(py)?.wait(py, None)?;
        let event = found.map(|found| raise_or_give(py, found)).transpose()?.flatten();
        event.ok_or_else(|| PyStopIteration::new_err(()))
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        static NEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        NEXT.import(slf.py(), "sutazai._loop", "_next_event")?.call1((slf,))
    }

    /// `(event,)`, `()` when none will come any more, or `None` when there is none yet.
    fn _poll(&self, py: Python<'_>) -> PyResult<Option<Vec<Event>>> {
        let found = self.source(py)?.look();
        found.map(|found| Ok(raise_or_give(py, found)?.into_iter().collect())).transpose()
    }

    /// Wakes `future` on its loop when there is something to look at.
    fn _wake(&self, py: Python<'_>, bridge: Py<Bridge>, future: Py<PyAny>) -> PyResult<()> {
        self.source(py)?.enlist(Who::Future(bridge, future));
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("<sutazai.Subscription {:?}>", self.pattern)
    }
}
