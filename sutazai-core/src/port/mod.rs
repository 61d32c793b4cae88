//! The traits that hosts and rooms implement, and the words they share. No logic.
//!
//! Five ports: [`Agent`], [`AuthProvider`], [`ConfigSource`], [`Monitor`], [`Scanner`]. Their
//! companions, the steps of the guarded call among them: [`Authenticator`], [`Policy`], [`Router`],
//! [`Guard`], [`Recorder`].
//!
//! All are object-safe and `Send + Sync`, take the time as an argument where they need it, and are
//! called without any lock held.
//!
//! **Invariant.** Nothing here decides anything: a default implementation of a method is "nothing"
//! or "not supported", never a policy.

pub mod agent;
pub mod auth;
pub mod component;
pub mod config;
pub mod failure;
pub mod guard;
pub mod monitor;
pub mod record;
pub mod route;
pub mod scanner;
pub mod session;
pub mod task;

pub use crate::observe::LogSink;
pub use agent::{Agent, AgentCard, AgentHost, RunMode};
pub use auth::{AuthProvider, AuthStep, Authenticator, Credential};
pub use component::{Component, Health};
pub use config::{ConfigSource, Layer, Notify, Sourced, WatchGuard};
pub use guard::{Admission, CallInfo, Guard};
pub use monitor::{Monitor, Sample, Samples};
pub use record::{CallRecord, Recorder};
pub use route::{Candidate, Candidates, Router};
pub use scanner::{Finding, Progress, Scanner, Severity, Target};
pub use session::{Access, Decision, Policy, Session};
pub use task::{Outcome, Task, Trace};
