//! Edges between layers: where each path leads, and whether it may.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::layers;
use crate::modules::{self, Module};
use crate::paths::Reference;
use crate::tokens::CRATE;

/// What was found in a crate.
#[derive(Debug)]
pub struct Report {
    /// In the order of files and lines.
    pub violations: Vec<Violation>,
    /// Paths that lead from one place of the crate to another.
    pub edges: usize,
}

/// Something that the architecture does not allow.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl Violation {
    pub fn new(file: &str, line: usize, what: &str) -> Self {
        Self { file: file.to_owned(), line, what: what.to_owned() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} violations:", self.violations.len())?;
        self.violations.iter().try_for_each(|violation| writeln!(f, "{violation}"))
    }
}

/// Checks a crate, given its files by path (`src/lib.rs`, …).
pub fn check(sources: &BTreeMap<String, String>) -> Report {
    let (modules, mut violations) = modules::walk(sources);
    let root = Root::of(&modules, &mut violations);
    let mut edges = 0;
    for module in &modules {
        for (line, what) in &module.contents.opaque {
            violations.push(Violation::new(&module.file, *line, &format!("hides edges: {what}")));
        }
        for reference in &module.contents.references {
            let Some(target) = resolve(&reference.module, &reference.path) else { continue };
            edges += 1;
            if let Some(what) = root.judge(reference, &target) {
                violations.push(Violation::new(&module.file, reference.line, &what));
            }
        }
    }
    violations.sort();
    violations.dedup();
    Report { violations, edges }
}

/// The absolute path, from the crate root; `None` for one that begins with a name in scope.
fn resolve(module: &[String], path: &[String]) -> Option<Vec<String>> {
    let (mut at, mut rest) = match path.first()?.as_str() {
        "crate" | CRATE => (Vec::new(), &path[1..]),
        "self" => (module.to_vec(), &path[1..]),
        "super" => (module.to_vec(), path),
        _ => return None,
    };
    while let [first, tail @ ..] = rest
        && first == "super"
    {
        at.pop();
        rest = tail;
    }
    at.extend_from_slice(rest);
    Some(at)
}

/// Where a name of the crate root comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// A module of the root, and all that is in it.
    Module(String),
    /// Another crate.
    Outside,
}

/// The names of the crate root.
struct Root {
    names: BTreeMap<String, BTreeSet<Origin>>,
}

impl Root {
    fn of(modules: &[Module], violations: &mut Vec<Violation>) -> Self {
        let mut names: BTreeMap<String, BTreeSet<Origin>> = BTreeMap::new();
        let mut add = |name: &str, origin| {
            names.entry(name.to_owned()).or_default().insert(origin);
        };
        let roots = || modules.iter().filter(|module| module.path.is_empty());
        for root in roots() {
            let files = root.contents.files.iter().filter(|f| f.inline.is_empty());
            let inline = root.contents.inline.iter().map(|(name, line)| (name, *line));
            for (name, line) in files.map(|f| (&f.name, f.line)).chain(inline) {
                add(name, Origin::Module(name.clone()));
                if !layers::is_known(name) {
                    let what = format!("`{name}` has no layer: give it one in the table");
                    violations.push(Violation::new(&root.file, line, &what));
                }
            }
        }
        for module in modules {
            for name in &module.contents.macros {
                if let Some(owner) = module.path.first() {
                    add(name, Origin::Module(owner.clone()));
                }
            }
        }
        let mut root = Self { names };
        // A re-export may name another re-export: go on until nothing new comes up.
        let exports: Vec<_> = roots()
            .flat_map(|module| &module.contents.references)
            .filter(|reference| reference.module.is_empty())
            .filter_map(|reference| Some((reference.binds.as_ref()?, reference)))
            .collect();
        let mut before = usize::MAX;
        while before != root.size() {
            before = root.size();
            for (name, reference) in &exports {
                let origins = root.origins_seen_from_root(&reference.path);
                root.names.entry((*name).clone()).or_default().extend(origins);
            }
        }
        root
    }

    fn size(&self) -> usize {
        self.names.values().map(|origins| 1 + origins.len()).sum()
    }

    fn origins_seen_from_root(&self, path: &[String]) -> BTreeSet<Origin> {
        let first = match resolve(&[], path) {
            Some(target) => target.first().cloned(),
            None => path.first().cloned(),
        };
        match first {
            Some(first) => match self.names.get(&first) {
                Some(origins) => origins.clone(),
                None => BTreeSet::from([Origin::Outside]),
            },
            None => BTreeSet::new(),
        }
    }

    /// What is wrong with a path that leads to `target`.
    fn judge(&self, reference: &Reference, target: &[String]) -> Option<String> {
        // The crate root stands above every layer.
        let from = reference.module.first()?;
        let written = reference.path.join("::");
        let Some(name) = target.first().filter(|name| *name != "*") else {
            return Some(format!("{from} -> the crate root, up: {written}"));
        };
        // An unknown module of the root is reported where it is declared.
        let Some(origins) = self.names.get(name) else {
            return Some(format!("{from} -> the crate root, up: {written} is defined there"));
        };
        origins.iter().find_map(|origin| match origin {
            Origin::Module(to) => layers::forbidden(from, to)
                .map(|direction| format!("{from} -> {to}, {direction}: {written}")),
            Origin::Outside => None,
        })
    }
}
