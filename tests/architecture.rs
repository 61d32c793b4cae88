//! Imports point down only, files stay small, and foreign code panics into one place: held by tests.
//!
//! The analyser reads the sources of `sutazai-core` as rustc would find them (from `lib.rs` along
//! its `mod` items), takes every path out of them, and reports each one that leads up or sideways:
//!
//! ```text
//! src/config/watch.rs:12: config -> agent, sideways: crate::agent::Registry
//! ```
//!
//! What it sees: `use` and `pub use` trees (grouped, nested, renamed, glob), paths in expressions,
//! types, patterns, bounds and attributes, the tokens of macro calls and macro definitions
//! (`$crate::…` too), and strings in attributes that are paths (`#[serde(with = "crate::…")]`).
//! `super::` and `self::` are followed through inline modules, file modules and `#[path]`;
//! `crate::Name` through the re-exports of `lib.rs`. What cannot be followed is reported rather
//! than passed over: an import of the crate root itself, `include!`, `#[macro_use]`, a second name
//! for the crate, a file that no `mod` names.
//!
//! What it does not count: the path of `pub(in …)`, and links in documentation, which may point
//! anywhere. Code under `#[cfg(test)]` follows the same rule as the rest: a test that needs an
//! upper layer belongs into that layer, or into `/tests`.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helper functions too")]

#[path = "architecture/check.rs"]
mod check;
#[path = "architecture/fixtures.rs"]
mod fixtures;
#[path = "architecture/layers.rs"]
mod layers;
#[path = "architecture/modules.rs"]
mod modules;
#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/tokens.rs"]
mod tokens;

use std::collections::BTreeMap;
use std::path::Path;

/// Above this many lines a file says why at its top.
const LONG: usize = 500;
/// How it says so, in a line of its module documentation.
const REASON: &str = "//! Long because: ";

#[test]
fn imports_of_the_core_point_down() {
    let sources = modules::read_sources(&workspace().join("sutazai-core"), "src");
    let report = check::check(&sources);
    assert!(report.violations.is_empty(), "{report}");
    // An analyser that sees nothing finds nothing wrong either.
    assert!(report.edges > sources.len(), "only {} edges seen", report.edges);
}

#[test]
fn long_files_say_why() {
    let mut sources = BTreeMap::new();
    for folder in ["sutazai-core", "sutazai-py", "sutazai-c", "examples", "benches", "tests"] {
        for (path, text) in modules::read_sources(workspace(), folder) {
            sources.insert(path, text);
        }
    }
    let silent = silent_long_files(&sources);
    assert!(silent.is_empty(), "over {LONG} lines without `{REASON}…` at the top: {silent:#?}");
}

#[test]
fn a_long_file_without_a_reason_is_found() {
    let long = "fn f() {}\n".repeat(LONG + 1);
    let excused = format!("//! Subject.\n//!\n{REASON}one table.\n{long}");
    let late = format!("{long}{REASON}too late to be read.\n");
    let sources = [("short.rs", "fn f() {}\n"), ("long.rs", &long), ("ok.rs", &excused)]
        .into_iter()
        .chain([("late.rs", late.as_str())])
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect();
    assert_eq!(silent_long_files(&sources), ["late.rs: 502 lines", "long.rs: 501 lines"]);
}

#[test]
fn foreign_code_panics_into_contain() {
    let sources = modules::read_sources(&workspace().join("sutazai-core"), "src");
    assert_eq!(catching(&sources), ["src/base/contain.rs"], "use base::contain");
}

/// The files whose code, that of tests left out, catches panics itself.
fn catching(sources: &BTreeMap<String, String>) -> Vec<&str> {
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("tests.rs");
    let code = |text: &str| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    sources
        .iter()
        .filter(|(path, text)| !is_test(path) && code(text).contains("catch_unwind"))
        .map(|(path, _)| path.as_str())
        .collect()
}

fn silent_long_files(sources: &BTreeMap<String, String>) -> Vec<String> {
    let says_why = |text: &str| {
        text.lines().take_while(|line| line.starts_with("//!")).any(|l| l.starts_with(REASON))
    };
    sources
        .iter()
        .filter(|(_, text)| text.lines().count() > LONG && !says_why(text))
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect()
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
