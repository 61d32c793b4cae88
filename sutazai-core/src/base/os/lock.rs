//! [`LockFile`]: an advisory lock that says who holds it.
//!
//! The lock is the kernel's (`flock` on Unix, through [`std::fs::File::try_lock`]), so it ends with
//! its holder whatever way the holder ends: a crash leaves a file behind, never a lock. The text in
//! the file is for the message only and decides nothing. The lock belongs to the open file, not to
//! the process, so a second taker in the same process is refused as well; a forked child shares it
//! until the child closes its copy or starts another program. The folder of the file is locked with it, where the system
//! has that: so a folder has one such file, and whoever deletes the file takes nothing from its holder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::time::Timestamp;

/// A lock that is held until this value is dropped.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    /// The folder that the file stands in, where that could be locked.
    folder: Option<File>,
    path: PathBuf,
    pid: u32,
    released: AtomicBool,
}

/// Who holds a lock, as far as the file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process, when the file names one.
    pub pid: Option<u32>,
    /// When it took the lock.
    pub since: Option<Timestamp>,
    /// Whether it is the process that asks.
    pub this_process: bool,
}

impl Owner {
    /// Somebody, of whom nothing is told.
    const UNKNOWN: Self = Self { pid: None, since: None, this_process: false };
}

/// Why a lock was not taken.
#[derive(Debug)]
pub enum Refused {
    /// Another holder has it.
    Held(Owner),
    /// The file could not be created, opened, written or locked.
    Io(io::Error),
}

impl LockFile {
    /// Takes the lock at `path`, creating the file if need be; never waits. `now` is written into
    /// the file as the time of taking it.
    ///
    /// # Errors
    /// [`Refused::Held`] when it is taken, [`Refused::Io`] for everything else.
    pub fn acquire(path: &Path, now: Timestamp) -> Result<Self, Refused> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Refused::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Refused::Held(read_owner(&mut file)));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(Refused::Io(error)),
        }
        // Whoever deletes the file makes room for another one, but not for another folder.
        let folder = lock_folder(path)?;
        let pid = std::process::id();
        write_owner(&mut file, pid, now).map_err(Refused::Io)?;
        Ok(Self { file, folder, path: path.to_owned(), pid, released: AtomicBool::new(false) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the lock back early; dropping does the same. A forked child gives nothing back.
    pub fn release(&self) {
        // A forked child shares the open file: unlocking or emptying it there would take the lock
        // from the parent. Closing the child's copy does not. And once given back, the file may be
        // the next owner's.
        if self.pid == std::process::id() && !self.released.swap(true, Ordering::AcqRel) {
            // Best effort: what the file says decides nothing, and closing it unlocks as well.
            let _ = self.file.set_len(0);
            let _ = self.file.unlock();
            if let Some(folder) = &self.folder {
                let _ = folder.unlock();
            }
        }
    }

    /// The process that took the lock.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        self.release();
    }
}

/// Locks the folder of a file; nothing, where folders have no locks (some network file systems).
#[cfg(unix)]
fn lock_folder(path: &Path) -> Result<Option<File>, Refused> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(Refused::Io)?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(std::fs::TryLockError::WouldBlock) => Err(Refused::Held(Owner::UNKNOWN)),
        Err(std::fs::TryLockError::Error(_)) => Ok(None),
    }
}

#[cfg(not(unix))]
fn lock_folder(_path: &Path) -> Result<Option<File>, Refused> {
    Ok(None)
}

/// Tells this process from another one with the same number (in another container, say).
fn process_mark() -> i64 {
    static MARK: OnceLock<i64> = OnceLock::new();
    *MARK.get_or_init(|| Timestamp::now().as_nanos())
}

fn write_owner(file: &mut File, pid: u32, now: Timestamp) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(format!("pid={pid}\nsince={now}\nmark={}\n", process_mark()).as_bytes())
}

fn read_owner(file: &mut File) -> Owner {
    let mut text = String::new();
    // More than `write_owner` ever writes, so that a foreign file cannot fill the memory.
    const LONGEST: u64 = 256;
    if Read::by_ref(file).take(LONGEST).read_to_string(&mut text).is_err() {
        text.clear();
    }
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, v)| v)
    };
    let pid = field("pid").and_then(|v| v.parse().ok());
    let mark = field("mark").and_then(|v| v.parse().ok());
    Owner {
        pid,
        since: field("since").and_then(|v| v.parse().ok()),
        this_process: pid == Some(std::process::id()) && mark == Some(process_mark()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(result: Result<LockFile, Refused>) -> Owner {
        match result {
            Err(Refused::Held(owner)) => owner,
            other => panic!("expected the lock to be held, got {other:?}"),
        }
    }

    #[test]
    fn a_second_taker_learns_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let now = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let first = LockFile::acquire(&path, now).unwrap();
        let owner = held(LockFile::acquire(&path, now));
        assert_eq!(
            owner,
            Owner { pid: Some(std::process::id()), since: Some(now), this_process: true }
        );
        first.release();
        let second = LockFile::acquire(&path, now).unwrap();
        drop(first);
        held(LockFile::acquire(&path, now));
        drop(second);
        assert!(LockFile::acquire(&path, now).is_ok());
    }

    #[test]
    fn what_a_crashed_holder_left_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, "pid=1\nsince=2020-01-01T00:00:00Z\nmark=5\n").unwrap();
        let lock = LockFile::acquire(&path, Timestamp::EPOCH).unwrap();
        assert!(std::fs::read_to_string(lock.path()).unwrap().starts_with("pid="));
    }

    #[test]
    fn a_text_that_names_nobody_is_an_unknown_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = LockFile::acquire(&path, Timestamp::EPOCH).unwrap();
        std::fs::write(&path, b"\xff\xfe not ours").unwrap();
        let owner = held(LockFile::acquire(&path, Timestamp::EPOCH));
        assert_eq!(owner, Owner { pid: None, since: None, this_process: false });
        drop(first);
    }

    #[cfg(unix)]
    #[test]
    fn a_deleted_file_is_no_way_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = LockFile::acquire(&path, Timestamp::EPOCH).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(held(LockFile::acquire(&path, Timestamp::EPOCH)), Owner::UNKNOWN);
        first.release();
        LockFile::acquire(&path, Timestamp::EPOCH).unwrap();
    }

    #[test]
    fn a_missing_folder_is_an_io_error() {
        let dir = tempfile::tempdir().unwrap();
        let refused = LockFile::acquire(&dir.path().join("no/lock"), Timestamp::EPOCH);
        assert!(matches!(refused, Err(Refused::Io(_))));
    }
}
