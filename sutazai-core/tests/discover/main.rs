//! Agents that are found: directories, files, addresses and programs that change under the kernel.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../peer/mod.rs"]
mod peer;

#[cfg(feature = "a2a")]
mod addresses;
mod common;
mod directory;
mod executables;
#[cfg(feature = "openai")]
mod half_written;
mod lives;
#[cfg(feature = "mcp")]
mod mcp_file;
mod sources;
