//! Files that are there as a whole or not at all.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::{Code, Error, Result};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner alone.
    #[cfg_attr(not(feature = "security"), allow(dead_code, reason = "secrets are that room's"))]
    Owner,
    /// As of any file: those whom the process's mask leaves; of one that is replaced, those who could before.
    #[cfg_attr(not(feature = "plot"), allow(dead_code, reason = "pictures are of that feature"))]
    Usual,
}

/// Has a file written under a name that nobody knows, and gives it its own when all of it is on the disk.
pub(crate) fn into(
    to: &Path,
    readers: Readers,
    replace: bool,
    write: impl FnOnce(&File) -> Result<u64>,
) -> Result<u64> {
    let failed = |e| unusable(to, e);
    let there = fs::symlink_metadata(to).ok();
    match &there {
        // A device or a folder is not there to be replaced.
        Some(there) if !there.is_file() => return Err(no_file(to, there)),
        Some(_) if !replace => return Err(exists(to)),
        _ => {}
    }
    let part = beside(to)?;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(
        &mut options,
        if readers == Readers::Owner { 0o600 } else { 0o666 },
    );
    let mut file = options.open(&part).map_err(failed)?;
    let written = write(&file).and_then(|passed| {
        if let (Some(there), Readers::Usual) = (there, readers) {
            file.set_permissions(there.permissions()).map_err(failed)?;
        }
        file.flush().and_then(|()| file.sync_all()).map_err(failed)?;
        publish(&part, to, replace)?;
        Ok(passed)
    });
    if written.is_err() {
        // What is left of it is of no use to anybody; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&part);
    }
    written
}

/// Gives a file its name. Without `replace`, also whoever has just taken the name keeps it.
fn publish(part: &Path, to: &Path, replace: bool) -> Result<()> {
    let failed = |e| unusable(to, e);
    if replace {
        fs::rename(part, to).map_err(failed)?;
    } else {
        match fs::hard_link(part, to) {
            Ok(()) => drop(fs::remove_file(part)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Err(exists(to)),
            // A file system without links.
            Err(_) => renamed(part, to)?,
        }
    }
    #[cfg(unix)]
    File::open(folder(to)).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(())
}

/// Gives a file its name, unless somebody has it.
fn renamed(part: &Path, to: &Path) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, part, CWD, to, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => Err(exists(to)),
            renamed => renamed.map_err(|e| unusable(to, e.into())),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        if fs::symlink_metadata(to).is_ok() {
            return Err(exists(to));
        }
        fs::rename(part, to).map_err(|e| unusable(to, e))
    }
}

/// That a path does not lead into a directory, however it is spelled.
pub(crate) fn outside(directory: &Path, path: &Path) -> Result<()> {
    let Ok(directory) = fs::canonicalize(directory) else { return Ok(()) };
    // What is there by its own true name; what is to be made by its folder's.
    let there = fs::canonicalize(path).or_else(|_| fs::canonicalize(folder(path)));
    let inside =
        there.is_ok_and(|there| there.starts_with(&directory) || is_linked(&there, &directory));
    match inside {
        false => Ok(()),
        true => Err(Error::new(Code::DENIED, "the path leads into the data directory")
            .with("path", path.display())
            .advice("what is kept there is the kernel's own: give a path elsewhere")),
    }
}

/// Whether it is another name of a file in the directory.
#[cfg(unix)]
fn is_linked(path: &Path, directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    /// Folders below it that are looked into, at most: as deep as tiles lie.
    const DEPTH: usize = 8;
    fn finds(folder: &Path, wanted: (u64, u64), depth: usize) -> bool {
        let Ok(entries) = fs::read_dir(folder) else { return false };
        entries.flatten().any(|entry| {
            let Ok(there) = entry.metadata() else { return false };
            (there.dev(), there.ino()) == wanted
                || (there.is_dir() && depth > 0 && finds(&entry.path(), wanted, depth - 1))
        })
    }
    let Ok(there) = fs::metadata(path) else { return false };
    there.is_file() && there.nlink() > 1 && finds(directory, (there.dev(), there.ino()), DEPTH)
}

