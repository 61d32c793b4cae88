//! The test of the test: small crates with one violation of each kind, and clean ones.

use std::collections::BTreeMap;

use crate::check::check;

/// A crate with these files; `lib.rs` declares its modules.
fn report(files: &[(&str, &str)]) -> Vec<String> {
    let sources: BTreeMap<_, _> =
        files.iter().map(|(path, text)| (format!("src/{path}"), (*text).to_owned())).collect();
    check(&sources).violations.iter().map(ToString::to_string).collect()
}

/// `config/mod.rs` with this text, beside an agent, a kernel, an event bus and a base.
fn config(text: &str) -> Vec<String> {
    report(&[
        (
            "lib.rs",
            "pub mod agent; pub mod base; pub mod config; pub mod event; pub mod kernel;
             pub use base::error::{Error, Result as Outcome};
             pub use kernel::Kernel;
             use std::fmt;",
        ),
        ("agent.rs", "pub struct Agent;"),
        ("base.rs", "pub mod error { pub struct Error; pub struct Result; }"),
        ("config/mod.rs", text),
        ("event.rs", "pub struct Bus;"),
        ("kernel.rs", "pub struct Kernel; #[macro_export] macro_rules! kernel_only { () => {} }"),
    ])
}

#[test]
fn paths_that_lead_down_are_allowed() {
    let clean = "
        use crate::base::error::{self, Error};
        pub use crate::event::Bus;
        use crate::{Error as E, Outcome, fmt};
        use self::inner::Inner;
        use super::base;
        pub(in crate::config) struct Private;
        pub mod inner {
            pub(in super::super::config) use super::Private as Inner;
            use super::super::event::*;
            fn f() { println!(\"crate::agent::Agent {:?}\", crate::event::Bus); }
        }
        /// See [`crate::kernel::Kernel`].
        #[doc = \"crate::kernel\"]
        #[serde(with = \"crate::base::wire\")]
        fn agent(kernel: &str) -> String { kernel.to_owned() }
        macro_rules! m { () => { pub(in crate::kernel) struct X; #[doc = \"crate::agent\"] fn f() {} } }
    ";
    assert_eq!(config(clean), Vec::<String>::new());
}

#[test]
fn each_form_of_import_is_seen() {
    let sideways = |written: &str| format!("config -> agent, sideways: {written}");
    let up = |written: &str| format!("config -> kernel, up: {written}");
    let root = |written: &str| format!("config -> the crate root, up: {written}");
    let cases: &[(&str, String)] = &[
        // `use` trees.
        ("use crate::agent::Agent;", sideways("crate::agent::Agent")),
        ("use crate::agent;", sideways("crate::agent")),
        ("use crate::agent as base;", sideways("crate::agent")),
        ("use crate::agent::*;", sideways("crate::agent::*")),
        ("use crate::{base, agent::Agent};", sideways("crate::agent::Agent")),
        ("use crate::{base::{error}, agent::{self}};", sideways("crate::agent")),
        (
            "use {crate::base, crate::{event, {agent::Agent as A}}};",
            sideways("crate::agent::Agent"),
        ),
        ("pub use crate::agent::Agent;", sideways("crate::agent::Agent")),
        ("use sutazai_core::agent::Agent;", sideways("sutazai_core::agent::Agent")),
        ("use ::sutazai_core::agent::Agent;", sideways("sutazai_core::agent::Agent")),
        ("use crate::r#agent::Agent;", sideways("crate::agent::Agent")),
        ("fn f() { use crate::agent::Agent; }", sideways("crate::agent::Agent")),
        ("const _: () = { use crate::agent::Agent; };", sideways("crate::agent::Agent")),
        // Relative ones.
        ("use super::agent::Agent;", sideways("super::agent::Agent")),
        ("use self::super::agent::Agent;", sideways("self::super::agent::Agent")),
        ("mod a { use super::super::agent; }", sideways("super::super::agent")),
        (
            "mod a { mod b { type T = super::super::super::agent::Agent; } }",
            sideways("super::super::super::agent::Agent"),
        ),
        (
            "#[cfg(test)] mod tests { use super::super::kernel::Kernel; }",
            up("super::super::kernel::Kernel"),
        ),
        // Paths in place.
        ("fn f() { crate::agent::run(); }", sideways("crate::agent::run")),
        ("fn f(a: &crate::agent::Agent) {}", sideways("crate::agent::Agent")),
        ("fn f() -> impl Iterator<Item = crate::agent::Agent> {}", sideways("crate::agent::Agent")),
        ("fn f<T: crate::agent::Runs>() {}", sideways("crate::agent::Runs")),
        ("impl<T> Clone for S<T> where T: super::agent::Runs {}", sideways("super::agent::Runs")),
        ("fn f() { <crate::agent::Agent as Drop>::drop(x) }", sideways("crate::agent::Agent")),
        ("fn f() { Vec::<crate::agent::Agent>::new(); }", sideways("crate::agent::Agent")),
        ("fn f() { match x { crate::agent::Agent => {} } }", sideways("crate::agent::Agent")),
        ("fn f() { if let crate::agent::A { .. } = x {} }", sideways("crate::agent::A")),
        ("impl crate::agent::Runs for S {}", sideways("crate::agent::Runs")),
        ("struct S { a: Option<Box<dyn crate::agent::Runs>> }", sideways("crate::agent::Runs")),
        ("const N: usize = crate::agent::N;", sideways("crate::agent::N")),
        ("type A = [u8; crate::agent::N];", sideways("crate::agent::N")),
        // Attributes.
        ("#[crate::agent::wrap] fn f() {}", sideways("crate::agent::wrap")),
        ("#[derive(Clone, crate::agent::Wrap)] struct S;", sideways("crate::agent::Wrap")),
        (
            "struct S { #[serde(default = \"crate::agent::new\")] a: u8 }",
            sideways("crate::agent::new"),
        ),
        ("#[cfg_attr(test, serde(with = \"super::agent\"))] struct S;", sideways("super::agent")),
        // Macros.
        ("fn f() { assert!(crate::agent::ok(1, 2)); }", sideways("crate::agent::ok")),
        ("fn f() { vec![x, vec![(crate::agent::A)]]; }", sideways("crate::agent::A")),
        ("m! { use crate::{base, agent::{Agent, B}}; }", sideways("crate::agent::Agent")),
        ("m! { use crate::agent::*; }", sideways("crate::agent::*")),
        ("m! { mod a { use super::super::agent; } }", sideways("super::super::agent")),
        ("m! { for x in crate::agent::all() {} }", sideways("crate::agent::all")),
        ("m! { struct S { #[serde(with = \"crate::agent\")] a: u8 } }", sideways("crate::agent")),
        ("macro_rules! m { () => { $crate::agent::run() } }", sideways("crate::agent::run")),
        ("crate::agent::declare! {}", sideways("crate::agent::declare")),
        // The names of the crate root.
        ("use crate::Kernel;", up("crate::Kernel")),
        ("use crate::{Error, Kernel as K};", up("crate::Kernel")),
        ("fn f() { crate::Kernel::start(); }", up("crate::Kernel::start")),
        ("fn f() { crate::kernel_only!(); }", up("crate::kernel_only")),
        ("use crate::VERSION;", root("crate::VERSION is defined there")),
        // The root itself: behind it, everything can be reached without being seen.
        ("use crate::*;", root("crate::*")),
        ("use super::*;", root("super::*")),
        ("use crate as root;", root("crate")),
        ("use super as root;", root("super")),
        ("use crate::{self as root};", root("crate")),
        ("m! { use super as root; }", root("super")),
    ];
    for (text, expected) in cases {
        let found = config(&format!("\n\n{text}"));
        let expected = format!("src/config/mod.rs:3: {expected}");
        assert!(found.contains(&expected), "{text}\nwanted {expected}\nfound  {found:#?}");
    }
}

#[test]
fn what_hides_edges_is_reported() {
    let cases = [
        ("extern crate self as core;", "a second name for the crate: write `crate`"),
        ("include!(\"generated.rs\");", "`include!`: make it a module"),
        ("fn f() { std::include!(\"generated.rs\"); }", "`include!`: make it a module"),
        ("#[macro_use] mod m {}", "`#[macro_use] mod m`: import its macros by path"),
    ];
    for (text, expected) in cases {
        let found = config(text);
        assert_eq!(found, [format!("src/config/mod.rs:1: hides edges: {expected}")], "{text}");
    }
}

#[test]
fn the_table_of_layers_is_what_counts() {
    let modules = "pub mod base; pub mod event; pub mod store; pub mod observe; pub mod port;
                   pub mod kernel; pub mod surface;";
    let with = |from: &str, to: &str| {
        let files: Vec<_> = ["base", "event", "store", "observe", "port", "kernel", "surface"]
            .map(|module| {
                let text = if module == from { format!("use crate::{to};") } else { String::new() };
                (format!("{module}.rs"), text)
            })
            .into();
        let files: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
        report(&[&[("lib.rs", modules)], files.as_slice()].concat())
    };
    for (from, to) in [
        ("surface", "kernel"),
        ("surface", "base"),
        ("kernel", "port"),
        ("port", "event"),
        ("observe", "event"),
        ("store", "event"),
        ("store", "store"),
    ] {
        assert_eq!(with(from, to), Vec::<String>::new(), "{from} -> {to}");
    }
    for (from, to, direction) in [
        ("base", "event", "up"),
        ("event", "port", "up"),
        ("event", "observe", "sideways"),
        ("event", "store", "sideways"),
        ("observe", "store", "sideways"),
        ("store", "observe", "sideways"),
        ("port", "kernel", "up"),
        ("kernel", "surface", "up"),
    ] {
        let expected = format!("src/{from}.rs:1: {from} -> {to}, {direction}: crate::{to}");
        assert_eq!(with(from, to), [expected]);
    }
}

#[test]
fn super_is_followed_through_files() {
    let lib = "pub mod config; pub mod agent;";
    let bad = "use super::super::agent; use super::agent as mine;";
    let file = |path: &'static str, mods: &'static str, owner: &'static str| {
        report(&[("lib.rs", lib), ("agent.rs", ""), (owner, mods), (path, bad)])
    };
    let one =
        |path: &str| vec![format!("src/{path}:1: config -> agent, sideways: super::super::agent")];
    for (path, mods, owner) in [
        ("config/watch.rs", "mod watch;", "config/mod.rs"),
        ("config/watch.rs", "mod watch;", "config.rs"),
        ("config/watch/mod.rs", "mod watch;", "config.rs"),
        ("config/unix/watch.rs", "#[path = \"unix/watch.rs\"] mod watch;", "config/mod.rs"),
        ("other/watch.rs", "#[path = \"../other/watch.rs\"] mod watch;", "config/mod.rs"),
        ("config/linux.rs", "#[cfg_attr(unix, path = \"linux.rs\")] mod watch;", "config/mod.rs"),
    ] {
        assert_eq!(file(path, mods, owner), one(path), "{mods} in {owner}");
    }
    // One inline module more, and `super::super` is the room itself.
    let clean = file("config/os/watch.rs", "mod os { mod watch; }", "config/mod.rs");
    assert_eq!(clean, Vec::<String>::new());
}

#[test]
fn re_exports_of_the_root_are_followed_to_their_layer() {
    let with = |exports: &str, import: &str| {
        let lib = format!("pub mod base; pub mod kernel; pub mod config; {exports}");
        let text = format!("use crate::{import};");
        report(&[("lib.rs", &lib), ("base.rs", ""), ("kernel.rs", ""), ("config.rs", &text)])
    };
    let clean = Vec::<String>::new();
    assert_eq!(with("pub use crate::base::Error as E;", "E"), clean);
    assert_eq!(with("pub use self::base::{a::{Error}};", "Error"), clean);
    assert_eq!(with("use std::sync::Arc;", "Arc"), clean);
    for (exports, import) in [
        ("pub use kernel as top;", "top::Kernel"),
        ("pub use again as Again; pub use kernel::K as again;", "Again"),
        ("pub use {base::Error, kernel::{Kernel as K}};", "K"),
    ] {
        let up = format!("src/config.rs:1: config -> kernel, up: crate::{import}");
        assert_eq!(with(exports, import), [up], "{exports}");
    }
    // A glob re-export says nothing of its names, so none of them can be trusted.
    let unknown = "src/config.rs:1: config -> the crate root, up: crate::K is defined there";
    assert_eq!(with("pub use kernel::*;", "K"), [unknown]);
}

#[test]
fn the_module_tree_itself_is_checked() {
    assert_eq!(
        report(&[("lib.rs", "mod base;\nmod gone;"), ("base.rs", ""), ("lost.rs", "")]),
        [
            "src/lib.rs:2: `gone` has no layer: give it one in the table",
            "src/lib.rs:2: cannot find the file of `mod gone`",
            "src/lost.rs:1: no `mod` item names this file",
        ]
    );
    let broken = report(&[("lib.rs", "mod base;"), ("base.rs", "\nfn {")]);
    assert!(broken[0].starts_with("src/base.rs:2: cannot parse: "), "{broken:?}");
}
