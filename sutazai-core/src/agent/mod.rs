//! Who does the work: the registry of agents, what is known of how they did, the choice among them,
//! and the adapters that make an agent of what people have.
//!
//! ```
//! use sutazai_core::agent::{self, Registry};
//! use sutazai_core::port::{AgentCard, Task};
//!
//! let registry = Registry::default();
//! let echo = agent::from_fn(AgentCard::new("echo", ["echo"]), |task: &Task| Ok(task.input().clone()));
//! registry.add(std::sync::Arc::new(echo))?;
//! assert_eq!(registry.with_skill("echo").unwrap().len(), 1);
//! # use sutazai_core::port::Candidates as _;
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Invariants.** The registry calls no agent but for its card. An idle agent costs less than a
//! kilobyte; what is kept of its calls is made with the first one.

pub mod connect;
pub mod create;
pub mod discover;
mod ledger;
mod liveness;
mod lives;
mod probe;
mod registry;
pub mod route;
mod schema;

pub use connect::{FnAgent, TaskContext, from_async, from_fn, from_fn_with};
pub use ledger::{
    AgentStats, FailureStats, KeptLedger, LatencyStats, Ledger, QualityStats, RecentStats,
    SkillStats, Went,
};
pub use liveness::{Detector, LivenessView, Stall, Vitality};
pub use lives::{Lives, OnSilence};
pub(crate) use probe::check as check_probe;
pub use probe::{ProbeReport, ProbeVerdict, SkillReport};
pub(crate) use registry::well_named as is_name;
pub use registry::{
    AgentState, AgentView, Decided, Entry, Registry, Reservation, SkillList, StateChange, Switched,
    TakenOut, Why,
};
pub use route::LeastLoaded;
