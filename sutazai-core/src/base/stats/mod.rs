//! Statistics without I/O or clocks.

mod histogram;

pub use histogram::{Histogram, HistogramSnapshot};
