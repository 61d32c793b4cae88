//! Monitors that are written in Swift, Kotlin or Ruby.

use std::collections::BTreeMap;

use sutazai_core::base::reading::from_json;
use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{self, Samples};
use sutazai_core::{Code, Error, Result};

use super::error::KernelError;
use crate::time::milliseconds;

/// Takes measurements of something. (`Monitor` is a class of Ruby's own.) Runs on threads that it may block briefly; one that takes longer than a
/// sample waits is asked again once it has returned, and the others go on. What it
/// throws is among the failures of the sample.
#[uniffi::export(callback_interface)]
pub trait HostMonitor: Send + Sync {
    /// What is measured now: a JSON object of series and their values. Names have their units, as Prometheus has them
    /// (`queue_length`, `cache_bytes`; one in `_total` is a counter). `now_ms` is the sample's time by the kernel's
    /// clock, in milliseconds since 1970.
    fn sample(&self, now_ms: i64) -> std::result::Result<String, KernelError>;
}

/// In the form that the core knows.
pub(super) struct Measures {
    pub(super) name: String,
    pub(super) monitor: Box<dyn HostMonitor>,
}

impl port::Monitor for Measures {
    fn name(&self) -> &str {
        &self.name
    }

    fn sample(&self, now: Timestamp, out: &mut Samples) -> Result<()> {
        let given = self.monitor.sample(milliseconds(now))?;
        // UniFFI takes a callback's text as it comes, and Ruby's may be anything.
        let text = String::from_utf8(given.into_bytes())
            .map_err(|_| Error::new(Code::INVALID, "what the monitor gave is not UTF-8"))?;
        let values: BTreeMap<String, f64> = from_json("monitor.sample", "measurements", &text)?;
        values.into_iter().for_each(|(series, value)| out.add(series, value));
        Ok(())
    }
}
