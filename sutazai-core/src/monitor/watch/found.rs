//! What was found: [`Anomaly`], [`SeriesChange`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::time::Timestamp;
use crate::monitor::{AnomalyKind, Change};

/// Something unusual in a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Anomaly {
    /// Its number, by which what is newer can be asked for: greater than those before, with gaps.
    pub number: u64,
    /// The series.
    pub series: String,
    /// When.
    pub at: Timestamp,
    /// What was seen: of a counter, by how much it grew in a second. Where data are missing, what was seen last.
    pub value: f64,
    /// What is usual there.
    pub usual: f64,
    /// The mean absolute deviation from that.
    pub deviation: f64,
    /// How unusual it is, from 0 up to 1.
    pub score: f64,
    /// What kind it is, as far as that can be told: what is remembered gets a clearer name, where the points after it tell more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AnomalyKind>,
}

/// The level of a series has changed for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SeriesChange {
    /// Its number, by which what is newer can be asked for: greater than those before, with gaps.
    pub number: u64,
    /// The series.
    pub series: String,
    /// When it was sure: some points after the new level began.
    pub found: Timestamp,
    /// Since when, and from what to what; of a counter, of its growth in a second.
    #[serde(flatten)]
    pub change: Change,
}

/// What is remembered by number.
pub(super) trait Numbered: Clone {
    fn number(&self) -> u64;
    fn numbered(self, number: u64) -> Self;
    fn series(&self) -> &str;
}

impl Numbered for Anomaly {
    fn number(&self) -> u64 {
        self.number
    }
    fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }
    fn series(&self) -> &str {
        &self.series
    }
}

impl Numbered for SeriesChange {
    fn number(&self) -> u64 {
        self.number
    }
    fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }
    fn series(&self) -> &str {
        &self.series
    }
}
