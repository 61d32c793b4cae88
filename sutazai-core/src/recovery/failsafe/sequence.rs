//! The order of the stages and the time that each has: a state machine that takes the time.

use std::time::Duration;

use serde::Serialize;

use crate::base::payload::Payload;
use crate::base::time::Moment;

/// What came of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum StageOutcome {
    /// It did its work.
    Done,
    /// It failed.
    Failed {
        /// The error.
        error: Payload,
    },
    /// Its time was up; it was left behind, and may run on.
    TimedOut,
    /// The time of all was up before its turn.
    LeftOut,
}

/// A stage that had its turn.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct StageReport {
    /// Its name.
    pub name: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: StageOutcome,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

/// See the module's documentation. Every method takes the time; none reads a clock.
#[derive(Debug)]
pub(super) struct Sequence {
    stages: Vec<(String, Duration)>,
    /// The stage whose turn it is, or comes next.
    at: usize,
    /// When that one began.
    began: Moment,
    end: Moment,
}

impl Sequence {
    /// These stages, from now on, all of them by the end of `total`.
    pub(super) fn new(stages: Vec<(String, Duration)>, total: Duration, now: Moment) -> Self {
        Self { stages, at: 0, began: now, end: now + total }
    }

    /// Whose turn it is now, and until when; `None` when all have had theirs, or the time is up.
    pub(super) fn next(&mut self, now: Moment) -> Option<(usize, Moment)> {
        let (_, within) = self.stages.get(self.at)?;
        if now >= self.end {
            return None;
        }
        self.began = now;
        Some((self.at, (now + *within).min(self.end)))
    }

    /// What came of the stage whose turn it was.
    pub(super) fn ended(&mut self, outcome: StageOutcome, now: Moment) -> Option<StageReport> {
        let (name, _) = self.stages.get(self.at)?;
        let took_ms = u64::try_from(now.since(self.began).as_millis()).unwrap_or(u64::MAX);
        let report = StageReport { name: name.clone(), outcome, took_ms };
        self.at += 1;
        Some(report)
    }

    /// Those that the time did not reach.
    pub(super) fn left_out(&self) -> Vec<StageReport> {
        let report = |(name, _): &(String, Duration)| StageReport {
            name: name.clone(),
            outcome: StageOutcome::LeftOut,
            took_ms: 0,
        };
        self.stages.iter().skip(self.at).map(report).collect()
    }
}
