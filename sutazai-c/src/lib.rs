//! `libsutazai`: the operations kernel for C and C++.
//!
//! The header `include/sutazai.h` is generated from this crate and is its documentation;
//! `include/sutazai.hpp` puts C++ on top. One file here is one section there. With the feature
//! `uniffi` the library also carries what Swift, Kotlin and Ruby call, in a module of its own.
//!
//! # Invariants
//!
//! - Every export of C's runs inside [`boundary`]: a panic becomes an error, NULL is checked, a handle
//!   that crossed a `fork` answers [`Code::FORKED`](sutazai_core::Code::FORKED).
//! - No lock is held while C code runs.
//! - A handle is freed by its `_free` alone; what can be detected of misuse is an error. Handles are
//!   shared references for as long as they live: all of them may be used from several threads.
//! - Nothing here decides anything: exports convert, call the core, and convert back.
#![allow(non_camel_case_types, reason = "the types are named as C sees them")]
#![deny(clippy::indexing_slicing)]

#[cfg(panic = "abort")]
compile_error!("libsutazai turns panics into errors, so it cannot be built with panic = \"abort\"");

mod agent;
mod auth;
mod boundary;
mod buffer;
mod call;
mod checkpointed;
mod component;
mod config;
mod error;
mod event;
mod factory;
mod failsafe;
mod fork;
mod guard;
mod inject;
mod kernel;
mod log;
mod monitor;
mod playbook;
mod reply;
mod saga;
mod table;
mod task;
mod text;
mod ticket;
mod time;
#[cfg(feature = "uniffi")]
mod uniffi;
mod version;
mod within;
mod worker;

#[cfg(feature = "uniffi")]
::uniffi::setup_scaffolding!("sutazai_kernel");
