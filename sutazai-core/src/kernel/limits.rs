//! The bounds of a kernel.

use std::sync::Arc;
use std::time::Duration;

use crate::base::runtime::{Runtime, Threads, ThreadsConfig};

/// How much a kernel takes on. Every field has a default that suits a service of moderate size.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Calls that are not finished, at most. Default 100,000.
    pub calls: usize,
    /// Calls within calls, at most; 1 for none. Default 32.
    pub depth: u32,
    /// How long a call may take whose caller and agent do not say; `None` for as long as it likes.
    /// Default 30 s.
    pub timeout: Option<Duration>,
    /// How long a stopping kernel lets calls finish, unless it is told otherwise. Default 10 s.
    pub drain: Duration,
    /// Threads for blocking agents and jobs, at most. Default 8 for each core, at least 32.
    pub pool: Option<usize>,
    /// Jobs that wait for such a thread, at most. Default 65,536.
    pub queue: Option<usize>,
    /// Spans kept for queries. Default 4,096.
    pub spans: usize,
    /// Log records kept for queries. Default 1,024.
    pub records: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 100_000,
            depth: 32,
            timeout: Some(Duration::from_secs(30)),
            drain: Duration::from_secs(10),
            pool: None,
            queue: None,
            spans: 4_096,
            records: 1_024,
        }
    }
}

impl Limits {
    /// Threads of the kernel's own.
    pub(super) fn threads(&self) -> Arc<dyn Runtime> {
        let mut config = ThreadsConfig::default();
        config.blocking = self.pool.unwrap_or(config.blocking);
        config.queue = self.queue.unwrap_or(config.queue);
        Arc::new(Threads::new(config))
    }
}
