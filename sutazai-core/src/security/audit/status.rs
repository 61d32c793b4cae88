//! The figures of a log.

use std::sync::atomic::Ordering;

use super::core::Core;

/// The figures of a log. Those that count begin when it was opened.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct AuditStatus {
    /// The folder, or `memory`.
    pub place: String,
    /// The public key, as the verification tool takes it.
    pub key: String,
    /// Records in the log.
    pub records: u64,
    /// Those of them that are synced to the disk.
    pub synced: u64,
    /// Those of them that are under the latest checkpoint.
    pub checkpointed: u64,
    /// The first that is still kept.
    pub first: u64,
    /// Segments of the journal.
    pub segments: usize,
    /// Bytes written to the journal since it was opened.
    pub journal_bytes: u64,
    /// Tickets that wait for the disk.
    pub waiting: usize,
    /// Records taken since it was opened.
    pub taken: u64,
    /// Records refused: they were not valid, there was no room, or the disk failed.
    pub refused: u64,
    /// Records whose personal details were left out, for want of a place for the subject's key.
    pub withheld: u64,
    /// Records that are no longer kept (a log in memory is bounded).
    pub pruned: u64,
    /// Times that the journal was synced.
    pub syncs: u64,
    /// Checkpoints signed.
    pub checkpoints: u64,
    /// Times that records could not be moved into the tree, or no checkpoint could be published.
    pub failures: u64,
    /// The last of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

impl Core {
    pub(super) fn status(&self) -> AuditStatus {
        let (synced, syncs) = self.commit.synced();
        let published = self.published.load();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        AuditStatus {
            place: self
                .dir
                .as_ref()
                .map_or("memory".to_owned(), |dir| dir.path().join("audit").display().to_string()),
            key: self.signer.key().to_string(),
            records: self.journal.next(),
            synced,
            checkpointed: published.as_ref().map_or(0, |p| p.tree.size()),
            first: published.as_ref().map_or(0, |p| p.tree.first),
            segments: self.journal.segments(),
            journal_bytes: self.journal.bytes(),
            waiting: self.queue.len(),
            taken: count(&counters.records),
            refused: count(&counters.refused),
            withheld: count(&counters.withheld),
            pruned: count(&counters.pruned),
            syncs,
            checkpoints: count(&counters.checkpoints),
            failures: count(&counters.failures),
            last_failure: counters.last_failure.lock().as_ref().map(ToString::to_string),
        }
    }
}
