//! The bundles and the tiles over them.

use super::super::files::Files;
use super::super::index::{LENGTH, Summary};
use super::super::merkle::{Edge, Full, Hash, TILE};
use super::super::note::Checkpoint;
use super::super::record::Record;
use super::super::tiles::{
    BUNDLE_MAX, TILE_BYTES, bundle_path, hashes, index_path, records, tile_bytes, tile_path,
};
use super::super::tree::{Tree, read_error};
use super::{Place, Report};
use crate::Result;

/// Reads the records from the first on and grows a tree of its own over them.
pub(super) struct Walk<'a> {
    files: &'a dyn Files,
    edge: Edge,
    /// The size of the checkpoint that was kept.
    kept: Option<u64>,
    pub(super) root_at_kept: Option<Hash>,
    /// Whether every record so far was there.
    whole: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(files: &'a dyn Files, kept: Option<&Checkpoint>) -> Self {
        let kept = kept.map(Checkpoint::size);
        let root_at_kept = kept.filter(|&size| size == 0).map(|_| Hash::EMPTY);
        Self { files, edge: Edge::default(), kept, root_at_kept, whole: true }
    }

    /// Whether the next record would have this number.
    pub(super) fn is_at(&self, index: u64) -> bool {
        self.whole && self.edge.size() == index
    }

    /// One more record; each tile that becomes full is given to `full`.
    pub(super) fn push(&mut self, record: &[u8], full: Full<'_>) -> Result<()> {
        self.edge.push(Hash::leaf(record), full)?;
        if self.kept == Some(self.edge.size()) {
            self.root_at_kept = Some(self.edge.root());
        }
        Ok(())
    }

    /// All bundles under the log's checkpoint, with their tiles.
    pub(super) fn bundles(&mut self, report: &mut Report) -> Result<()> {
        let size = report.records;
        for number in 0..size.div_ceil(TILE as u64) {
            let width = (size - number * TILE as u64).min(TILE as u64) as usize;
            if !self.bundle(number, width, report)? {
                self.whole = false;
                break;
            }
        }
        if !self.whole {
            return Ok(());
        }
        report.root = Some(self.edge.root());
        let tree = Tree { edge: self.edge.clone(), ..Tree::default() };
        for (path, bytes) in tree.partial() {
            if !path.starts_with("tile/entries/") {
                compare(self.files, &path, &bytes, 0, report);
            }
        }
        Ok(())
    }

    /// False where it is missing or does not have its records.
    fn bundle(&mut self, number: u64, width: usize, report: &mut Report) -> Result<bool> {
        let path = bundle_path(number, width);
        let first = number * TILE as u64;
        let bytes = match self.files.read(&path, BUNDLE_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                report.wrong(&path, Place::Record(first), "the bundle is missing");
                return Ok(false);
            }
            Err(error) => {
                report.wrong(&path, Place::Record(first), error.to_string());
                return Ok(false);
            }
        };
        let mut at = 0;
        let mut count = 0;
        let files = self.files;
        for record in records(&bytes) {
            let Some(record) = record else {
                report.wrong(&path, Place::Byte(at), "it ends in the middle of a record");
                return Ok(false);
            };
            check_record(&path, first + count as u64, record, report);
            self.push(record, &mut |level, number, hashes| {
                compare(files, &tile_path(level, number, TILE), &tile_bytes(hashes), level, report);
                Ok(())
            })?;
            at += 2 + record.len();
            count += 1;
        }
        if count != width {
            let what = format!("it has {count} records, and not {width}");
            report.wrong(&path, Place::Record(first), what);
            return Ok(false);
        }
        if width == TILE {
            let index = index_path(number);
            let fresh = Summary::of(records(&bytes).flatten()).bytes();
            match self.files.read(&index, LENGTH) {
                Ok(Some(stored)) if stored == fresh => {}
                Ok(None) => {
                    report.wrong(&index, Place::File, "it is missing; a query makes it again")
                }
                _ => report.wrong(
                    &index,
                    Place::File,
                    "it is not that of the bundle: queries miss records",
                ),
            }
        }
        Ok(true)
    }
}

/// What one record is like by itself.
pub(super) fn check_record(path: &str, index: u64, bytes: &[u8], report: &mut Report) {
    match Record::parse(bytes) {
        Ok(record) if record.is_canonical(bytes) => {}
        Ok(_) => {
            report.wrong(path, Place::Record(index), "the record is not in its canonical form")
        }
        Err(error) => report.wrong(path, Place::Record(index), error.to_string()),
    }
}

