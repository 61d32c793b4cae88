//! The kernel's metrics, as a monitor: so they have a history, and are judged like everything that is measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Result;
use crate::base::time::Timestamp;
use crate::observe::{Registry, ValueSnapshot};
use crate::port::{Monitor, Samples};

/// Names that are remembered, at most: those that no metric has any more are among them.
const NAMES_MAX: usize = 16_384;

/// Counters and gauges under their names and labels as Prometheus writes them; of a histogram its count and its sum.
pub(super) struct Figures {
    metrics: Registry,
    names: Mutex<BTreeMap<String, Arc<str>>>,
}

impl Figures {
    pub(super) fn new(metrics: Registry) -> Self {
        Self { metrics, names: Mutex::default() }
    }
}

impl Monitor for Figures {
    fn name(&self) -> &str {
        "kernel"
    }

    fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
        let mut names = self.names.lock();
        if names.len() > NAMES_MAX {
            names.clear();
        }
        let mut text = String::new();
        for metric in self.metrics.snapshot() {
            for series in &metric.series {
                let mut add = |suffix: &str, value: f64| {
                    write_name(&mut text, &metric.name, suffix, &series.labels);
                    let name = match names.get(&text) {
                        Some(name) => Arc::clone(name),
                        None => {
                            let name: Arc<str> = text.as_str().into();
                            names.insert(text.clone(), Arc::clone(&name));
                            name
                        }
                    };
                    out.add(name, value);
                };
                match &series.value {
                    #[allow(clippy::cast_precision_loss, reason = "a count of 2⁵³ is near enough")]
                    ValueSnapshot::Count(count) => add("", *count as f64),
                    ValueSnapshot::Number(number) => add("", *number),
                    ValueSnapshot::Summary(summary) => {
                        #[allow(clippy::cast_precision_loss, reason = "as above")]
                        add("_count", summary.count as f64);
                        add("_sum", summary.sum);
                    }
                }
            }
        }
        Ok(())
    }
}

fn write_name(text: &mut String, name: &str, suffix: &str, labels: &BTreeMap<String, String>) {
    text.clear();
    text.push_str(name);
    text.push_str(suffix);
    for (at, (label, value)) in labels.iter().enumerate() {
        text.push_str(if at == 0 { "{" } else { "," });
        // Writing to a text does not fail.
        let _ = write!(text, "{label}={value:?}");
    }
    if !labels.is_empty() {
        text.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_prometheus() {
        let mut text = String::new();
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        write_name(&mut text, "calls_total", "", &labels(&[]));
        assert_eq!(text, "calls_total");
        write_name(&mut text, "seconds", "_sum", &labels(&[("agent", "a\"b"), ("skill", "s")]));
        assert_eq!(text, "seconds_sum{agent=\"a\\\"b\",skill=\"s\"}");
    }
}
