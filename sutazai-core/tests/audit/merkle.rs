//! The proofs of corpus/merkle: those to accept are accepted, and the rest is not.

use std::path::{Path, PathBuf};

use sutazai_core::security::audit::{Hash, verify_consistency, verify_inclusion};

fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("SUTAZAI_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        PathBuf::from,
    );
    let path = root.join("merkle");
    if path.is_dir() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "no corpus at {}",
        path.display()
    );
    println!("skipped: no corpus at {}", path.display());
    None
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "json") {
            all.push(path);
        }
    }
    all
}

/// A hash; one of another length than 32 bytes cannot even be written in our interface: `None`.
fn hash(value: &serde_json::Value) -> Option<Hash> {
    value.as_str()?.parse().ok()
}

/// A root. Some cases have a text of another length where the root is only compared with the other one:
/// its digest stands for it, which is equal where the texts are.
fn root(value: &serde_json::Value) -> Option<Hash> {
    hash(value).or_else(|| value.as_str().map(|text| Hash::leaf(text.as_bytes())))
}

fn proof(value: &serde_json::Value) -> Option<Vec<Hash>> {
    match value {
        serde_json::Value::Null => Some(Vec::new()),
        _ => value.as_array()?.iter().map(hash).collect(),
    }
}

#[test]
fn every_proof_of_the_corpus_is_judged_rightly() {
    let Some(corpus) = corpus() else { return };
    let mut counts = [0, 0];
    for (kind, folder) in ["inclusion", "consistency"].into_iter().enumerate() {
        for path in files(&corpus.join(folder)) {
            let case: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let number = |name: &str| case[name].as_u64().unwrap_or(0);
            let holds = || -> Option<bool> {
                let proof = proof(&case["proof"])?;
                let result = if kind == 0 {
                    let (leaf, root) = (hash(&case["leafHash"])?, root(&case["root"])?);
                    verify_inclusion(&leaf, number("leafIdx"), number("treeSize"), &root, &proof)
                } else {
                    let (one, two) = (root(&case["root1"])?, root(&case["root2"])?);
                    verify_consistency(number("size1"), number("size2"), &one, &two, &proof)
                };
                Some(result.is_ok())
            };
            let wanted = !case["wantErr"].as_bool().unwrap();
            assert_eq!(holds().unwrap_or(false), wanted, "{}: {}", path.display(), case["desc"]);
            counts[kind] += 1;
        }
    }
    let skipped = files(&corpus.join("subtreeinclusion")).len()
        + files(&corpus.join("subtreeconsistency")).len();
    println!(
        "inclusion {}, consistency {}; {skipped} subtree proofs skipped: not part of RFC 6962",
        counts[0], counts[1]
    );
    assert!(counts[0] > 0 && counts[1] > 0);
}
