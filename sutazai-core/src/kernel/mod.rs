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
//! **Invariants.** [`Builder::build`] starts no thread. No lock is held while an agent, a component,
//! a step or a callback runs. Replies and callbacks do not keep a kernel running: when its last
//! handle is dropped it stops, whoever still holds a ticket. Several kernels live in one process;
//! two never share a data directory.

mod builder;
#[cfg(feature = "agent")]
mod call;
mod clock;
mod handle;
#[cfg(feature = "agent")]
mod inflight;
pub mod inject;
pub mod lifecycle;
mod limits;
mod load;
mod record;
mod shared;
mod status;
mod steps;

pub use builder::Builder;
pub use handle::Kernel;
pub use limits::Limits;
pub use shared::Phase;
pub use status::KernelStatus;
pub use steps::{AllowAll, DeadlineOnly, Local};
