//! How a log is kept.

use std::sync::Arc;
use std::time::Duration;

use super::note::Witnesses;
use super::subject::SubjectKeys;
use crate::port::AuditClass;
use crate::store::Durability;
use crate::{Code, Error, Result};

/// What a record of this class survives before it is acknowledged, unless the host says otherwise: what
/// agents do and are allowed to do, and the tokens they get, the process; the rest the machine.
pub const fn default_durability(class: AuditClass) -> Durability {
    match class {
        AuditClass::Action | AuditClass::Decision | AuditClass::Token => Durability::Process,
        AuditClass::Authentication
        | AuditClass::Revocation
        | AuditClass::Key
        | AuditClass::Override
        | AuditClass::Configuration
        | AuditClass::Deployment => Durability::Fsync,
    }
}

/// How a log is kept. Everything has a default.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// What each class survives before it is acknowledged: [`default_durability`].
    pub durability: Vec<(AuditClass, Durability)>,
    /// A record that is not synced before it is acknowledged is at most this much later: 1 s. Kept by the
    /// log's thread.
    pub sync_every: Duration,
    /// How often records are moved into the tree and a checkpoint is signed: 1 s. Kept by the log's
    /// thread.
    pub checkpoint_every: Duration,
    /// The length of a segment of the journal: 4 MiB. 128 KiB to 1 GiB.
    pub segment_bytes: usize,
    /// The most segments there may be: 16. When they are full, whoever records moves records into the
    /// tree first, and is refused when that is not possible. At least 2.
    pub segments: usize,
    /// The most tickets that wait for the disk at once: 65,536.
    pub pending: usize,
    /// Records that a log in memory keeps at least: 65,536. A log in a directory keeps all.
    pub memory_records: u64,
    /// Others who sign its checkpoints: none.
    pub witnesses: Witnesses,
    /// Where the keys of subjects are kept: nowhere, so that personal details are withheld.
    pub subjects: Option<Arc<dyn SubjectKeys>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Vec::new(),
            sync_every: Duration::from_secs(1),
            checkpoint_every: Duration::from_secs(1),
            segment_bytes: 4 << 20,
            segments: 16,
            pending: 65_536,
            memory_records: 65_536,
            witnesses: Witnesses::default(),
            subjects: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("durability", &self.durability)
            .field("sync_every", &self.sync_every)
            .field("checkpoint_every", &self.checkpoint_every)
            .field("segment_bytes", &self.segment_bytes)
            .field("segments", &self.segments)
            .field("pending", &self.pending)
            .field("memory_records", &self.memory_records)
            .field("witnesses", &self.witnesses)
            .field("subjects", &self.subjects.is_some())
            .finish()
    }
}

impl Options {
    pub(in crate::security) fn check(&self) -> Result<()> {
        let wrong = |field: &'static str, what: &'static str, range: &'static str| {
            Error::new(Code::INVALID, format!("{what} of the audit log is out of range"))
                .operation("audit.open")
                .with("field", field)
                .with("range", range)
        };
        if !(128 << 10..=1 << 30).contains(&self.segment_bytes) {
            return Err(wrong("segment_bytes", "the length of a segment", "128 KiB to 1 GiB"));
        }
        if !(2..=4096).contains(&self.segments) {
            return Err(wrong("segments", "the number of segments", "2 to 4096"));
        }
        if self.witnesses.required > self.witnesses.all.len() {
            let what = "the number of required witnesses";
            return Err(wrong("witnesses.required", what, "at most as many as there are"));
        }
        Ok(())
    }
}