/// Compares a tile with what it should be.
fn compare(files: &dyn Files, path: &str, wanted: &[u8], level: u8, report: &mut Report) {
    let stored = match files.read(path, TILE_BYTES) {
        Ok(Some(stored)) => stored,
        Ok(None) => return report.wrong(path, Place::File, "the tile is missing"),
        Err(error) => return report.wrong(path, Place::File, error.to_string()),
    };
    if stored == wanted {
        return;
    }
    let (Some(stored), Some(wanted)) = (hashes(&stored), hashes(wanted)) else {
        return report.wrong(path, Place::File, "it is not made of whole hashes");
    };
    let differs = stored.iter().zip(&wanted).position(|(a, b)| a != b);
    match differs {
        Some(at) if level == 0 => report.wrong(
            path,
            Place::Byte(at * 32),
            "the hash is not that of the record: one of them was changed",
        ),
        Some(at) => {
            report.wrong(path, Place::Byte(at * 32), "the hash is not that of the tile below")
        }
        None => report.wrong(path, Place::File, "it has another number of hashes"),
    }
}

/// Whether every file has a name that belongs here.
pub(super) fn names(files: &dyn Files, report: &mut Report) -> Result<()> {
    let mut folders = vec![(String::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for name in files.list(&folder).map_err(read_error)? {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            match belongs(&path, report.records) {
                Belongs::Here => {}
                Belongs::Left(why) => report.note(&path, why),
                Belongs::Folder if depth < 12 => folders.push((path, depth + 1)),
                Belongs::Folder | Belongs::Nowhere => {
                    report.wrong(&path, Place::File, "it does not belong to the log");
                }
            }
        }
    }
    Ok(())
}

enum Belongs {
    Here,
    /// It does no harm, and why it is there.
    Left(&'static str),
    Folder,
    Nowhere,
}

fn belongs(path: &str, size: u64) -> Belongs {
    const CRASH: &str = "left behind by a process that ended in between; not part of the log";
    let (kind, rest) = path.split_once('/').unwrap_or((path, ""));
    match (kind, rest) {
        ("checkpoint", "") => Belongs::Here,
        ("tile" | "journal" | "index" | "cut", "") => Belongs::Folder,
        ("cut", _) => Belongs::Left("cut off the journal because it was not written whole"),
        (_, rest) if rest.ends_with(".new") || path == "checkpoint.new" => Belongs::Left(CRASH),
        // The journal looks at its own.
        ("journal", name) if super::super::journal::sequence_of(name).is_some() => Belongs::Here,
        ("index", rest) => match number(rest) {
            Some((number, TILE)) if number < size / TILE as u64 => Belongs::Here,
            Some(_) => Belongs::Left(CRASH),
            None => folder(rest),
        },
        ("tile", rest) => {
            let (level, rest) = rest.split_once('/').unwrap_or((rest, ""));
            let shift = match level {
                "entries" => 0,
                _ => match level.parse::<u32>() {
                    Ok(level) if level < 8 => 8 * level,
                    _ => return Belongs::Nowhere,
                },
            };
            if rest.is_empty() {
                return Belongs::Folder;
            }
            let here = size >> shift;
            match number(rest) {
                Some((n, TILE)) if n < here / TILE as u64 => Belongs::Here,
                Some((n, width))
                    if n == here / TILE as u64 && width as u64 == here % TILE as u64 =>
                {
                    Belongs::Here
                }
                Some(_) => Belongs::Left(CRASH),
                None => folder(rest),
            }
        }
        _ => Belongs::Nowhere,
    }
}

/// The number and the width that a path ends with, in the only way of writing them.
fn number(text: &str) -> Option<(u64, usize)> {
    let (text, width) = match text.split_once(".p/") {
        Some((text, width)) => (text, width.parse().ok().filter(|w| (1..TILE).contains(w))?),
        None => (text, TILE),
    };
    let mut number = 0_u64;
    for group in text.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        number = number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    let suffix = if width < TILE { format!(".p/{width}") } else { String::new() };
    (bundle_path(number, width) == format!("tile/entries/{text}{suffix}"))
        .then_some((number, width))
}

fn folder(rest: &str) -> Belongs {
    let last = rest.rsplit('/').next().unwrap_or(rest);
    let digits = last.strip_suffix(".p").or_else(|| last.strip_prefix('x'));
    match digits {
        Some(digits) if digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Belongs::Folder
        }
        _ => Belongs::Nowhere,
    }
}
