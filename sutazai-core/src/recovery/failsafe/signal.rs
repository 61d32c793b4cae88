//! SIGTERM takes the safe state.
//!
//! Signals belong to the process, so this is one list and one thread, `sutazai-signal`, for all kernels
//! that ask. The handler itself only writes to a pipe (signal-hook's); the thread reads it.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::run::{Failsafe, Inner, Trigger, TriggerKind};
use crate::{Code, Error, Result};

static WATCHING: Mutex<Watch> = Mutex::new(Watch { runs: false, failsafes: Vec::new() });

struct Watch {
    /// Whether the thread runs. It does until the process ends: once a handler is installed, somebody has
    /// to give the signal its default effect when nobody else wants it.
    runs: bool,
    failsafes: Vec<Weak<Inner>>,
}

/// What a process that ends by SIGTERM has beyond the time of its stages.
const GRACE: Duration = Duration::from_secs(1);

impl Failsafe {
    /// From here on SIGTERM takes the safe state, and ends the process afterwards if the policy says so.
    /// A second SIGTERM ends it at once.
    ///
    /// # Errors
    /// [`Code::IO`] when the handler or its thread cannot be had.
    pub fn watch_sigterm(&self) -> Result<()> {
        let mut watch = WATCHING.lock();
        watch.failsafes.retain(|inner| inner.strong_count() > 0);
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
}

fn start() -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM])?;
    let watch = move || {
        let mut seen = false;
        for _ in signals.forever() {
            if std::mem::replace(&mut seen, true) {
                end();
            }
            received();
        }
    };
    std::thread::Builder::new().name("sutazai-signal".to_owned()).spawn(watch).map(drop)
}

/// The first SIGTERM.
fn received() {
    let failsafes: Vec<_> = {
        let watch = WATCHING.lock();
        watch.failsafes.iter().filter_map(Weak::upgrade).map(Failsafe).collect()
    };
    for failsafe in &failsafes {
        failsafe.trigger(Trigger::new(TriggerKind::Signal, "SIGTERM"));
    }
    if !failsafes.iter().all(|failsafe| failsafe.policy().terminate) {
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
