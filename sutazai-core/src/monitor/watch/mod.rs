//! What takes measurements, keeps and judges them together: [`Watch`].

mod ahead;
mod found;
mod latest;
mod policy;
mod watched;
mod watching;

pub use ahead::{ForecastQuery, SeriesForecast};
pub use found::Anomaly;
pub use policy::{WATCHED_MAX, WatchPolicy};
pub use watching::{MONITORS_MAX, Measured, Sampled, Watch, WatchStatus};
