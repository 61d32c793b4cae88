//! Authorisation: the same answers as Cedar's own authorizer, on its corpus and on policies made up at random;
//! changes that hold at once; texts that are broken.
#![cfg(feature = "security")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod corpus;
mod mangled;
mod peer;
mod random;
mod swap;
mod uses;
