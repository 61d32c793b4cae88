//! How the audit log is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::super::audit::Options;
use crate::port::AuditClass;
use crate::store::Durability;

/// How the audit log is kept, as [`Options`] has it. Witnesses, and keys of subjects that are kept elsewhere, are for
/// the host's code to give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AuditSpec {
    /// What a record survives before it is acknowledged, by its class, where it is not `process` for `action`,
    /// `decision` and `token`, and `fsync` for the rest.
    pub durability: BTreeMap<AuditClass, Durability>,
    /// A record that is not synced before it is acknowledged is at most this much later, in milliseconds. Default:
    /// 1 s.
    pub sync_every_ms: u64,
    /// How often records are moved into the tree and a checkpoint is signed, in milliseconds. Default: 1 s.
    pub checkpoint_every_ms: u64,
    /// The length of a segment of the journal: 128 KiB to 1 GiB. Default: 4 MiB.
    pub segment_bytes: usize,
    /// The most segments that there may be, 2 to 4,096. Default: 16.
    pub segments: usize,
    /// The most records that wait for the disk at once. Default: 65,536.
    pub pending: usize,
    /// Records that a log in memory keeps at least. Default: 65,536.
    pub memory_records: u64,
}

impl Default for AuditSpec {
    fn default() -> Self {
        let options = Options::default();
        let in_ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            durability: BTreeMap::new(),
            sync_every_ms: in_ms(options.sync_every),
            checkpoint_every_ms: in_ms(options.checkpoint_every),
            segment_bytes: options.segment_bytes,
            segments: options.segments,
            pending: options.pending,
            memory_records: options.memory_records,
        }
    }
}

impl AuditSpec {
    pub(super) fn options(&self) -> Options {
        Options {
            durability: self.durability.iter().map(|(class, how)| (*class, *how)).collect(),
            sync_every: Duration::from_millis(self.sync_every_ms),
            checkpoint_every: Duration::from_millis(self.checkpoint_every_ms),
            segment_bytes: self.segment_bytes,
            segments: self.segments,
            pending: self.pending,
            memory_records: self.memory_records,
            ..Options::default()
        }
    }
}
