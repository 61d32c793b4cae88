//! Shapes that several rows of the room `security` ask with and answer with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody, and nothing else.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    /// Whose.
    pub(super) principal: String,
}

/// What taking something away has come to.
#[derive(Serialize, JsonSchema)]
pub(super) struct Removed {
    /// Whether it was there.
    pub(super) removed: bool,
}

/// How many entries a page has that says nothing of it.
pub(super) fn a_page() -> usize {
    100
}
