//! Finds the files: everything below a directory, and what was met that is not a readable file.
//!
//! Symbolic links are never followed, so that nothing outside is read and no loop is walked. FIFOs,
//! sockets and devices are never opened. Left out are version control's own folders (`.git`,
//! `.hg`, `.svn`), `node_modules`, `__pycache__`, and folders that say of themselves that they are
//! caches (<https://bford.info/cachedir/>; cargo's `target` does). Files that git ignores are
//! walked: an ignored `.env` is just where a credential is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{Kind, Subject, probe};

/// What was met on the way, counted, with the first few by name.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Met {
    /// Regular files that were handed to the agents.
    pub files: u64,
    /// Of these, with binary content.
    pub binary: u64,
    /// Of these, too large to be read whole.
    pub huge: u64,
    /// What was not handed to anybody, by reason.
    pub left_out: BTreeMap<&'static str, LeftOut>,
    /// What was not looked at, when the walk was ended early.
    pub unvisited: Option<Unvisited>,
}

/// What a walk that was ended early knew of and did not come to. What stands in the folders, nobody
/// looked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unvisited {
    /// The last file that was handed to the agents.
    pub after: String,
    /// Files of the same folder.
    pub files: u64,
    /// Folders.
    pub folders: u64,
}

/// What was left out for one reason.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct LeftOut {
    /// How often.
    pub count: u64,
    /// The first few.
    pub examples: Vec<String>,
}

const EXAMPLES: usize = 3;
/// Folders nested deeper than this are not entered; the system's own limit on path lengths is near.
const DEEPEST: usize = 1_000;

/// How to walk.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Where to begin.
    pub root: PathBuf,
    /// Whether to enter what is left out otherwise.
    pub all: bool,
    /// Files larger than this are not read, in bytes.
    pub most: u64,
    /// A folder that is never entered: our own state.
    pub except: Option<PathBuf>,
}

impl Walk {
    /// Walks in order of names, until `found` says to stop.
    pub fn run(&self, mut found: impl FnMut(Subject) -> bool) -> Met {
        let mut met = Met::default();
        let mut open = vec![(self.root.clone(), 0)];
        while let Some((directory, depth)) = open.pop() {
            let entries = match self.list(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    met.leave_out("unreadable folder", self.shown(&directory), Some(&error));
                    continue;
                }
            };
            let mut below = Vec::new();
            let mut entries = entries.into_iter();
            while let Some((name, kind)) = entries.next() {
                let path = directory.join(&name);
                let Some(text) = name.to_str() else {
                    met.leave_out("name that is not UTF-8", self.shown(&path), None);
                    continue;
                };
                if kind.is_dir() {
                    if let Some(reason) = self.skipped(&path, text) {
                        met.leave_out(reason, self.shown(&path), None);
                    } else if depth >= DEEPEST {
                        met.leave_out("folder nested too deeply", self.shown(&path), None);
                    } else {
                        below.push((path, depth + 1));
                    }
                } else if text == ".git" && !self.all {
                    // A worktree's or a submodule's: it says where the folder is.
                    met.leave_out("version control's own", self.shown(&path), None);
                } else if !self.file(&path, kind, &mut met, &mut found) {
                    let known = |what: fn(&FileType) -> bool| {
                        entries.as_slice().iter().filter(|(_, kind)| what(kind)).count()
                    };
                    let files = known(FileType::is_file) as u64;
                    let folders = (known(FileType::is_dir) + below.len() + open.len()) as u64;
                    let after = self.shown(&path);
                    // The last file of all may be where it was ended.
                    met.unvisited =
                        (files + folders > 0).then_some(Unvisited { after, files, folders });
                    return met;
                }
            }
            // The last one pushed is entered first.
            open.extend(below.into_iter().rev());
        }
        met
    }

    /// Deals with anything but a folder; false to stop.
    fn file(
        &self,
        path: &Path,
        kind: FileType,
        met: &mut Met,
        found: &mut impl FnMut(Subject) -> bool,
    ) -> bool {
        if !kind.is_file() {
            let reason = if !kind.is_symlink() {
                "FIFO, socket or device"
            } else {
                match std::fs::metadata(path) {
                    Ok(_) => "symbolic link",
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => "dangling link",
                    Err(_) => "link that leads nowhere (a loop)",
                }
            };
            met.leave_out(reason, self.shown(path), None);
            return true;
        }
        let kind = std::fs::symlink_metadata(path)
            .and_then(|metadata| probe(path, metadata.len(), self.most));
        match kind {
            Err(error) => {
                met.leave_out("unreadable file", self.shown(path), Some(&error));
                true
            }
            Ok(kind) => {
                met.files += 1;
                met.binary += u64::from(kind == Kind::Binary);
                met.huge += u64::from(kind == Kind::Huge);
                let shown = Arc::from(self.shown(path));
                found(Subject { path: path.to_owned(), shown, kind })
            }
        }
    }

    fn list(&self, directory: &Path) -> std::io::Result<Vec<(OsString, FileType)>> {
        let mut entries = std::fs::read_dir(directory)?
            .map(|entry| entry.and_then(|e| Ok((e.file_name(), e.file_type()?))))
            .collect::<std::io::Result<Vec<_>>>()?;
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    fn skipped(&self, path: &Path, name: &str) -> Option<&'static str> {
        if self.except.as_deref() == Some(path) {
            return Some("own data directory");
        }
        match name {
            _ if self.all => None,
            ".git" | ".hg" | ".svn" => Some("version control's own"),
            "node_modules" | "__pycache__" => Some("installed or generated"),
            _ if path.join("CACHEDIR.TAG").is_file() => Some("cache (CACHEDIR.TAG)"),
            // The mark of a virtual environment, which PEP 405 defines.
            _ if path.join("pyvenv.cfg").is_file() => Some("installed or generated"),
            _ => None,
        }
    }

    fn shown(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        let text = path.to_string_lossy();
        // A name may hold anything, escape sequences for the terminal among it.
        text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    }
}

