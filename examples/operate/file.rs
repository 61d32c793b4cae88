//! One file as input: what it is, and its content as far as it is read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sutazai_core::port::Task;
use sutazai_core::{Code, Error, Result};

/// A regular file that the walk found and that could be opened.
#[derive(Debug)]
pub struct Subject {
    /// Where it is.
    pub path: PathBuf,
    /// Where it is, from the root of the walk, for people.
    pub shown: Arc<str>,
    /// What is in it.
    pub kind: Kind,
}

/// What is in a file, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No NUL byte at the beginning, and not too large to be read.
    Text,
    /// A NUL byte within the first 8 KiB.
    Binary,
    /// Larger than is read.
    Huge,
}

const PROBE: u64 = 8 << 10;

/// Opens the file and looks at its beginning.
pub fn probe(path: &Path, size: u64, most: u64) -> io::Result<Kind> {
    let mut head = Vec::new();
    File::open(path)?.take(PROBE).read_to_end(&mut head)?;
    if size > most {
        return Ok(Kind::Huge);
    }
    Ok(if head.contains(&0) { Kind::Binary } else { Kind::Text })
}

/// The task of `skill` for this file. The path is UTF-8: the walk lets no other pass.
pub fn task(skill: &Arc<str>, subject: &Subject) -> Task {
    let path = subject.path.to_string_lossy();
    Task::new(Arc::clone(skill), serde_json::json!({ "path": path }))
}

/// The path that a task names.
pub fn path_of(task: &Task) -> Result<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Input {
        path: PathBuf,
    }
    task.input().to::<Input>().map(|input| input.path)
}

/// The content, at most `most` bytes of it.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error: io::Error| {
        Error::new(Code::IO, "cannot read the file").with("path", path.display()).because(error)
    })
}
