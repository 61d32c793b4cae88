//! Group commit: of all who wait for the disk, one goes, and takes everybody's records along.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Journal;
use crate::base::error::Fixed;
use crate::base::wait::{Condvar, Mutex};
use crate::{Code, Error, Result};

/// How far the journal is durable, and who makes it so.
#[derive(Default)]
pub(in crate::security::audit) struct Commit {
    state: Mutex<State>,
    woken: Condvar,
    failed: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Every record below is durable.
    synced: u64,
    /// Somebody is at the disk.
    led: bool,
    /// Syncs that were made.
    syncs: u64,
    failed: Option<Error>,
}

static FAILED: Fixed = Fixed {
    code: Code::AUDIT_FAILED,
    message: "the audit journal could not be synced; what was written last may not be on the disk",
};

impl Commit {
    /// With everything below `synced` durable.
    pub(in crate::security::audit) fn new(synced: u64) -> Self {
        let state = State { synced, ..State::default() };
        Self { state: Mutex::new(state), woken: Condvar::new(), failed: AtomicBool::new(false) }
    }

    /// Returns when every record below `end` is durable: made so by this thread if nobody else is at it.
    ///
    /// # Errors
    /// [`Code::AUDIT_FAILED`] when the disk refused, now or before: the system may have dropped what it
    /// could not write, so that trying again would prove nothing.
    pub(in crate::security::audit) fn reach(&self, journal: &Journal, end: u64) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.synced >= end {
                return Ok(());
            }
            if state.led {
                state = self.woken.wait(state);
                continue;
            }
            state.led = true;
            let synced = state.synced;
            drop(state);
            let result = journal.sync(synced);
            state = self.state.lock();
            state.led = false;
            state.syncs += 1;
            match result {
                Ok(to) => state.synced = state.synced.max(to),
                Err(error) => {
                    state.failed = Some(failed(error));
                    self.failed.store(true, Ordering::Release);
                }
            }
            self.woken.notify_all();
        }
    }

    /// Whether it has failed.
    #[inline]
    pub(in crate::security::audit) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// What it failed with.
    pub(in crate::security::audit) fn failure(&self) -> Option<Error> {
        self.state.lock().failed.clone()
    }

    /// The number of the record from which on nothing is durable, and how many syncs that took.
    pub(in crate::security::audit) fn synced(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.synced, state.syncs)
    }
}

fn failed(error: io::Error) -> Error {
    tracing::error!(%error, "the audit journal could not be synced");
    Error::from(&FAILED)
        .operation("audit.record")
        .because(error)
        .advice("see to the disk, then open the log anew: it takes no records until then")
}
