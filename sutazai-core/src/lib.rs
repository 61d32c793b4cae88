//! The operations kernel for programs that run AI agents, as an embeddable library.
//!
//! One process, no server: a host links this crate and gets supervised agents, a guarded call, an
//! event bus, an embedded store, logs, spans and metrics, under one lifecycle. The crate is
//! runtime-agnostic: the same [`kernel`] runs on its own threads, on a host's tokio, beside smol,
//! or blocking, and under virtual time in tests.
//!
//! # Layers
//!
//! Imports point down only: [`surface`] → [`kernel`] → rooms ([`agent`], [`config`]) → [`port`] →
//! signal ([`event`], [`observe`], [`store`]) → [`base`]. `tests/architecture.rs` holds it.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]

#[cfg(feature = "agent")]
pub mod agent;
pub mod base;
#[cfg(feature = "config")]
pub mod config;
pub mod event;
pub mod kernel;
#[cfg(feature = "monitor")]
pub mod monitor;
pub mod observe;
pub mod port;
#[cfg(feature = "recovery")]
pub mod recovery;
#[cfg(feature = "security")]
pub mod security;
pub mod store;
pub mod surface;
#[cfg(feature = "tune")]
pub mod tune;

pub use base::error::{Class, Code, Error, Result};
