//! What the fuzzer kept, and what it began with, run again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

#[test]
fn what_was_kept_is_read_without_a_panic() {
    for (name, run, seeds) in sutazai_fuzz::TARGETS {
        for seed in seeds() {
            run(&seed);
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut ran = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let result = std::panic::catch_unwind(|| run(&bytes));
            assert!(result.is_ok(), "{}", path.display());
            ran += 1;
        }
        assert!(ran > 10, "{}: {ran} files", folder.display());
    }
}

#[test]
fn the_seeds_are_what_they_are_called() {
    let (_, _, seeds) = sutazai_fuzz::TARGETS[0];
    let seeds = seeds();
    let taken = seeds.iter().map(|seed| sutazai_core::security::token::fuzz_token(seed));
    // The signed, the encrypted and both delegated ones.
    assert!(taken.filter(|taken| *taken > 0).count() >= 2);
}
