//! Monitoring: what is measured, and what follows from it.
//!
//! - [`sample`]: measures the machine, its container and processes. Whatever else measures something is a
//!   [`Monitor`](crate::port::Monitor) as well.
//! - [`series`]: the history of measurements, compressed, in several resolutions, kept across restarts.

pub mod sample;
pub mod series;
