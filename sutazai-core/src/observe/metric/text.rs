//! Prometheus' text exposition format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::family::Core;
use super::snapshot::answer;
use super::value::{Cell, MetricHistogram};

/// The metric that tells which families have more series than they may.
const OVERFLOW: &str = "sutazai_metric_overflow_total";

pub(super) fn write(families: &[Arc<Core>]) -> String {
    let mut out = String::new();
    for family in families {
        let cells = family.cells();
        if cells.is_empty() {
            continue;
        }
        head(&mut out, &family.name, &family.help, family.kind.name());
        for (values, cell) in cells {
            let labels: Vec<(&str, &str)> =
                family.labels.iter().map(String::as_str).zip(values.iter().map(|v| &**v)).collect();
            match cell {
                Cell::Counter(counter) => sample(&mut out, &family.name, &labels, counter.get()),
                Cell::Gauge(gauge) => sample(&mut out, &family.name, &labels, Float(gauge.get())),
                Cell::Asked(ask) => sample(&mut out, &family.name, &labels, Float(answer(&ask))),
                Cell::Histogram(histogram) => {
                    distribution(&mut out, &family.name, labels, &histogram);
                }
            }
        }
    }
    let full = |family: &&Arc<Core>| family.overflowed.load(Ordering::Relaxed) > 0;
    if families.iter().any(|family| full(&family)) && families.iter().all(|f| f.name != OVERFLOW) {
        head(&mut out, OVERFLOW, "Look-ups counted as `other`: too many series.", "counter");
        for family in families.iter().filter(full) {
            let labels = [("metric", family.name.as_str())];
            sample(&mut out, OVERFLOW, &labels, family.overflowed.load(Ordering::Relaxed));
        }
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' values are floats")]
fn distribution<'a>(
    out: &mut String,
    name: &str,
    mut labels: Vec<(&'a str, &'a str)>,
    histogram: &MetricHistogram,
) {
    let (seen, scale) = (histogram.snapshot(), histogram.unit().scale());
    let bucket = format!("{name}_bucket");
    for &bound in histogram.unit().bounds() {
        // Through text, so that 5e3 ns is 0.000005 s and not 0.0000050000000000000004.
        let le = Float(round(bound as f64 * scale)).to_string();
        let mut with_bound: Vec<(&str, &str)> = labels.clone();
        with_bound.push(("le", &le));
        sample(out, &bucket, &with_bound, seen.at_most(bound));
    }
    labels.push(("le", "+Inf"));
    sample(out, &bucket, &labels, seen.count());
    labels.pop();
    sample(out, &format!("{name}_sum"), &labels, Float(seen.sum() as f64 * scale));
    sample(out, &format!("{name}_count"), &labels, seen.count());
}

/// To nine decimals, a nanosecond.
fn round(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let help = help.replace('\\', r"\\").replace('\n', r"\n");
    // Writing into a `String` cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
    out.push_str(name);
    let mut separator = '{';
    for (label, text) in labels {
        let _ = write!(out, "{separator}{label}=\"");
        for c in text.chars() {
            match c {
                '\\' => out.push_str(r"\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str(r"\n"),
                other => out.push(other),
            }
        }
        out.push('"');
        separator = ',';
    }
    if !labels.is_empty() {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

struct Float(f64);

impl std::fmt::Display for Float {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value => write!(f, "{value}"),
        }
    }
}
