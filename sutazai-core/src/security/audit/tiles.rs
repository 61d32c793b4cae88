//! Where things stand in the folder, and how bundles of records look: C2SP tlog-tiles.
//!
//! `tile/<level>/<n>` holds 256 hashes of 32 bytes, `tile/entries/<n>` 256 records, each behind its length
//! in two bytes, big-endian. The last of each may hold fewer and is then `<n>.p/<how many>`. Numbers are
//! written in groups of three digits, all but the last behind an `x`: `x001/x234/067`.

use super::merkle::{Hash, TILE};
use super::record::RECORD_MAX;

/// The longest bundle.
pub(super) const BUNDLE_MAX: usize = TILE * (RECORD_MAX + 2);
/// The longest tile.
pub(super) const TILE_BYTES: usize = TILE * 32;

/// The path of a tile of hashes of which `width` are there.
pub(super) fn tile_path(level: u8, number: u64, width: usize) -> String {
    format!("tile/{level}/{}", numbered(number, width))
}

/// The path of a bundle of records of which `width` are there.
pub(super) fn bundle_path(number: u64, width: usize) -> String {
    format!("tile/entries/{}", numbered(number, width))
}

/// The path of what is known of a full bundle for looking things up.
pub(super) fn index_path(number: u64) -> String {
    format!("index/{}", numbered(number, TILE))
}

fn numbered(number: u64, width: usize) -> String {
    let mut text = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE {
        text.push_str(&format!(".p/{width}"));
    }
    text
}

/// Appends a record to a bundle.
pub(super) fn push(bundle: &mut Vec<u8>, record: &[u8]) {
    bundle.extend_from_slice(&(record.len() as u16).to_be_bytes());
    bundle.extend_from_slice(record);
}

/// The records of a bundle; `None` where it ends in the middle of one.
pub(super) fn records(bundle: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = bundle;
    let mut broken = false;
    std::iter::from_fn(move || {
        if rest.is_empty() || broken {
            return None;
        }
        let record = rest.split_first_chunk::<2>().and_then(|(size, after)| {
            after.split_at_checked(usize::from(u16::from_be_bytes(*size)))
        });
        let Some((record, after)) = record else {
            broken = true;
            return Some(None);
        };
        rest = after;
        Some(Some(record))
    })
}

/// A tile's bytes.
pub(super) fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// A tile's hashes; `None` when it is not a number of whole ones.
pub(super) fn hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| hashes.iter().map(|hash| Hash(*hash)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(4, 1_234_067, TILE), "tile/4/x001/x234/067");
        assert_eq!(tile_path(0, 5, 17), "tile/0/005.p/17");
        assert_eq!(bundle_path(1000, 8), "tile/entries/x001/000.p/8");
        assert_eq!(index_path(999), "index/999");
    }

    #[test]
    fn bundles_read_back() {
        let mut bundle = Vec::new();
        for record in [&b"one"[..], b"", &[7; RECORD_MAX]] {
            push(&mut bundle, record);
        }
        let back: Vec<_> = records(&bundle).map(|r| r.map(<[u8]>::len)).collect();
        assert_eq!(back, [Some(3), Some(0), Some(RECORD_MAX)]);
        bundle.pop();
        assert_eq!(records(&bundle).last(), Some(None));
    }
}
