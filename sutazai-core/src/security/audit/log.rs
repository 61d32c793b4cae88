//! [`AuditLog`]: the handle.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::{Core, Parts};
use super::evidence::{Consistency, Evidence};
use super::export::Format;
use super::files::{Disk, Files, Memory};
use super::integrate::{Slot, sweep};
use super::journal::{Cut, Found as Recovered, Journal, recover};
use super::merkle::{prove_consistency, prove_inclusion};
use super::note::{Checkpoint, CheckpointSigner};
use super::options::Options;
use super::query::{Found, Page, Query};
use super::record::{Record, Sealed};
use super::status::AuditStatus;
use super::subject::associated;
use super::tree::{Tree, read_error};
use super::worker::Workers;
use crate::base::ticket::Ticket;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditTrail, AuditValue};
use crate::store::{DataDir, Durability};
use crate::{Code, Error, Result};

/// An audit log. See the [module's documentation](super).
///
/// Clones are handles on the same one. When the last goes its threads end; what was acknowledged stays.
#[derive(Clone)]
pub struct AuditLog(Arc<Handle>);

struct Handle {
    core: Arc<Core>,
    workers: Workers,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.workers.stop(&self.core);
    }
}

impl AuditLog {
    /// Opens the log in `audit/` below the data directory, which its holder owns, and finishes what a
    /// process left that ended in between. `signer` is the key that the log was made with. Starts no
    /// thread: see [`start`](Self::start).
    ///
    /// # Errors
    /// - [`Code::AUDIT_CORRUPT`] when the log is not what its checkpoint says, or was signed by another
    ///   key.
    /// - [`Code::INVALID`] for options that are out of range; [`Code::IO`] when it cannot be read or written.
    pub fn open(
        dir: &DataDir,
        signer: Arc<dyn CheckpointSigner>,
        options: Options,
    ) -> Result<Self> {
        let files = Disk::open(dir.path().join("audit")).map_err(super::tree::write_error)?;
        Self::open_on(Arc::new(files), Some(dir.clone()), None, signer, options)
    }

