//! Proofs: that a record is in a tree, and that a tree is the beginning of another.
//!
//! Made as RFC 6962, sections 2.1.1 and 2.1.2, define them; checked with the algorithms of RFC 9162,
//! sections 2.1.3.2 and 2.1.4.2, which need neither recursion nor memory.

use super::{Hash, split};
use crate::{Code, Error, Result};

/// The root of the full subtree of 2^`level` records that begins with record `index`·2^`level`.
pub type Node<'a> = &'a mut dyn FnMut(u8, u64) -> Result<Hash>;

/// The proof that record `index` is in the tree of `size` records, deepest hash first.
///
/// # Errors
/// [`Code::INVALID`] when there is no such record; `node`'s own.
pub fn prove_inclusion(index: u64, size: u64, node: Node<'_>) -> Result<Vec<Hash>> {
    if index >= size {
        return Err(Error::new(Code::INVALID, "the tree has no such record")
            .operation("audit.prove")
            .with("index", index)
            .with("size", size));
    }
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push((middle, high));
            high = middle;
        } else {
            path.push((low, middle));
            low = middle;
        }
    }
    path.into_iter().rev().map(|(low, high)| subtree(low, high, node)).collect()
}

/// The proof that the tree of `old` records is the beginning of that of `new`.
///
/// # Errors
/// [`Code::INVALID`] unless `old` ≤ `new`; `node`'s own.
pub fn prove_consistency(old: u64, new: u64, node: Node<'_>) -> Result<Vec<Hash>> {
    if old > new {
        return Err(Error::new(Code::INVALID, "the older tree is larger than the newer one")
            .operation("audit.prove")
            .with("old", old)
            .with("new", new));
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut low, mut high) = (0, new);
    let mut path = Vec::new();
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            path.push((middle, high));
            high = middle;
        } else {
            path.push((low, middle));
            low = middle;
        }
    }
    // Where this subtree is the whole older tree, whoever checks has its root.
    if low > 0 {
        path.push((low, high));
    }
    path.into_iter().rev().map(|(low, high)| subtree(low, high, node)).collect()
}

/// The root over records `low` to `high`, where `low` is a multiple of a power of two at least as large
/// as the rest.
fn subtree(low: u64, high: u64, node: Node<'_>) -> Result<Hash> {
    let mut parts = Vec::new();
    let mut at = low;
    while at < high {
        let level = 63 - (high - at).leading_zeros();
        parts.push(node(level as u8, at >> level)?);
        at += 1 << level;
    }
    let mut parts = parts.into_iter().rev();
    let last = parts.next().unwrap_or(Hash::EMPTY);
    Ok(parts.fold(last, |right, left| Hash::node(&left, &right)))
}

/// Checks that the record with the hash `leaf` has this index in the tree of `size` records with this
/// root (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// [`Code::AUDIT_PROOF`] when the proof does not hold.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<()> {
    if index >= size {
        return Err(refused("inclusion", "the tree has no record of this index"));
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return Err(refused("inclusion", "it is longer than the tree is high"));
        }
        if at & 1 == 1 || at == last {
            hash = Hash::node(step, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(&hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(refused("inclusion", "it is shorter than the tree is high"));
    }
    if hash != *root {
        return Err(refused("inclusion", "it leads to another root"));
    }
    Ok(())
}

/// Checks that the tree of `old` records with one root is the beginning of that of `new` records with
/// the other (RFC 9162, section 2.1.4.2). An empty tree is the beginning of every one.
///
/// # Errors
/// [`Code::AUDIT_PROOF`] when the proof does not hold.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<()> {
    if old > new {
        return Err(refused("consistency", "the older tree is larger than the newer one"));
    }
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(refused("consistency", "there is nothing to prove, but it is not empty"));
        }
        if old == 0 && *old_root != Hash::EMPTY {
            return Err(refused(
                "consistency",
                "the root of the older tree is not that of an empty one",
            ));
        }
        if old == new && old_root != new_root {
            return Err(refused("consistency", "the roots differ"));
        }
        return Ok(());
    }
    let mut steps = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let Some(first) = first else { return Err(refused("consistency", "it is empty")) };
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut older, mut newer) = (*first, *first);
    for step in steps {
        if last == 0 {
            return Err(refused("consistency", "it is longer than the tree is high"));
        }
        if at & 1 == 1 || at == last {
            older = Hash::node(step, &older);
            newer = Hash::node(step, &newer);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            newer = Hash::node(&newer, step);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(refused("consistency", "it is shorter than the tree is high"));
    }
    if older != *old_root || newer != *new_root {
        return Err(refused("consistency", "it leads to another root"));
    }
    Ok(())
}

fn refused(what: &'static str, why: &'static str) -> Error {
    Error::new(Code::AUDIT_PROOF, format!("the proof of {what} does not hold: {why}"))
        .operation("audit.verify")
        .advice("do not trust the record or the log it came from")
}

#[cfg(test)]
mod tests {
    use super::super::root_of;
    use super::*;

    struct All(Vec<tlog_tiles::Hash>);

    impl tlog_tiles::HashReader for All {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
            Ok(indexes.iter().map(|&at| self.0[at as usize]).collect())
        }
    }

    /// Every proof in every tree of up to 70 records: as the crate tlog_tiles (after the Go checksum
    /// database) makes it, accepted by both, and refused when a hash is changed.
    #[test]
    fn proofs_are_those_of_another_implementation() {
        let leaves: Vec<Hash> = (0..70_u8).map(|n| Hash::leaf(&[n])).collect();
        let mut theirs = All(Vec::new());
        for n in 0..leaves.len() as u64 {
            let more = tlog_tiles::stored_hashes(n, &[n as u8], &theirs).unwrap();
            theirs.0.extend(more);
        }
        let mut node = |level: u8, index: u64| {
            let from = (index << level) as usize;
            Ok(root_of(&leaves[from..from + (1 << level)]))
        };
        let plain =
            |hashes: &[tlog_tiles::Hash]| hashes.iter().map(|h| Hash(h.0)).collect::<Vec<_>>();
        for size in 1..=leaves.len() as u64 {
            let root = root_of(&leaves[..size as usize]);
            assert_eq!(root.0, tlog_tiles::tree_hash(size, &theirs).unwrap().0);
            for index in 0..size {
                let ours = prove_inclusion(index, size, &mut node).unwrap();
                assert_eq!(ours, plain(&tlog_tiles::prove_record(size, index, &theirs).unwrap()));
                let leaf = &leaves[index as usize];
                verify_inclusion(leaf, index, size, &root, &ours).unwrap();
                for at in 0..ours.len() {
                    let mut bad = ours.clone();
                    bad[at].0[31] ^= 1;
                    assert!(verify_inclusion(leaf, index, size, &root, &bad).is_err());
                }
            }
            for old in 1..=size {
                let ours = prove_consistency(old, size, &mut node).unwrap();
                assert_eq!(ours, plain(&tlog_tiles::prove_tree(size, old, &theirs).unwrap()));
                let before = root_of(&leaves[..old as usize]);
                verify_consistency(old, size, &before, &root, &ours).unwrap();
                assert!(
                    verify_consistency(old, size, &root, &before, &ours).is_err() || old == size
                );
            }
        }
    }
}
