//! The files of the crate, along its `mod` items as rustc follows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::check::Violation;
use crate::paths::{self, Contents, OtherFile};

/// A file that is a module of the crate.
#[derive(Debug)]
pub struct Module {
    /// The file, relative to the crate.
    pub file: String,
    /// The module, from the crate root down; empty for `lib.rs`.
    pub path: Vec<String>,
    /// What is in it.
    pub contents: Contents,
}

/// The crate's modules, and what went wrong on the way to them.
pub fn walk(sources: &BTreeMap<String, String>) -> (Vec<Module>, Vec<Violation>) {
    let mut walk =
        Walk { sources, seen: BTreeSet::new(), modules: Vec::new(), violations: Vec::new() };
    walk.file(Path::new("src/lib.rs"), Vec::new(), true);
    for file in sources.keys().filter(|file| !walk.seen.contains(*file)) {
        walk.violations.push(Violation::new(file, 1, "no `mod` item names this file"));
    }
    (walk.modules, walk.violations)
}

/// All Rust sources below `root/folder`, by their path relative to `root`. Build output and
/// fixtures of other languages are no sources.
pub fn read_sources(root: &Path, folder: &str) -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.map(|entry| entry.unwrap()) {
            // Does not follow links, so a loop of them is harmless.
            let kind = entry.file_type().unwrap();
            let path = entry.path();
            if kind.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                sources.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    sources
}

struct Walk<'a> {
    sources: &'a BTreeMap<String, String>,
    seen: BTreeSet<String>,
    modules: Vec<Module>,
    violations: Vec<Violation>,
}

impl Walk<'_> {
    /// `owns_folder`: whether its modules lie beside it (`lib.rs`, `mod.rs`, `#[path]`) or in a
    /// folder of its name.
    fn file(&mut self, file: &Path, module: Vec<String>, owns_folder: bool) {
        let name = file.to_str().unwrap().to_owned();
        let text = &self.sources[&name];
        self.seen.insert(name.clone());
        let parsed = match syn::parse_file(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                let line = error.span().start().line;
                self.violations.push(Violation::new(
                    &name,
                    line,
                    &format!("cannot parse: {error}"),
                ));
                return;
            }
        };
        let contents = paths::contents(&parsed, &module);
        for other in &contents.files {
            self.other(file, &module, owns_folder, other);
        }
        self.modules.push(Module { file: name, path: module, contents });
    }

    fn other(&mut self, from: &Path, module: &[String], owns_folder: bool, other: &OtherFile) {
        let beside = from.parent().unwrap().to_owned();
        let mut folder = if owns_folder { beside.clone() } else { from.with_extension("") };
        folder.extend(&other.inline);
        let mut path: Vec<_> = module.iter().chain(&other.inline).cloned().collect();
        path.push(other.name.clone());

        let mut candidates: Vec<_> = other
            .paths
            .iter()
            .map(|p| if other.inline.is_empty() { &beside } else { &folder }.join(p))
            .map(|p| (tidy(&p), true))
            .collect();
        if candidates.is_empty() {
            candidates.push((folder.join(format!("{}.rs", other.name)), false));
            candidates.push((folder.join(&other.name).join("mod.rs"), true));
        }
        candidates.retain(|(file, _)| self.sources.contains_key(file.to_str().unwrap()));
        if candidates.is_empty() {
            let what = format!("cannot find the file of `mod {}`", other.name);
            self.violations.push(Violation::new(from.to_str().unwrap(), other.line, &what));
        }
        for (file, owns_folder) in candidates {
            self.file(&file, path.clone(), owns_folder);
        }
    }
}

/// Without `.` and `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                tidied.pop();
            }
            other => tidied.push(other),
        }
    }
    tidied
}
