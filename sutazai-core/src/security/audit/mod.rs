//! The audit log: append-only, in a Merkle tree, with signed checkpoints and proofs.
//!
//! An [`AuditLog`] keeps [`AuditEvent`](crate::port::AuditEvent)s so that anybody who has its public key
//! and a [`Checkpoint`] that they kept can find out whether all records under it are there, unchanged and
//! in order: with the whole log ([`verify`](verify())), or with a proof about one record alone
//! ([`Evidence`]).
//!
//! ```
//! use std::sync::Arc;
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::port::{AuditClass, AuditEvent};
//! use sutazai_core::security::audit::{AuditLog, CheckpointSigner as _, Ed25519Signer, Options};
//!
//! let signer = Arc::new(Ed25519Signer::ephemeral("example.org/audit")?);
//! let key = signer.key().clone();
//! let log = AuditLog::memory(signer, Options::default())?;
//! let now = Timestamp::now();
//! let event = AuditEvent::new(AuditClass::Key, "key.rotate", "ann", now).object("signing");
//! let index = log.record(&event)?;
//!
//! let evidence = log.prove(index, now)?.to_json()?;
//! let evidence = sutazai_core::security::audit::Evidence::read(evidence.as_bytes())?;
//! let (record, checkpoint) = evidence.verify(&key)?;
//! assert_eq!((record.principal.as_str(), checkpoint.size()), ("ann", 1));
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! # How it works
//!
//! A record is encoded ([`Record`]: canonical JSON, RFC 8785) and appended to the **journal**, segments in
//! shared memory over files that were allocated and zeroed before. That is all that a record of a class
//! with [`Durability::Process`](crate::store::Durability::Process) waits for; it survives `kill -9`. One
//! with `Fsync` waits until the segment is synced: whoever finds nobody at the disk syncs for all who wait
//! (leader and followers; a lone writer changes no thread). No hash is computed until then.
//!
//! Later, and at the latest when the journal is full, records move into the **tree** (RFC 6962), which is
//! laid out as C2SP tlog-tiles: bundles of 256 records, tiles of 256 hashes. When tiles and bundles are
//! synced the **checkpoint** is signed (C2SP tlog-checkpoint), co-signed by witnesses where there are any
//! ([`Witness`]), and written; only then does the journal forget.
//!
//! ```text
//! audit/checkpoint                        the latest signed note
//! audit/tile/entries/…  tile/0/…  tile/1/…   C2SP tlog-tiles; the last of each is partial
//! audit/index/…                           what a query may skip; can be made again
//! audit/journal/<sequence>.segment        acknowledged, not in the tree yet
//! audit/cut/…                             what was cut off a journal that was not written whole
//! ```
//!
//! Proofs are made and checked here, with ring's SHA-256: the crate tlog_tiles, which the checkpoint's and
//! the note's formats come from, copies a proof at each step and asserts where it should refuse; a test
//! holds that both make the same proofs. Its paths are those of the Go checksum database, not of
//! tlog-tiles. Partial tiles are kept for the latest checkpoint only: for an older one, a prefix of the
//! wider tile is the same.
//!
//! # What is promised
//!
//! - What was acknowledged is in the log once, in the order of acknowledgement of any one thread, after the
//!   process ends in whatever way; with `Fsync`, after the machine does, as far as the disk keeps its word.
//!   A torn end is cut off on opening, kept beside, and put on the record.
//! - Nothing is lost silently: a record that cannot be kept is an error to whoever offers it, and is counted.
//!   After a failed sync the log takes no more records, since the system may have dropped what it could not
//!   write.
//! - A change, loss or exchange of anything under a checkpoint that somebody kept is found by
//!   [`verify`](verify()): flipped bytes, missing or reordered records, an older state, another history
//!   signed by the same key. What is not under a kept checkpoint is protected by checksums only: against
//!   accidents, not against somebody who can write the files. Keep checkpoints elsewhere, often.
//! - Personal details can be erased without breaking a proof: see [`SubjectKeys`].
//!
//! # Invariants
//!
//! - No lock is held while a signer, a witness or a store of subjects' keys is called.
//! - Everything is bounded: a record by [`RECORD_MAX`], the journal by [`Options::segments`], waiting
//!   tickets by [`Options::pending`], a page by [`PAGE_MAX`], a log in memory by
//!   [`Options::memory_records`]. A log in a directory grows with what is recorded.

mod core;
mod evidence;
mod export;
mod files;
mod index;
mod integrate;
mod journal;
mod log;
mod merkle;
mod note;
mod options;
mod query;
mod record;
mod status;
mod subject;
mod tiles;
mod tree;
mod verify;
mod worker;

pub use evidence::{Consistency, Evidence};
pub use export::Format;
pub use files::{Disk, Files, Memory, Segment, SegmentFile};
pub use log::AuditLog;
pub use merkle::{Hash, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion};
pub use note::{
    Checkpoint, CheckpointSigner, Cosigned, Ed25519Signer, KeptWitness, VerifierKey, Witness,
    Witnesses,
};
pub use options::{Options, default_durability};
pub use query::{Found, PAGE_MAX, Page, Query};
pub use record::{
    ACTION_MAX, DETAIL_MAX, DETAILS_MAX, Detail, KEY_MAX, NAME_MAX, RECORD_MAX, Record, Sealed,
};
pub use status::AuditStatus;
pub use subject::{StoredSubjectKeys, SubjectKeys};
pub use verify::{Finding, Report, verify, verify_files};
