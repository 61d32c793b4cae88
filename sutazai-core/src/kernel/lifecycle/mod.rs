//! Temporary face.
use crate::Result;
use crate::base::runtime::Runtime;
use crate::base::time::Moment;
use crate::port::Component;
use std::sync::Arc;

/// The state of a component.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
}
/// Components.
pub struct Lifecycle {}
impl Lifecycle {
    /// New.
    pub fn new(
        _runtime: Arc<dyn Runtime>,
        _observer: Arc<dyn Fn(&ComponentStatus) + Send + Sync>,
    ) -> Self {
        Self {}
    }
    /// Add.
    pub fn add(&self, _c: Arc<dyn Component>) -> Result<()> {
        Ok(())
    }
    /// Check.
    pub fn check(&self) -> Result<()> {
        Ok(())
    }
    /// Start.
    pub fn start(&self) -> Result<()> {
        Ok(())
    }
    /// Stop.
    pub fn stop(&self, _d: Moment) -> Result<()> {
        Ok(())
    }
    /// States.
    pub fn states(&self) -> Vec<ComponentStatus> {
        Vec::new()
    }
}