#[cfg(not(unix))]
fn is_linked(_path: &Path, _directory: &Path) -> bool {
    false
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name of its own in the same folder.
fn beside(to: &Path) -> Result<PathBuf> {
    use std::hash::{BuildHasher as _, Hasher as _};
    let Some(name) = to.file_name() else {
        return Err(Error::new(Code::INVALID, "this names no file").with("path", to.display()));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    // Seeded by the system for each process, and another one each time.
    let random = std::hash::RandomState::new().build_hasher().finish();
    let random = format!(".{random:016x}");
    hidden.push(random);
    hidden.push(".part");
    Ok(folder(to).join(hidden))
}

fn exists(to: &Path) -> Error {
    Error::new(Code::ALREADY_EXISTS, "there is a file already; it is not replaced")
        .with("path", to.display())
        .advice("give another path, or say that it may be replaced")
}

/// That what is there is nothing that a file could replace.
fn no_file(to: &Path, there: &fs::Metadata) -> Error {
    let (what, advice) = match there.file_type() {
        kind if kind.is_dir() => {
            ("there is a folder of this name, and it is not replaced", "name a file in it")
        }
        kind if kind.is_symlink() => (
            "there is a link of this name, and it is not replaced",
            "give the path of the file that it leads to",
        ),
        _ => ("there is something of this name that is no file", "give another path"),
    };
    Error::new(Code::ALREADY_EXISTS, what).with("path", to.display()).advice(advice)
}

pub(crate) fn unusable(path: &Path, error: std::io::Error) -> Error {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => Code::NOT_FOUND,
        _ => Code::IO,
    };
    Error::new(code, "the file cannot be read or written")
        .with("path", path.display())
        .because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_leaves_nothing_and_what_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("a");
        let text = |file: &File, text: &str| {
            let mut file = file;
            file.write_all(text.as_bytes()).unwrap();
            Ok(3)
        };
        let failed = into(&to, Readers::Owner, false, |file| {
            text(file, "half")?;
            Err(Error::new(Code::CANCELLED, "stopped"))
        });
        assert_eq!(failed.unwrap_err().code(), Code::CANCELLED);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        into(&to, Readers::Owner, false, |file| text(file, "one")).unwrap();
        let refused = into(&to, Readers::Owner, false, |_| Ok(0)).unwrap_err();
        assert_eq!(refused.code(), Code::ALREADY_EXISTS);
        // Somebody who takes the name meanwhile keeps it.
        let late = dir.path().join("b");
        let refused = into(&late, Readers::Owner, false, |_| {
            fs::write(&late, "theirs").unwrap();
            Ok(0)
        });
        assert_eq!(refused.unwrap_err().code(), Code::ALREADY_EXISTS);
        assert_eq!(fs::read_to_string(&late).unwrap(), "theirs");
        into(&to, Readers::Owner, true, |file| text(file, "two")).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        let refused = into(dir.path(), Readers::Owner, true, |_| Ok(0)).unwrap_err();
        assert_eq!(refused.code(), Code::ALREADY_EXISTS);
        let said = format!("{refused:#}");
        assert!(said.contains("folder") && said.contains("name a file in it"), "{said}");
    }

    #[test]
    #[cfg(unix)]
    fn who_may_read_a_file_is_as_of_any_other_or_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let mode =
            |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        // What the mask of this process leaves.
        fs::write(dir.path().join("any"), "").unwrap();
        let write = |name: &str, readers, replace| {
            into(&dir.path().join(name), readers, replace, |_| Ok(0)).unwrap();
        };
        write("secret", Readers::Owner, false);
        write("picture", Readers::Usual, false);
        assert_eq!((mode("secret"), mode("picture")), (0o600, mode("any")));
        // Who replaces a file shows it to nobody else.
        fs::set_permissions(dir.path().join("picture"), fs::Permissions::from_mode(0o640)).unwrap();
        write("picture", Readers::Usual, true);
        write("secret", Readers::Owner, true);
        assert_eq!((mode("secret"), mode("picture")), (0o600, 0o640));
        std::os::unix::fs::symlink(dir.path().join("any"), dir.path().join("link")).unwrap();
        let refused = into(&dir.path().join("link"), Readers::Usual, true, |_| Ok(0)).unwrap_err();
        assert!(format!("{refused:#}").contains("a link"), "{refused:#}");
    }

    #[test]
    #[cfg(unix)]
    fn another_name_of_a_file_in_the_directory_is_inside() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(own.path().join("audit/tile")).unwrap();
        let (key, tile) = (own.path().join("master.key"), own.path().join("audit/tile/000"));
        for file in [&key, &tile] {
            fs::write(file, "secret").unwrap();
            assert!(outside(own.path(), file).is_err());
            let linked = other.path().join(file.file_name().unwrap());
            fs::hard_link(file, &linked).unwrap();
            assert_eq!(outside(own.path(), &linked).unwrap_err().code(), Code::DENIED);
        }
        let (free, twice) = (other.path().join("free"), other.path().join("twice"));
        fs::write(&free, "mine").unwrap();
        fs::hard_link(&free, &twice).unwrap();
        outside(own.path(), &free).unwrap();
        outside(own.path(), &other.path().join("to come")).unwrap();
    }
}
