//! Logs: structured records, where they go, and which are wanted.

mod file;
mod filter;
mod level;
mod record;
mod sink;
mod terminal;
#[cfg(test)]
mod tests;

pub use file::{JsonLines, JsonLinesOptions};
pub use level::Level;
pub use record::{Fields, LogQuery, LogRecord};
pub use sink::{LogSink, SINKS_MAX, SinkId};
pub use terminal::Terminal;

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use filter::Filter;
use sink::Sinks;

use super::Clock;
use super::recent::Recent;
use crate::Result;
use crate::base::id::{SpanId, TraceId};

/// The log of one kernel. Clones are handles on the same one.
///
/// A record that passes the filter is kept in memory, among the most recent ones, and handed to
/// every sink on the calling thread. Anything at [`Level::Info`] and above passes at first.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    recent: Recent<Arc<LogRecord>>,
    filter: Filter,
    sinks: Sinks,
    clock: Clock,
    /// Records by level.
    counts: [AtomicU64; Level::ALL.len()],
    /// Records that sinks made while they were handling one.
    nested: AtomicU64,
}

thread_local! {
    /// The logs inside whose sinks this thread is, by address.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

impl Log {
    /// A log that keeps the last `capacity` records (at least one) in memory and has no sinks.
    pub fn new(capacity: usize, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            recent: Recent::new(capacity),
            filter: Filter::new(Level::Info),
            sinks: Sinks::default(),
            clock,
            counts: Default::default(),
            nested: AtomicU64::new(0),
        }))
    }

    /// Whether a record of that level and target would be kept; a few nanoseconds.
    #[inline]
    pub fn enabled(&self, level: Level, target: &str) -> bool {
        self.0.filter.enabled(level, target)
    }

    /// Records something, unless the filter says otherwise. `target` says which part of the
    /// program speaks (`sutazai.agent`, a module path), `fields` what there is to know besides.
    pub fn record<F, K, V>(
        &self,
        level: Level,
        target: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
        fields: F,
    ) where
        F: IntoIterator<Item = (K, V)>,
        K: Into<Cow<'static, str>>,
        V: Into<serde_json::Value>,
    {
        let target = target.into();
        if self.enabled(level, &target) {
            let fields = fields.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
            self.emit(level, target, message.into(), fields, None);
        }
    }

    /// As [`Log::record`], as part of a span.
    pub fn record_in<F, K, V>(
        &self,
        (trace, span): (TraceId, SpanId),
        level: Level,
        target: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
        fields: F,
    ) where
        F: IntoIterator<Item = (K, V)>,
        K: Into<Cow<'static, str>>,
        V: Into<serde_json::Value>,
    {
        let target = target.into();
        if self.enabled(level, &target) {
            let fields = fields.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
            self.emit(level, target, message.into(), fields, Some((trace, span)));
        }
    }

    pub(super) fn emit(
        &self,
        level: Level,
        target: Cow<'static, str>,
        message: Cow<'static, str>,
        fields: Fields,
        context: Option<(TraceId, SpanId)>,
    ) {
        // A sink that logs (or calls something that does) would feed itself for ever. It may log
        // to another kernel's log, unless that one leads back here.
        let this = Arc::as_ptr(&self.0).addr();
        // A thread that has already ended its thread-locals is treated as inside.
        if INSIDE.try_with(|inside| inside.borrow().contains(&this)).unwrap_or(true) {
            self.0.nested.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Some(count) = self.0.counts.get(level as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let record = Arc::new(LogRecord {
            time: (self.0.clock)(),
            level,
            target,
            message,
            fields,
            trace: context.map(|(trace, _)| trace),
            span: context.map(|(_, span)| span),
        });
        self.0.recent.push(Arc::clone(&record));
        struct Inside;
        impl Drop for Inside {
            fn drop(&mut self) {
                INSIDE.with_borrow_mut(Vec::pop);
            }
        }
        INSIDE.with_borrow_mut(|inside| inside.push(this));
        let _inside = Inside;
        self.0.sinks.write(&record);
    }

    /// The most recent records that the query asks for, oldest first.
    pub fn recent(&self, query: &LogQuery) -> Vec<Arc<LogRecord>> {
        let found = self.0.recent.newest(query.limit, |_, record| query.matches(record));
        found.into_iter().map(|(_, record)| record).collect()
    }

    /// Sets the filter: a level for everything (`off`, `error`, `warn`, `info`, `debug`, `trace`),
    /// and levels for targets that begin with a prefix, the longest deciding:
    /// `info,sutazai.agent=debug,noisy=off`. A prefix ends at the end of the target or before one
    /// of `.`, `:`, `/`.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for anything else; names the piece.
    pub fn set_filter(&self, filter: &str) -> Result<()> {
        self.0.filter.set(filter)
    }

    /// The filter, as [`Log::set_filter`] takes it.
    pub fn filter(&self) -> String {
        self.0.filter.text()
    }

    /// Adds a sink.
    ///
    /// # Errors
    /// [`Code::OVERLOADED`](crate::Code::OVERLOADED) beyond [`SINKS_MAX`].
    pub fn attach(&self, sink: Arc<dyn LogSink>) -> Result<SinkId> {
        self.0.sinks.attach(sink)
    }

    /// Takes a sink out; false when it is not there (any more). Other threads may be inside it
    /// for a moment yet.
    pub fn detach(&self, sink: SinkId) -> bool {
        self.0.sinks.detach(sink)
    }

    /// Has every sink write out what it holds. Waits for that.
    pub fn flush(&self) {
        self.0.sinks.flush();
    }

    /// The figures.
    pub fn status(&self) -> LogStatus {
        let count = |level: &Level| {
            let count = self.0.counts.get(*level as usize).map_or(0, |c| c.load(Ordering::Relaxed));
            (level.name().to_owned(), count)
        };
        LogStatus {
            filter: self.filter(),
            records: Level::ALL.iter().map(count).collect(),
            forgotten: self.0.recent.forgotten(),
            nested: self.0.nested.load(Ordering::Relaxed),
            sink_panics: self.0.sinks.panics(),
            sinks: self.0.sinks.names(),
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Log").field(&self.status()).finish()
    }
}

/// A log's figures at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct LogStatus {
    /// The filter.
    pub filter: String,
    /// Records by level.
    pub records: std::collections::BTreeMap<String, u64>,
    /// Records that were pushed out of memory by newer ones.
    pub forgotten: u64,
    /// Records that sinks made while they were handling one; these are left out.
    pub nested: u64,
    /// How often a sink panicked.
    pub sink_panics: u64,
    /// The sinks that are attached.
    pub sinks: Vec<String>,
}
