//! What the kernel sees of itself: metrics, spans and logs.
//!
//! - [`Registry`]: every room registers its counters, gauges and histograms here; label sets are
//!   bounded; [`Registry::prometheus`] writes the text that Prometheus scrapes.
//! - [`SpanRecorder`]: the most recent spans, readable by trace.
//! - [`Log`]: structured records to any number of [`LogSink`]s, and the most recent in memory.
//! - [`tracing_layer`]: the bridge for hosts that use the crate `tracing`.
//!
//! # Invariants
//!
//! - Handing over a figure, a span or a record never waits for I/O: files are written by a thread
//!   of the sink's own. What did not fit is dropped and counted.
//! - No lock is held while a sink runs; a sink that panics is caught, and detached when it goes on.
//! - Nothing global: no subscriber is installed unless the host calls [`install_global`].
//! - The time comes from a [`Clock`] that is passed in, so it is virtual where the kernel's is.
//!
//! ```
//! use sutazai_core::observe::{Level, Log, LogQuery, Registry, system_clock};
//! let log = Log::new(1000, system_clock());
//! log.record(Level::Warn, "backup", "disk is nearly full", [("free_bytes", 4096)]);
//! assert_eq!(log.recent(&LogQuery::default())[0].message, "disk is nearly full");
//!
//! let registry = Registry::new();
//! let calls = registry.counter_family("calls_total", "Calls by agent.", ["agent"])?;
//! calls.with(["scribe"]).add(2);
//! assert!(registry.prometheus().contains("calls_total{agent=\"scribe\"} 2"));
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod bridge;
pub mod log;
pub mod metric;
mod recent;
mod span;

pub use bridge::{TracingLayer, install_global, tracing_layer};
pub use log::{Fields, JsonLines, Level, Log, LogQuery, LogRecord, LogSink, LogStatus, Terminal};
pub use metric::{
    Counter, Family, Gauge, Kind, MetricHistogram, MetricSnapshot, Registry, SeriesSnapshot,
    Summary, Unit, ValueSnapshot,
};
pub use span::{SpanRecord, SpanRecorder, SpanStatus};

use std::sync::Arc;

use crate::base::time::Timestamp;

/// Tells the wall-clock time: a runtime's, usually.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The system's clock, for use without a runtime.
pub fn system_clock() -> Clock {
    Arc::new(Timestamp::now)
}
