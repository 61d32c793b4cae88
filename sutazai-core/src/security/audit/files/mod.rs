//! The file layer below the log: a folder, or memory.

mod disk;
mod memory;

pub use disk::Disk;
pub use memory::Memory;

use std::fs::File;
use std::io;

use crate::base::os::append::{Appender, Reader};

/// What the log needs of a file system. Paths are relative, with `/` between their parts.
///
/// [`Disk`] and [`Memory`] are what it runs on; another implementation stands between to make operations
/// fail, or to kill the process between two of them.
pub trait Files: Send + Sync + 'static {
    /// The whole file; `None` when there is none.
    ///
    /// # Errors
    /// The system's; `InvalidData` when it has more than `most` bytes.
    fn read(&self, path: &str, most: usize) -> io::Result<Option<Vec<u8>>>;

    /// Writes the whole file. Neither all of it nor its name need survive a crash before [`sync`](Self::sync).
    ///
    /// # Errors
    /// The system's.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything durable that was written or removed since the last time.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self) -> io::Result<()>;

    /// Writes the whole file at once: after a crash it is the old one or the new one. Durable.
    ///
    /// # Errors
    /// The system's.
    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// The names in a folder; none when there is no such folder.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// A new segment of the journal: so many zeros, durable, its blocks allocated.
    ///
    /// # Errors
    /// The system's.
    fn create_segment(&self, path: &str, bytes: usize) -> io::Result<Segment>;

    /// A segment that is there, to be continued behind the first `written` bytes; zeros follow them.
    ///
    /// # Errors
    /// The system's.
    fn open_segment(&self, path: &str, written: usize) -> io::Result<Segment>;

    /// Makes durable what was appended to the segment before this call.
    ///
    /// # Errors
    /// The system's.
    fn sync_segment(&self, segment: &SegmentFile) -> io::Result<()>;
}

/// A segment of the journal that is being written.
pub struct Segment {
    pub(super) appender: Appender,
    pub(super) file: SegmentFile,
}

impl Segment {
    /// How long it is as a whole.
    pub(super) fn length(&self) -> u32 {
        u32::try_from(self.appender.written() + self.appender.room()).unwrap_or(u32::MAX)
    }
}

/// A segment of the journal, to read and to sync.
pub struct SegmentFile {
    pub(super) reader: Reader,
    /// `None`: in memory.
    file: Option<File>,
}

impl SegmentFile {
    /// What has been appended so far.
    pub fn bytes(&self) -> &[u8] {
        self.reader.bytes()
    }
}
