//! Reading what somebody wrote, so that a mistake is answered with its place and its remedy.
//!
//! A policy or a request as JSON is read with [`from_json`]. serde reads it; only when that fails is the
//! text held against the JSON Schema of the type (`shape.rs`), which tells all the mistakes of it and not
//! only the first, each with its path. The manifest is held against schemas by the same code.

mod json;
pub(crate) mod say;
pub(crate) mod schema;
pub(crate) mod shape;

pub use json::{Form, from_json, from_value};

#[cfg(test)]
mod tests;
