//! Sources, and what looks at them gave, as hosts see them.

use std::sync::Arc;

use serde::Serialize;

use crate::Error;
use crate::base::time::Timestamp;

/// A source as hosts see it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct SourceView {
    /// Its name.
    pub source: Arc<str>,
    /// How often it is looked at, in milliseconds.
    pub interval_ms: u64,
    /// How often it has been looked at.
    pub looks: u64,
    /// When it was looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<Timestamp>,
    /// Why it could not be looked at the last time. What was found before stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub error: Option<Error>,
    /// What it has, by item.
    pub items: Vec<FoundView>,
    /// Items that there was no room for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beyond: usize,
}

/// Something that a source has.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct FoundView {
    /// What it is called within its source.
    pub item: Arc<str>,
    /// Where it is declared.
    pub origin: String,
    /// The agent that was made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Arc<str>>,
    /// How it is with it.
    pub state: ItemState,
    /// What is wrong with it. An agent that was made of it before stays while its declaration is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub error: Option<Error>,
}

/// How it is with something that a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ItemState {
    /// Its agent is registered.
    Registered,
    /// Its agent is registered, and cannot be reached at present.
    Unreachable,
    /// It has no agent, for a reason.
    Failed,
    /// The host has removed its agent; it is left alone until it is declared otherwise.
    Released,
    /// It has been seen, and is waited for to stay as it is.
    Settling,
}

/// What a look at a source gave.
#[derive(Clone, Debug, Default, Serialize, schemars::JsonSchema)]
pub struct Look {
    /// The source.
    pub source: Arc<str>,
    /// Agents that were registered.
    pub added: Vec<Arc<str>>,
    /// Agents that another one of their name has taken the place of.
    pub changed: Vec<Arc<str>>,
    /// Agents that were removed.
    pub removed: Vec<Arc<str>>,
    /// Agents that cannot be reached any more.
    pub unreachable: Vec<Arc<str>>,
    /// Agents that can be reached again.
    pub back: Vec<Arc<str>>,
    /// What is wrong with those of its items with which something is, new or not.
    pub failed: Vec<FoundView>,
    /// Items that were still being written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settling: Vec<Arc<str>>,
    /// Why the source could not be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub error: Option<Error>,
}

impl Look {
    /// Takes in what a later look at the same source gave.
    pub(crate) fn then(&mut self, later: Self) {
        self.added.extend(later.added);
        self.changed.extend(later.changed);
        self.removed.extend(later.removed);
        self.unreachable.extend(later.unreachable);
        self.back.extend(later.back);
        self.failed = later.failed;
        self.settling = later.settling;
        self.error = later.error;
    }
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}
