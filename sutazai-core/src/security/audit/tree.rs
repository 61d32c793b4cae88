//! The tree in its tiles: what has been moved there from the journal, and what was published of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::files::Files;
use super::index::Summary;
use super::journal::{Cursor, Tail};
use super::merkle::{Edge, Hash, TILE, root_of};
use super::note::{Checkpoint, VerifierKey};
use super::tiles::{
    BUNDLE_MAX, TILE_BYTES, bundle_path, hashes, index_path, push, records, tile_bytes, tile_path,
};
use crate::{Code, Error, Result};

/// The path of the latest checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The longest checkpoint that is read.
pub(super) const CHECKPOINT_MAX: usize = 64 * 1024;

/// A state of the tree: all that is needed to append to it, and to prove things of it.
#[derive(Clone, Default)]
pub(super) struct Tree {
    pub edge: Edge,
    /// The records of the bundle that is not full yet, as its bytes.
    pub bundle: Vec<u8>,
    /// Records below this are no longer kept (a log in memory is bounded).
    pub first: u64,
    /// Where the next record stands in the journal; `None` until somebody has looked.
    pub cursor: Option<Cursor>,
}

/// A tree of which a checkpoint was signed.
pub(super) struct Published {
    pub tree: Tree,
    pub checkpoint: Checkpoint,
}

impl Tree {
    pub(super) fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Takes at most `most` records from the journal and writes the tiles and bundles that become full. Of
    /// records below `keep_from`, which are not kept, it writes none that are complete after this: they are
    /// in the tree as hashes alone.
    pub(super) fn take(
        &mut self,
        files: &dyn Files,
        tail: &mut Tail,
        most: usize,
        keep_from: u64,
    ) -> Result<usize> {
        let keep_from = keep_from.min(self.size() + most as u64) / TILE as u64;
        let mut taken = 0;
        while taken < most {
            let added = tail.next(|index, _, record| {
                if index < self.size() { Ok(()) } else { self.add(files, record, keep_from) }
            });
            match added {
                Ok(Some(added)) => added?,
                Ok(None) => break,
                Err(why) => {
                    return Err(Error::new(Code::AUDIT_CORRUPT, "the journal was changed")
                        .operation("audit.integrate")
                        .with("record", tail.cursor().index)
                        .with("reason", why)
                        .advice("stop, and verify the log against a checkpoint that you kept"));
                }
            }
            taken += 1;
        }
        self.cursor = Some(tail.cursor());
        Ok(taken)
    }

    /// Adds a record; bundles below `keep_from` are not kept.
    fn add(&mut self, files: &dyn Files, record: &[u8], keep_from: u64) -> Result<()> {
        let number = self.edge.size() / TILE as u64;
        let kept = number >= keep_from;
        if kept {
            push(&mut self.bundle, record);
        }
        self.edge.push(Hash::leaf(record), &mut |level, number, hashes| {
            if level == 0 && !kept {
                return Ok(());
            }
            files.write(&tile_path(level, number, TILE), &tile_bytes(hashes)).map_err(write_error)
        })?;
        if self.edge.size().is_multiple_of(TILE as u64) {
            if !kept {
                self.bundle.clear();
                return Ok(());
            }
            files.write(&bundle_path(number, TILE), &self.bundle).map_err(write_error)?;
            let summary = Summary::of(records(&self.bundle).flatten());
            files.write(&index_path(number), &summary.bytes()).map_err(write_error)?;
            self.bundle.clear();
        }
        Ok(())
    }

    /// The paths of the tiles and the bundle that are not full, and their bytes.
    pub(super) fn partial(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut number = self.size() / TILE as u64;
        let width = (self.size() % TILE as u64) as usize;
        if width > 0 {
            files.push((bundle_path(number, width), self.bundle.clone()));
        }
        for (level, hashes) in (0_u8..).zip(self.edge.levels()) {
            if !hashes.is_empty() {
                files.push((tile_path(level, number, hashes.len()), tile_bytes(hashes)));
            }
            number /= TILE as u64;
        }
        files
    }

