//! [`Status`]: what a store says about itself.

use std::collections::BTreeMap;

/// A store's figures at one moment. Counters start at zero when the store is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Status {
    /// The database file, or `memory`.
    pub place: String,
    /// What keeps the data: `sqlite 3.x.y`, or `map` in a build without the feature `store`.
    pub engine: String,
    /// The version of each room's tables.
    pub rooms: BTreeMap<String, u32>,
    /// Bytes of the database, its write-ahead log included.
    pub bytes: u64,
    /// Writes that wait for the writer thread.
    pub queued: usize,
    /// Transactions committed for writes.
    pub commits: u64,
    /// Writes that succeeded.
    pub writes: u64,
    /// Writes that failed, by their own error or with their batch.
    pub failed: u64,
    /// Writes refused because the queue was full.
    pub refused: u64,
    /// Times the log was synced to the disk for `fsync` and `interval` writes.
    pub syncs: u64,
}
