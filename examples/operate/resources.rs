//! What the run used: processors, memory, disks, and how healthy it all was at the end.

use std::time::Duration;

use console::{Style, style};
use serde::Serialize;
use sutazai_core::base::time::Timestamp;
use sutazai_core::kernel::Kernel;
use sutazai_core::monitor::series::{Aggregate, Query};
use sutazai_core::monitor::{Anomaly, Health, HealthPolicy};

use super::page::Page;

/// How often it is looked at.
pub const EVERY: Duration = Duration::from_millis(250);
/// Columns of the chart.
const COLUMNS: i64 = 32;
const ANOMALIES: usize = 100;

/// What was used.
#[derive(Serialize)]
pub struct Resources {
    /// Processor time of this program, in seconds, without that of other programs.
    pub cpu_seconds: f64,
    /// The share of all processors that was busy, whoever used it, in equal parts of the run.
    pub cpu_over_time: Vec<f64>,
    /// The most memory that this program had, in bytes.
    pub memory_bytes: f64,
    /// The most files that it had open.
    pub open_files: f64,
    /// Bytes that it wrote to disks.
    pub written_bytes: f64,
    /// How often that was looked at.
    pub samples: u64,
    /// What was unusual.
    pub anomalies: Vec<Anomaly>,
    /// How healthy the machine, this program and the agents were at the end.
    pub health: Health,
}

impl Resources {
    /// What was used since then. `None` when it was not measured.
    pub fn since(kernel: &Kernel, began: Timestamp) -> Option<Self> {
        kernel.sample().ok()?;
        let watch = kernel.watch().ok()?;
        let end = kernel.runtime().timestamp() + Duration::from_nanos(1);
        let ask = |series: &str, aggregate: Aggregate, step_ms: Option<u64>| {
            let query = Query { step_ms, ..Query::new(series, began, end, aggregate) };
            let windows = watch.history().query(&query).map(|answer| answer.windows);
            windows.unwrap_or_default().into_iter().map(|window| window.value).collect::<Vec<_>>()
        };
        let one =
            |series: &str, aggregate: Aggregate| ask(series, aggregate, None).first().copied();
        let grown = |series: &str| {
            let least = one(series, Aggregate::Min).unwrap_or(0.0);
            one(series, Aggregate::Max).unwrap_or(0.0) - least
        };
        let took = (end.as_nanos() - began.as_nanos()) / 1_000_000;
        let step = u64::try_from(took / COLUMNS + 1).unwrap_or(1).max(EVERY.as_millis() as u64);
        let status = watch.status();
        let anomalies = watch.anomalies(0, ANOMALIES);
        Some(Self {
            cpu_seconds: grown("process_cpu_seconds_total"),
            cpu_over_time: ask("cpu_used_ratio", Aggregate::Mean, Some(step)),
            memory_bytes: one("process_resident_memory_bytes", Aggregate::Max).unwrap_or(0.0),
            open_files: one("process_open_fds", Aggregate::Max).unwrap_or(0.0),
            written_bytes: grown("process_written_bytes_total"),
            samples: status.samples,
            anomalies: anomalies.into_iter().filter(|one| one.at >= began).collect(),
            health: kernel.health(&HealthPolicy::default()).ok()?,
        })
    }

    /// As a person reads it.
    pub fn write(&self, page: &mut Page) {
        page.head("Resources", "of this program; the chart is of all processors");
        let megabytes = |bytes: f64| format!("{:.0} MB", bytes / 1e6);
        page.line(&format!(
            "  cpu {:.1} s ▕{}▏  memory {}  open files {:.0}  written {}",
            self.cpu_seconds,
            self.chart(),
            megabytes(self.memory_bytes),
            self.open_files,
            megabytes(self.written_bytes),
        ));
        for anomaly in &self.anomalies {
            let what = format!("{:.4} where {:.4} is usual", anomaly.value, anomaly.usual);
            page.wrapped(&format!("  {}: ", style(&anomaly.series).yellow()), &what);
        }
        let health = &self.health;
        let score = format!("{:.0} %", 100.0 * health.score);
        let colour = if health.score < 0.5 { Style::new().yellow() } else { Style::new().green() };
        page.line(&format!("  health {}", colour.apply_to(score)));
        for cause in health.causes.iter().take(3) {
            let aspect = format!("{:?}", cause.aspect).to_lowercase();
            let costs = 100.0 * cause.costs;
            page.line(&format!(
                "    {} {aspect} {:.2} costs it {costs:.0} %",
                cause.component, cause.value
            ));
        }
    }

    /// A bar a part of the run, the full height for all processors.
    pub fn chart(&self) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let bar = |share: &f64| {
            let height = (share.clamp(0.0, 1.0) * 7.99) as usize;
            BARS.get(height).copied().unwrap_or(' ')
        };
        self.cpu_over_time.iter().map(bar).collect()
    }
}

/// What is used now, in a few words; nothing before the first sample.
pub fn now(kernel: &Kernel) -> String {
    let newest = |series: &str| {
        let points = kernel.watch().ok()?.history().points(series, 1);
        points.first().map(|reading| reading.value)
    };
    let cpu = newest("cpu_used_ratio").map(|share| format!(" · cpu {:.0} %", 100.0 * share));
    let memory = newest("process_resident_memory_bytes");
    let memory = memory.map(|bytes| format!(" · {:.0} MB", bytes / 1e6));
    cpu.unwrap_or_default() + &memory.unwrap_or_default()
}
