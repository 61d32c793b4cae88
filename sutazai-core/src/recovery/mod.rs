//! Failures are classified, contained and healed.
//!
//! Each part is a state machine that takes the time and does no I/O; each is useful alone, and the
//! kernel composes them into the guard step of its call.
//!
//! **Invariants.** Nothing here knows what an agent is: recovery supervises anything that starts, stops
//! and reports. No state machine reads a clock, sleeps, or draws chance from anywhere but its seed.
//!
//! [`supervise`] keeps things alive as Erlang/OTP does: trees of supervisors that restart their children,
//! and give up one level after the other; and mailboxes, in which a child's work outlives the child.

pub mod supervise;

pub use supervise::{Supervisor, SupervisorSpec};
