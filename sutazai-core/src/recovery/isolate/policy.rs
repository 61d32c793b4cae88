//! What isolation is told: [`IsolatePolicy`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// When a target is set apart, for how long, and how it comes back. A rule's bound of 0 turns it off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct IsolatePolicy {
    /// It goes down again and again.
    pub crash_loop: CrashLoop,
    /// Its calls fail, or are slow.
    pub error_storm: ErrorStorm,
    /// It uses too much memory, or more and more.
    pub memory: MemoryRule,
    /// A target is suspect from this share of any bound, above 0 and up to 1. Default 0.5.
    pub suspect_share: f64,
    /// Milliseconds that a suspect must look well before it is healthy again. Default 10,000.
    pub suspect_ms: u64,
    /// Milliseconds that a target is set apart for the first time, 1 or more. Default 30,000.
    pub quarantine_ms: u64,
    /// With each relapse it is set apart for twice as long, up to this many milliseconds. Default
    /// 900,000.
    pub quarantine_max_ms: u64,
    /// For each time that a target was well for so many milliseconds, one relapse is forgiven; 1 or more.
    /// Default 600,000.
    pub forgive_ms: u64,
    /// Calls that may probe a target at once, 1 or more. Default 1.
    pub probes: u32,
    /// Probes that must succeed before it is let in, 1 or more. Default 3.
    pub readmit_after: u32,
    /// A probe of which nothing was heard for this many milliseconds gives its place back. Default
    /// 60,000.
    pub probe_timeout_ms: u64,
    /// Targets that something is known of, at most; 1 or more. Default 1,024.
    pub most_targets: u32,
}

/// So many crashes in so much time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CrashLoop {
    /// Crashes, up to 1,000; 0 turns the rule off. Default 3.
    pub crashes: u32,
    /// Milliseconds. Default 60,000.
    pub window_ms: u64,
}

/// So large a share of the calls in so much time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ErrorStorm {
    /// The share of calls that failed, up to 1; 0 turns the rule off. Default 0.8.
    pub failure_rate: f64,
    /// The share of calls that were slow, up to 1. Default 0: off.
    pub slow_rate: f64,
    /// Calls that the window must hold before a share counts, 1 or more. Default 20.
    pub minimum: u32,
    /// Milliseconds, 10 or more; kept in ten parts. Default 10,000.
    pub window_ms: u64,
}

/// So much memory, or so much more each minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct MemoryRule {
    /// More bytes than these. Default 0: off.
    pub bytes: u64,
    /// Growth by more bytes a minute than these: the median of the slopes between any two samples, which
    /// one sample that is off does not move (P. K. Sen, JASA 63, 1968). Default 0: off.
    pub growth_per_minute: u64,
    /// Samples that a slope needs, 3 to 32. Default 8.
    pub minimum: u32,
    /// Milliseconds that the slope is taken over, 1,000 or more. Default 300,000.
    pub window_ms: u64,
}

impl Default for IsolatePolicy {
    fn default() -> Self {
        Self {
            crash_loop: CrashLoop::default(),
            error_storm: ErrorStorm::default(),
            memory: MemoryRule::default(),
            suspect_share: 0.5,
            suspect_ms: 10_000,
            quarantine_ms: 30_000,
            quarantine_max_ms: 900_000,
            forgive_ms: 600_000,
            probes: 1,
            readmit_after: 3,
            probe_timeout_ms: 60_000,
            most_targets: 1_024,
        }
    }
}

impl Default for CrashLoop {
    fn default() -> Self {
        Self { crashes: 3, window_ms: 60_000 }
    }
}

impl Default for ErrorStorm {
    fn default() -> Self {
        Self { failure_rate: 0.8, slow_rate: 0.0, minimum: 20, window_ms: 10_000 }
    }
}

impl Default for MemoryRule {
    fn default() -> Self {
        Self { bytes: 0, growth_per_minute: 0, minimum: 8, window_ms: 300_000 }
    }
}

impl IsolatePolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        for (field, rate) in [
            ("error_storm.failure_rate", self.error_storm.failure_rate),
            ("error_storm.slow_rate", self.error_storm.slow_rate),
        ] {
            if !(0.0..=1.0).contains(&rate) {
                return Err(invalid(field, rate, "must be between 0 and 1"));
            }
        }
        if !(self.suspect_share > 0.0 && self.suspect_share <= 1.0) {
            return Err(invalid("suspect_share", self.suspect_share, "must be above 0, up to 1"));
        }
        let at_least_one = [
            ("error_storm.minimum", u64::from(self.error_storm.minimum)),
            ("quarantine_ms", self.quarantine_ms),
            ("forgive_ms", self.forgive_ms),
            ("probes", u64::from(self.probes)),
            ("readmit_after", u64::from(self.readmit_after)),
            ("probe_timeout_ms", self.probe_timeout_ms),
            ("most_targets", u64::from(self.most_targets)),
        ];
        for (field, value) in at_least_one {
            if value == 0 {
                return Err(invalid(field, value, "must be at least 1"));
            }
        }
        if self.crash_loop.crashes > 1_000 {
            let rule = "must be at most 1,000";
            return Err(invalid("crash_loop.crashes", self.crash_loop.crashes, rule));
        }
        if self.error_storm.window_ms < 10 {
            let rule = "must be at least 10";
            return Err(invalid("error_storm.window_ms", self.error_storm.window_ms, rule));
        }
        if !(3..=super::growth::MOST).contains(&(self.memory.minimum as usize)) {
            return Err(invalid("memory.minimum", self.memory.minimum, "must be 3 to 32"));
        }
        if self.memory.window_ms < 1_000 {
            let rule = "must be at least 1,000";
            return Err(invalid("memory.window_ms", self.memory.window_ms, rule));
        }
        if self.quarantine_max_ms < self.quarantine_ms {
            let rule = "must not be less than quarantine_ms";
            return Err(invalid("quarantine_max_ms", self.quarantine_max_ms, rule));
        }
        Ok(())
    }

    /// How long a target is set apart that was `times` times by now (1 for the first).
    pub(super) fn quarantine_for(&self, times: u32) -> Duration {
        let factor = 1_u64.checked_shl(times.saturating_sub(1)).unwrap_or(u64::MAX);
        let ms = self.quarantine_ms.saturating_mul(factor).min(self.quarantine_max_ms);
        Duration::from_millis(ms)
    }
}

fn invalid(field: &'static str, value: impl std::fmt::Display, rule: &'static str) -> Error {
    Error::new(Code::INVALID, "the isolation policy is not valid")
        .operation("recovery.isolate")
        .with("field", field)
        .with("value", value)
        .with("rule", rule)
}
