//! The kernel's own books.
use super::lifecycle::Transition;
use super::limits::Limits;
use crate::Result;
use crate::base::runtime::Runtime;
use crate::event::Bus;
use crate::port::CallRecord;
use crate::store::DataDir;
use std::sync::Arc;

pub(super) struct Kept {}

impl Kept {
    pub(super) fn new(_l: &Limits, _r: &Arc<dyn Runtime>, _d: Option<&DataDir>) -> Result<Self> {
        Ok(Self {})
    }
    pub(super) fn start(&self) -> Result<()> {
        Ok(())
    }
    pub(super) fn stop(&self) {}
    #[inline]
    pub(super) fn record(&self, _call: &CallRecord<'_>) {}
}

pub(super) fn announcer(bus: &Bus) -> Arc<dyn Fn(&Transition) + Send + Sync> {
    let bus = bus.clone();
    Arc::new(move |status| {
        let _ = bus.publish(
            "component.state",
            crate::base::payload::Payload::json(status).unwrap_or_default(),
        );
    })
}
