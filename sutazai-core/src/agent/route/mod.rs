//! Who gets a task: routers, and the allocator that learns who is best for what.
//!
//! [`Allocator`] is the state machine: it takes the time and a seed and does no I/O, so a log of what it was
//! told [replays](replay) to the same decisions. [`RoutePolicy`]'s default learns quality (a contextual
//! bandit with change detection), pace and load; others are there for who wants them ([`Strategy`]).

mod adaptive;
mod allocator;
mod ask;
mod belief;
mod classic;
mod explain;
mod latency;
mod least_loaded;
mod linear;
mod pending;
mod policy;
mod random;
mod replay;
mod router;
mod scale;
mod scope;
#[cfg(test)]
mod tests;

pub use allocator::{Allocator, Ended, Report};
pub use ask::{Arm, Ask, Exclusion};
pub use explain::{Decision, Explanation, Score, Why};
pub use least_loaded::LeastLoaded;
pub use pending::EXPLAINED;
pub use policy::{RoutePolicy, Strategy};
pub use replay::{Input, OwnedArm, OwnedAsk, replay};
pub use router::{AdaptiveRouter, RouteLog};
pub use scale::MAX_FEATURES;
