//! Tuning: what the program sets by itself, within bounds, from what it sees.
//!
//! [`AdaptiveLimit`] finds out how many calls an agent or a dependency can take at once.
//!
//! Everything here is a state machine that takes the time: no clock, no thread, no I/O. It decides; whoever
//! asks it carries out.

mod limit;

pub use limit::{
    AdaptiveLimit, Call, CallOutcome, LimitCause, LimitChange, LimitPhase, LimitPolicy, LimitView,
};