    /// As [`open`](Self::open), on another layer of files; that nobody else writes them is up to the
    /// caller.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        files: Arc<dyn Files>,
        signer: Arc<dyn CheckpointSigner>,
        options: Options,
    ) -> Result<Self> {
        Self::open_on(files, None, None, signer, options)
    }

    /// A log in memory, which ends with the process and keeps the newest records only:
    /// [`Options::memory_records`].
    ///
    /// # Errors
    /// [`Code::INVALID`] for options that are out of range.
    pub fn memory(signer: Arc<dyn CheckpointSigner>, options: Options) -> Result<Self> {
        let keep = Some(options.memory_records);
        Self::open_on(Arc::new(Memory::new()), None, keep, signer, options)
    }

    fn open_on(
        files: Arc<dyn Files>,
        dir: Option<DataDir>,
        keep: Option<u64>,
        signer: Arc<dyn CheckpointSigner>,
        mut options: Options,
    ) -> Result<Self> {
        options.check()?;
        if keep.is_some() {
            // A few small segments are enough where there is no disk to wait for.
            options.segment_bytes = options.segment_bytes.min(1 << 20);
            options.segments = options.segments.min(4);
        }
        let published = Tree::open(&*files, signer.key())?;
        let tree = published.as_ref().map(|p| p.tree.clone()).unwrap_or_default();
        let found = recover(&*files, tree.size())?;
        let (synced, cut) = (tree.size(), found.cut.clone());
        if published.is_none() && Self::is_beheaded(&*files, &found)? {
            return Err(super::tree::corrupt(super::tree::CHECKPOINT));
        }
        sweep(&*files, &tree).map_err(read_error)?;
        let journal =
            Journal::new(Arc::clone(&files), found, options.segment_bytes, options.segments)
                .map_err(super::tree::write_error)?;
        let slot = Slot::Free(Box::new(tree));
        let parts = Parts { files, journal, slot, published, signer, dir, keep, synced };
        let core = Arc::new(Core::new(parts, &options));
        let log = Self(Arc::new(Handle { core, workers: Workers::default() }));
        if let Some(cut) = cut {
            log.tell_of(&cut)?;
        }
        Ok(log)
    }

    /// Whether there are bundles, and the journal does not reach back to the first record, but there is
    /// no checkpoint.
    fn is_beheaded(files: &dyn Files, found: &Recovered) -> Result<bool> {
        let begins = found.begins();
        let bundles = !files.list("tile/entries").map_err(read_error)?.is_empty();
        Ok(begins.is_some_and(|first| first > 0) || (begins.is_none() && bundles))
    }

    /// What was cut off the journal is itself on the record.
    fn tell_of(&self, cut: &Cut) -> Result<()> {
        tracing::warn!(
            file = cut.file,
            at = cut.at,
            bytes = cut.bytes,
            why = cut.why,
            "the end of the audit journal was not written whole, and was cut off"
        );
        let details = [
            ("at", AuditValue::Int(i64::try_from(cut.at).unwrap_or(i64::MAX))),
            ("bytes", AuditValue::Int(i64::try_from(cut.bytes).unwrap_or(i64::MAX))),
            ("file", AuditValue::Text(&cut.file)),
            ("kept", AuditValue::Text(&cut.kept)),
            ("reason", AuditValue::Text(cut.why)),
        ];
        let event =
            AuditEvent::new(AuditClass::Configuration, "audit.cut", "sutazai", Timestamp::now())
                .object("audit")
                .details(&details);
        self.0.core.record(&event).map(drop)
    }

    /// Starts its two threads: `sutazai-audit` syncs the journal, for tickets at once and otherwise every
    /// [`Options::sync_every`]; `sutazai-audit-tree` moves records into the tree every
    /// [`Options::checkpoint_every`]. Without them, whoever owns the log calls [`sync`](Self::sync) and
    /// [`integrate`](Self::integrate) now and then, and tickets are synced by who submits.
    ///
    /// # Errors
    /// [`Code::IO`] when a thread cannot be started.
    pub fn start(&self) -> Result<()> {
        self.0.core.check()?;
        self.0.workers.start(&self.0.core)
    }

    /// Ends it: syncs, moves everything into the tree, ends the threads, and takes no more records.
    ///
    /// # Errors
    /// Those of [`sync`](Self::sync) and [`integrate`](Self::integrate); it is closed all the same.
    pub fn close(&self, now: Timestamp) -> Result<()> {
        self.0.core.closed.store(true, Ordering::Relaxed);
        self.0.workers.stop(&self.0.core);
        self.sync()?;
        self.integrate(now).map(drop)
    }

    /// Keeps a record, and answers its number when it is as durable as its class demands. May block that
    /// long.
    ///
    /// # Errors
    /// - [`Code::INVALID`]: a name or the whole record is too long.
    /// - [`Code::AUDIT_FULL`]: the journal is full and could not be emptied.
    /// - [`Code::AUDIT_FAILED`]: the disk refused to sync, now or before.
    /// - [`Code::NOT_RUNNING`], [`Code::FORKED`]: it was closed, or belongs to the parent process.
    #[inline]
    pub fn record(&self, event: &AuditEvent<'_>) -> Result<u64> {
        self.0.core.record(event)
    }

    /// Keeps a record without waiting for the disk: the ticket answers its number when it is as durable
    /// as its class demands. Its place in the log is taken when this returns. A dropped ticket takes
    /// nothing back.
    ///
    /// # Errors
    /// The ticket's: as [`record`](Self::record), and [`Code::OVERLOADED`] when [`Options::pending`]
    /// tickets wait.
    pub fn submit(&self, event: &AuditEvent<'_>) -> Ticket<u64> {
        self.0.core.submit(event)
    }

    /// Makes everything durable that was recorded before this call.
    ///
    /// # Errors
    /// [`Code::AUDIT_FAILED`] when the disk refuses, or did before.
    pub fn sync(&self) -> Result<()> {
        self.0.core.reach(self.0.core.journal.next())
    }

    /// Raises or lowers what records of a class survive before they are acknowledged.
    pub fn set_durability(&self, class: AuditClass, durability: Durability) {
        self.0.core.set_durability(class, durability);
    }

    /// What records of a class survive before they are acknowledged.
    pub fn durability(&self, class: AuditClass) -> Durability {
        self.0.core.durability(class)
    }

    /// Moves what was recorded before this call into the tree, and answers a checkpoint that covers it.
    ///
    /// # Errors
    /// [`Code::IO`], [`Code::AUDIT_WITNESS`], the signer's: the records stay in the journal, and it is
    /// tried again the next time.
    pub fn integrate(&self, now: Timestamp) -> Result<Checkpoint> {
        self.0.core.integrate(now).map(|published| published.checkpoint.clone())
    }

    /// The latest checkpoint; `None` before the first.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.0.core.published.load().as_ref().map(|published| published.checkpoint.clone())
    }

    /// A record, by its number; `None` when there is none (yet).
    ///
    /// # Errors
    /// [`Code::AUDIT_PRUNED`] when it is no longer kept; [`Code::AUDIT_CORRUPT`].
    pub fn get(&self, index: u64) -> Result<Option<Record>> {
        let core = &self.0.core;
        if let Some(published) = core.published.load_full()
            && index < published.tree.size()
        {
            let bytes = published.tree.record(&*core.files, index)?;
            return Record::parse(&bytes).map(Some);
        }
        let (published, tail) = core.tail();
        if let Some((_, bytes)) = tail.iter().find(|(at, _)| *at == index) {
            return Record::parse(bytes).map(Some);
        }
        match published.filter(|published| index < published.tree.size()) {
            Some(p) => Record::parse(&p.tree.record(&*core.files, index)?).map(Some),
            None => Ok(None),
        }
    }

    /// Looks records up, newest first.
    ///
    /// # Errors
    /// [`Code::IO`], [`Code::AUDIT_CORRUPT`] when the log cannot be read.
    pub fn query(&self, query: &Query) -> Result<Page> {
        self.0.core.query(query)
    }

    /// Writes the records that have these numbers, oldest first, and answers how many there were.
    /// Records that are not under a checkpoint yet are left out.
    ///
    /// # Errors
    /// [`Code::IO`] when `out` fails; [`Code::AUDIT_CORRUPT`] when the log cannot be read.
    pub fn export(
        &self,
        indices: std::ops::Range<u64>,
        format: Format,
        out: &mut dyn Write,
    ) -> Result<u64> {
        let core = &self.0.core;
        let Some(published) = core.published.load_full() else { return Ok(0) };
        let tree = &published.tree;
        let (from, to) = (indices.start.max(tree.first), indices.end.min(tree.size()));
        let mut written = 0;
        let mut number = from / 256;
        while number * 256 < to {
            let bundle = tree.bundle(&*core.files, number)?;
            for (index, bytes) in (number * 256..).zip(super::tiles::records(&bundle)) {
                if index < from || index >= to {
                    continue;
                }
                let bytes = bytes.ok_or_else(|| super::tree::corrupt("tile/entries"))?;
                let found = Found { index, record: Record::parse(bytes)? };
                format.write(out, &found).map_err(|e| {
                    Error::new(Code::IO, "the export could not be written").because(e)
                })?;
                written += 1;
            }
            number += 1;
        }
        Ok(written)
    }

    /// The same into a file, which is there when this returns, as a whole and for its owner only; or it is not.
    ///
    /// # Errors
    /// As [`export`](Self::export); [`Code::ALREADY_EXISTS`] when there is a file that may not be replaced.
    pub fn export_file(
        &self,
        indices: std::ops::Range<u64>,
        format: Format,
        path: &std::path::Path,
        replace: bool,
    ) -> Result<u64> {
        crate::security::whole::into(path, replace, |file| {
            let mut out = std::io::BufWriter::new(file);
            let written = self.export(indices, format, &mut out)?;
            out.flush().map_err(|e| crate::security::whole::unusable(path, e))?;
            Ok(written)
        })
    }

    /// A record with the proof that it is in the log, for somebody who is to see no other. The log is
    /// brought under a checkpoint first if the record is not.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is no such record; those of [`integrate`](Self::integrate) and
    /// [`get`](Self::get).
    pub fn prove(&self, index: u64, now: Timestamp) -> Result<Evidence> {
        let core = &self.0.core;
        let published = match core.published.load_full().filter(|p| index < p.tree.size()) {
            Some(published) => published,
            None => core.integrate(now)?,
        };
        let (tree, files) = (&published.tree, &*core.files);
        if index >= tree.size() {
            return Err(Error::new(Code::NOT_FOUND, "the log has no such record")
                .operation("audit.prove")
                .with("index", index)
                .with("records", tree.size()));
        }
        let record = String::from_utf8(tree.record(files, index)?)
            .map_err(|e| super::tree::corrupt("tile/entries").because(e))?;
        let proof = prove_inclusion(index, tree.size(), &mut tree.nodes(files))?;
        Ok(Evidence::new(index, record, proof, &published.checkpoint))
    }

    /// The proof that the latest checkpoint continues one of `old` records.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the log has never been that large; [`Code::AUDIT_PRUNED`].
    pub fn prove_consistency(&self, old: u64) -> Result<Consistency> {
        let core = &self.0.core;
        let Some(published) = core.published.load_full() else {
            return Err(Error::new(Code::NOT_FOUND, "the log has no checkpoint yet"));
        };
        let tree = &published.tree;
        let proof = prove_consistency(old, tree.size(), &mut tree.nodes(&*core.files))?;
        Ok(Consistency { old, proof, checkpoint: published.checkpoint.note().to_owned() })
    }

    /// The personal details of a record, as JSON; `None` when they were erased, withheld, or never there.
    ///
    /// # Errors
    /// [`Code::AUDIT_PROOF`] when they were not sealed for this record; when the key cannot be had.
    pub fn personal(&self, record: &Record) -> Result<Option<serde_json::Value>> {
        use base64::Engine as _;
        let Some(Sealed { sealed: Some(sealed), subject, .. }) = &record.personal else {
            return Ok(None);
        };
        let Some(keys) = &self.0.core.subjects else { return Ok(None) };
        let bad = || Error::new(Code::AUDIT_PROOF, "the personal details are not sealed details");
        let sealed = base64::engine::general_purpose::STANDARD
            .decode(sealed)
            .map_err(|e| bad().because(e))?;
        let plain = keys.open(subject, &associated(subject, record.at), &sealed)?;
        plain.map(|plain| serde_json::from_slice(&plain).map_err(|e| bad().because(e))).transpose()
    }

    /// Erases the personal details of a subject for good, everywhere, by destroying their key; `by` is
    /// who wants it. That it was done is on the record. False when there was nothing to erase.
    ///
    /// # Errors
    /// [`Code::UNSUPPORTED`] when the log keeps no subjects' keys; when the key cannot be destroyed; those
    /// of [`record`](Self::record).
    pub fn erase(&self, subject: &str, by: &str, now: Timestamp) -> Result<bool> {
        let Some(keys) = &self.0.core.subjects else {
            return Err(Error::new(Code::UNSUPPORTED, "the log keeps no keys of subjects")
                .operation("audit.erase")
                .advice("open it with a place for them"));
        };
        let erased = keys.destroy(subject);
        let outcome = match &erased {
            Ok(_) => AuditOutcome::Success,
            Err(_) => AuditOutcome::Failure,
        };
        let event = AuditEvent::new(AuditClass::Key, "audit.erase", by, now)
            .object(subject)
            .outcome(outcome);
        self.record(&event)?;
        erased
    }

    /// The figures.
    pub fn status(&self) -> AuditStatus {
        self.0.core.status()
    }
}

impl AuditTrail for AuditLog {
    #[inline]
    fn record(&self, event: &AuditEvent<'_>) -> Result<()> {
        self.0.core.record(event).map(drop)
    }
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = self.status();
        f.debug_struct("AuditLog")
            .field("place", &status.place)
            .field("records", &status.records)
            .finish()
    }
}
