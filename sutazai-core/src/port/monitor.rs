//! What takes measurements.

use std::sync::Arc;

use crate::Result;
use crate::base::time::Timestamp;

/// Takes measurements of something: the machine, a process, a service.
pub trait Monitor: Send + Sync + 'static {
    /// A short name: `cpu`, `memory`, …
    fn name(&self) -> &str;

    /// Adds the measurements of this moment. May block briefly.
    ///
    /// # Errors
    /// When nothing could be measured; what was added before stays.
    fn sample(&self, now: Timestamp, out: &mut Samples) -> Result<()>;
}

/// Measurements of one moment. Reused between samplings; adding allocates only while it grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    samples: Vec<Sample>,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The series, with its unit as Prometheus names have it: `cpu_seconds_total`.
    pub series: Arc<str>,
    /// The value, in the unit that the name says.
    pub value: f64,
}

impl Samples {
    /// Adds a measurement. A name that is kept as an `Arc` is not copied.
    pub fn add(&mut self, series: impl Into<Arc<str>>, value: f64) {
        self.samples.push(Sample { series: series.into(), value });
    }

    /// What was added, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// Forgets them, keeping the room.
    pub fn clear(&mut self) {
        self.samples.clear();
    }
}
