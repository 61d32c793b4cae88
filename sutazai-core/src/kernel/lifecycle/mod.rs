//! Lifecycle: components start in the order of their needs, and stop in the reverse.
//!
//! # Invariants
//!
//! - A component starts after everything that it needs runs, and stops before anything that it
//!   needs stops; components that do not need one another start and stop side by side.
//! - When one fails to start, the others that had started are stopped again; the error names it.
//! - Every start and every stop has a deadline. One that is overrun is reported and not waited for;
//!   a start that succeeds after all is followed by a stop.
//! - A component that panics has failed, and nothing else has. No lock is held while components or
//!   the observer run, and the observer hears of changes one at a time, in their order.
//!
//! What happens is decided by `progress.rs`, which is given the time and does no I/O; `driver.rs`
//! does what it says on a [`Runtime`](crate::base::runtime::Runtime).
//!
//! ```
//! use std::sync::Arc;
//! use sutazai_core::Result;
//! use sutazai_core::base::runtime::{Runtime, Threads};
//! use sutazai_core::base::time::Moment;
//! use sutazai_core::kernel::lifecycle::{Lifecycle, State};
//! use sutazai_core::port::Component;
//!
//! struct Part(&'static str, &'static [&'static str]);
//! impl Component for Part {
//!     fn name(&self) -> &str { self.0 }
//!     fn needs(&self) -> Vec<String> { self.1.iter().map(|n| n.to_string()).collect() }
//!     fn start(&self, _: Moment) -> Result<()> { Ok(()) }
//!     fn stop(&self, _: Moment) -> Result<()> { Ok(()) }
//! }
//!
//! let runtime = Threads::default();
//! runtime.start()?;
//! let lifecycle = Lifecycle::new(Arc::new(runtime.clone()), Arc::new(|_| ()));
//! lifecycle.add(Arc::new(Part("listener", &["database"])))?;
//! lifecycle.add(Arc::new(Part("database", &[])))?;
//! lifecycle.start()?;
//! let states = lifecycle.states();
//! assert_eq!((states[0].name.as_str(), states[0].state), ("database", State::Running));
//! lifecycle.stop(Moment::FAR)?;
//! runtime.stop(std::time::Duration::from_secs(1));
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod driver;
mod plan;
mod progress;
mod state;
#[cfg(test)]
mod tests;

pub use driver::{Lifecycle, Observer};
pub use state::{ComponentStatus, State, Transition};
