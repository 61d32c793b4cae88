//! Supervision.

mod backoff;
mod check;
mod intensity;
mod spec;
mod state;
pub mod tree;

pub use backoff::Backoff;
pub use check::{MAX_DEPTH, MAX_ID_BYTES};
pub use spec::{AutoShutdown, ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec};
pub use state::{Cause, ChildStatus, Counts, State, SupervisorStatus, Transition};
