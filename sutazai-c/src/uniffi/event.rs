//! Events that are delivered to Swift, Kotlin or Ruby.

use parking_lot::Mutex;
use sutazai_core::Result;
use sutazai_core::event::{CallbackGuard, Delivery};
use sutazai_core::kernel::Kernel;
use sutazai_core::observe::{Level, Log};

use super::error::KernelError;
use crate::fork::Home;

/// An event on its arrival.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Event {
    /// Dot-separated tokens.
    pub subject: String,
    /// JSON.
    pub payload: String,
    /// How many matching events the subscription missed right before this one.
    pub missed_before: u64,
}

/// Gets events.
#[uniffi::export(callback_interface)]
pub trait Listener: Send + Sync {
    /// An event. Runs on the kernel's pool, for one event at a time, in order; may block. What it
    /// throws is written to the kernel's log.
    fn event(&self, event: Event) -> std::result::Result<(), KernelError>;
}

/// Events that match a pattern, on their way to a listener.
#[derive(uniffi::Object)]
pub struct Subscription {
    home: Home,
    guard: Mutex<Option<CallbackGuard>>,
}

#[uniffi::export]
impl Subscription {
    /// How many matching events were lost to overflow so far; 0 when it has ended.
    pub fn missed(&self) -> std::result::Result<u64, KernelError> {
        self.home.check()?;
        Ok(self.guard.lock().as_ref().map_or(0, CallbackGuard::missed))
    }

    /// Ends it: no further event is delivered. One that the listener has at this moment, it may
    /// finish.
    pub fn unsubscribe(&self) -> std::result::Result<(), KernelError> {
        self.home.check()?;
        self.end();
        Ok(())
    }
}

impl Subscription {
    pub(super) fn is_open(&self) -> bool {
        self.guard.lock().is_some()
    }

    /// Ends it; no lock is held while the listener is let go of.
    pub(super) fn end(&self) {
        let guard = self.guard.lock().take();
        drop(guard);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if !self.home.is_here() {
            // Whoever held the bus's locks when the process forked does not exist here.
            std::mem::forget(self.guard.get_mut().take());
        }
    }
}

/// Subscribes a listener; options as `sutazai_subscribe` has them.
pub(super) fn subscribe(
    kernel: &Kernel,
    pattern: &str,
    options: &str,
    listener: Box<dyn Listener>,
) -> Result<Subscription> {
    let log = kernel.log().clone();
    let builder = crate::event::builder(kernel, pattern, options)?;
    let guard = builder.deliver(move |delivery| tell(&*listener, delivery, &log))?;
    Ok(Subscription { home: Home::here(), guard: Mutex::new(Some(guard)) })
}

fn tell(listener: &dyn Listener, delivery: Delivery, log: &Log) {
    let subject = delivery.event.subject.as_str().to_owned();
    let event = Event {
        subject: subject.clone(),
        payload: delivery.event.payload.to_text().as_ref().to_owned(),
        missed_before: delivery.missed_before,
    };
    if let Err(thrown) = listener.event(event) {
        let fields = [("subject", subject), ("error", thrown.to_string())];
        log.record(Level::Error, "sutazai.event", "a listener failed", fields);
    }
}
