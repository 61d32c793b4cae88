//! What a watch is told: [`WatchPolicy`].

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::monitor::series::HistoryPolicy;
use crate::monitor::{AnomalyPolicy, ChangePolicy};
use crate::{Code, Error, Result};

/// Series with a detector, at most.
pub const WATCHED_MAX: u32 = 4_096;
/// Milliseconds that a sample may wait for monitors.
const PATIENCE_MOST: u64 = 60_000;
/// Milliseconds of a day.
const DAY: u64 = 86_400_000;
/// How long a sample waits for monitors where nobody says.
const LEAST_USUAL: Duration = Duration::from_secs(1);
const MOST_USUAL: Duration = Duration::from_secs(5);
/// How long a monitor may be away, at least, where nobody says.
const HANGS_LEAST: Duration = Duration::from_secs(10);
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
    /// Series in which they are looked for, at most, 0 to [`WATCHED_MAX`]; detectors take about 160 KB, up to 270 KB with a long season. Further ones are not
    /// watched, and counted. Default 64.
    pub watched_most: u32,
    /// Of the series that there may be, how many are left to the kernel's own figures (the machine, this process, its metrics), so that
    /// those of hosts never take their room; half of all at most. Default 1,024.
    pub own_series: u32,
    /// Milliseconds that a sample waits for monitors, all together, before it ends without those that have not returned, 1 to 60,000.
    /// Default: the time between samples, 1,000 at least and 5,000 at most; 5,000 where none are taken by themselves.
    pub patience_ms: Option<u64>,
    /// Milliseconds after which a monitor that has not returned hangs: it is told of, and counted as a failure, once. 1 to
    /// 86,400,000. Default: three times the time between samples, 10,000 at least.
    pub hangs_after_ms: Option<u64>,
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
            own_series: 1_024,
            patience_ms: None,
            hangs_after_ms: None,
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
        let times = [
            ("patience_ms", self.patience_ms, PATIENCE_MOST),
            ("hangs_after_ms", self.hangs_after_ms, DAY),
        ];
        for (field, value, most) in times {
            if let Some(value) = value.filter(|value| !(1..=most).contains(value)) {
                return Err(invalid(field, value).with("least", 1).with("most", most));
            }
        }
        if !(1..=100_000).contains(&self.remembered) {
            return Err(invalid("remembered", self.remembered).with("most", 100_000));
        }
        if self.watched.len() > PATTERNS_MAX {
            return Err(invalid("watched", self.watched.len()).with("most", PATTERNS_MAX));
        }
        for (at, pattern) in self.watched.iter().enumerate() {
            check_pattern(pattern).map_err(|_| {
                invalid("watched", pattern.escape_debug())
                    .with("place", at)
                    .advice("the name of a series, or how names begin with `*` behind it")
            })?;
        }
        Ok(())
    }

    /// How long a sample waits for monitors.
    pub(super) fn patience(&self, every: Option<Duration>) -> Duration {
        let usual = || every.map_or(MOST_USUAL, |every| every.clamp(LEAST_USUAL, MOST_USUAL));
        self.patience_ms.map_or_else(usual, Duration::from_millis)
    }

    /// How long a monitor may be away before it hangs.
    pub(super) fn hangs_after(&self, every: Option<Duration>) -> Duration {
        let usual = || (every.unwrap_or_default() * 3).max(HANGS_LEAST);
        self.hangs_after_ms.map_or_else(usual, Duration::from_millis)
    }

    /// Series that there may be before others than the kernel's own are refused.
    pub(super) fn others_series(&self) -> usize {
        let all = self.history.series;
        (all - self.own_series.min(all / 2)) as usize
    }
}

/// Refuses what names no series.
pub(super) fn check_pattern(pattern: &str) -> Result<()> {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    let fits = pattern.len() <= crate::monitor::series::NAME_MAX && !pattern.is_empty();
    match fits && !name.contains('*') && !name.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(invalid("series", pattern.escape_debug())
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
        for wrong in [0, 60_001] {
            let wrong = WatchPolicy { patience_ms: Some(wrong), ..WatchPolicy::default() };
            assert_eq!(wrong.check().unwrap_err().code(), Code::INVALID);
        }
        assert!(WatchPolicy { hangs_after_ms: Some(0), ..WatchPolicy::default() }.check().is_err());
    }

    #[test]
    fn patience_follows_the_time_between_samples() {
        let (usual, s) = (WatchPolicy::default(), Duration::from_secs);
        for (every, patience, hangs) in
            [(None, 5, 10), (Some(s(0)), 1, 10), (Some(s(3)), 3, 10), (Some(s(60)), 5, 180)]
        {
            assert_eq!((usual.patience(every), usual.hangs_after(every)), (s(patience), s(hangs)));
        }
        let said = WatchPolicy { patience_ms: Some(7), hangs_after_ms: Some(9), ..usual };
        let ms = Duration::from_millis;
        assert_eq!((said.patience(Some(s(3))), said.hangs_after(Some(s(3)))), (ms(7), ms(9)));
        assert_eq!(said.others_series(), 4_096 - 1_024);
        let mut few = said;
        few.history.series = 10;
        assert_eq!(few.others_series(), 5);
    }
}
