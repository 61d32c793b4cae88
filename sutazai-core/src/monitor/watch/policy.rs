//! What a watch is told: [`WatchPolicy`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::monitor::series::HistoryPolicy;
use crate::monitor::{AnomalyPolicy, ChangePolicy};
use crate::{Code, Error, Result};

/// Series with a detector, at most.
pub const WATCHED_MAX: u32 = 4_096;
/// Patterns, at most.
const PATTERNS_MAX: usize = 256;

/// What is kept, and where anomalies are looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct WatchPolicy {
    /// How long measurements are kept, and in which resolution.
    pub history: HistoryPolicy,
    /// When something is an anomaly.
    pub anomaly: AnomalyPolicy,
    /// When a level has changed for good.
    pub change: ChangePolicy,
    /// The series in which anomalies and changes of level are looked for; one that ends in `*` stands for all that begin so. Default: what the machine,
    /// its container and this process use, the pressure they are under, and failures.
    pub watched: Vec<String>,
    /// Series in which they are looked for, at most, 0 to [`WATCHED_MAX`]; detectors take about 80 KB. Further ones are not
    /// watched, and counted. Default 64.
    pub watched_most: u32,
    /// Anomalies, and changes of level, that are remembered, 1 to 100,000 of each. Default 1,000.
    pub remembered: u32,
}

impl Default for WatchPolicy {
    fn default() -> Self {
        let watched = [
            "cpu_used_ratio",
            "cpu_steal_ratio",
            "memory_limit_used_ratio",
            "memory_used_ratio",
            "swap_used_bytes",
            "load1",
            "pressure_cpu_some_ratio",
            "pressure_memory_some_ratio",
            "pressure_io_some_ratio",
            "disk_free_ratio",
            "disk_busy_seconds_total",
            "network_received_bytes_total",
            "network_sent_bytes_total",
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_threads",
            "container_memory_used_ratio",
            "container_throttled_seconds_total",
        ];
        Self {
            history: HistoryPolicy::default(),
            anomaly: AnomalyPolicy::default(),
            change: ChangePolicy::default(),
            watched: watched.map(str::to_owned).to_vec(),
            watched_most: 64,
            remembered: 1_000,
        }
    }
}

impl WatchPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        self.history.check()?;
        self.anomaly.check()?;
        self.change.check()?;
        if self.watched_most > WATCHED_MAX {
            return Err(invalid("watched_most", self.watched_most).with("most", WATCHED_MAX));
        }
        if !(1..=100_000).contains(&self.remembered) {
            return Err(invalid("remembered", self.remembered).with("most", 100_000));
        }
        if self.watched.len() > PATTERNS_MAX {
            return Err(invalid("watched", self.watched.len()).with("most", PATTERNS_MAX));
        }
        self.watched.iter().try_for_each(|pattern| check_pattern(pattern))
    }
}

/// Refuses what names no series.
pub(super) fn check_pattern(pattern: &str) -> Result<()> {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    let fits = pattern.len() <= crate::monitor::series::NAME_MAX && !pattern.is_empty();
    match fits && !name.contains('*') && !name.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(invalid("watched", pattern.escape_debug())
            .advice("the name of a series, or how names begin with `*` behind it")),
    }
}

/// Whether the series is one of the pattern's.
pub(super) fn fits(pattern: &str, series: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => series.starts_with(begin),
        None => series == pattern,
    }
}

fn invalid(field: &'static str, value: impl std::fmt::Display) -> Error {
    Error::new(Code::INVALID, "what is to be watched is not valid")
        .operation("monitor.watch")
        .with("field", field)
        .with("value", value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_names_or_how_they_begin() {
        assert!(fits("load1", "load1") && !fits("load1", "load15"));
        assert!(fits("load*", "load15") && fits("*", "anything"));
        for wrong in ["", "a*b", "**", "a\nb", &"x".repeat(201)] {
            assert_eq!(check_pattern(wrong).unwrap_err().code(), Code::INVALID, "{wrong}");
        }
        assert!(WatchPolicy::default().check().is_ok());
        assert!(WatchPolicy { remembered: 0, ..WatchPolicy::default() }.check().is_err());
        assert!(WatchPolicy { watched_most: 5_000, ..WatchPolicy::default() }.check().is_err());
    }
}
