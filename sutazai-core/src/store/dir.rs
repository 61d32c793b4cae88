//! [`DataDir`]: the one folder that a kernel's state lives in, and the lock that makes it the only
//! owner.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::os::lock::{LockFile, Owner, Refused};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// A data directory that this handle's holder owns. Clones share the ownership; it ends when the
/// last one is dropped, or with the process.
#[derive(Clone)]
pub struct DataDir(Arc<Inner>);

struct Inner {
    path: PathBuf,
    lock: LockFile,
}

impl DataDir {
    /// Opens the directory at `path`, creating it (readable by its owner only) when it is not
    /// there, and takes its lock. Never waits.
    ///
    /// # Errors
    /// - [`Code::STORE_LOCKED`] when another kernel has it, in this process or another; names the
    ///   process.
    /// - [`Code::STORE_READ_ONLY`] when it cannot be created or written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        // The same folder wherever the process goes.
        let path = path.as_ref();
        let absolute = std::path::absolute(path).map_err(|e| unusable(path, e))?;
        let path = &*absolute;
        create(path).map_err(|e| unusable(path, e))?;
        let lock =
            LockFile::acquire(&path.join("lock"), Timestamp::now()).map_err(|e| match e {
                Refused::Held(owner) => held(path, owner),
                Refused::Io(error) => unusable(path, error),
            })?;
        mark(path);
        Ok(Self(Arc::new(Inner { path: path.to_owned(), lock })))
    }

    /// The directory: an absolute path, not looked up further.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Where the database stands: `state.db`.
    pub fn database(&self) -> PathBuf {
        self.0.path.join("state.db")
    }

    /// Where the logs stand: `logs/`.
    pub fn logs(&self) -> PathBuf {
        self.0.path.join("logs")
    }

    /// Ends the ownership, whoever still holds a handle: nothing below it is touched any more.
    pub fn release(&self) {
        self.0.lock.release();
    }

    /// Whether this is a process that was forked from the owner's: it must leave the files alone.
    pub fn is_forked(&self) -> bool {
        self.0.lock.pid() != std::process::id()
    }
}

impl fmt::Debug for DataDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DataDir").field(&self.0.path).finish()
    }
}

/// Says to git that this folder is nobody's source. Only a courtesy: a directory without the mark works as well. It is no
/// cache: backups are to have it.
fn mark(path: &Path) {
    let mark = path.join(".gitignore");
    if !mark.exists() {
        let _ = std::fs::write(mark, "*\n");
    }
}

fn create(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn held(path: &Path, owner: Owner) -> Error {
    let who = match (owner.this_process, owner.pid) {
        (true, _) => "another kernel in this process".to_owned(),
        (false, Some(pid)) => format!("a kernel in process {pid}"),
        (false, None) => "another kernel".to_owned(),
    };
    let mut error =
        Error::new(Code::STORE_LOCKED, format!("the data directory is in use by {who}"))
            .operation("store.open")
            .with("path", path.display())
            .with("this_process", owner.this_process);
    if let Some(pid) = owner.pid {
        error = error.with("pid", pid);
    }
    if let Some(since) = owner.since {
        error = error.with("since", since);
    }
    error.advice("stop that kernel, or give this one a data directory of its own")
}

fn unusable(path: &Path, error: io::Error) -> Error {
    let advice = match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file stands where a directory is needed; choose another path"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space on the disk",
        _ => "make the directory writable for this user, or choose another data directory",
    };
    Error::new(Code::STORE_READ_ONLY, "the data directory cannot be created or written")
        .operation("store.open")
        .with("path", path.display())
        .because(error)
        .advice(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_kernel_in_this_process_is_refused_until_the_last_handle_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/data");
        let first = DataDir::open(&path).unwrap();
        let clone = first.clone();
        drop(first);
        let error = DataDir::open(&path).unwrap_err();
        assert_eq!(error.code(), Code::STORE_LOCKED);
        assert!(error.message().contains("this process"), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("pid={}", std::process::id())), "{text}");
        assert!(text.contains(&path.display().to_string()), "{text}");
        drop(clone);
        let third = DataDir::open(&path).unwrap();
        third.release();
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_told_with_path_and_advice() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = DataDir::open(&path).unwrap_err();
            assert_eq!(error.code(), Code::STORE_READ_ONLY);
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            assert!(error.remedy().unwrap().contains("choose another"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_directory_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path().join("d")).unwrap();
        let mode = std::fs::metadata(data.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        // Git leaves it out, and backups do not.
        assert!(data.path().join(".gitignore").exists());
        assert!(!data.path().join("CACHEDIR.TAG").exists());
        assert!(data.path().is_absolute());
    }
}
