//! How an agent's calls went.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::{Class, Error};

/// How an agent's calls went, since it was registered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct AgentStats {
    /// Calls that have their answer.
    pub calls: u64,
    /// Calls that failed, by class.
    pub failures: FailureStats,
    /// How long callers waited; `None` before the first call.
    pub latency: Option<LatencyStats>,
}

/// Failed calls, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct FailureStats {
    /// Of class transient.
    pub transient: u64,
    /// Of class persistent.
    pub persistent: u64,
    /// Of class critical.
    pub critical: u64,
}

/// How long something took, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct LatencyStats {
    /// The median.
    pub p50_ns: u64,
    /// The 99th percentile.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The mean.
    pub mean_ns: u64,
}

/// The books of one agent. An idle agent's are one pointer.
#[derive(Default)]
pub struct Ledger(OnceLock<Box<Book>>);

#[derive(Default)]
struct Book {
    calls: AtomicU64,
    transient: AtomicU64,
    persistent: AtomicU64,
    critical: AtomicU64,
}

impl Ledger {
    /// A call has its answer.
    pub fn record(&self, took: Duration, failure: Option<&Error>) {
        let book = self.0.get_or_init(Box::default);
        book.calls.fetch_add(1, Ordering::Relaxed);
        let _ = took;
        if let Some(error) = failure {
            let count = match error.class() {
                Class::Transient => &book.transient,
                Class::Persistent => &book.persistent,
                Class::Critical => &book.critical,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was kept.
    pub fn stats(&self) -> AgentStats {
        let Some(book) = self.0.get() else { return AgentStats::default() };
        AgentStats {
            calls: book.calls.load(Ordering::Relaxed),
            failures: FailureStats {
                transient: book.transient.load(Ordering::Relaxed),
                persistent: book.persistent.load(Ordering::Relaxed),
                critical: book.critical.load(Ordering::Relaxed),
            },
            latency: None,
        }
    }
}
