//! Pictures of a series: what was measured, what was unusual in it, and how it is expected to go on.
//!
//! A [`Plot`] is drawn by the crate `plotters` as [SVG](Plot::to_svg) or [PNG](Plot::to_png), with a font of its own:
//! neither needs anything of the system. Colours are of M. Okabe and K. Ito's set ("Color Universal Design",
//! 2008), which people with any kind of colour vision tell apart; what is drawn also differs in form: a line,
//! a dashed line, an area, rings.
//!
//! ```
//! use std::time::Duration;
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::monitor::plot::{Mark, Plot, Unit};
//! use sutazai_core::monitor::series::Reading;
//!
//! let at = |minute: u64| Timestamp::EPOCH + Duration::from_secs(60 * minute);
//! let mut plot = Plot::new("queue_length");
//! plot.unit = Unit::of("queue_length");
//! plot.past = (0..60).map(|i| Reading { at: at(i), value: (i * 7 % 5) as f64 }).collect();
//! plot.marks = vec![Mark { at: at(30), value: 40.0, score: 0.9 }];
//! let svg = plot.to_svg()?;
//! assert!(svg.starts_with("<svg") && svg.contains("queue_length"));
//! assert!(plot.to_png()?.starts_with(b"\x89PNG"));
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Bad input.** What is not finite is a gap, and so is a time in which much less was measured than usual; times may
//! come in any order. Values beyond ±10³⁰⁰ are drawn as that. Without any value there is an empty frame
//! that says so. **Cost**: some milliseconds, as PNG some tens of them; of many points those are drawn that can be seen.

mod axis;
mod canvas;
mod lines;
mod paint;
#[cfg(test)]
mod tests;
mod text;
mod unit;

pub use unit::Unit;

use crate::base::time::Timestamp;
use crate::monitor::forecast::Forecast;
use crate::monitor::series::Reading;
use crate::{Code, Error, Result};

/// Pixels of a side, at least and at most.
pub const SIDE_LEAST: u32 = 240;
/// Pixels of a side, at most.
pub const SIDE_MOST: u32 = 2_048;

/// A picture of one series.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plot {
    /// What stands above; cut where it is too long.
    pub title: String,
    /// What values are.
    pub unit: Unit,
    /// What was measured.
    pub past: Vec<Reading>,
    /// What was unusual.
    pub marks: Vec<Mark>,
    /// How it is expected to go on.
    pub ahead: Option<Ahead>,
    /// Pixels of a line, [`SIDE_LEAST`] to [`SIDE_MOST`]. Default: 960.
    pub width: u32,
    /// Lines, [`SIDE_LEAST`] to [`SIDE_MOST`]. Default: 420.
    pub height: u32,
}

/// Something unusual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// The value.
    pub value: f64,
    /// How unusual it is, from 0 to 1: stands beside it.
    pub score: f64,
}

/// How a series is expected to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Ahead {
    /// When the first step begins.
    pub from: Timestamp,
    /// Milliseconds of a step.
    pub step_ms: u64,
    /// What is expected of each; the first interval is drawn.
    pub forecast: Forecast,
}

impl Plot {
    /// An empty one.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            unit: Unit::default(),
            past: Vec::new(),
            marks: Vec::new(),
            ahead: None,
            width: 960,
            height: 420,
        }
    }

    /// As Scalable Vector Graphics 1.1. Texts are texts, in whatever monospaced font there is where it is looked at.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a size out of range.
    pub fn to_svg(&self) -> Result<String> {
        self.check()?;
        canvas::svg(self)
    }

    /// As Portable Network Graphics.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a size out of range.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        self.check()?;
        canvas::png(self)
    }

    pub(super) fn check(&self) -> Result<()> {
        for (field, side) in [("width", self.width), ("height", self.height)] {
            if !(SIDE_LEAST..=SIDE_MOST).contains(&side) {
                return Err(Error::new(Code::INVALID, "a plot has 240 to 2,048 pixels a side")
                    .operation("monitor.plot")
                    .with("field", field)
                    .with("value", side));
            }
        }
        Ok(())
    }
}
