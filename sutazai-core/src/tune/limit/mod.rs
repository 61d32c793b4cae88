mod knee;
mod levels;
mod machine;
mod policy;
mod view;

pub use machine::AdaptiveLimit;
pub use policy::LimitPolicy;
pub use view::{LimitCause, LimitChange, LimitPhase, LimitView};

/// What came of a call, as far as its target is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It was answered: how long that took counts.
    Answered,
    /// It failed otherwise than by time or refusal. A failure may come sooner than an answer or later, so its time
    /// does not count.
    Failed,
    /// It was given up because it took too long.
    TimedOut,
    /// The target did not take it: it is overloaded (HTTP 429 and 503, gRPC `RESOURCE_EXHAUSTED`).
    Refused,
    /// It says nothing about the target: its caller cancelled it, say.
    Ignored,
}

/// A call in flight; to be handed back when it ends.
#[derive(Debug)]
#[must_use = "a call that is not ended is in flight for ever"]
pub struct Call {
    /// Seconds since the limit was made.
    start: f64,
    /// Seconds that calls had been in flight by then, all together.
    area: f64,
    /// Calls in flight when it began, itself included.
    concurrency: u32,
    generation: u32,
}
