//! [`Durability`]: what an acknowledged write survives.

/// What a write has survived when its ticket answers. In a store without a data directory every
/// write is `Memory`, whatever was asked for.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nothing: it may be gone with the process. With a data directory it answers when `Process`
    /// does, and is as durable.
    Memory,
    /// The end of the process, `kill -9` included, but not of the machine: the ticket answers when
    /// the batch is committed to the operating system.
    #[default]
    Process,
    /// As `Process`, and the machine's end after [`Options::sync_every`](super::Options::sync_every)
    /// at the latest: that long after the commit the log is synced to the disk.
    Interval,
    /// The machine's end: the ticket answers when the batch is synced to the disk (SQLite's
    /// `synchronous=FULL`), as far as the disk keeps its word.
    Fsync,
}

impl Durability {
    /// `memory`, `process`, `interval` or `fsync`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Process => "process",
            Self::Interval => "interval",
            Self::Fsync => "fsync",
        }
    }
}
