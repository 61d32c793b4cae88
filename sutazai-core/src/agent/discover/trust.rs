//! Whether a file may say what is run: only what nobody else can write to.

use std::path::Path;

use crate::{Code, Error, Result};

/// Whether nobody but this process's user and the superuser can change the file, or put another one in its
/// place. Group access is the administrator's business: many systems give each user a group of their own.
///
/// # Errors
/// [`Code::DENIED`] where somebody else can; [`Code::IO`] when it cannot be looked at.
pub(super) fn trusted(path: &Path) -> Result<()> {
    check(path, "the file")?;
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => check(Path::new("."), "its directory"),
        Some(parent) => check(parent, "its directory"),
        None => Ok(()),
    }
}

/// As [`trusted`], of a directory or a file alone.
#[cfg(unix)]
pub(super) fn check(path: &Path, what: &'static str) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;

    let metadata = std::fs::metadata(path).map_err(|error| super::unreadable(path, error))?;
    let refused = |why: String, advice: &'static str| {
        Err(Error::new(Code::DENIED, why)
            .operation("agent.discover")
            .with("path", path.display())
            .advice(advice))
    };
    if metadata.mode() & 0o002 != 0 {
        return refused(
            format!("{what} can be written by anybody, and what stands there is run"),
            "take that right away: chmod o-w",
        );
    }
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own && metadata.uid() != 0 {
        return refused(
            format!("{what} belongs to another user, and what stands there is run"),
            "let it belong to the user that this program runs as, or to root",
        );
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn check(_: &Path, _: &'static str) -> Result<()> {
    Ok(())
}
