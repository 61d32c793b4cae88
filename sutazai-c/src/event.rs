//! Events: publish, and subscribe by callback or by pulling.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use sutazai_core::base::error::Fixed;
use sutazai_core::base::reading::from_json;
use sutazai_core::event::{CallbackGuard, Delivery, Overflow, SubscribeBuilder, Subscription};
use sutazai_core::kernel::Kernel;
use sutazai_core::{Code, Error, Result};

use crate::boundary::{Handle, borrow, fallible, give, infallible, output, peek, release};
use crate::error::sutazai_error;
use crate::fork::Home;
use crate::kernel::sutazai_kernel;
use crate::table::{DropFn, Table, User, required, take_over};
use crate::text::{json, sutazai_str, text};
use crate::ticket::duration;

/// An event on its arrival. The one that a callback gets lives until the callback returns; one that
/// was pulled is the caller's, freed by `sutazai_event_free`.
pub struct sutazai_event {
    home: Home,
    delivery: Delivery,
    payload: OnceLock<Arc<str>>,
}

/// Events that match a pattern.
pub struct sutazai_subscription {
    home: Home,
    kind: Kind,
}

enum Kind {
    Pull(Mutex<Subscription>),
    Deliver(CallbackGuard),
}

impl sutazai_event {
    fn new(home: Home, delivery: Delivery) -> Self {
        Self { home, delivery, payload: OnceLock::new() }
    }
}

impl Handle for sutazai_event {
    const NAME: &'static str = "event";
    fn home(&self) -> Home {
        self.home
    }
}

impl Handle for sutazai_subscription {
    const NAME: &'static str = "subscription";
    fn home(&self) -> Home {
        self.home
    }
}

/// Who gets the events. Must not throw or longjmp.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_event_table {
    /// `sizeof(sutazai_event_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after the last event, on any thread. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// An event. Runs on the kernel's pool, for one event at a time, in order; may block. `event`
    /// lives until it returns. Required.
    pub event: Option<unsafe extern "C" fn(user: *mut c_void, event: *const sutazai_event)>,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_event_table {
    const NAME: &'static str = "sutazai_event_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Gives an event to every subscription that wants its subject; never waits. `subject` is
/// dot-separated tokens, `payload` is JSON (empty is `null`). `queued` (may be NULL) gets the number
/// of subscriptions in whose queue it now is.
///
/// # Errors
/// `SUTAZAI_EVENT_SUBJECT_INVALID`; `SUTAZAI_BASE_INVALID` for a payload that is not JSON.
///
/// # Safety
/// `kernel` is NULL or live; texts are good for reading; `queued` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_publish(
    kernel: *mut sutazai_kernel,
    subject: *const c_char,
    subject_len: usize,
    payload: *const c_char,
    payload_len: usize,
    queued: *mut usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let subject = unsafe { text(subject, subject_len, "subject") }?;
        // SAFETY: the caller's promise.
        let payload = unsafe { json(payload, payload_len, "payload") }?;
        let delivered = kernel.kernel.bus().publish(subject, payload)?;
        if !queued.is_null() {
            // SAFETY: the caller's promise.
            unsafe { queued.write(delivered.queued) };
        }
        Ok(())
    })
}

/// Subscribes to the subjects that match `pattern` (`*` is one token, `>` the rest). `options` is
/// JSON, each field optional (an empty text is fine):
///
/// - `queue_group`: of the members of a group, one gets each event
/// - `capacity`: how many events may wait; 1,024
/// - `overflow`: what happens beyond that: `"drop_oldest"` (default), `"drop_newest"`, `"close"`
///
/// With a `table` its callback gets the events, from when the kernel runs; its `user` belongs to the
/// library as `sutazai_agent_add` says. With NULL they are pulled by `sutazai_subscription_next`.
///
/// # Errors
/// `SUTAZAI_EVENT_SUBJECT_INVALID`; `SUTAZAI_BASE_INVALID` for options or a table that are not
/// valid.
///
/// # Safety
/// `kernel` is NULL or live; texts are good for reading; `table` is NULL or as its `size` says;
/// `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_subscribe(
    kernel: *mut sutazai_kernel,
    pattern: *const c_char,
    pattern_len: usize,
    options: *const c_char,
    options_len: usize,
    table: *const sutazai_event_table,
    out: *mut *mut sutazai_subscription,
) -> *mut sutazai_error {
    fallible(|| {
        let callback = if table.is_null() {
            None
        } else {
            // SAFETY: the caller's promise.
            Some(unsafe { take_over(table) }?)
        };
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: the caller's promise.
        let pattern = unsafe { text(pattern, pattern_len, "pattern") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { text(options, options_len, "options") }?;
        let builder = builder(&kernel.kernel, pattern, options)?;
        let home = Home::here();
        let kind = match callback {
            None => Kind::Pull(Mutex::new(builder.pull()?)),
            Some((table, user)) => {
                let event = required(table.event, "event")?;
                Kind::Deliver(builder.deliver(move |delivery| tell(home, delivery, event, &user))?)
            }
        };
        out.write(give(sutazai_subscription { home, kind }));
        Ok(())
    })
}

/// The next event of a subscription that is pulled from: blocks for at most `timeout_ms`
/// milliseconds (0 not at all, `SUTAZAI_FOREVER` without end). `out` gets it, to be freed. For one
/// thread at a time.
///
/// # Errors
/// `SUTAZAI_BASE_TIMEOUT` when none came; `SUTAZAI_EVENT_SUBSCRIPTION_CLOSED` when no more will
/// come; `SUTAZAI_BASE_INVALID` for a subscription that has a callback.
///
/// # Safety
/// `subscription` is NULL or live; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_subscription_next(
    subscription: *mut sutazai_subscription,
    timeout_ms: u64,
    out: *mut *mut sutazai_event,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let subscription = unsafe { borrow(subscription) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        let Kind::Pull(pulled) = &subscription.kind else {
            return Err(Error::new(Code::INVALID, "the subscription delivers to a callback"));
        };
        let delivery = match duration(timeout_ms) {
            None => next(&mut pulled.lock(), LONG)?,
            Some(timeout) => {
                next(&mut *pulled.try_lock_for(timeout).ok_or_else(no_event)?, timeout)?
            }
        };
        let delivery = delivery.ok_or_else(no_event)?;
        out.write(give(sutazai_event::new(subscription.home, delivery)));
        Ok(())
    })
}

