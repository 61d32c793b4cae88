//! The verification tool: everything read afresh, and compared with a checkpoint that somebody kept.

mod journal;
mod tree;

use std::fmt;
use std::path::Path;

use super::files::{Disk, Files};
use super::merkle::Hash;
use super::note::{Checkpoint, VerifierKey};
use super::tree::{CHECKPOINT, CHECKPOINT_MAX};
use crate::{Code, Error, Result};

/// The most findings that are listed.
const FINDINGS_MAX: usize = 1000;

/// Something that is not as it should be, or that is worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// The file, below the log's folder.
    pub file: String,
    /// How far into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The record that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        if let Some(record) = self.record {
            write!(f, ", record {record}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What was found out about a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Report {
    /// Records under the log's own checkpoint.
    pub records: u64,
    /// The root of the tree over them, as it was computed from the records; `None` where they are not all
    /// there.
    pub root: Option<Hash>,
    /// Records in the journal that are not under a checkpoint yet.
    pub journal: u64,
    /// Records of the checkpoint that was kept, if its root is that of this log's first records.
    pub continues: Option<u64>,
    /// What is wrong. At most 1,000 are listed.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more: u64,
    /// What is not wrong but worth knowing: what a process left that ended in between.
    pub notes: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong: every record is what it was when the checkpoints were signed, and all of
    /// them are there.
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    fn wrong(&mut self, file: &str, at: impl Into<Place>, what: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(at.into().finding(file, what.into()));
        } else {
            self.more += 1;
        }
    }

    fn note(&mut self, file: &str, what: impl Into<String>) {
        if self.notes.len() < FINDINGS_MAX {
            self.notes.push(Place::File.finding(file, what.into()));
        }
    }
}

/// Where in a file.
#[derive(Clone, Copy)]
enum Place {
    File,
    Byte(usize),
    Record(u64),
}

impl Place {
    fn finding(self, file: &str, what: String) -> Finding {
        let (offset, record) = match self {
            Self::File => (None, None),
            Self::Byte(at) => (Some(at as u64), None),
            Self::Record(index) => (None, Some(index)),
        };
        Finding { file: file.to_owned(), offset, record, what }
    }
}

/// Verifies the log in a folder (`audit/` below the data directory) with nothing but its public key and,
/// where somebody kept one, a checkpoint. Reads every record; needs no lock, but a log that is being
/// written meanwhile may look wrong.
///
/// What it can prove depends on the checkpoint that was kept: that all records under it are there,
/// unchanged and in order. Without one, somebody who has the log's secret key and all its files can have
/// rewritten them.
///
/// # Errors
/// [`Code::NOT_FOUND`] when there is no such folder; [`Code::IO`] when a file cannot be read. What is
/// wrong with the log is no error but a [`Finding`].
pub fn verify(dir: &Path, key: &VerifierKey, kept: Option<&Checkpoint>) -> Result<Report> {
    if !dir.is_dir() {
        return Err(Error::new(Code::NOT_FOUND, "there is no audit log")
            .operation("audit.verify")
            .with("path", dir.display())
            .advice("name the folder `audit` below the data directory"));
    }
    let files = Disk::open(dir).map_err(super::tree::read_error)?;
    verify_files(&files, key, kept)
}

/// As [`verify`], on another layer of files.
///
/// # Errors
/// As [`verify`].
pub fn verify_files(
    files: &dyn Files,
    key: &VerifierKey,
    kept: Option<&Checkpoint>,
) -> Result<Report> {
    let mut report = Report::default();
    let checkpoint = read_checkpoint(files, key, &mut report);
    report.records = checkpoint.as_ref().map_or(0, Checkpoint::size);
    let mut walk = tree::Walk::new(files, kept);
    walk.bundles(&mut report)?;
    if let (Some(checkpoint), Some(root)) = (&checkpoint, &report.root)
        && checkpoint.root() != root
    {
        report.wrong(CHECKPOINT, Place::File, "its root is not that of the records");
    }
    journal::check(files, &mut walk, &mut report)?;
    tree::names(files, &mut report)?;
    if let Some(kept) = kept {
        compare(kept, &walk, key, &mut report);
    }
    Ok(report)
}

fn read_checkpoint(
    files: &dyn Files,
    key: &VerifierKey,
    report: &mut Report,
) -> Option<Checkpoint> {
    match files.read(CHECKPOINT, CHECKPOINT_MAX) {
        Ok(Some(bytes)) => {
            let read = std::str::from_utf8(&bytes)
                .map_err(|_| Error::new(Code::AUDIT_PROOF, "it is no text"))
                .and_then(|note| Checkpoint::read(note, key));
            read.map_err(|error| report.wrong(CHECKPOINT, Place::File, format!("{error:#}"))).ok()
        }
        Ok(None) => {
            let used = files.list("tile/entries").is_ok_and(|names| !names.is_empty());
            if used {
                report.wrong(CHECKPOINT, Place::File, "it is missing");
            } else {
                report.note(CHECKPOINT, "there is none yet");
            }
            None
        }
        Err(error) => {
            report.wrong(CHECKPOINT, Place::File, error.to_string());
            None
        }
    }
}

/// Compares with the checkpoint that somebody kept.
fn compare(kept: &Checkpoint, walk: &tree::Walk<'_>, key: &VerifierKey, report: &mut Report) {
    if kept.origin() != key.name() {
        report.wrong(CHECKPOINT, Place::File, "the checkpoint that was kept is of another log");
        return;
    }
    if kept.size() > report.records {
        report.wrong(
            CHECKPOINT,
            Place::File,
            format!(
                "it is older than the one that was kept: {} records, and there were {}",
                report.records,
                kept.size()
            ),
        );
    }
    match walk.root_at_kept {
        Some(root) if root == *kept.root() => report.continues = Some(kept.size()),
        Some(_) => report.wrong(
            "tile/entries",
            Place::Record(kept.size().saturating_sub(1)),
            "the records up to here are not those of the checkpoint that was kept",
        ),
        None => report.wrong(
            "tile/entries",
            Place::File,
            format!(
                "the {} records of the checkpoint that was kept are not all there",
                kept.size()
            ),
        ),
    }
}
