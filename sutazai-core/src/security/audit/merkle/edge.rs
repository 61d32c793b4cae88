//! [`Edge`]: the right edge of a growing tree, which is all that appending to it needs.

use super::{Hash, TILE, root_of};
use crate::Result;

/// Is given each tile that becomes full: its level, its number, its hashes.
pub(in crate::security::audit) type Full<'a> = &'a mut dyn FnMut(u8, u64, &[Hash]) -> Result<()>;

/// For each level of tiles, the hashes of the one that is not full yet. Level 0 holds hashes of records,
/// level n those of full tiles of level n − 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::security::audit) struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of a tree of `size` records, from the tiles that are not full: `levels[n]` of level n.
    /// `None` where their widths are not those of such a tree.
    pub(in crate::security::audit) fn of(size: u64, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let mut rest = size;
        for level in &levels {
            if level.len() as u64 != rest % TILE as u64 {
                return None;
            }
            rest /= TILE as u64;
        }
        (rest == 0).then_some(Self { size, levels })
    }

    pub(in crate::security::audit) fn size(&self) -> u64 {
        self.size
    }

    pub(in crate::security::audit) fn levels(&self) -> &[Vec<Hash>] {
        &self.levels
    }

    /// Appends the hash of a record.
    pub(in crate::security::audit) fn push(&mut self, leaf: Hash, full: Full<'_>) -> Result<()> {
        let mut number = self.size;
        self.size += 1;
        let mut hash = leaf;
        for level in 0_u8.. {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::with_capacity(TILE));
            }
            let Some(tile) = self.levels.get_mut(usize::from(level)) else { break };
            tile.push(hash);
            if tile.len() < TILE {
                break;
            }
            number /= TILE as u64;
            full(level, number, tile)?;
            hash = root_of(tile);
            tile.clear();
        }
        Ok(())
    }

    /// The root of the tree.
    pub(in crate::security::audit) fn root(&self) -> Hash {
        let mut below: Option<Hash> = None;
        for level in &self.levels {
            // What is not full below counts as the last, incomplete subtree here: the split at the
            // largest power of two falls on the same place.
            let mut hashes = level.clone();
            hashes.extend(below);
            if !hashes.is_empty() {
                below = Some(root_of(&hashes));
            }
        }
        below.unwrap_or(Hash::EMPTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_root_is_that_of_all_leaves() {
        let mut edge = Edge::default();
        assert_eq!(edge.root(), Hash::EMPTY);
        let mut leaves = Vec::new();
        let mut tiles = 0;
        for n in 0..70_000_u32 {
            let leaf = Hash::leaf(&n.to_be_bytes());
            leaves.push(leaf);
            edge.push(leaf, &mut |_, _, hashes| {
                assert_eq!(hashes.len(), TILE);
                tiles += 1;
                Ok(())
            })
            .unwrap();
            if n < 600 || n % 7919 == 0 || (65_530..65_540).contains(&n) {
                assert_eq!(edge.root(), root_of(&leaves), "{n}");
                let again = Edge::of(edge.size(), edge.levels().to_vec()).unwrap();
                assert_eq!(again, edge);
            }
        }
        assert_eq!(tiles, 70_000 / 256 + 1);
        assert!(Edge::of(3, vec![vec![Hash::EMPTY; 2]]).is_none());
    }
}