impl Met {
    fn leave_out(&mut self, reason: &'static str, what: String, error: Option<&std::io::Error>) {
        let left_out = self.left_out.entry(reason).or_default();
        left_out.count += 1;
        if left_out.examples.len() < EXAMPLES {
            left_out.examples.push(match error {
                Some(error) => format!("{what}: {error}"),
                None => what,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's own files, as a tree that nobody can prepare: some that root cannot read
    /// either, some without end, links that lead in circles.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_cannot_be_read_is_counted_and_named() {
        let walk = Walk { root: "/proc/self".into(), all: false, most: 1 << 20, except: None };
        let met = walk.run(|_| true);
        assert!(met.files > 10, "{met:?}");
        let unreadable = &met.left_out["unreadable file"];
        assert!(unreadable.count > 0 && unreadable.examples.len() <= EXAMPLES);
        assert!(unreadable.examples[0].contains(": "), "{unreadable:?}");
        assert!(met.left_out["symbolic link"].count > 0, "{met:?}");
    }

    #[test]
    fn the_walk_is_in_order_and_ends_when_told() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b/2", "b/1", "a", "c", ".git/config", "cached/x", "env/pyvenv.cfg", "env/x"] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        std::fs::write(directory.path().join("cached/CACHEDIR.TAG"), "Signature: …").unwrap();
        let root = directory.path().to_owned();
        let mut walk = Walk { root, all: false, most: 10, except: None };
        let names = |walk: &Walk, most: usize| {
            let mut names = Vec::new();
            let met = walk.run(|subject| {
                names.push(subject.shown.to_string());
                names.len() < most
            });
            (names, met.unvisited)
        };
        let unvisited = |after: &str, files, folders| {
            Some(Unvisited { after: after.to_owned(), files, folders })
        };
        let all = ["a", "c", "b/1", "b/2"].map(str::to_owned);
        assert_eq!(names(&walk, 9), (all.to_vec(), None));
        assert_eq!(names(&walk, 3), (all[..3].to_vec(), unvisited("b/1", 1, 0)));
        // The folder `b` was met before `c`, `cached` and `env` only when they are asked for their marks.
        assert_eq!(names(&walk, 1), (all[..1].to_vec(), unvisited("a", 1, 3)));
        walk.all = true;
        assert_eq!(names(&walk, 9).0.len(), 9);
    }
}
