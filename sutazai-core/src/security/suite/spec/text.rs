//! Files that a specification names.

use std::io::Read as _;
use std::path::Path;

use crate::{Code, Error, Result};

/// The longest file that is read.
const LARGEST: u64 = 64 << 20;

/// The text of a file, of at most 64 MiB.
///
/// # Errors
/// [`Code::IO`] with the path.
pub(super) fn read(path: &Path) -> Result<String> {
    let wrong = |what: &'static str| {
        Error::new(Code::IO, what).operation("security.options").with("path", path.display())
    };
    let unreadable = |error: std::io::Error| wrong("the file cannot be read").because(error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LARGEST {
        return Err(wrong("the file is longer than 64 MiB"));
    }
    Ok(text)
}
