//! What a kernel is doing, for people and hosts.

use serde::Serialize;

use super::lifecycle::ComponentStatus;
use super::shared::Phase;
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
