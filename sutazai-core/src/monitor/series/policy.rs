//! What a history is told: [`HistoryPolicy`].

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// How long measurements are kept, in which resolution, and how much memory they may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct HistoryPolicy {
    /// Nanoseconds of the unit in which times are kept, a divisor of a second. A point's time is rounded down
    /// to it when it comes, and kept without loss from there on. Default 1: nothing is rounded. 1,000,000 keeps
    /// milliseconds, which saves two bytes a point where points come with jitter and no other series has the
    /// same times.
    pub tick_ns: u32,
    /// Seconds that the points themselves are kept, 1 or more. Default 3,600.
    pub raw_keep_s: u32,
    /// Seconds of points that one block holds, 1 or more; it ends at a multiple of that, so that series that
    /// are measured together have blocks with the same times. Default 1,800.
    pub raw_block_s: u32,
    /// The coarser levels, each with a step that is a multiple of the one before. At most 8. Default: 10
    /// seconds for a day, 1 minute for 30 days.
    pub levels: Vec<LevelPolicy>,
    /// Buckets of a coarser level that one block holds, 8 to 4,096. Default 720.
    pub block_buckets: u32,
    /// Most series, 1 or more. Default 4,096.
    pub series: u32,
    /// What happens to a series beyond that. Default: it is refused.
    pub overflow: Overflow,
    /// Bytes of memory that all series together may take, at least 1,024 for each that there may be, and 768
    /// more for each of its levels. Default 64 MiB.
    pub budget_bytes: u64,
    /// When so many points of a series in a row come with times that were before, and ascend, the clock is
    /// taken to have been set back, and what the series has from that time on is let go of. 2 or more.
    /// Only points of now count, as samples are: those whose time was told are refused. Default 10.
    pub set_back_after: u32,
}

/// One coarser level: buckets of points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LevelPolicy {
    /// Seconds of a bucket, 1 or more.
    pub step_s: u32,
    /// Seconds that its buckets are kept, not less than its step.
    pub keep_s: u32,
}

/// What happens when there are as many series as there may be.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The new one is refused.
    #[default]
    Refuse,
    /// The one that has had no point for longest makes room; when a history is opened, once all of it is read.
    Idle,
}

impl Default for HistoryPolicy {
    fn default() -> Self {
        let level = |step_s, keep_s| LevelPolicy { step_s, keep_s };
        Self {
            tick_ns: 1,
            raw_keep_s: 3_600,
            raw_block_s: 1_800,
            levels: vec![level(10, 24 * 3_600), level(60, 30 * 24 * 3_600)],
            block_buckets: 720,
            series: 4_096,
            overflow: Overflow::Refuse,
            budget_bytes: 64 << 20,
            set_back_after: 10,
        }
    }
}

/// Ticks of a second must be whole.
const SECOND_NS: u32 = 1_000_000_000;
/// Most coarser levels.
const LEVELS_MAX: usize = 8;
/// Bytes that a series without points takes at most, and those of a coarser level.
pub(super) const SERIES_BYTES: usize = 1_024;
pub(super) const LEVEL_BYTES: usize = 768;

impl HistoryPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        if self.tick_ns == 0 || !SECOND_NS.is_multiple_of(self.tick_ns) {
            return Err(invalid("tick_ns", "must divide a second", self.tick_ns));
        }
        let at_least = [
            ("raw_keep_s", self.raw_keep_s, 1),
            ("raw_block_s", self.raw_block_s, 1),
            ("block_buckets", self.block_buckets, 8),
            ("series", self.series, 1),
            ("set_back_after", self.set_back_after, 2),
        ];
        for (name, value, least) in at_least {
            if value < least {
                return Err(invalid(name, "is too small", value).with("least", least));
            }
        }
        if self.block_buckets > 4_096 {
            return Err(invalid("block_buckets", "must be at most 4,096", self.block_buckets));
        }
        if self.levels.len() > LEVELS_MAX {
            return Err(invalid("levels", "must be at most 8", self.levels.len()));
        }
        let mut finer: Option<LevelPolicy> = None;
        for level in &self.levels {
            let step = level.step_s;
            if step == 0 || finer.is_some_and(|f| step <= f.step_s || step % f.step_s != 0) {
                let rule = "must be at least 1, and a multiple of the step before";
                return Err(invalid("levels.step_s", rule, step));
            }
            if level.keep_s < step {
                return Err(invalid("levels.keep_s", "must not be less than step_s", level.keep_s));
            }
            finer = Some(*level);
        }
        let series = SERIES_BYTES + LEVEL_BYTES * self.levels.len();
        let least = u64::from(self.series).saturating_mul(series as u64);
        if self.budget_bytes < least {
            return Err(invalid(
                "budget_bytes",
                "is too small for so many series",
                self.budget_bytes,
            )
            .with("least", least));
        }
        Ok(())
    }

    /// Ticks of so many seconds.
    pub(super) fn ticks(&self, seconds: u32) -> i64 {
        i64::from(seconds) * i64::from(SECOND_NS / self.tick_ns.max(1))
    }
}

fn invalid(field: &'static str, rule: &'static str, value: impl std::fmt::Display) -> Error {
    Error::new(Code::INVALID, "the history's policy is not valid")
        .operation("monitor.history")
        .with("field", field)
        .with("rule", rule)
        .with("value", value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_checked() {
        let default = HistoryPolicy::default();
        default.check().unwrap();
        let level = |step_s, keep_s| LevelPolicy { step_s, keep_s };
        let wrong = [
            HistoryPolicy { tick_ns: 0, ..default.clone() },
            HistoryPolicy { tick_ns: 7, ..default.clone() },
            HistoryPolicy { raw_keep_s: 0, ..default.clone() },
            HistoryPolicy { raw_block_s: 0, ..default.clone() },
            HistoryPolicy { block_buckets: 7, ..default.clone() },
            HistoryPolicy { block_buckets: 4_097, ..default.clone() },
            HistoryPolicy { series: 0, ..default.clone() },
            HistoryPolicy { set_back_after: 1, ..default.clone() },
            HistoryPolicy { budget_bytes: 1 << 20, ..default.clone() },
            HistoryPolicy { levels: vec![level(0, 10)], ..default.clone() },
            HistoryPolicy { levels: vec![level(10, 9)], ..default.clone() },
            HistoryPolicy { levels: vec![level(10, 60), level(10, 60)], ..default.clone() },
            HistoryPolicy { levels: vec![level(10, 60), level(25, 60)], ..default.clone() },
            HistoryPolicy { levels: vec![level(1, 60); 9], ..default.clone() },
        ];
        for policy in wrong {
            assert_eq!(policy.check().unwrap_err().code(), Code::INVALID, "{policy:?}");
        }
        let text = serde_json::to_string(&default).unwrap();
        assert_eq!(serde_json::from_str::<HistoryPolicy>(&text).unwrap(), default);
        assert_eq!(serde_json::from_str::<HistoryPolicy>("{}").unwrap(), default);
        assert!(serde_json::from_str::<HistoryPolicy>(r#"{"keep": 1}"#).is_err());
    }
}
