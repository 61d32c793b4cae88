//! Monitoring: what is measured, and what follows from it.
//!
//! - [`sample`]: measures the machine, its container and processes. Whatever else measures something is a
//!   [`Monitor`](crate::port::Monitor) as well.
//! - [`series`]: the history of measurements, compressed, in several resolutions, kept across restarts.
//! - [`Watch`]: takes measurements, keeps them and looks for anomalies in them. A kernel has one.
//! - [`AnomalyDetector`]: says of each point of a series how odd it is after all that came before, and of what kind.
//! - [`ChangeDetector`]: says where the level of a series has changed for good.
//! - [`forecast`]: how a series goes on, with intervals; its seasons are found by themselves.
//! - [`Exhaustion`]: when a resource will be used up, if it goes on as it does.
//! - [`BottleneckDetector`]: what holds tasks up, and what would change if it were better. A kernel has one.
//! - [`health()`](fn@health): how well the components and the system are, and why not better.

mod anomaly;
mod bottleneck;
mod change;
mod exhaustion;
pub mod forecast;
mod health;
#[cfg(feature = "plot")]
pub mod plot;
pub mod sample;
mod season;
pub mod series;
mod watch;

pub use anomaly::{AnomalyDetector, AnomalyKind, AnomalyPolicy, AnomalyView, Detector, Verdict};
pub use bottleneck::{
    Activity, Bottleneck, BottleneckDetector, BottleneckKind, BottleneckPolicy, BottleneckVerdict,
    Bottlenecks, Failure, Improvement, Part, ResourceFigures, StationView, Surroundings, Wait,
    WaitFor, WhatIf, WorkSpan,
};
pub use change::{Change, ChangeDetector, ChangePolicy, ChangeView};
pub use exhaustion::{Direction, Exhaustion, ExhaustionPolicy, ExhaustionView, Outlook};
pub use health::{
    Aspect, Cause, ComponentHealth, ComponentState, Health, HealthPolicy, Ramp, health,
};
#[cfg(feature = "plot")]
pub use watch::PlotQuery;
pub(crate) use watch::check_monitor;
pub use watch::{
    Anomaly, Away, ForecastQuery, MONITORS_MAX, Measured, Sampled, SeriesChange, SeriesForecast,
    WATCHED_MAX, Watch, WatchPolicy, WatchStatus, check_measurement,
};
