//! Classification: which failures are worth another try, which are not, and which are worse.
//!
//! [`Facts`] are what is known of a failure; [`Facts::of`] reads them out of an
//! [`Error`](crate::Error). A [`Classifier`] makes a [`Verdict`] of them: a [`Class`](crate::Class),
//! when to try again if the other side says so ([`Hint`]), the rule that decided, and the reason.
//! [`History`] turns what is transient each single time into something persistent when it keeps
//! coming back.
//!
//! # How it decides
//!
//! 1. The host's [`Rule`]s, in order.
//! 2. The library's own code, unless it only says that something failed (`base.io`,
//!    `agent.failed`), and a class that the error declares against its code.
//! 3. The built-in rules. Everything that is known is evidence of some weight, and the heaviest
//!    decides: full disks and crashes before anything else; then words that hardly mean anything
//!    else ("insufficient quota", "certificate has expired", "rate limit"); then codes (HTTP,
//!    JSON-RPC, MCP, A2A, gRPC, SQLSTATE, error numbers, exit statuses, signals, types of
//!    exceptions); then words that hint; then codes that say little (500, exit status 1).
//! 4. The error's own class; without one, persistent.
//!
//! The built-in rules belong to the library and grow with it; a host that depends on a decision
//! writes a rule.
//!
//! # Bounds
//!
//! Of a text the first half KiB and the last two are read, of sources the first eight. Nothing here
//! keeps what it read but the history, which is bounded by its policy.

mod classifier;
mod evidence;
mod exception;
mod exit;
mod facts;
mod hint;
mod history;
mod http;
mod io;
mod pattern;
mod policy;
mod read;
mod rpc;
mod rules;
mod sql;
#[cfg(test)]
mod tests;
mod text;
mod verdict;
mod weigh;

pub use classifier::Classifier;
pub use facts::{Facts, Protocol};
pub use hint::{Bounded, Hint};
pub use history::{History, HistoryPolicy};
pub use pattern::Numbers;
pub use policy::ClassifyPolicy;
pub use rules::Rule;
pub use verdict::Verdict;
