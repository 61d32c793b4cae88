//! Rows of the room `monitor`: measurements, their history, and what is odd in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use crate::base::ticket::Ticket;
use crate::base::time::Timestamp;
use crate::kernel::{Change, Kernel};
use crate::monitor::series::{Answer, Query, SeriesView};
use crate::monitor::{
    Anomaly, ExhaustionPolicy, ExhaustionView, ForecastQuery, Health, HealthPolicy, SeriesChange,
    SeriesForecast, WatchStatus,
};
use crate::{Code, Error, Result};

/// Entries of a page, at most.
const PAGE_MAX: usize = 10_000;

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "monitor.status",
            "What is measured how often, what that costs, where anomalies are looked for, and how much is kept.",
            &[Code::REQUEST_INVALID],
            status,
        ),
        Operation::blocking(
            "monitor.configure",
            "Says how often samples are taken while the kernel runs.",
            &[Code::INVALID, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            configure,
        ),
        Operation::later(
            "monitor.sample",
            "Takes a sample now: of the machine, its container, this process, the kernel's metrics and the host's monitors.",
            &[Code::WOULD_DEADLOCK, Code::OVERLOADED],
            sample,
        ),
        Operation::blocking(
            "monitor.remove",
            "Takes a monitor away at once, the host's, also while it hangs, or one of the kernel's own; its series are kept.",
            &[Code::AUDIT_FAILED, Code::AUDIT_FULL],
            remove,
        ),
        Operation::now(
            "monitor.record",
            "Keeps a measurement of the host's, and says whether it is odd, where its series is watched.",
            &[Code::INVALID, Code::OVERLOADED],
            record,
        ),
        Operation::now(
            "monitor.series",
            "The series that there are, by name, with what is kept of them.",
            &[Code::INVALID],
            series,
        ),
        Operation::blocking(
            "monitor.forget",
            "Lets series go, with all that is kept of them, on disk too; one that is measured again begins anew.",
            &[
                Code::INVALID,
                Code::STORE_FAILED,
                Code::STORE_READ_ONLY,
                Code::AUDIT_FAILED,
                Code::AUDIT_FULL,
            ],
            forget,
        ),
        Operation::blocking(
            "monitor.query",
            "Asks for a series in windows of time, from the finest resolution that has all of it.",
            &[Code::INVALID, Code::NOT_FOUND],
            query,
        ),
        Operation::now(
            "monitor.anomalies",
            "What was found to be odd and is remembered, the oldest first; also an event of the bus, `monitor.anomaly`.",
            &[Code::INVALID],
            anomalies,
        ),
        Operation::now(
            "monitor.changes",
            "Where levels have changed for good, as far as it is remembered, the oldest first; also an event of the bus, `monitor.change`.",
            &[Code::INVALID],
            changes,
        ),
        Operation::blocking(
            "monitor.forecast",
            "How a series goes on, with intervals; its seasons are found by themselves.",
            &[Code::INVALID, Code::NOT_FOUND],
            forecast,
        ),
        Operation::blocking(
            "monitor.exhaustion",
            "When what a series tells of is used up, if it goes on as it does.",
            &[Code::INVALID, Code::NOT_FOUND],
            exhaustion,
        ),
        Operation::blocking(
            "monitor.health",
            "How healthy the machine, this process and the agents are, and why not better.",
            &[Code::INVALID],
            health,
        ),
        Operation::blocking(
            "monitor.watch",
            "Also looks for anomalies in a series, or in those whose names begin so.",
            &[Code::INVALID, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            watch,
        ),
        Operation::blocking(
            "monitor.unwatch",
            "Looks for no anomalies there any more.",
            &[Code::AUDIT_FAILED, Code::AUDIT_FULL],
            unwatch,
        ),
    ]);
}

#[derive(Serialize, JsonSchema)]
struct Status {
    /// Milliseconds between samples; nothing where none are taken by themselves.
    every_ms: Option<u64>,
    #[serde(flatten)]
    watch: WatchStatus,
}

fn status(surface: &Surface, _: Nothing) -> Result<Status> {
    let kernel = surface.kernel();
    Ok(Status { every_ms: every(surface), watch: kernel.watch_status()? })
}

