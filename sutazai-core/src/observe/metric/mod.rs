//! Metrics: figures with names, for people and for Prometheus.

mod family;
mod name;
mod registry;
mod snapshot;
#[cfg(test)]
mod tests;
mod text;
mod value;

pub use family::{Family, SERIES_MAX};
pub use registry::{FAMILIES_MAX, Registry};
pub use snapshot::{Kind, MetricSnapshot, SeriesSnapshot, Summary, ValueSnapshot};
pub use value::{Counter, Gauge, MetricHistogram, Unit};
