//! The master key in a file that nobody else may read or change.

use std::fs::{File, Metadata};
use std::io::{Read as _, Write as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::{malformed, parse};
use crate::security::keys::Secret;
use crate::{Code, Error, Result};

pub(super) fn read(path: &Path) -> Result<Secret> {
    let failed = |e| unusable(path, e);
    let file = File::open(path).map_err(failed)?;
    // Of what was opened, not of what stands there by now.
    check(path, &file.metadata().map_err(failed)?)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    file.take(1024).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() == 32 {
        return Ok(Secret::new(std::mem::take(&mut *bytes)));
    }
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(parse)
        .ok_or_else(|| malformed("the file").with("path", path.display()))
}

pub(super) fn create(path: &Path) -> Result<Secret> {
    let failed = |e| unusable(path, e);
    let key = Secret::random(32)?;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    check(path, &file.metadata().map_err(failed)?)?;
    let text = key.to_base64();
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(key)
}

#[cfg(unix)]
fn check(path: &Path, metadata: &Metadata) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    if !metadata.is_file() {
        return Err(Error::new(Code::MASTER_KEY, "the master key is to be in a regular file")
            .with("path", path.display()));
    }
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    let us = rustix::process::geteuid().as_raw();
    let problem = if mode & 0o077 != 0 {
        "its group or others may read or change the file of the master key"
    } else if owner != us && owner != 0 {
        "the file of the master key belongs to another user"
    } else {
        return Ok(());
    };
    Err(Error::new(Code::MASTER_KEY_EXPOSED, problem)
        .with("path", path.display())
        .with("mode", format!("{mode:04o}"))
        .with("owner", owner)
        .advice("chown it to the user that runs this and chmod it to 0600; if others have had it, change the master key"))
}

#[cfg(not(unix))]
fn check(path: &Path, _: &Metadata) -> Result<()> {
    Err(Error::new(Code::MASTER_KEY, "who may read a file cannot be checked on this system")
        .with("path", path.display())
        .advice("give a wrapper that asks the platform's keyring"))
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        return Error::new(Code::ALREADY_EXISTS, "there is a file already; it is not overwritten")
            .with("path", path.display());
    }
    Error::new(Code::MASTER_KEY, "the file of the master key cannot be used")
        .with("path", path.display())
        .because(error)
}
