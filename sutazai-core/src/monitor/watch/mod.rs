//! What takes measurements, keeps and judges them together: [`Watch`].

mod ahead;
mod asking;
mod forgetting;
mod found;
mod judges;
mod latest;
#[cfg(feature = "plot")]
mod picture;
mod policy;
mod refused;
mod remembered;
mod sampling;
mod watched;
mod watching;

pub use ahead::{ForecastQuery, SeriesForecast};
pub use found::{Anomaly, SeriesChange};
#[cfg(feature = "plot")]
pub use picture::PlotQuery;
pub use policy::{WATCHED_MAX, WatchPolicy};
pub use refused::check_measurement;
pub(crate) use refused::check_monitor;
pub use watching::{Away, MONITORS_MAX, Measured, Sampled, Watch, WatchStatus};
