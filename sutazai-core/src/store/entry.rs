//! The built-in key-value table's words: [`Entry`] and its bounds.

use std::sync::Arc;

use crate::base::payload::Payload;
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// The longest namespace, in bytes.
pub const NAMESPACE_MAX: usize = 128;
/// The longest key, in bytes.
pub const KEY_MAX: usize = 1024;
/// The longest value, in bytes of JSON text.
pub const VALUE_MAX: usize = 1024 * 1024;
/// The most entries one listing returns.
pub const LIST_MAX: usize = 1000;

/// One entry of the key-value table.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Entry {
    /// The key, unique in its namespace.
    pub key: String,
    /// The value.
    pub value: Payload,
    /// When it was last put.
    pub updated: Timestamp,
}

/// Refuses names that are empty or too long.
pub(super) fn check_names(namespace: &str, key: &str) -> Result<()> {
    check_length("namespace", namespace, 1, NAMESPACE_MAX)?;
    check_length("key", key, 1, KEY_MAX)
}

/// Refuses a listing whose names are too long; an empty prefix means everything.
pub(super) fn check_listing(namespace: &str, prefix: &str) -> Result<()> {
    check_length("namespace", namespace, 1, NAMESPACE_MAX)?;
    check_length("prefix", prefix, 0, KEY_MAX)
}

/// The value as bounded JSON text.
pub(super) fn check_value(value: &Payload) -> Result<Arc<str>> {
    let text = value.to_text();
    if text.len() > VALUE_MAX {
        return Err(Error::new(Code::INVALID, "the value is too long for the store")
            .operation("store.put")
            .with("bytes", text.len())
            .with("most", VALUE_MAX));
    }
    Ok(text)
}

fn check_length(what: &'static str, text: &str, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&text.len()) {
        return Ok(());
    }
    Err(Error::new(Code::INVALID, format!("the {what} must have {least} to {most} bytes"))
        .operation("store.kv")
        .with("bytes", text.len()))
}
