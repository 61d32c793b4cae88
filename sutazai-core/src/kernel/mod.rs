//! The kernel: it composes the rooms and owns nothing else. Dependency injection, the lifecycle of
//! components, and the guarded call.
//!
//! ```
//! use sutazai_core::agent;
//! use sutazai_core::kernel::Kernel;
//! use sutazai_core::port::{AgentCard, Task};
//!
//! let kernel = Kernel::builder()
//!     .agent(agent::from_fn(AgentCard::new("shout", ["shout"]), |task: &Task| {
//!         Ok(task.input().to::<String>()?.to_uppercase())
//!     }))
//!     .build()?;
//! kernel.start()?;
//! let outcome = kernel.call(Task::new("shout", "hello")).wait()?;
//! assert_eq!(outcome.output.to::<String>()?, "HELLO");
//! kernel.stop(std::time::Duration::from_secs(5))?;
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! # Threads
//!
//! Those of the runtime ([`Threads`](crate::base::runtime::Threads) names its own), `sutazai-store` (writes),
//! `sutazai-log` (the log's file), with feature `security` `sutazai-audit` (syncs the audit journal) and
//! `sutazai-audit-tree` (checkpoints), but not in virtual time, and, while agents and components are started or stopped,
//! `sutazai-agents-1` to `-16` and one `sutazai-stop` for each component. While the safe state is taken `sutazai-failsafe` and one
//! `sutazai-failsafe-stage` for each stage; `sutazai-signal` where SIGTERM is watched. A process agent
//! names its own.
//!
//! **Invariants.** [`Builder::build`] starts no thread. No lock is held while an agent, a component,
//! a step or a callback runs. Replies and callbacks do not keep a kernel running: when its last
//! handle is dropped it stops, whoever still holds a ticket. Several kernels live in one process;
//! two never share a data directory.

#![cfg_attr(
    not(feature = "agent"),
    allow(
        dead_code,
        unused_imports,
        reason = "the guarded call needs agents; without them the kernel is injection and lifecycle"
    )
)]

#[cfg(all(target_os = "linux", feature = "agent", feature = "monitor"))]
mod agent_processes;
#[cfg(feature = "agent")]
mod agents;
#[cfg(feature = "agent")]
mod allocation;
#[cfg(all(feature = "agent", feature = "recovery"))]
mod allowance;
#[cfg(feature = "agent")]
mod approval;
#[cfg(feature = "agent")]
mod batch;
#[cfg(feature = "agent")]
mod book;
mod builder;
#[cfg(feature = "agent")]
mod call;
#[cfg(feature = "agent")]
mod caller;
mod changes;
#[cfg(feature = "recovery")]
mod checkpointed;
mod clock;
#[cfg(feature = "agent")]
mod creation;
#[cfg(feature = "agent")]
mod discovery;
#[cfg(feature = "monitor")]
mod failing;
#[cfg(feature = "monitor")]
mod figures;
#[cfg(feature = "agent")]
mod fitting;
#[cfg(feature = "recovery")]
mod guarded;
#[cfg(feature = "recovery")]
mod guards;
mod handle;
#[cfg(feature = "recovery")]
mod heal;
#[cfg(feature = "monitor")]
mod health;
#[cfg(feature = "agent")]
mod inflight;
pub mod inject;
#[cfg(feature = "recovery")]
mod judge;
#[cfg(feature = "agent")]
mod learned;
#[cfg(feature = "agent")]
mod ledgers;
pub mod lifecycle;
mod limits;
#[cfg(feature = "agent")]
mod liveness;
mod load;
#[cfg(feature = "config")]
mod manifest;
#[cfg(all(feature = "config", feature = "agent"))]
mod manifest_create;
#[cfg(all(feature = "config", feature = "agent"))]
mod manifest_discovery;
#[cfg(all(feature = "config", feature = "monitor"))]
mod manifest_monitor;
#[cfg(all(feature = "config", feature = "recovery"))]
mod manifest_recovery;
#[cfg(all(feature = "config", feature = "security"))]
mod manifest_security;
#[cfg(all(feature = "config", feature = "tune"))]
mod manifest_tune;
#[cfg(feature = "monitor")]
mod monitoring;
#[cfg(feature = "agent")]
mod nobody;
#[cfg(feature = "agent")]
mod oblige;
#[cfg(feature = "agent")]
mod once;
mod owner;
#[cfg(all(feature = "agent", feature = "recovery"))]
mod placing;
#[cfg(feature = "agent")]
mod probes;
#[cfg(all(feature = "agent", feature = "recovery"))]
mod pursue;
mod record;
#[cfg(feature = "agent")]
mod redact;
#[cfg(feature = "recovery")]
mod rollback;
#[cfg(all(feature = "recovery", feature = "agent"))]
mod saga_agents;
#[cfg(feature = "security")]
mod security;
mod shared;
mod status;
mod steps;
#[cfg(all(feature = "recovery", feature = "agent"))]
mod supervised;
#[cfg(all(feature = "agent", feature = "monitor"))]
mod tracing;
#[cfg(all(feature = "agent", not(feature = "monitor")))]
#[path = "tracing/none.rs"]
mod tracing;
#[cfg(feature = "recovery")]
mod trees;
#[cfg(feature = "recovery")]
mod troubled;
#[cfg(feature = "tune")]
mod tuning;
#[cfg(feature = "agent")]
mod versions;

#[cfg(feature = "agent")]
pub use approval::ApprovalView;
#[cfg(feature = "agent")]
pub use batch::BatchAnswer;
pub use builder::Builder;
pub(crate) use changes::Change;
#[cfg(feature = "agent")]
pub use creation::{CreateOptions, Created, FailedTemplate, PoolView};
#[cfg(feature = "recovery")]
pub use guards::{CallsTo, GuardView};
pub use handle::Kernel;
#[cfg(feature = "recovery")]
pub use heal::{KeptPolicies, Recovery, RecoveryPolicies};
pub use limits::Limits;
#[cfg(feature = "config")]
pub use manifest::grammar;
#[cfg(feature = "agent")]
pub use probes::ProbeOptions;
pub use record::LogConfig;
#[cfg(all(feature = "recovery", feature = "agent"))]
pub use saga_agents::{SagaCall, SagaOfCalls, SagaStepOfCalls};
pub use shared::Phase;
pub use status::KernelStatus;
pub use steps::{AllowAll, DeadlineOnly, Local};
#[cfg(all(feature = "recovery", feature = "agent"))]
pub use supervised::{Supervision, TemplateOrder};
#[cfg(feature = "recovery")]
pub use trees::TreeView;
#[cfg(all(feature = "tune", feature = "monitor"))]
pub use tuning::{Divisor, Measure};
#[cfg(feature = "tune")]
pub use tuning::{
    KnobView, Proposal, TuneSpec, TunedKnob, TunerReport, TunerStatus, TunerWait, WaitsFor,
};
#[cfg(all(feature = "tune", feature = "agent"))]
pub use tuning::{ScaledPool, Scaling, SizeProposal};
#[cfg(feature = "tune")]
pub use tuning::{ShareMember, ShareProposal, ShareSpec, SharedOut};

use crate::Result;
use crate::base::contain;
use crate::base::nearest::nearest;

/// Runs foreign code; its panic becomes an error.
fn caught<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    contain::run("code that the kernel called panicked", f).flatten()
}

/// The tables of the rooms that are built in.
fn migrations() -> Vec<crate::store::Migrations> {
    vec![
        #[cfg(feature = "recovery")]
        crate::recovery::MIGRATIONS,
        #[cfg(feature = "monitor")]
        crate::monitor::series::MIGRATIONS,
    ]
}
