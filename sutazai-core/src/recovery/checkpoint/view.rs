//! Checkpoints as plain data.

use serde::Serialize;

use crate::Error;
use crate::base::payload::Payload;
use crate::base::time::Timestamp;

/// One checkpoint of a store: 1, 2, 3, …; a number is never used again.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct CheckpointId(pub u64);

impl std::fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A checkpoint in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct CheckpointView {
    /// Which.
    pub id: CheckpointId,
    /// What it was called.
    pub label: String,
    /// When it was taken.
    pub taken: Timestamp,
    /// SHA-256 over the names and digests of its parts, in hexadecimal digits: checkpoints of the same
    /// content have the same.
    pub digest: String,
    /// What it holds, in the order it is restored in.
    pub parts: Vec<CheckpointPartView>,
}

/// What a checkpoint holds of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct CheckpointPartView {
    /// Its name.
    pub name: String,
    /// SHA-256 of its state's JSON text, in hexadecimal digits.
    pub digest: String,
}

/// A checkpoint with the states it holds.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct CheckpointDetail {
    /// Which, and what it holds.
    #[serde(flatten)]
    pub view: CheckpointView,
    /// The states, by name, in the order they are restored in.
    pub states: Vec<(String, Payload)>,
}

/// In what two checkpoints differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct CheckpointDiff {
    /// In both, with different states.
    pub changed: Vec<String>,
    /// In the second only.
    pub added: Vec<String>,
    /// In the first only.
    pub removed: Vec<String>,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Restored {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// What was restored, in that order.
    pub restored: Vec<String>,
}

/// What an observer hears.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum CheckpointNews<'a> {
    /// A checkpoint was taken.
    Created(&'a CheckpointView),
    /// One was restored.
    Restored(&'a Restored),
    /// One could not be restored.
    RestoreFailed {
        /// Which.
        checkpoint: CheckpointId,
        /// How far it came, and what was put back.
        error: &'a Error,
    },
    /// One was deleted.
    Deleted {
        /// Which.
        checkpoint: CheckpointId,
    },
}

impl CheckpointNews<'_> {
    /// The word for it, as in the subjects `recovery.checkpoint.*`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::Restored(_) => "restored",
            Self::RestoreFailed { .. } => "restore_failed",
            Self::Deleted { .. } => "deleted",
        }
    }
}
