//! SIGTERM takes the safe state.
//!
//! Signals belong to the process, so this is one list and one thread, `sutazai-signal`, for all kernels
//! that ask. The handler itself only writes to a pipe (signal-hook's); the thread reads it.
//!
//! A forked child has the handler and not the thread. Told of the fork, the handler gives SIGTERM its
//! default effect there, until somebody watches it; otherwise nothing would end the child.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use signal_hook::consts::SIGTERM;
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::run::{Failsafe, Inner, Trigger, TriggerKind};
use crate::base::os::signal::is_default;
use crate::{Code, Error, Result};

static WATCHING: Mutex<Watch> = Mutex::new(Watch { runs: false, failsafes: Vec::new() });

/// Whether the handler is installed: by this process, or by one that it was forked from.
static INSTALLED: AtomicBool = AtomicBool::new(false);
/// Whether the signal had its default effect before the handler was installed.
static DEFAULT: AtomicBool = AtomicBool::new(true);
/// Whether it was installed before a fork that this process is the child of.
static ORPHANED: AtomicBool = AtomicBool::new(false);

struct Watch {
    /// Whether the thread runs. It does until the process ends: once a handler is installed, somebody has
    /// to give the signal its default effect when nobody else wants it.
    runs: bool,
    failsafes: Vec<Weak<Inner>>,
}

/// What a process that ends by SIGTERM has beyond the time of its stages.
const GRACE: Duration = Duration::from_secs(1);

impl Failsafe {
    /// From here on SIGTERM takes the safe state, and ends the process afterwards if the policy says so;
    /// then a second SIGTERM ends it at once.
    ///
    /// A handler that the host has set before is called as well; one that it sets later takes the signal
    /// away from here.
    ///
    /// # Errors
    /// [`Code::IO`] when the handler or its thread cannot be had; [`Code::FORKED`] in a child that was
    /// forked while another thread was in here.
    pub fn watch_sigterm(&self) -> Result<()> {
        let mut watch = watch_here()?;
        watch.forget(&self.0);
        watch.failsafes.push(Arc::downgrade(&self.0));
        if !watch.runs {
            start().map_err(|error| {
                Error::new(Code::IO, "SIGTERM cannot be watched")
                    .operation("recovery.failsafe")
                    .because(error)
            })?;
            watch.runs = true;
        }
        Ok(())
    }

    /// From here on SIGTERM is no reason any more. Where nobody else watches it, it has the effect again
    /// that it had before anybody did.
    pub fn ignore_sigterm(&self) {
        if !ORPHANED.load(Ordering::Acquire) {
            WATCHING.lock().forget(&self.0);
        }
    }
}

/// The list, without what it has from before a fork.
fn watch_here() -> Result<MutexGuard<'static, Watch>> {
    if !ORPHANED.load(Ordering::Acquire) {
        return Ok(WATCHING.lock());
    }
    // A thread that the child does not have would hold it for ever.
    let mut watch = WATCHING.try_lock().ok_or_else(|| {
        Error::new(Code::FORKED, "SIGTERM was about to be watched when this process was forked")
            .operation("recovery.failsafe")
    })?;
    *watch = Watch { runs: false, failsafes: Vec::new() };
    ORPHANED.store(false, Ordering::Release);
    Ok(watch)
}

impl Watch {
    fn forget(&mut self, inner: &Arc<Inner>) {
        let other = |watched: &Weak<Inner>| !std::ptr::eq(watched.as_ptr(), Arc::as_ptr(inner));
        self.failsafes.retain(|watched| watched.strong_count() > 0 && other(watched));
    }
}

/// Says that this process is the child of a fork, where SIGTERM has its default effect until a kernel of
/// the child's own watches it. For the hook of a host that forks without another program following; only
/// writes to memory, so that it may be called right after the fork.
pub fn forked() {
    if INSTALLED.load(Ordering::Acquire) {
        ORPHANED.store(true, Ordering::Release);
    }
}

fn start() -> io::Result<()> {
    // Before the one that writes to the pipe.
    if !INSTALLED.load(Ordering::Acquire) {
        DEFAULT.store(is_default(SIGTERM), Ordering::Release);
    }
    if !INSTALLED.load(Ordering::Acquire) {
        register_conditional_default(SIGTERM, &ORPHANED)?;
        INSTALLED.store(true, Ordering::Release);
    }
    let mut signals = Signals::new([SIGTERM])?;
    let watch = move || {
        for _ in signals.forever() {
            received();
        }
    };
    std::thread::Builder::new().name("sutazai-signal".to_owned()).spawn(watch).map(drop)
}

/// A SIGTERM.
fn received() {
    let failsafes: Vec<_> = {
        let watch = WATCHING.lock();
        watch.failsafes.iter().filter_map(Weak::upgrade).map(Failsafe).collect()
    };
    if failsafes.is_empty() {
        // Nobody wants it any more. A handler of the host's was called already.
        if DEFAULT.load(Ordering::Acquire) {
            end();
        }
        return;
    }
    let mut first = false;
    for failsafe in &failsafes {
        first |= failsafe.trigger(Trigger::new(TriggerKind::Signal, "SIGTERM"));
    }
    if !failsafes.iter().all(|failsafe| failsafe.policy().terminate) {
        return;
    }
    if !first {
        // All are on their way, or there: whoever sends it again does not want to wait.
        end();
        return;
    }
    // Beside the thread that waits for the second one.
    let last = move || {
        for failsafe in failsafes {
            failsafe.wait(Duration::from_millis(failsafe.policy().total_ms) + GRACE);
        }
        end();
    };
    if std::thread::Builder::new().name("sutazai-signal-end".to_owned()).spawn(last).is_err() {
        end();
    }
}

/// Ends the process as if nobody had handled the signal.
fn end() {
    let _ = emulate_default_handler(SIGTERM);
}
