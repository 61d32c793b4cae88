//! The journal's segments.

use super::super::files::Files;
use super::super::journal::{
    FOLDER, HEADER, Head, SEGMENT_MAX, Step, path, read_frame, sequence_of,
};
use super::super::merkle::TILE;
use super::super::tiles::{BUNDLE_MAX, bundle_path, records};
use super::super::tree::read_error;
use super::tree::{Walk, check_record};
use super::{Place, Report};
use crate::Result;

/// The end of what was read.
struct End {
    sequence: u64,
    next: u64,
    chain: u32,
    sealed: bool,
}

/// Checks that the segments form one chain, that what is in the tree as well is the same there, and
/// goes on with the tree over what is not.
pub(super) fn check(files: &dyn Files, walk: &mut Walk<'_>, report: &mut Report) -> Result<()> {
    let mut segments: Vec<u64> = files
        .list(FOLDER)
        .map_err(read_error)?
        .iter()
        .filter_map(|name| sequence_of(name))
        .collect();
    segments.sort_unstable();
    let mut end: Option<End> = None;
    let mut bundle = Bundle::default();
    for sequence in segments {
        let file = path(sequence);
        let bytes = match files.read(&file, SEGMENT_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(error) => {
                report.wrong(&file, Place::File, error.to_string());
                continue;
            }
        };
        if bytes.iter().all(|&b| b == 0) && end.is_some() {
            // Made before it was needed.
            continue;
        }
        let Some(head) = Head::read(&bytes).filter(|head| head.sequence == sequence) else {
            report.wrong(&file, Place::Byte(0), "the header is not that of the segment");
            return Ok(());
        };
        let follows = end.as_ref().is_none_or(|end| {
            end.sealed
                && (sequence, head.first, head.chain) == (end.sequence + 1, end.next, end.chain)
        });
        if !follows {
            report.wrong(&file, Place::Byte(0), "it does not continue the segment before it");
            return Ok(());
        }
        if end.is_none() && head.first > report.records {
            report.wrong(&file, Place::Record(report.records), "records before it are missing");
        }
        if bytes.len() as u64 != u64::from(head.bytes) {
            report.wrong(
                &file,
                Place::Byte(bytes.len()),
                "it is shorter or longer than it was made",
            );
        }
        let (mut at, mut chain, mut next) = (HEADER, head.chain, head.first);
        let sealed = loop {
            match read_frame(&bytes, at, chain) {
                Step::Frame { record, next: after, chain: then, .. } => {
                    one(files, &file, next, record, &mut bundle, walk, report)?;
                    (at, chain, next) = (after, then, next + 1);
                }
                Step::Sealed { next: after, chain: then } => {
                    (at, chain) = (after, then);
                    break true;
                }
                Step::End => break false,
                Step::Torn(why) => {
                    let what = format!(
                        "{why}: the process ended while it was written (what was written was not \
                         acknowledged then), or it was changed"
                    );
                    report.wrong(&file, Place::Byte(at), what);
                    return Ok(());
                }
            }
        };
        let rest = bytes.get(at..).unwrap_or_default();
        if let Some(more) = rest.iter().position(|&b| b != 0) {
            report.wrong(&file, Place::Byte(at + more), "something stands behind the last frame");
        }
        end = Some(End { sequence, next, chain, sealed });
    }
    match end {
        None if report.records > 0 => report.wrong(FOLDER, Place::File, "the journal is missing"),
        Some(end) if end.next < report.records => {
            report.wrong(FOLDER, Place::Record(end.next), "the journal ends before the checkpoint");
        }
        _ => {}
    }
    Ok(())
}

/// The bundle that was looked into last.
#[derive(Default)]
struct Bundle(Option<(u64, Vec<u8>)>);

fn one(
    files: &dyn Files,
    file: &str,
    index: u64,
    record: &[u8],
    bundle: &mut Bundle,
    walk: &mut Walk<'_>,
    report: &mut Report,
) -> Result<()> {
    if index >= report.records {
        report.journal += 1;
        check_record(file, index, record, report);
        if walk.is_at(index) {
            walk.push(record, &mut |_, _, _| Ok(()))?;
        }
        return Ok(());
    }
    let (number, inside) = (index / TILE as u64, (index % TILE as u64) as usize);
    if bundle.0.as_ref().is_none_or(|(held, _)| *held != number) {
        let width = (report.records - number * TILE as u64).min(TILE as u64) as usize;
        let bytes = files.read(&bundle_path(number, width), BUNDLE_MAX).ok().flatten();
        bundle.0 = Some((number, bytes.unwrap_or_default()));
    }
    let held = bundle.0.as_ref().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
    if records(held).nth(inside).flatten() != Some(record) {
        report.wrong(file, Place::Record(index), "the record in the tree is another one");
    }
    Ok(())
}