/// How many matching events were lost to overflow so far. 0 for NULL, and while another thread
/// waits in `sutazai_subscription_next`.
///
/// # Safety
/// `subscription` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_subscription_missed(
    subscription: *const sutazai_subscription,
) -> u64 {
    // SAFETY: the caller's promise.
    infallible(0, || match unsafe { peek(subscription) }.map(|s| &s.kind) {
        Some(Kind::Pull(pulled)) => pulled.try_lock().map_or(0, |pulled| pulled.missed()),
        Some(Kind::Deliver(guard)) => guard.missed(),
        None => 0,
    })
}

/// Ends a subscription. A callback that runs at this moment runs to its end, after which `drop` is
/// called; no other begins. May be called in the callback. NULL is allowed.
///
/// # Safety
/// `subscription` is NULL or live, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_subscription_free(subscription: *mut sutazai_subscription) {
    // SAFETY: the caller's promise.
    unsafe { release(subscription) }
}

/// The subject of an event. Empty for NULL.
///
/// # Safety
/// `event` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_event_subject(event: *const sutazai_event) -> sutazai_str {
    // SAFETY: the caller's promise.
    let subject = || unsafe { peek(event) }.map_or("", |e| e.delivery.event.subject.as_str());
    infallible(sutazai_str::empty(), || sutazai_str::lend(subject()))
}

/// The payload of an event, JSON. Empty for NULL.
///
/// # Safety
/// `event` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_event_payload(event: *const sutazai_event) -> sutazai_str {
    infallible(sutazai_str::empty(), || {
        // SAFETY: the caller's promise.
        let Some(event) = (unsafe { peek(event) }) else { return sutazai_str::empty() };
        sutazai_str::lend(event.payload.get_or_init(|| event.delivery.event.payload.to_text()))
    })
}

/// How many matching events the subscription missed right before this one. 0 for NULL.
///
/// # Safety
/// `event` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_event_missed_before(event: *const sutazai_event) -> u64 {
    // SAFETY: the caller's promise.
    infallible(0, || unsafe { peek(event) }.map_or(0, |e| e.delivery.missed_before))
}

/// Frees an event that was pulled. NULL is allowed.
///
/// # Safety
/// `event` is NULL or live, was pulled, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_event_free(event: *mut sutazai_event) {
    // SAFETY: the caller's promise.
    unsafe { release(event) }
}

/// A wait without end; a closed subscription ends it.
const LONG: std::time::Duration = std::time::Duration::from_secs(u32::MAX as u64);

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Options {
    queue_group: Option<String>,
    capacity: Option<usize>,
    overflow: Overflow,
}

impl Options {
    fn read(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        from_json("event.subscribe", "options", text)
    }
}

/// A subscription as `sutazai_subscribe` describes it, to pull from or to be delivered.
pub(crate) fn builder(kernel: &Kernel, pattern: &str, options: &str) -> Result<SubscribeBuilder> {
    let options = Options::read(options)?;
    let mut builder = kernel.bus().subscribe(pattern).overflow(options.overflow);
    if let Some(group) = options.queue_group {
        builder = builder.queue_group(group);
    }
    if let Some(capacity) = options.capacity {
        builder = builder.capacity(capacity);
    }
    Ok(builder)
}

fn tell(
    home: Home,
    delivery: Delivery,
    event: unsafe extern "C" fn(*mut c_void, *const sutazai_event),
    user: &User,
) {
    let arrived = sutazai_event::new(home, delivery);
    // SAFETY: whoever subscribed promised that the table's callbacks may be called so.
    unsafe { event(user.get(), &raw const arrived) }
}

fn next(subscription: &mut Subscription, timeout: std::time::Duration) -> Result<Option<Delivery>> {
    if timeout.is_zero() { subscription.try_next() } else { subscription.wait(timeout) }
}

fn no_event() -> Error {
    static NO_EVENT: Fixed = Fixed { code: Code::TIMEOUT, message: "no event came in time" };
    Error::from(&NO_EVENT)
}
