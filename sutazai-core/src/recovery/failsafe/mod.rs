//! The safe state: when something is broken that others depend on, the whole system goes where it can
//! do no harm, in stages, within a bounded time.
//!
//! It is taken once, by a [`Class::Critical`](crate::Class) error, by a panic or by SIGTERM (the latter
//! two where the host asks for it), or by the host itself. Its stages run one after the other, each on
//! a thread of its own; one that fails, panics or hangs does not keep the next from its turn.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use sutazai_core::Result;
//! use sutazai_core::port::{FailsafeStage, SafeContext};
//! use sutazai_core::recovery::{Failsafe, FailsafePolicy, SafeState, Trigger};
//!
//! struct CloseValve;
//! impl FailsafeStage for CloseValve {
//!     fn name(&self) -> &str { "close_valve" }
//!     fn within(&self) -> Duration { Duration::from_secs(1) }
//!     fn run(&self, _: &SafeContext<'_>) -> Result<()> { Ok(()) }
//! }
//!
//! let failsafe = Failsafe::new(FailsafePolicy::default())?;
//! failsafe.add(Arc::new(CloseValve))?;
//! assert!(failsafe.trigger(Trigger::host("the pressure is too high")));
//! let status = failsafe.wait(Duration::from_secs(10));
//! assert_eq!(status.state, SafeState::Safe);
//! assert_eq!(status.stages[0].name, "close_valve");
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Invariants.** From the trigger to the safe state it takes no longer than
//! [`total_ms`](FailsafePolicy::total_ms) and what the operating system needs to start a thread. Stages
//! are told of real time, also where the kernel's is virtual: this is for when nothing works as it
//! should. No thread is started before it is triggered, but for the one that waits for SIGTERM.
//!
//! Panics and SIGTERM belong to the process: [`forked`] is for hosts that fork.

mod bundle;
mod hook;
mod policy;
mod run;
mod sequence;
#[cfg(unix)]
mod signal;

pub use bundle::write_bundle;
pub use policy::FailsafePolicy;
pub use run::{Failsafe, FailsafeStatus, OnSafe, SafeState, Trigger, TriggerKind};
pub use sequence::{StageOutcome, StageReport};
#[cfg(unix)]
pub use signal::forked;

#[cfg(test)]
mod tests;
