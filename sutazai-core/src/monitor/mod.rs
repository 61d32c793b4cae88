//! Monitoring: what is measured, and what follows from it.
//!
//! - [`sample`]: measures the machine, its container and processes. Whatever else measures something is a
//!   [`Monitor`](crate::port::Monitor) as well.
//! - [`series`]: the history of measurements, compressed, in several resolutions, kept across restarts.
//! - [`AnomalyDetector`]: says of each point of a series how odd it is after all that came before, and of what kind.
//! - [`forecast`]: how a series goes on, with intervals; its seasons are found by themselves.

mod anomaly;
pub mod forecast;
pub mod sample;
pub mod series;

pub use anomaly::{AnomalyDetector, AnomalyKind, AnomalyPolicy, AnomalyView, Detector, Verdict};
