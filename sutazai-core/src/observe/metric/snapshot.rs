//! What a registry holds at one moment, as values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::family::Core;
use super::value::{Cell, MetricHistogram};
use crate::base::contain;

/// What sort of figure a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Kind {
    /// `counter`, `gauge` or `histogram`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// The names of the samples, and of the metric itself.
    pub(super) fn names(self, name: &str) -> Vec<String> {
        let suffixes: &[&str] = match self {
            Self::Counter | Self::Gauge => &[""],
            Self::Histogram => &["", "_bucket", "_sum", "_count"],
        };
        suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
    }
}

/// One metric with all its series.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct MetricSnapshot {
    /// Its name.
    pub name: String,
    /// What it tells.
    pub help: String,
    /// What sort of figure it is.
    pub kind: Kind,
    /// The series, in order of their labels' values.
    pub series: Vec<SeriesSnapshot>,
    /// How many look-ups of a series ended at `other`, because there were too many.
    pub overflowed: u64,
}

/// One series.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct SeriesSnapshot {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: ValueSnapshot,
}

/// The value of one series.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum ValueSnapshot {
    /// A counter's.
    Count(u64),
    /// A gauge's, or a function's; not-a-number is `null` in JSON.
    Number(f64),
    /// A histogram's.
    Summary(Summary),
}

/// A histogram in short; values in the unit shown (seconds for durations), quantiles within 1/64.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Summary {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest; 0 when there is none, as all below.
    pub min: f64,
    /// Half of the values are at most this.
    pub p50: f64,
    /// 90 % of the values are at most this.
    pub p90: f64,
    /// 99 % of the values are at most this.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

pub(super) fn of(core: &Arc<Core>) -> MetricSnapshot {
    let series = core.cells().into_iter().map(|(key, cell)| SeriesSnapshot {
        labels: core.labels.iter().cloned().zip(key.iter().map(|v| v.to_string())).collect(),
        value: value(&cell),
    });
    MetricSnapshot {
        name: core.name.clone(),
        help: core.help.clone(),
        kind: core.kind,
        series: series.collect(),
        overflowed: core.overflowed.load(Ordering::Relaxed),
    }
}

fn value(cell: &Cell) -> ValueSnapshot {
    match cell {
        Cell::Counter(counter) => ValueSnapshot::Count(counter.get()),
        Cell::Gauge(gauge) => ValueSnapshot::Number(gauge.get()),
        Cell::Histogram(histogram) => ValueSnapshot::Summary(summary(histogram)),
        Cell::Asked(ask) => ValueSnapshot::Number(answer(ask)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn summary(histogram: &MetricHistogram) -> Summary {
    let (seen, scale) = (histogram.snapshot(), histogram.unit().scale());
    let shown = |value: Option<u64>| value.unwrap_or_default() as f64 * scale;
    Summary {
        count: seen.count(),
        sum: shown(Some(seen.sum())),
        min: shown(seen.min()),
        p50: shown(seen.quantile(0.5)),
        p90: shown(seen.quantile(0.9)),
        p99: shown(seen.quantile(0.99)),
        max: shown(seen.max()),
    }
}

/// Asks a function for its value; no lock is held, and its panic is not ours.
pub(super) fn answer(ask: &Arc<dyn Fn() -> f64 + Send + Sync>) -> f64 {
    contain::catch(|| ask()).unwrap_or(f64::NAN)
}
