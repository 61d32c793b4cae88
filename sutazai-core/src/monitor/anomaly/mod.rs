//! Anomaly detection in a stream of measurements, without training, and the same for all series.
//!
//! An [`AnomalyDetector`] is fed a series point by point, and says of each how unusual it is after all that
//! came before it. Sixteen figures are watched (the value against the last ones, the expected one, the time of the
//! week and that of a season which is found by itself; means and motion over windows; the distribution of values and of steps; how unexpected levels and shapes are). Each is
//! held against its own past, a histogram with a fitted tail, which says how unlikely it is; what that comes to in plain
//! noise is known, and is the measure by which the figures are taken together. What recurs is usual: neither a figure
//! nor a gap is taken for much rarer than it has been. The score is causal and does not depend on the unit of the values, or
//! on where their zero is.
//!
//! ```
//! use std::time::Duration;
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::monitor::{AnomalyDetector, AnomalyKind, AnomalyPolicy, Detector};
//!
//! let mut detector = AnomalyDetector::new(AnomalyPolicy::default())?;
//! let mut now = Timestamp::EPOCH;
//! for i in 0..1_000_u64 {
//!     now = now + Duration::from_secs(60);
//!     assert!(!detector.look(now, (i * 37 % 101) as f64).alarm);
//! }
//! let verdict = detector.look(now + Duration::from_secs(60), 900.0);
//! assert!(verdict.alarm && verdict.score > 0.5);
//! assert_eq!(verdict.kind, Some(AnomalyKind::Spike));
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Alarms** come once for each anomaly: after one, only what is clearly stronger counts, for as long as the
//! [policy](AnomalyPolicy) says. **Bad input**: what is not a number teaches nothing and scores nothing, but too
//! many in a row, or a point that comes far too late, is [missing data](AnomalyKind::MissingData); times that
//! repeat or go back count as unknown intervals, and the values are taken in the order in which they come.
//! **Seasons** are found by themselves once they have come round three times, up to 1,466 points long, and what is usual at each of their points
//! is the mean of ten rounds. **Cost**: some microseconds a point, and some milliseconds each time that a quarter more points have come; about
//! 100 kilobytes a series.

mod calendar;
mod centre;
mod context;
mod detector;
mod entropy;
mod gap;
mod kind;
#[cfg(test)]
pub(super) mod noise;
mod parts;
mod policy;
mod regress;
mod seasonal;
mod tail;
#[cfg(test)]
mod tests;
mod tuning;

pub use detector::{AnomalyDetector, AnomalyView, Verdict};
pub use kind::AnomalyKind;
pub use policy::AnomalyPolicy;

use crate::base::time::Timestamp;

/// Finds what is unusual in one series.
pub trait Detector: Send + 'static {
    /// A short name of how it does so.
    fn name(&self) -> &str;

    /// What it says of the next point; then the point is part of the past. Values that are not finite, and
    /// times that repeat or go back, are no errors.
    fn look(&mut self, at: Timestamp, value: f64) -> Verdict;
}
