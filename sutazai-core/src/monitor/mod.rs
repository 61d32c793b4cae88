//! Monitoring: what is measured, and what follows from it.
//!
//! - [`sample`]: measures the machine, its container and processes. Whatever else measures something is a
//!   [`Monitor`](crate::port::Monitor) as well.
//! - [`series`]: the history of measurements, compressed, in several resolutions, kept across restarts.
//! - [`Watch`]: takes measurements, keeps them and looks for anomalies in them. A kernel has one.
//! - [`AnomalyDetector`]: says of each point of a series how odd it is after all that came before, and of what kind.

mod anomaly;
pub mod sample;
pub mod series;
mod watch;

pub use anomaly::{AnomalyDetector, AnomalyKind, AnomalyPolicy, AnomalyView, Detector, Verdict};
pub use watch::{
    Anomaly, ForecastQuery, MONITORS_MAX, Measured, Sampled, SeriesForecast, WATCHED_MAX, Watch,
    WatchPolicy, WatchStatus,
};
