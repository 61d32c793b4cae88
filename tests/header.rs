//! `include/sutazai.h` is what cbindgen writes of `sutazai-c/src`. With `BLESS=1` it is rewritten.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sutazai_core::Code;

/// The sections, in the order that a reader wants them in.
const SECTIONS: [&str; 24] = [
    "version",
    "error",
    "buffer",
    "text",
    "kernel",
    "call",
    "ticket",
    "agent",
    "factory",
    "task",
    "reply",
    "event",
    "component",
    "inject",
    "saga",
    "guard",
    "within",
    "playbook",
    "failsafe",
    "checkpointed",
    "worker",
    "auth",
    "monitor",
    "log",
];

#[test]
fn the_header_is_up_to_date() {
    let path = root().join("include/sutazai.h");
    let fresh = header();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((number, (old, new))) =
        (1..).zip(committed.lines().zip(fresh.lines())).find(|(_, (old, new))| old != new)
    {
        panic!(
            "include/sutazai.h:{number} is stale: it says\n  {old}\nbut should say\n  {new}\n\
             run: BLESS=1 cargo test --test header"
        );
    }
    assert_eq!(
        committed, fresh,
        "include/sutazai.h is stale; run: BLESS=1 cargo test --test header"
    );
}

#[test]
fn every_export_is_in_the_header() {
    let header = header();
    let mut exports = 0;
    for entry in std::fs::read_dir(root().join("sutazai-c/src")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // What the feature `uniffi` adds has no header.
            continue;
        }
        let source = std::fs::read_to_string(path).unwrap();
        for (_, rest) in source
            .match_indices("extern \"C\" fn sutazai_")
            .map(|(i, m)| (i, &source[i + m.len()..]))
        {
            let name = rest.split('(').next().unwrap();
            assert!(header.contains(&format!("sutazai_{name}(")), "sutazai_{name} is not there");
            exports += 1;
        }
    }
    assert!(exports > 40, "only {exports} exports were found");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn header() -> String {
    let crate_dir = root().join("sutazai-c");
    let mut config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    let includes = config.after_includes.take().unwrap_or_default();
    config.after_includes = Some(format!("{includes}\n{}", codes()));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for section in SECTIONS {
        let path = crate_dir.join(format!("src/{section}.rs"));
        assert!(path.exists(), "{} is gone", path.display());
        builder = builder.with_src(path);
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    // Rust's headings, in words that a C reader knows.
    String::from_utf8(text)
        .unwrap()
        .replace(" * # Safety\n", " * Pointers:\n")
        .replace(" * # Errors\n", " * Errors:\n")
}

/// One constant for each error code.
fn codes() -> String {
    let mut text = String::from(
        "/* Error codes. Numbers never change their meaning. Hosts' own have the top bit set. */\n",
    );
    for code in Code::all() {
        let name = code.name().to_uppercase().replace('.', "_");
        writeln!(text, "\n/** {} ({}) */", code.doc(), code.class()).unwrap();
        writeln!(text, "#define SUTAZAI_{name} {}", code.number()).unwrap();
    }
    text
}
