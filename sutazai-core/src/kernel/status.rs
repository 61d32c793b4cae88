//! What a kernel is doing, for people and hosts.

use serde::Serialize;

use super::lifecycle::ComponentStatus;
use super::shared::{Phase, Shared};
use crate::base::runtime::RuntimeStats;
use crate::event::BusStats;
use crate::store;

/// What a kernel is doing.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct KernelStatus {
    /// The library's version.
    pub version: &'static str,
    /// Where it is in its life.
    pub phase: Phase,
    /// The data directory; `None` when everything is in memory.
    pub data_dir: Option<String>,
    /// The runtime's name.
    pub runtime: &'static str,
    /// The runtime's sizes.
    pub threads: RuntimeStats,
    /// Its components, in the order they start in.
    pub components: Vec<ComponentStatus>,
    /// Registered agents.
    pub agents: usize,
    /// Calls that are not finished.
    pub calls: usize,
    /// The bus's counts.
    pub bus: BusStats,
    /// The store.
    pub store: store::Status,
}

impl Shared {
    pub(super) fn status(&self) -> KernelStatus {
        KernelStatus {
            version: env!("CARGO_PKG_VERSION"),
            phase: self.phase(),
            data_dir: self.data_dir.as_ref().map(|dir| dir.path().display().to_string()),
            runtime: self.runtime.name(),
            threads: self.runtime.stats(),
            components: self.lifecycle.states(),
            #[cfg(feature = "agent")]
            agents: self.agents.len(),
            #[cfg(not(feature = "agent"))]
            agents: 0,
            calls: self.load.now(),
            bus: self.bus.stats(),
            store: self.store.status(),
        }
    }
}
