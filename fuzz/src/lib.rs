//! What a fuzzer gives bytes to: everything of the core that reads bytes from outside, by subject. Each
//! subject has `run`, which must end without a panic whatever the bytes are, and `seeds` to begin with.
//!
//! `fuzz/run TARGET SECONDS` lets libFuzzer look for bytes that do not; what it kept is in `corpus/`, and is
//! run again by the tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a fuzzer finds what panics")]

pub mod audit;
pub mod policy;
pub mod token;

/// A subject: its name, what is run, and what to begin with.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const TARGETS: [Target; 3] = [
    ("token", token::run, token::seeds),
    ("policy", policy::run, policy::seeds),
    ("audit", audit::run, audit::seeds),
];
