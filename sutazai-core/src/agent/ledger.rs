//! How an agent's calls went.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::base::stats::Histogram;
use crate::observe::Counter;
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

impl FailureStats {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.transient + self.persistent + self.critical
    }
}

/// How long something took, in nanoseconds; quantiles within 1/64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
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

/// The books of one agent, made with its first call: an idle agent's are one pointer.
#[derive(Default)]
pub struct Ledger(OnceLock<Box<Book>>);

struct Book {
    transient: AtomicU64,
    persistent: AtomicU64,
    critical: AtomicU64,
    took: Histogram,
    /// Its series in the metrics: calls that ended well, and that did not.
    series: [Counter; 2],
}

impl Ledger {
    /// A call has its answer. `series` gives the agent's counters, and is asked once.
    #[inline]
    pub fn record(
        &self,
        took: Duration,
        failure: Option<&Error>,
        series: impl FnOnce() -> [Counter; 2],
    ) {
        let book = self.0.get_or_init(|| Box::new(Book::new(series())));
        book.took.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        let [ok, failed] = &book.series;
        let Some(error) = failure else {
            ok.inc();
            return;
        };
        failed.inc();
        let count = match error.class() {
            Class::Transient => &book.transient,
            Class::Persistent => &book.persistent,
            Class::Critical => &book.critical,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// What was kept.
    pub fn stats(&self) -> AgentStats {
        let Some(book) = self.0.get() else { return AgentStats::default() };
        let took = book.took.snapshot();
        let quantile = |q| took.quantile(q).unwrap_or(0);
        AgentStats {
            calls: took.count(),
            failures: FailureStats {
                transient: book.transient.load(Ordering::Relaxed),
                persistent: book.persistent.load(Ordering::Relaxed),
                critical: book.critical.load(Ordering::Relaxed),
            },
            latency: Some(LatencyStats {
                p50_ns: quantile(0.5),
                p99_ns: quantile(0.99),
                max_ns: took.max().unwrap_or(0),
                mean_ns: took.sum() / took.count().max(1),
            }),
        }
    }
}

impl Book {
    fn new(series: [Counter; 2]) -> Self {
        Self {
            transient: AtomicU64::new(0),
            persistent: AtomicU64::new(0),
            critical: AtomicU64::new(0),
            took: Histogram::new(),
            series,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn calls_are_counted_by_how_they_ended() {
        let ledger = Ledger::default();
        assert_eq!(ledger.stats(), AgentStats::default());
        let series = || [Counter::default(), Counter::default()];
        ledger.record(Duration::from_micros(10), None, series);
        let error = Error::new(Code::TIMEOUT, "slow");
        ledger.record(Duration::from_micros(30), Some(&error), series);
        let stats = ledger.stats();
        assert_eq!((stats.calls, stats.failures.transient, stats.failures.total()), (2, 1, 1));
        let latency = stats.latency.unwrap();
        assert_eq!(latency.mean_ns, 20_000);
        assert!(latency.p50_ns.abs_diff(10_000) <= 10_000 / 64);
    }
}
