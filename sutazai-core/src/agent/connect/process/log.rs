//! Where the words of a process go: stderr, `log` messages, and what is noticed about it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use crate::observe::{self, Level};

/// Hears a line. Called from the agent's threads, without any lock held; it must not wait for the
/// agent.
pub(super) type OnLog = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// Hands lines to the callback, or, where there is none, to the kernel's log under the target
/// `sutazai.agent`; to `tracing` while the agent belongs to no kernel.
#[derive(Clone)]
pub(super) struct Log {
    pub(super) agent: Arc<str>,
    pub(super) to: Option<OnLog>,
    /// The kernel's log, from the start on.
    pub(super) host: Arc<OnceLock<observe::Log>>,
}

impl Log {
    pub(super) fn write(&self, level: Level, line: &str) {
        match &self.to {
            // A panic of the host's callback must not end the thread that talks to the process.
            Some(f) => drop(catch_unwind(AssertUnwindSafe(|| f(level, line)))),
            None => match self.host.get() {
                Some(log) => self.record(log, level, line),
                None => self.trace(level, line),
            },
        }
    }

    fn record(&self, log: &observe::Log, level: Level, line: &str) {
        log.record(level, "sutazai.agent", line.to_owned(), [("agent", &*self.agent)]);
    }

    fn trace(&self, level: Level, line: &str) {
        let agent = &*self.agent;
        match level {
            Level::Error => tracing::error!(target: "sutazai::agent", agent, "{line}"),
            Level::Warn => tracing::warn!(target: "sutazai::agent", agent, "{line}"),
            Level::Info => tracing::info!(target: "sutazai::agent", agent, "{line}"),
            Level::Debug => tracing::debug!(target: "sutazai::agent", agent, "{line}"),
            Level::Trace => tracing::trace!(target: "sutazai::agent", agent, "{line}"),
        }
    }
}
