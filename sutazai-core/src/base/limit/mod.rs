//! An adaptive concurrency limit: how many calls a target can take at once, found out from what calls take.
//!
//! **What it looks for.** Up to some concurrency `c` calls take their service time `S`, whatever the number; beyond it
//! they wait, and take `S·n/c` (P. Denning, J. Buzen, ACM Computing Surveys 10(3), 1978; by Little's law `c = X·S` for
//! the largest throughput `X`, which is L. Kleinrock's optimal operating point, ICC 1979). Less in flight leaves the
//! target idle, more only makes queues. The limit is a quarter more than `c`, or an eighth and a standard deviation where that is
//! in doubt, and half its square root: room for what an estimate is wrong by, as a limit too low costs answers and one somewhat high only
//! time, and for bursts, which grow with the square root (S. Halfin, W. Whitt, Operations Research 29(3), 1981).
//!
//! **How it finds it.** It remembers, by how many were in flight, what calls took, those under way included, and weighs up
//! which `c` and `S` explain that. So latency alone never lowers it: where a dependency has become slow, calls take longer
//! *at the same concurrency*, and the limit stays; where calls wait at the target they take longer with *more in
//! flight*, and it goes down. Where the levels seen do not tell, it lowers the limit for a moment (a probe; BBR does so to
//! see the round-trip time without a queue: N. Cardwell et al., ACM Queue 14(5), 2016), as often as the share of the
//! throughput that may be spent on that allows, and while the limit may be twice what is useful. Nothing drifts: what is assumed of concurrencies that were never tried ends at twice
//! the highest one that was, a limit that keeps nobody out is not raised, and what is thought to be known is verified now
//! and then.
//!
//! **When the target changes.** A batch of calls that takes significantly longer or shorter than expected at its
//! concurrency, or does not come back when it should, makes it learn anew, from where the limit is. What it knew of the
//! useful concurrency is likely to hold still, so the limit stays; one probe, which ends as soon as it is clear that the limit can stay, tells a target that is slow from one
//! that takes less (A. Wald, Annals of Mathematical Statistics 16(2), 1945). When most
//! calls time out the limit halves down to its floor, where each answer is a probe, and doubles on the way
//! back; when the target refuses calls it goes down by their share, and the bound so found rises slowly again (additive
//! increase, multiplicative decrease: D.-M. Chiu, R. Jain, Computer Networks 17, 1989). When nothing at all comes back for
//! many times what a call takes it gives way before the first call ends; and when those calls are answered
//! after all the target was slow, not away, and the limit is what it was.
//!
//! ```
//! use std::time::Duration;
//! use sutazai_core::base::time::Moment;
//! use sutazai_core::tune::{AdaptiveLimit, CallOutcome, LimitPolicy};
//!
//! let mut now = Moment::ZERO;
//! let mut limit = AdaptiveLimit::new(LimitPolicy::default(), now)?;
//! assert_eq!(limit.limit(), 20);
//! // A target that serves four calls at once, in 100 ms each, and always more that want to be served.
//! let mut calls = std::collections::VecDeque::new();
//! for _ in 0..400 {
//!     now = now + Duration::from_millis(100);
//!     for call in calls.drain(..calls.len().min(4)).collect::<Vec<_>>() {
//!         limit.end(call, CallOutcome::Answered, now);
//!     }
//!     while let Some(call) = limit.try_begin(now) {
//!         calls.push_back(call);
//!     }
//! }
//! assert!((4..=12).contains(&limit.view().target), "{:?}", limit.view());
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Limits of it.** With few servers there is little to learn from: at a capacity of 4, twenty service times are eighty
//! calls, and the limit may be off by half for a while.

mod before;
mod knee;
mod levels;
mod machine;
mod policy;
#[cfg(test)]
mod tests;
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
