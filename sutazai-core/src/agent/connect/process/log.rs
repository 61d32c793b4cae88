//! Where the words of a process go: stderr, `log` messages, and what is noticed about it.

use std::sync::{Arc, OnceLock};

use crate::base::contain;
use crate::observe::{self, Level};

/// Hears a line. Called from the agent's threads, without any lock held; it must not wait for the
/// agent.
pub(in crate::agent::connect) type OnLog = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// Hands lines to the callback, or, where there is none, to the kernel's log under the target
/// `sutazai.agent`; to `tracing` while the agent belongs to no kernel.
#[derive(Clone)]
pub(in crate::agent::connect) struct Log {
    pub(in crate::agent::connect) agent: Arc<str>,
    pub(in crate::agent::connect) to: Option<OnLog>,
    /// The kernel's log, from the start on.
    pub(in crate::agent::connect) host: Arc<OnceLock<observe::Log>>,
}

impl Log {
    pub(in crate::agent::connect) fn write(&self, level: Level, line: &str) {
        // The callback, the log's clock and a subscriber of `tracing` are the host's. Their panic
        // must not end the thread that talks to the process.
        let heard = contain::catch(|| match (&self.to, self.host.get()) {
            (Some(f), _) => f(level, line),
            (None, Some(log)) => self.record(log, level, line),
            (None, None) => self.trace(level, line),
        });
        if let Err(panic) = heard {
            // What was thrown may panic again when it is dropped.
            std::mem::forget(panic);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    fn log(to: Option<OnLog>) -> Log {
        Log { agent: "a".into(), to, host: Arc::default() }
    }

    #[test]
    fn a_callback_may_panic_with_anything() {
        log(Some(Arc::new(|_, _| panic!("heard")))).write(Level::Info, "words");
        log(Some(Arc::new(|_, _| panic_any(Bomb)))).write(Level::Info, "words");
    }

    #[test]
    fn so_may_what_the_log_calls() {
        let log = log(None);
        let host = observe::Log::new(1, Arc::new(|| panic!("no time")));
        assert!(log.host.set(host).is_ok());
        log.write(Level::Error, "words");
    }
}
