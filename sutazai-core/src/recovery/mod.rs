//! Failures are classified, contained and healed.
//!
//! Each part is a state machine that takes the time and does no I/O; each is useful alone, and the
//! kernel composes them into the guard step of its call.
//!
//! **Invariants.** Nothing here knows what an agent is: recovery supervises anything that starts, stops
//! and reports. No state machine reads a clock, sleeps, or draws chance from anywhere but its seed.
//!
//! **Classification** ([`Classifier`]) says of a failure whether it is transient, persistent or
//! critical, why, and when to try again; [`History`] remembers what keeps coming back.

mod classify;

pub use classify::{
    Bounded, Classifier, Facts, Hint, History, HistoryPolicy, Numbers, Protocol, Rule, Verdict,
};
