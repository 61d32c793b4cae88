//! What the journal holds after its process ended, however it did.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::frame::{HEADER, Head, Step, read};
use super::{FOLDER, Files, Held, SEGMENT_MAX, path, sequence_of};
use crate::base::os::append::Appender;
use crate::{Code, Error, Result};

/// What was cut off the end of a journal, because it was not written whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::security::audit) struct Cut {
    /// Where: the file, and how far into it.
    pub file: String,
    pub at: usize,
    /// How many bytes that are not zero stood from there to the end of the journal.
    pub bytes: u64,
    pub why: &'static str,
    /// Where they are kept.
    pub kept: String,
}

/// A journal that was found.
#[derive(Default)]
pub(in crate::security::audit) struct Found {
    pub(super) held: VecDeque<Held>,
    /// Of the last segment; `None` when another is to be made.
    pub(super) appender: Option<Appender>,
    pub(in crate::security::audit) next: u64,
    pub(super) chain: u32,
    pub(super) sequence: u64,
    /// What was cut off.
    pub(in crate::security::audit) cut: Option<Cut>,
}

impl Found {
    /// The number of the first record that is there.
    pub(in crate::security::audit) fn begins(&self) -> Option<u64> {
        self.held.front().map(|held| held.head.first)
    }
}

/// Where whole frames end.
struct End {
    sequence: u64,
    at: usize,
    next: u64,
    chain: u32,
    sealed: bool,
}

/// Finds the records that are there in full, one after the other, and cuts off what follows them. The
/// first `size` records are in the tree.
///
/// # Errors
/// [`Code::AUDIT_CORRUPT`] when records between the tree and the journal are missing; the system's.
pub(in crate::security::audit) fn recover(files: &dyn Files, size: u64) -> Result<Found> {
    let mut names = files.list(FOLDER).map_err(io_error)?;
    names.sort_unstable();
    let mut segments = Vec::new();
    for name in names {
        match sequence_of(&name) {
            Some(sequence) => segments.push(sequence),
            // A segment that was being made.
            None if name.ends_with(".new") => {
                files.remove(&format!("{FOLDER}/{name}")).map_err(io_error)?;
            }
            None => {}
        }
    }
    let sequence = segments.last().map_or(0, |last| last + 1);
    let mut end: Option<End> = None;
    let mut good: Vec<(Head, Option<u64>)> = Vec::new();
    let mut torn: Option<(u64, usize, &'static str)> = None;
    let mut after: Vec<u64> = Vec::new();
    for sequence in segments {
        let Some(bytes) = files.read(&path(sequence), SEGMENT_MAX).map_err(io_error)? else {
            continue;
        };
        if torn.is_some() {
            after.push(sequence);
            continue;
        }
        let follows = |head: &Head| match &end {
            None => true,
            Some(end) => {
                end.sealed
                    && (head.sequence, head.first, head.chain)
                        == (end.sequence + 1, end.next, end.chain)
            }
        };
        let head = Head::read(&bytes).filter(|h| h.sequence == sequence && follows(h));
        let Some(head) = head else {
            if bytes.iter().any(|&b| b != 0) {
                torn = Some((sequence, 0, "the header is not that of the segment"));
            }
            // Where it is all zeros it was made and not used.
            after.push(sequence);
            continue;
        };
        if !after.is_empty() {
            torn = Some((sequence, 0, "the segment before it is missing"));
            after.push(sequence);
            continue;
        }
        let (mut at, mut chain, mut next) = (HEADER, head.chain, head.first);
        let sealed = loop {
            match read(&bytes, at, chain) {
                Step::Frame { next: after, chain: then, .. } => {
                    (at, chain, next) = (after, then, next + 1);
                }
                Step::Sealed { next: after, chain: then } => {
                    (at, chain) = (after, then);
                    break true;
                }
                Step::End => {
                    if bytes.get(at..).is_some_and(|rest| rest.iter().any(|&b| b != 0)) {
                        torn = Some((sequence, at, "something stands behind the last frame"));
                    }
                    break false;
                }
                Step::Torn(why) => {
                    torn = Some((sequence, at, why));
                    break false;
                }
            }
        };
        good.push((head, sealed.then_some(next)));
        end = Some(End { sequence, at, next, chain, sealed });
    }
    let cut = torn.map(|torn| keep(files, torn, &after)).transpose()?;
    for sequence in after {
        files.remove(&path(sequence)).map_err(io_error)?;
    }
    let first = good.first().map(|(head, _)| head.first);
    let Some(end) = end.filter(|end| end.next >= size) else {
        // The tree has all that the journal had: it is synced, and the journal need not be.
        for (head, _) in good {
            files.remove(&path(head.sequence)).map_err(io_error)?;
        }
        return Ok(Found { next: size, sequence, cut, ..Found::default() });
    };
    if first.is_some_and(|first| first > size) {
        return Err(Error::new(
            Code::AUDIT_CORRUPT,
            "records between the tree and the journal are missing",
        )
        .operation("audit.open")
        .with("tree_ends", size)
        .with("journal_begins", first.unwrap_or(0))
        .advice(
            "verify the log against a checkpoint that you kept, and restore it from a backup",
        ));
    }
    let sequence = end.sequence + 1;
    let mut found = Found { next: end.next, chain: end.chain, sequence, cut, ..Found::default() };
    for (head, to) in good {
        let written = if to.is_none() { end.at } else { 0 };
        // Those that are sealed are only read: they are mapped to their full length.
        let segment = match to {
            None => files.open_segment(&path(head.sequence), written),
            Some(_) => reopen(files, head.sequence),
        };
        let segment = segment.map_err(io_error)?;
        found.held.push_back(Held { head, file: Arc::new(segment.file), end: to });
        if to.is_none() {
            found.appender = Some(segment.appender);
        }
    }
    Ok(found)
}

fn reopen(files: &dyn Files, sequence: u64) -> io::Result<super::Segment> {
    let bytes = files.read(&path(sequence), SEGMENT_MAX)?.map_or(0, |bytes| bytes.len());
    files.open_segment(&path(sequence), bytes)
}

/// Copies what is cut off to a place beside the journal: it may be what is left of somebody's work, or
/// of somebody's attack.
fn keep(
    files: &dyn Files,
    (sequence, at, why): (u64, usize, &'static str),
    after: &[u64],
) -> Result<Cut> {
    let mut kept = Vec::new();
    let mut more = after.iter().filter(|&&s| s > sequence);
    let mut from = (Some(&sequence), at);
    while let (Some(&sequence), at) = from {
        let bytes = files.read(&path(sequence), SEGMENT_MAX).map_err(io_error)?.unwrap_or_default();
        let bytes = bytes.get(at..).unwrap_or_default();
        let used = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        kept.extend_from_slice(bytes.get(..used).unwrap_or_default());
        from = (more.next(), 0);
    }
    let to = format!("cut/{sequence:012}-{at}");
    files.replace(&to, &kept).map_err(io_error)?;
    let bytes = kept.iter().filter(|&&b| b != 0).count() as u64;
    Ok(Cut { file: path(sequence), at, bytes, why, kept: to })
}

pub(super) fn io_error(error: io::Error) -> Error {
    Error::new(Code::IO, "the audit log cannot be read or written")
        .operation("audit.open")
        .because(error)
        .advice("see that the disk has room and that this user may write the data directory")
}
