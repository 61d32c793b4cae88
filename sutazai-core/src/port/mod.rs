//! The traits that hosts and rooms implement, and the words they share. No logic.
//!
//! Five ports: [`Agent`], [`AuthProvider`], [`ConfigSource`], [`Monitor`], [`Scanner`]. Their
//! companions, the steps of the guarded call among them: [`Authenticator`], [`Policy`], [`Router`],
//! [`Guard`], [`Recorder`]; what is kept as proof: [`AuditTrail`]; where agents are found: [`DiscoverySource`]; what heals: [`PlaybookAction`],
//! [`FailsafeStage`]; what is supervised: [`Child`], [`Worker`], [`MessageWorker`]; and what recovery rolls
//! back: [`SagaStep`], [`Checkpointed`].
//!
//! All are object-safe and `Send + Sync`, take the time as an argument where they need it, and are
//! called without any lock held.
//!
//! **Invariant.** Nothing here decides anything: a default implementation of a method is "nothing"
//! or "not supported", never a policy.

pub mod agent;
pub mod audit;
pub mod auth;
pub mod checkpoint;
pub mod child;
pub mod component;
pub mod config;
pub mod discover;
pub mod factory;
pub mod failsafe;
pub mod failure;
pub mod guard;
pub mod liveness;
pub mod monitor;
pub mod obligation;
pub mod playbook;
pub mod probe;
pub mod record;
pub mod route;
pub mod saga;
pub mod scanner;
pub mod session;
pub mod task;
pub mod terms;
pub mod worker;

pub use crate::observe::LogSink;
pub use agent::{Agent, AgentCard, AgentHost, RunMode, SkillCard};
pub use audit::{AuditClass, AuditEvent, AuditOutcome, AuditTrail, AuditValue};
pub use auth::{AuthProvider, AuthStep, Authenticator, Credential};
pub use checkpoint::Checkpointed;
pub use child::{Child, ChildExit, ChildLife, ChildReport, ChildStart, Children, Generation};
pub use component::{Component, Health};
pub use config::{ConfigSource, Layer, Notify, Sourced, WatchGuard};
pub use discover::{DiscoverySource, FoundAgent, MakeAgent, Sighting};
pub use factory::{AgentFactory, AgentOrder};
pub use failsafe::{FailsafeStage, SafeContext};
pub use guard::{Admission, CallInfo, Guard};
pub use liveness::{Beat, LivenessPolicy};
pub use monitor::{Monitor, Sample, Samples};
pub use obligation::Obligation;
pub use playbook::{ActionContext, PlaybookAction};
pub use probe::SkillProbe;
pub use record::{CallRecord, Recorder};
pub use route::{CallEnd, Candidate, Candidates, Choice, Router};
pub use saga::{SagaContext, SagaStep};
pub use scanner::{Finding, Progress, Scanner, Severity, Target};
#[cfg(any(feature = "security", feature = "recovery", feature = "tune"))]
pub(crate) use session::is_principal;
pub use session::{Access, Decision, Means, PRINCIPAL_MAX, Policy, Session};
pub use task::{Outcome, Task, Trace, Usage};
pub use terms::Terms;
pub use worker::{MessageWorker, Worker, WorkerLife, WorkerMessage};
