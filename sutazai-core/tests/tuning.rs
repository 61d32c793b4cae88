//! The room `tune` in a kernel, in virtual time: what it decides is carried out as far as its autonomy goes.
#![cfg(all(feature = "tune", feature = "monitor", feature = "agent", feature = "recovery"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "tuning/hand.rs"]
mod hand;
#[path = "tuning/limits.rs"]
mod limits;
#[path = "tuning/numbers.rs"]
mod numbers;
#[path = "tuning/pools.rs"]
mod pools;
#[path = "tuning/rails.rs"]
mod rails;
#[cfg(feature = "security")]
#[path = "tuning/recorded.rs"]
mod recorded;
#[path = "tuning/shares.rs"]
mod shares;
#[path = "tuning/stuck.rs"]
mod stuck;
#[path = "tuning/told.rs"]
mod told;
#[path = "tuning/tuners.rs"]
mod tuners;
#[path = "tuning/waits.rs"]
mod waits;
#[path = "tuning/world.rs"]
mod world;
