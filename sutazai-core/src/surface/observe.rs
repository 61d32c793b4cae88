//! Rows of what the kernel sees of itself: metrics, spans, logs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use crate::kernel::Change;
use crate::observe::{Level, LogQuery, LogStatus, MetricSnapshot};
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "observe.metrics",
            "All metrics with their series, sorted.",
            &[Code::REQUEST_INVALID],
            metrics,
        ),
        Operation::now(
            "observe.prometheus",
            "All metrics as Prometheus text, exposition format 0.0.4.",
            &[Code::REQUEST_INVALID],
            prometheus,
        ),
        Operation::now(
            "observe.spans",
            "The most recent spans, oldest first: one a guarded call, and the host's own.",
            &[Code::REQUEST_INVALID],
            spans,
        ),
        Operation::now(
            "observe.log",
            "Records something in the kernel's log.",
            &[Code::REQUEST_INVALID],
            log,
        ),
        Operation::now(
            "observe.logs",
            "The most recent log records, oldest first.",
            &[Code::REQUEST_INVALID],
            logs,
        ),
        Operation::now(
            "observe.set_filter",
            "Says which log records are kept: a level, and rules by target.",
            &[Code::INVALID],
            set_filter,
        ),
    ]);
}

#[derive(Serialize, JsonSchema)]
struct Metrics {
    metrics: Vec<MetricSnapshot>,
}

fn metrics(surface: &Surface, _: Nothing) -> Result<Metrics> {
    Ok(Metrics { metrics: surface.kernel().metrics().snapshot() })
}

#[derive(Serialize, JsonSchema)]
struct Text {
    text: String,
}

fn prometheus(surface: &Surface, _: Nothing) -> Result<Text> {
    Ok(Text { text: surface.kernel().metrics().prometheus() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Newest {
    /// How many, at most, the newest; 100 without it.
    #[serde(default = "a_page")]
    limit: usize,
}

fn a_page() -> usize {
    100
}

#[derive(Serialize, JsonSchema)]
struct Spans {
    /// Each `{trace, span, parent, name, agent, skill, start, duration_ns, status}`.
    spans: Vec<Value>,
    /// How many were recorded since the start.
    recorded: u64,
}

fn spans(surface: &Surface, request: Newest) -> Result<Spans> {
    let recorder = surface.kernel().spans();
    let json = |span| serde_json::to_value(span).unwrap_or_default();
    let spans = recorder.recent(request.limit).iter().map(json).collect();
    Ok(Spans { spans, recorded: recorder.recorded() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Record {
    /// How serious it is.
    level: Level,
    /// What happened.
    message: String,
    /// Which part of the program speaks; `host` without it.
    #[serde(default = "host")]
    target: String,
    /// What there is to know besides.
    #[serde(default)]
    fields: Map<String, Value>,
}

fn host() -> String {
    "host".into()
}

#[derive(Serialize, JsonSchema)]
struct Recorded {
    /// Whether the filter let it through.
    recorded: bool,
}

fn log(surface: &Surface, request: Record) -> Result<Recorded> {
    let log = surface.kernel().log();
    let recorded = log.enabled(request.level, &request.target);
    log.record(request.level, request.target, request.message, request.fields);
    Ok(Recorded { recorded })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Query {
    /// This level and above; all without it.
    level: Option<Level>,
    /// Targets that begin with this; all without it.
    #[serde(default)]
    target: String,
    /// How many, at most, the newest; 100 without it.
    #[serde(default = "a_page")]
    limit: usize,
}

#[derive(Serialize, JsonSchema)]
struct Logs {
    /// Each `{time, level, target, message, fields…}`.
    records: Vec<Value>,
    status: LogStatus,
}

fn logs(surface: &Surface, request: Query) -> Result<Logs> {
    let log = surface.kernel().log();
    let mut query = LogQuery { target: request.target, limit: request.limit, ..Default::default() };
    if let Some(level) = request.level {
        query.level = level;
    }
    let records = log.recent(&query);
    let json = |record: &_| serde_json::to_value(record).unwrap_or_default();
    Ok(Logs { records: records.iter().map(|r| json(&**r)).collect(), status: log.status() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// `info`, or `info,sutazai.agent=debug`.
    filter: String,
}

#[derive(Serialize, JsonSchema)]
struct Filtered {
    /// The filter that is in force now.
    filter: String,
}

fn set_filter(surface: &Surface, request: Filter) -> Result<Filtered> {
    let log = surface.kernel().log();
    let change = Change::configuration("observe.set_filter", "log").with("filter", &request.filter);
    surface.kernel().changes(change, || log.set_filter(&request.filter))?;
    Ok(Filtered { filter: log.filter() })
}
