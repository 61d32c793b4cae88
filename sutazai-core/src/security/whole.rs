//! Files of the host's: written as a whole or not at all, and read where they are files.

use std::fs::{self, File};
use std::path::Path;

use crate::base::whole::{self, Readers};
pub(super) use crate::base::whole::{outside, unusable};
use crate::{Code, Error, Result};

/// As [`whole::into`], for its owner alone.
pub(super) fn into(
    to: &Path,
    replace: bool,
    write: impl FnOnce(&File) -> Result<u64>,
) -> Result<u64> {
    whole::into(to, Readers::Owner, replace, write)
}

/// Opens a file to be read: a file, and no pipe or device, which may have no end.
pub(super) fn read(from: &Path) -> Result<File> {
    let failed = |e| unusable(from, e);
    let is_file = |found: fs::Metadata| found.is_file();
    // Looked at before it is opened, which for a pipe waits for somebody who writes.
    if !fs::metadata(from).map(is_file).map_err(failed)? {
        return Err(no_file(from));
    }
    let file = File::open(from).map_err(failed)?;
    match file.metadata().map(is_file).map_err(failed)? {
        true => Ok(file),
        false => Err(no_file(from)),
    }
}

fn no_file(path: &Path) -> Error {
    Error::new(Code::INVALID, "only files are read and written here").with("path", path.display())
}
