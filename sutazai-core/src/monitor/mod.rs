//! Monitoring: what is measured, and what follows from it.
//!
//! - [`series`]: the history of measurements, compressed, in several resolutions, kept across restarts.

pub mod series;