    /// Removes the oldest bundles and what belongs to them, so that about `keep` records remain; those below
    /// `keep_from` are not there any more.
    pub(super) fn prune(
        &mut self,
        files: &dyn Files,
        keep: u64,
        keep_from: u64,
    ) -> io::Result<u64> {
        let tile = TILE as u64;
        let keep_from =
            self.size().saturating_sub(keep.max(tile)).max(keep_from.min(self.size())) / tile;
        let from = self.first / tile;
        for number in from..keep_from {
            files.remove(&bundle_path(number, TILE))?;
            files.remove(&index_path(number))?;
            let (mut level, mut last) = (0_u8, number);
            loop {
                files.remove(&tile_path(level, last, TILE))?;
                // The tile above goes when the last of its 256 is gone.
                if (last + 1) % tile != 0 {
                    break;
                }
                level += 1;
                last /= tile;
            }
        }
        let gone = (keep_from * tile).saturating_sub(self.first);
        self.first += gone;
        Ok(gone)
    }

    /// A reader of nodes for proofs, which reads each tile once.
    pub(super) fn nodes<'a>(
        &'a self,
        files: &'a dyn Files,
    ) -> impl FnMut(u8, u64) -> Result<Hash> + 'a {
        let mut read: BTreeMap<(u8, u64), Vec<Hash>> = BTreeMap::new();
        move |level, index| {
            let (tile, inside) = (level / 8, level % 8);
            let first = index << inside;
            let number = first / TILE as u64;
            let hashes = match read.entry((tile, number)) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(self.tile(files, tile, number)?)
                }
            };
            let from = (first % TILE as u64) as usize;
            hashes
                .get(from..from + (1 << inside))
                .map(root_of)
                .ok_or_else(|| corrupt(&tile_path(tile, number, TILE)))
        }
    }

    fn tile(&self, files: &dyn Files, level: u8, number: u64) -> Result<Vec<Hash>> {
        let shift = 8 * u32::from(level) + 8;
        let full = self.size().checked_shr(shift).unwrap_or(0);
        if number >= full {
            return Ok(self.edge.levels().get(usize::from(level)).cloned().unwrap_or_default());
        }
        let path = tile_path(level, number, TILE);
        match files.read(&path, TILE_BYTES).map_err(read_error)? {
            Some(bytes) => hashes(&bytes).ok_or_else(|| corrupt(&path)),
            None if (number << shift) < self.first => Err(pruned(number << shift, self.first)),
            None => Err(corrupt(&path)),
        }
    }

    /// The bytes of a bundle.
    pub(super) fn bundle(&self, files: &dyn Files, number: u64) -> Result<Vec<u8>> {
        if number == self.size() / TILE as u64 {
            return Ok(self.bundle.clone());
        }
        let path = bundle_path(number, TILE);
        match files.read(&path, BUNDLE_MAX).map_err(read_error)? {
            Some(bytes) => Ok(bytes),
            None if number * (TILE as u64) < self.first => {
                Err(pruned(number * TILE as u64, self.first))
            }
            None => Err(corrupt(&path)),
        }
    }

    /// The bytes of a record.
    pub(super) fn record(&self, files: &dyn Files, index: u64) -> Result<Vec<u8>> {
        let bundle = self.bundle(files, index / TILE as u64)?;
        let at = (index % TILE as u64) as usize;
        let found = records(&bundle).nth(at).flatten();
        found.map(<[u8]>::to_vec).ok_or_else(|| corrupt(&bundle_path(index / TILE as u64, TILE)))
    }

    /// The tree as it was published last: its edge read from the tiles, and compared with the
    /// checkpoint's root. Where tiles of hashes do not agree with it they are made again from the records.
    ///
    /// # Errors
    /// [`Code::AUDIT_CORRUPT`] when the records themselves do not agree.
    pub(super) fn open(files: &dyn Files, key: &VerifierKey) -> Result<Option<Arc<Published>>> {
        let Some(note) = files.read(CHECKPOINT, CHECKPOINT_MAX).map_err(read_error)? else {
            return Ok(None);
        };
        let checkpoint = std::str::from_utf8(&note)
            .map_err(|e| corrupt(CHECKPOINT).because(e))
            .and_then(|note| Checkpoint::read(note, key))
            .map_err(|e| corrupt(CHECKPOINT).because(e))?;
        let size = checkpoint.size();
        let width = (size % TILE as u64) as usize;
        let mut bundle = Vec::new();
        if width > 0 {
            let path = bundle_path(size / TILE as u64, width);
            bundle =
                files.read(&path, BUNDLE_MAX).map_err(read_error)?.ok_or_else(|| corrupt(&path))?;
        }
        let edge = match Self::read_edge(files, size) {
            Some(edge) if edge.root() == *checkpoint.root() && agrees(&edge, &bundle) => edge,
            _ => Self::rebuild(files, size, &checkpoint)?,
        };
        let tree = Self { edge, bundle, first: 0, cursor: None };
        Ok(Some(Arc::new(Published { tree, checkpoint })))
    }

    fn read_edge(files: &dyn Files, size: u64) -> Option<Edge> {
        let mut levels = Vec::new();
        let (mut rest, mut level) = (size, 0);
        while rest > 0 {
            let width = (rest % TILE as u64) as usize;
            let path = tile_path(level, rest / TILE as u64, width);
            let bytes =
                if width == 0 { Vec::new() } else { files.read(&path, TILE_BYTES).ok()?? };
            levels.push(hashes(&bytes)?);
            rest /= TILE as u64;
            level += 1;
        }
        Edge::of(size, levels)
    }

    /// Makes all tiles of hashes again.
    fn rebuild(files: &dyn Files, size: u64, checkpoint: &Checkpoint) -> Result<Edge> {
        tracing::warn!(size, "tiles of the audit log do not agree with its checkpoint: made again");
        let mut edge = Edge::default();
        for number in 0..size.div_ceil(TILE as u64) {
            let width = (size - number * TILE as u64).min(TILE as u64) as usize;
            let path = bundle_path(number, width);
            let bytes = files.read(&path, BUNDLE_MAX).map_err(read_error)?;
            let bytes = bytes.ok_or_else(|| corrupt(&path))?;
            for record in records(&bytes) {
                let record = record.ok_or_else(|| corrupt(&path))?;
                edge.push(Hash::leaf(record), &mut |level, number, hashes| {
                    let bytes = tile_bytes(hashes);
                    files.write(&tile_path(level, number, TILE), &bytes).map_err(write_error)
                })?;
            }
        }
        if edge.size() != size || edge.root() != *checkpoint.root() {
            return Err(corrupt("tile/entries"));
        }
        let tree = Self { edge, ..Self::default() };
        for (path, bytes) in tree.partial().into_iter().filter(|(p, _)| !p.contains("entries")) {
            files.write(&path, &bytes).map_err(write_error)?;
        }
        files.sync().map_err(write_error)?;
        Ok(tree.edge)
    }
}

/// Whether the last bundle's records are those of the edge.
fn agrees(edge: &Edge, bundle: &[u8]) -> bool {
    let leaves: Option<Vec<_>> = records(bundle).map(|record| record.map(Hash::leaf)).collect();
    leaves.as_deref() == Some(edge.levels().first().map_or(&[], Vec::as_slice))
}

pub(super) fn write_error(error: io::Error) -> Error {
    Error::new(Code::IO, "the audit log cannot be written")
        .operation("audit.integrate")
        .because(error)
        .advice("see that the disk has room; what was acknowledged is in the journal")
}

pub(super) fn read_error(error: io::Error) -> Error {
    Error::new(Code::IO, "the audit log cannot be read").operation("audit.read").because(error)
}

pub(super) fn corrupt(path: &str) -> Error {
    Error::new(
        Code::AUDIT_CORRUPT,
        "a file of the audit log is missing, or is not what was written",
    )
    .operation("audit.read")
    .with("file", path)
    .advice("verify the log against a checkpoint that you kept, and restore it from a backup")
}

fn pruned(index: u64, first: u64) -> Error {
    Error::new(Code::AUDIT_PRUNED, "the record is no longer kept")
        .operation("audit.read")
        .with("record", index)
        .with("first_kept", first)
}
