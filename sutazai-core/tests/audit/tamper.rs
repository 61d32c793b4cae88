//! Whatever is done to the files, the verification tool finds it against a checkpoint that was kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sutazai_core::security::audit::{Checkpoint, verify};

use super::{at, fill, key, open};

type Tree = BTreeMap<PathBuf, Vec<u8>>;

fn read(root: &Path) -> Tree {
    let mut all = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                all.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
            }
        }
    }
    all
}

fn write(root: &Path, tree: &Tree) {
    let _ = std::fs::remove_dir_all(root);
    for (path, bytes) in tree {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// A log of so many records with a checkpoint that is kept, and 5 records behind it.
fn made(root: &Path, records: u64) -> (Tree, Checkpoint) {
    let log = open(root);
    fill(&log, "ann", 0, records);
    let kept = log.integrate(at(0)).unwrap();
    fill(&log, "ann", records, 5);
    drop(log);
    let report = verify(root, &key(), Some(&kept)).unwrap();
    assert!(report.is_intact(), "{report:#?}");
    assert_eq!((report.continues, report.journal), (Some(records), 5));
    (read(root), kept)
}

fn is_found(root: &Path, kept: &Checkpoint, what: &str) {
    let report = verify(root, &key(), Some(kept)).unwrap();
    assert!(!report.is_intact(), "not found: {what}");
    assert!(report.findings.iter().all(|f| !f.what.is_empty() && !f.file.is_empty()));
}

/// Flips a bit of every `step`th byte of every file, one at a time.
fn flip(root: &Path, tree: &Tree, kept: &Checkpoint, step: usize) {
    let mut tried = 0;
    for (path, bytes) in tree {
        // Behind its last frame a segment is all zeros: a few of them stand for the rest.
        let used = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        let zeros = (used..bytes.len()).step_by(30_011);
        for at in (0..used).step_by(step).chain(zeros).chain([used - 1, bytes.len() - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(root.join(path), &changed).unwrap();
            is_found(root, kept, &format!("{} byte {at}", path.display()));
            tried += 1;
        }
        std::fs::write(root.join(path), bytes).unwrap();
    }
    println!("{tried} flips in {} files", tree.len());
    assert!(verify(root, &key(), Some(kept)).unwrap().is_intact());
}

#[test]
fn a_flip_of_every_byte_of_every_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("audit");
    let (tree, kept) = made(&root, 8);
    flip(&root, &tree, &kept, 1);
    // A log that has full tiles, where each flip takes a verification of 300 records.
    let root = dir.path().join("larger");
    let (tree, kept) = made(&root, 300);
    flip(&root, &tree, &kept, if std::env::var_os("SUTAZAI_LONG").is_some() { 17 } else { 499 });
}

#[test]
fn deleted_truncated_swapped_and_added_files_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("audit");
    let (tree, kept) = made(&root, 300);
    let paths: Vec<_> = tree.keys().cloned().collect();
    for path in &paths {
        std::fs::remove_file(root.join(path)).unwrap();
        is_found(&root, &kept, &format!("{} deleted", path.display()));
        for length in [0, tree[path].len() / 2, tree[path].len() - 1] {
            std::fs::write(root.join(path), &tree[path][..length]).unwrap();
            is_found(&root, &kept, &format!("{} cut to {length}", path.display()));
        }
        let mut longer = tree[path].clone();
        longer.push(0);
        std::fs::write(root.join(path), &longer).unwrap();
        is_found(&root, &kept, &format!("{} made longer", path.display()));
        std::fs::write(root.join(path), &tree[path]).unwrap();
    }
    for (a, b) in paths.iter().zip(paths.iter().skip(1)) {
        let mut swapped = tree.clone();
        swapped.insert(a.clone(), tree[b].clone());
        swapped.insert(b.clone(), tree[a].clone());
        write(&root, &swapped);
        is_found(&root, &kept, &format!("{} and {} swapped", a.display(), b.display()));
    }
    write(&root, &tree);
    std::fs::write(root.join("tile/extra"), "x").unwrap();
    is_found(&root, &kept, "a file added");
}

/// The records of a bundle.
fn split(bundle: &[u8]) -> Vec<Vec<u8>> {
    let (mut at, mut all) = (0, Vec::new());
    while at < bundle.len() {
        let end = at + 2 + usize::from(u16::from_be_bytes([bundle[at], bundle[at + 1]]));
        all.push(bundle[at..end].to_vec());
        at = end;
    }
    all
}

#[test]
fn deleted_and_reordered_records_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("audit");
    let (tree, kept) = made(&root, 300);
    let path = PathBuf::from("tile/entries/000");
    let records = split(&tree[&path]);
    assert_eq!(records.len(), 256);
    for at in [0, 100, 254] {
        let mut missing = records.clone();
        missing.remove(at);
        std::fs::write(root.join(&path), missing.concat()).unwrap();
        is_found(&root, &kept, "a record deleted");
        let mut swapped = records.clone();
        swapped.swap(at, at + 1);
        std::fs::write(root.join(&path), swapped.concat()).unwrap();
        is_found(&root, &kept, "two records swapped");
        let mut twice = records.clone();
        twice[at] = records[at + 1].clone();
        std::fs::write(root.join(&path), twice.concat()).unwrap();
        is_found(&root, &kept, "a record replaced by another");
    }
}

#[test]
fn an_older_state_and_another_history_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (root, other) = (dir.path().join("audit"), dir.path().join("other"));
    let log = open(&root);
    fill(&log, "ann", 0, 280);
    log.integrate(at(0)).unwrap();
    drop(log);
    let before = read(&root);
    // The same beginning, then two different ends, both signed by the key of the log.
    write(&other, &before);
    let (one, two) = (open(&root), open(&other));
    fill(&one, "ann", 280, 300);
    fill(&two, "eve", 280, 300);
    let kept = one.integrate(at(0)).unwrap();
    two.integrate(at(0)).unwrap();
    // It may have grown since; that changes nothing.
    fill(&two, "eve", 580, 1000);
    two.integrate(at(0)).unwrap();
    drop((one, two));
    assert!(verify(&root, &key(), Some(&kept)).unwrap().is_intact());
    assert!(verify(&other, &key(), None).unwrap().is_intact());
    is_found(&other, &kept, "another history");
    write(&root, &before);
    assert!(verify(&root, &key(), None).unwrap().is_intact());
    is_found(&root, &kept, "an older state");
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    is_found(&empty, &kept, "everything deleted");
}