fn every(surface: &Surface) -> Option<u64> {
    let every = surface.kernel().sampled_every()?;
    Some(u64::try_from(every.as_millis()).unwrap_or(u64::MAX))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Configure {
    /// Milliseconds between samples, 10 to 86,400,000; none are taken by themselves without it.
    #[schemars(range(min = 10, max = 86_400_000))]
    every_ms: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Configured {
    /// Milliseconds between samples from here on.
    every_ms: Option<u64>,
}

fn configure(surface: &Surface, request: Configure) -> Result<Configured> {
    let kernel = surface.kernel();
    let word = request.every_ms.map_or("never".to_owned(), |every| format!("{every} ms"));
    let change = Change::configuration("monitor.configure", "monitor").with("every", &word);
    kernel.changes(change, || kernel.sample_every(request.every_ms.map(Duration::from_millis)))?;
    Ok(Configured { every_ms: every(surface) })
}

#[derive(Serialize, JsonSchema)]
struct Sample {
    /// What was measured, by series; units are in the names.
    values: BTreeMap<Arc<str>, f64>,
    /// What is odd in it.
    anomalies: Vec<Anomaly>,
    /// Monitors that failed, and how; one that hangs is among them each time.
    failures: BTreeMap<String, String>,
    /// Monitors that were not asked, as those before them used the patience up: in the next sample they come first. From the third sample in
    /// a row on that is a failure.
    unasked: Vec<String>,
    /// Monitors that have not returned yet, from this sample or one before. What they measure is kept when they return, under the time at
    /// which they were asked.
    away: Vec<String>,
}

fn sample(surface: &Surface, _: Nothing) -> Result<Ticket<Sample>> {
    // On this thread, for a monitor that takes a sample itself would wait for its own end elsewhere.
    surface.kernel().watch()?.check_outside()?;
    let kernel = surface.kernel().clone();
    Ok(surface.aside(move |reply| {
        let _ = reply.answer(take(&kernel));
    }))
}

fn take(kernel: &Kernel) -> Result<Sample> {
    let sampled = kernel.sample()?;
    Ok(Sample {
        away: sampled.away,
        unasked: sampled.unasked,
        values: sampled.values.into_iter().map(|one| (one.series, one.value)).collect(),
        anomalies: sampled.anomalies,
        failures: (sampled.failures.into_iter())
            .map(|(monitor, error)| (monitor, error.to_string()))
            .collect(),
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remove {
    /// The monitor, as `monitor.status` names it.
    monitor: String,
}

#[derive(Serialize, JsonSchema)]
struct Removed {
    /// Whether there was one of this name.
    removed: bool,
}

fn remove(surface: &Surface, request: Remove) -> Result<Removed> {
    let kernel = surface.kernel();
    let change = Change::configuration("monitor.remove", &request.monitor);
    let removed = kernel.changes(change, || kernel.remove_monitor(&request.monitor))?;
    Ok(Removed { removed })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The series: 1 to 200 bytes, its unit in the name, which does not end in `*`; one in `_total` is a counter. Labels stand in braces behind it, as
    /// Prometheus writes them.
    series: String,
    /// The value.
    value: f64,
    /// When it was measured; now, without it.
    at: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
struct Recorded {
    /// What is odd in it.
    anomaly: Option<Anomaly>,
}

fn record(surface: &Surface, request: Record) -> Result<Recorded> {
    let Record { series, value, at } = request;
    Ok(Recorded { anomaly: surface.kernel().measured(&series, value, at)? })
}

fn a_page() -> usize {
    100
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Page {
    /// How names begin.
    #[serde(default)]
    prefix: String,
    /// At most so many, 1 to 10,000.
    #[serde(default = "a_page")]
    #[schemars(range(min = 1, max = 10_000))]
    limit: usize,
}

#[derive(Serialize, JsonSchema)]
struct Series {
    /// In order of name.
    series: Vec<SeriesView>,
}

fn series(surface: &Surface, request: Page) -> Result<Series> {
    bounded(request.limit, "monitor.series")?;
    let history = surface.kernel().watch()?.history();
    Ok(Series { series: history.series(&request.prefix, request.limit) })
}

fn bounded(limit: usize, operation: &'static str) -> Result<()> {
    if (1..=PAGE_MAX).contains(&limit) {
        return Ok(());
    }
    Err(Error::new(Code::INVALID, "a page has 1 to 10,000 entries")
        .operation(operation)
        .with("limit", limit))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Forgets {
    /// The series, or how names begin with `*` behind it. Elsewhere a `*` is a part of the name, as in a label.
    series: String,
    /// Of these only those that have these labels, among others.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Serialize, JsonSchema)]
struct Forgotten {
    /// How many series were let go of.
    forgotten: usize,
}

fn forget(surface: &Surface, request: Forgets) -> Result<Forgotten> {
    let kernel = surface.kernel();
    let Forgets { series, labels } = request;
    let word = serde_json::to_string(&labels).unwrap_or_default();
    let change = Change::configuration("monitor.forget", &series).with("labels", &word);
    let forgotten = kernel.changes(change, || kernel.forget_series(&series, &labels))?;
    Ok(Forgotten { forgotten: forgotten.len() })
}

fn query(surface: &Surface, request: Query) -> Result<Answer> {
    surface.kernel().watch()?.history().query(&request)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct After {
    /// Only those with numbers above this one.
    #[serde(default)]
    after: u64,
    /// At most so many, 1 to 10,000.
    #[serde(default = "a_page")]
    #[schemars(range(min = 1, max = 10_000))]
    limit: usize,
}

#[derive(Serialize, JsonSchema)]
struct Anomalies {
    /// The oldest first.
    anomalies: Vec<Anomaly>,
}

fn anomalies(surface: &Surface, request: After) -> Result<Anomalies> {
    bounded(request.limit, "monitor.anomalies")?;
    Ok(Anomalies { anomalies: surface.kernel().watch()?.anomalies(request.after, request.limit) })
}

#[derive(Serialize, JsonSchema)]
struct Changes {
    /// The oldest first.
    changes: Vec<SeriesChange>,
}

fn changes(surface: &Surface, request: After) -> Result<Changes> {
    bounded(request.limit, "monitor.changes")?;
    Ok(Changes { changes: surface.kernel().watch()?.changes(request.after, request.limit) })
}

fn forecast(surface: &Surface, request: ForecastQuery) -> Result<SeriesForecast> {
    let kernel = surface.kernel();
    kernel.watch()?.forecast(&request, kernel.runtime().timestamp())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resource {
    /// The series: what is used of it, or what is left.
    series: String,
    /// Its limit, which way it is used up, and when something is said about that.
    #[serde(default)]
    policy: ExhaustionPolicy,
    /// Where the past ends that it goes by; now, without it.
    until: Option<Timestamp>,
}

fn exhaustion(surface: &Surface, request: Resource) -> Result<ExhaustionView> {
    let kernel = surface.kernel();
    let until = request.until.unwrap_or_else(|| kernel.runtime().timestamp());
    kernel.watch()?.exhaustion(&request.series, request.policy, until)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Judge {
    /// What each aspect costs.
    #[serde(default)]
    policy: HealthPolicy,
}

fn health(surface: &Surface, request: Judge) -> Result<Health> {
    surface.kernel().health(&request.policy)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pattern {
    /// The series, or how names begin with `*` behind it.
    series: String,
}

#[derive(Serialize, JsonSchema)]
struct Changed {
    /// Whether it was otherwise before.
    changed: bool,
}

fn watch(surface: &Surface, request: Pattern) -> Result<Changed> {
    let kernel = surface.kernel();
    let change = Change::configuration("monitor.watch", &request.series);
    let changed = kernel.changes(change, || kernel.watch()?.watch(&request.series))?;
    Ok(Changed { changed })
}

fn unwatch(surface: &Surface, request: Pattern) -> Result<Changed> {
    let kernel = surface.kernel();
    let change = Change::configuration("monitor.unwatch", &request.series);
    let changed = kernel.changes(change, || Ok(kernel.watch()?.unwatch(&request.series)))?;
    Ok(Changed { changed })
}
