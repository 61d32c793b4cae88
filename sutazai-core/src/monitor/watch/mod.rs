//! Watching: measurements are taken, kept and judged together.
//!
//! A [`Watch`] has [monitors](crate::port::Monitor), a [history](crate::monitor::series::History) of what they measure, and an
//! [anomaly detector](crate::monitor::AnomalyDetector) for each series that is watched. It owns no thread and no clock: whoever has
//! it says when a [sample](Watch::sample) is taken. A kernel has one ([`Kernel::watch`](crate::kernel::Kernel::watch)) and
//! takes samples by itself where it is told to.
//!
//! Of a counter (a name in `_total`) the detector sees how much it grows in a second, and nothing where it was reset.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::monitor::{Watch, WatchPolicy};
//! use sutazai_core::monitor::sample::Portable;
//!
//! let watch = Watch::new(WatchPolicy::default(), None)?;
//! watch.add(Arc::new(Portable::new()?))?;
//! let sampled = watch.sample(Timestamp::now());
//! assert!(sampled.values.iter().any(|one| &*one.series == "memory_total_bytes"));
//! // What else is measured is told.
//! watch.record("queue_length", Timestamp::now(), 17.0)?;
//! assert_eq!(watch.history().points("queue_length", 1)[0].value, 17.0);
//! # Ok::<(), sutazai_core::Error>(())
//! ```

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
