//! What a breaker is told: [`BreakerPolicy`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Class, Code, Error, Result};

/// When a breaker opens, and how it closes again. Each rule is off at zero; with all three off the
/// breaker only opens by force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BreakerPolicy {
    /// Opens after this many failures in a row. Default 0: off.
    pub consecutive: u32,
    /// Opens when this share of the window's calls failed, above 0 and up to 1. Default 0.5.
    pub failure_rate: f64,
    /// Opens when this share of the window's calls was slow, above 0 and up to 1. Default 0: off.
    pub slow_rate: f64,
    /// A call that takes longer than this many milliseconds is slow. Default 1,000.
    pub slow_ms: u64,
    /// What the rates are taken over. Default: the last 100 calls.
    pub window: Window,
    /// Calls that the window must hold before a rate counts, 1 or more. Default 20.
    pub minimum: u32,
    /// Milliseconds that it stays open before it tries a probe, 1 or more. Default 5,000.
    pub open_ms: u64,
    /// Each time that a probe fails it stays open twice as long, up to this many milliseconds. Default
    /// 60,000.
    pub open_max_ms: u64,
    /// Calls that may probe a half-open breaker at once, 1 or more; doubled each time that so many
    /// succeeded. Default 1.
    pub probes: u32,
    /// Calls that must succeed before a half-open breaker closes, 1 or more. Default 10.
    pub close_after: u32,
    /// Which classes of error are failures of the target. Default transient and critical: an error that
    /// is persistent is mostly the caller's own, and the target did answer.
    pub counts: Vec<Class>,
}

/// What rates are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Window {
    /// The last so many calls, 1 to 65,536. The cheapest: while all is well nothing is written.
    Calls(u32),
    /// The calls of the last so many milliseconds, 10 or more; kept in ten parts, so the oldest tenth
    /// leaves at once.
    TimeMs(u64),
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            consecutive: 0,
            failure_rate: 0.5,
            slow_rate: 0.0,
            slow_ms: 1_000,
            window: Window::Calls(100),
            minimum: 20,
            open_ms: 5_000,
            open_max_ms: 60_000,
            probes: 1,
            close_after: 10,
            counts: vec![Class::Transient, Class::Critical],
        }
    }
}

impl BreakerPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let rate = |name, rate: f64| {
            ((0.0..=1.0).contains(&rate))
                .then_some(())
                .ok_or_else(|| invalid(name, "must be between 0 and 1", rate))
        };
        rate("failure_rate", self.failure_rate)?;
        rate("slow_rate", self.slow_rate)?;
        let at_least_one = [
            ("minimum", u64::from(self.minimum)),
            ("open_ms", self.open_ms),
            ("probes", u64::from(self.probes)),
            ("close_after", u64::from(self.close_after)),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                return Err(invalid(name, "must be at least 1", value));
            }
        }
        match self.window {
            Window::Calls(calls) if !(1..=65_536).contains(&calls) => {
                return Err(invalid("window.calls", "must be between 1 and 65,536", calls));
            }
            Window::Calls(calls) if self.minimum > calls => {
                return Err(invalid(
                    "minimum",
                    "must not be more than the window holds, or no rate ever counts",
                    self.minimum,
                ));
            }
            Window::TimeMs(ms) if ms < 10 => {
                return Err(invalid("window.time_ms", "must be at least 10", ms));
            }
            Window::Calls(_) | Window::TimeMs(_) => {}
        }
        if self.open_max_ms < self.open_ms {
            return Err(invalid("open_max_ms", "must not be less than open_ms", self.open_max_ms));
        }
        Ok(())
    }

    /// Whether an error of this class is a failure of the target.
    pub(super) fn is_failure(&self, class: Class) -> bool {
        self.counts.contains(&class)
    }

    /// The time beyond which a call is slow; `None` when that rule is off.
    pub(super) fn slow(&self) -> Option<Duration> {
        (self.slow_rate > 0.0).then(|| Duration::from_millis(self.slow_ms))
    }

    /// How long it stays open when it has opened `times` in a row (1 for the first).
    pub(super) fn open_for(&self, times: u32) -> Duration {
        let factor = 1_u64.checked_shl(times.saturating_sub(1)).unwrap_or(u64::MAX);
        Duration::from_millis(self.open_ms.saturating_mul(factor).min(self.open_max_ms))
    }
}

fn invalid(field: &'static str, must: &'static str, value: impl std::fmt::Display) -> Error {
    Error::new(Code::INVALID, "the breaker's policy is not valid")
        .operation("recovery.breaker")
        .with("field", field)
        .with("value", value)
        .with("rule", must)
}
