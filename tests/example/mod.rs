//! The examples of this package as programs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the example is, built here, because cargo does not tell a test where examples are.
///
/// `SUTAZAI_BUILD` has the arguments that chose what cargo built with this test: with others it builds every
/// dependency again.
pub fn built(name: &str) -> PathBuf {
    let profile = std::env::current_exe().unwrap();
    let profile = profile.parent().and_then(Path::parent).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", name, "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    cargo.args(std::env::var("SUTAZAI_BUILD").unwrap_or_default().split_whitespace());
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success());
    profile.join("examples").join(name)
}
