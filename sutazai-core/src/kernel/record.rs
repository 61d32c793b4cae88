//! The kernel's own books: spans, metrics, the log; and its events.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::lifecycle::Transition;
use super::limits::Limits;
use super::shared::Shared;
use crate::base::id::IdSource;
use crate::base::payload::Payload;
use crate::base::runtime::Runtime;
use crate::event::Bus;
use crate::observe::log::{JsonLinesOptions, SinkId};
use crate::observe::{
    Clock, Counter, Family, JsonLines, Level, Log, MetricHistogram, Registry, SpanRecord,
    SpanRecorder, SpanStatus, Terminal, Unit,
};
use crate::port::CallRecord;
use crate::store::DataDir;
use crate::{Class, Error, Result};

/// Where a kernel's log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogConfig {
    /// Which records are kept: a level, or a level and rules by target, `info,sutazai.agent=debug`.
    /// Default `info`.
    pub filter: String,
    /// Whether readable text goes to standard error. Default false: a library keeps quiet.
    pub terminal: bool,
    /// A file for JSON lines; `None` for `logs/kernel.jsonl` in the data directory, or none without
    /// one.
    pub file: Option<PathBuf>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".into(), terminal: false, file: None }
    }
}

impl LogConfig {
    /// With this filter.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = filter.into();
        self
    }

    /// With readable text on standard error, or without.
    #[must_use]
    pub fn terminal(mut self, terminal: bool) -> Self {
        self.terminal = terminal;
        self
    }

    /// With JSON lines in this file.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }
}

/// The books.
pub(super) struct Kept {
    log: Log,
    spans: SpanRecorder,
    metrics: Registry,
    /// Calls by how they ended: well, or with an error of which class.
    ended: [Counter; 4],
    took: MetricHistogram,
    /// Tries of calls after their first ones.
    #[cfg(feature = "recovery")]
    retries: Counter,
    /// By agent and outcome; asked for once an agent.
    by_agent: Family<Counter, 2>,
    file: Option<PathBuf>,
    sinks: Mutex<Vec<SinkId>>,
}

impl Kept {
    pub(super) fn new(
        limits: &Limits,
        runtime: &Arc<dyn Runtime>,
        ids: &Arc<IdSource>,
        data_dir: Option<&DataDir>,
        config: &LogConfig,
    ) -> Result<Self> {
        let clock: Clock = {
            let runtime = Arc::clone(runtime);
            Arc::new(move || runtime.timestamp())
        };
        let log = Log::new(limits.records, Arc::clone(&clock));
        log.set_filter(&config.filter)?;
        if config.terminal {
            log.attach(Arc::new(Terminal::stderr()))?;
        }
        let metrics = Registry::new();
        let ended = metrics.counter_family(
            "sutazai_calls_total",
            "Guarded calls that have their answer, by how they ended.",
            ["outcome"],
        )?;
        Ok(Self {
            log,
            spans: SpanRecorder::new(limits.spans, Arc::clone(ids), clock),
            ended: ["ok", "transient", "persistent", "critical"].map(|name| ended.with([name])),
            #[cfg(feature = "recovery")]
            retries: metrics.counter(
                "sutazai_retries_total",
                "Tries of guarded calls after their first ones.",
            )?,
            took: metrics.histogram(
                "sutazai_call_seconds",
                "How long callers waited for the answer of a guarded call.",
                Unit::Seconds,
            )?,
            by_agent: metrics.counter_family(
                "sutazai_agent_calls_total",
                "Guarded calls by the agent that was chosen and how they ended.",
                ["agent", "outcome"],
            )?,
            metrics,
            file: config
                .file
                .clone()
                .or_else(|| data_dir.map(|dir| dir.logs().join("kernel.jsonl"))),
            sinks: Mutex::default(),
        })
    }

    /// Opens the log file, whose thread runs from here to [`stop`](Self::stop).
    pub(super) fn start(&self) -> Result<()> {
        if let Some(path) = &self.file {
            let sink = JsonLines::open(path, JsonLinesOptions::default())?;
            let sink = self.log.attach(Arc::new(sink))?;
            self.sinks.lock().push(sink);
        }
        Ok(())
    }

    /// Writes out the log and closes its file.
    pub(super) fn stop(&self) {
        self.log.flush();
        let sinks = std::mem::take(&mut *self.sinks.lock());
        for sink in sinks {
            self.log.detach(sink);
        }
    }

