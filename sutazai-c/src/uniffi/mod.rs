//! The face for Swift, Kotlin and Ruby, which UniFFI generates from this module: the table of
//! operations, agents, events. `sutazai-c/bindings` writes the sources of a language.
//!
//! JSON goes in and comes out as text, as everywhere in this crate; the table is the same, and so
//! are configuration, cards and options.
//!
//! # Invariants
//!
//! - Nothing waits on the thread that calls, but for what says so in its name: in Ruby that thread
//!   has the interpreter's lock, and an agent in Ruby needs it; in Kotlin and Swift it may be the
//!   one that draws.
//! - What foreign code throws is an error of the call that it was made for. What UniFFI cannot see
//!   (Ruby's `exit` in an agent, an `Error` of the JVM) leaves an empty answer behind, which is an
//!   error as well.
//! - Letting go of a handle does not wait either: collectors do it, on threads of their own.

mod agent;
mod auth;
mod error;
mod event;
mod kernel;
mod monitor;
mod ticket;
mod worker;
