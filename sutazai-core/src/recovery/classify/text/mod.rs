//! What texts say: phrases with the class they speak for, and numbers that stand in them.
//!
//! A text is read as [words](words::Words), so that a phrase is found in messages, in exception
//! names and in providers' codes alike, and at the boundaries of words only. All phrases are looked
//! for in one pass.

mod access;
mod busy;
mod crash;
mod data;
mod limit;
mod network;
mod numbers;
mod request;
mod trie;
mod words;

use crate::Class;

pub(super) use numbers::Numbers;
pub(super) use trie::weigh;
pub(super) use words::Words;

/// Phrases that mean the same.
struct Row {
    rule: &'static str,
    class: Class,
    weight: u8,
    reason: &'static str,
    /// In the form of [`Words`]. One that ends in `*` also matches the beginning of a word; in
    /// `a … b`, `b` follows `a` within a few words.
    phrases: &'static [&'static str],
}

/// Phrases that a time to wait may follow.
struct Wait {
    /// What they weigh when none follows.
    weight: u8,
    phrases: &'static [&'static str],
}

const TABLES: [&[Row]; 7] =
    [crash::ROWS, limit::ROWS, data::ROWS, access::ROWS, network::ROWS, busy::ROWS, request::ROWS];
