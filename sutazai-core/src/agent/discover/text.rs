//! Reading the files of sources.

use std::hash::Hasher as _;
use std::io::Read as _;
use std::path::Path;

use super::settle::Mark;
use super::unreadable;
use crate::{Code, Error, Result};

/// Bytes of a file, at most.
const LARGEST: u64 = 1 << 20;

/// The text of a file, and its mark; no text if it changed while it was read.
pub(super) fn read(path: &Path) -> Result<(Option<String>, Mark)> {
    let unreadable = |error| unreadable(path, error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let before = Mark::of(&file.metadata().map_err(unreadable)?);
    let mut bytes = Vec::new();
    (&file).take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::new(Code::INVALID, "the file is longer than 1 MiB")
            .operation("agent.discover")
            .with("path", path.display()));
    }
    let after = Mark::of(&std::fs::metadata(path).map_err(unreadable)?);
    if before != after {
        return Ok((None, after));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::new(Code::INVALID, "the file is not UTF-8 text")
            .operation("agent.discover")
            .with("path", path.display())
    })?;
    Ok((Some(text), after))
}

/// Stands for a text: 64 bits of SipHash and its length.
pub(super) fn digest(text: &str) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(text.as_bytes());
    format!("{:016x}-{}", hasher.finish(), text.len())
}
