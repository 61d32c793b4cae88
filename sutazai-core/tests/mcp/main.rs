//! MCP agents against servers of ours that misbehave, and against real ones.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, reason = "a test fails by panicking")]
#![cfg(all(unix, feature = "mcp"))]

mod common;
mod creation;
mod http;
mod life;
mod misbehaviour;
#[path = "../peer/mod.rs"]
mod peer;
mod real;
mod speaking;
