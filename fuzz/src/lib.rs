//! What a fuzzer gives bytes to: everything of the core that reads bytes from outside, by subject. Each
//! subject has `run`, which must end without a panic whatever the bytes are, and `seeds` to begin with.
//!
//! `fuzz/run TARGET SECONDS` lets libFuzzer look for bytes that do not; what it kept is in `corpus/`, and is
//! run again by the tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a fuzzer finds what panics")]

pub mod audit;
pub mod policy;
pub mod token;

/// A subject: its name, what is run, and what to begin with.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// Writes the seeds into the folder that `SUTAZAI_FUZZ_SEEDS` names, where it is set: a program that is
/// instrumented has the fuzzer's `main`, and can do it on the way only.
pub fn seeds_if_asked(seeds: fn() -> Vec<Vec<u8>>) {
    static ASKED: std::sync::Once = std::sync::Once::new();
    ASKED.call_once(|| {
        let Some(folder) = std::env::var_os("SUTAZAI_FUZZ_SEEDS") else { return };
        for (at, seed) in seeds().iter().enumerate() {
            let path = std::path::Path::new(&folder).join(format!("seed-{at:02}"));
            std::fs::write(path, seed).unwrap();
        }
    });
}

/// All of them.
pub const TARGETS: [Target; 3] = [
    ("token", token::run, token::seeds),
    ("policy", policy::run, policy::seeds),
    ("audit", audit::run, audit::seeds),
];