    /// A call is tried again.
    #[cfg(all(feature = "agent", feature = "recovery"))]
    pub(super) fn retried(&self) {
        self.retries.inc();
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn spans(&self) -> &SpanRecorder {
        &self.spans
    }

    pub(super) fn metrics(&self) -> &Registry {
        &self.metrics
    }

    /// The counters of one agent: calls that ended well, and that did not.
    #[cfg(feature = "agent")]
    pub(super) fn of_agent(&self, agent: &str) -> [Counter; 2] {
        ["ok", "failed"].map(|outcome| self.by_agent.with([agent, outcome]))
    }

    #[inline]
    pub(super) fn record(&self, call: &CallRecord<'_>) {
        let outcome = call.failure.map_or(0, |error| match error.class() {
            Class::Transient => 1,
            Class::Persistent => 2,
            Class::Critical => 3,
        });
        if let Some(counter) = self.ended.get(outcome) {
            counter.inc();
        }
        self.took.record_duration(call.took);
        self.spans.record(SpanRecord {
            trace: call.trace.trace,
            span: call.trace.span,
            parent: call.parent.map(|parent| parent.span),
            name: "kernel.call".into(),
            agent: call.agent.map(|card| Arc::clone(&card.name)),
            skill: Some(Arc::clone(call.skill)),
            start: call.began,
            duration: call.took,
            status: match call.failure {
                None => SpanStatus::Ok,
                Some(error) => SpanStatus::Failed { code: error.code(), class: error.class() },
            },
        });
        if let Some(error) = call.failure {
            self.log_failure(call, error);
        }
    }

    #[cold]
    fn log_failure(&self, call: &CallRecord<'_>, error: &Error) {
        let level = match error.class() {
            Class::Critical => Level::Error,
            Class::Transient | Class::Persistent => Level::Warn,
        };
        if !self.log.enabled(level, "sutazai.call") {
            return;
        }
        let agent = call.agent.map(|card| &*card.name);
        self.log.record_in(
            (call.trace.trace, call.trace.span),
            level,
            "sutazai.call",
            "a call failed",
            [
                ("call", serde_json::json!(call.call)),
                ("skill", serde_json::json!(&**call.skill)),
                ("agent", serde_json::json!(agent)),
                ("code", serde_json::json!(error.code().name())),
                ("error", serde_json::json!(format!("{error:#}"))),
            ],
        );
    }
}

/// Registers what the kernel's parts count anyway. They hold the kernel weakly.
pub(super) fn register(shared: &Arc<Shared>) -> Result<()> {
    let metrics = shared.kept.metrics();
    let count = |name: &str, help: &str, ask: fn(&Shared) -> u64| {
        let shared = Arc::downgrade(shared);
        metrics.counter_fn(name, help, move || asked(&shared, ask).unwrap_or(0))
    };
    let gauge = |name: &str, help: &str, ask: fn(&Shared) -> usize| {
        let shared = Arc::downgrade(shared);
        #[expect(clippy::cast_precision_loss, reason = "Prometheus' values are floats")]
        metrics.gauge_fn(name, help, move || asked(&shared, ask).unwrap_or(0) as f64)
    };
    gauge("sutazai_calls_in_flight", "Guarded calls that are not finished.", |s| s.load.now())?;
    count("sutazai_events_published_total", "Events published on the bus.", |s| {
        s.bus.stats().published
    })?;
    count("sutazai_events_delivered_total", "Events taken up by subscribers.", |s| {
        s.bus.stats().delivered
    })?;
    count("sutazai_events_missed_total", "Events lost to slow subscribers.", |s| {
        s.bus.stats().missed
    })?;
    gauge("sutazai_subscriptions", "Open subscriptions.", |s| s.bus.stats().subscriptions)?;
    count("sutazai_spans_dropped_total", "Spans pushed out of memory by newer ones.", |s| {
        s.kept.spans.dropped()
    })?;
    gauge("sutazai_threads", "Threads of the kernel's runtime.", |s| s.runtime.stats().threads)?;
    gauge("sutazai_jobs_queued", "Blocking jobs that wait for a thread.", |s| {
        s.runtime.stats().queued
    })?;
    count("sutazai_work_refused_total", "Work that the runtime had no room for.", |s| {
        s.runtime.stats().refused
    })?;
    #[cfg(feature = "agent")]
    gauge("sutazai_agents", "Registered agents.", |s| s.agents.len())?;
    Ok(())
}

fn asked<T>(shared: &Weak<Shared>, ask: fn(&Shared) -> T) -> Option<T> {
    shared.upgrade().map(|shared| ask(&shared))
}

/// Turns the transitions of components into events, and those that went wrong into log records.
pub(super) fn announcer(bus: &Bus, log: &Log) -> Arc<dyn Fn(&Transition) + Send + Sync> {
    let (bus, log) = (bus.clone(), log.clone());
    Arc::new(move |transition| {
        if let Some(reason) = &transition.reason {
            log.record(
                Level::Error,
                "sutazai.component",
                "a component is in trouble",
                [
                    ("component", serde_json::json!(&*transition.component)),
                    ("state", serde_json::json!(transition.to)),
                    ("error", serde_json::json!(format!("{reason:#}"))),
                ],
            );
        }
        let event = Payload::json(transition).unwrap_or_default();
        // The subject is well-formed.
        let _ = bus.publish("component.state", event);
    })
}
