//! [`Files`] in memory.

use std::collections::BTreeMap;
use std::io;

use parking_lot::Mutex;

use super::{Files, Segment, SegmentFile};
use crate::base::os::append;

/// Files that end with the process. The log that is on it bounds them.
#[derive(Default)]
pub struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Files for Memory {
    fn read(&self, path: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let files = self.0.lock();
        match files.get(path) {
            Some(bytes) if bytes.len() > most => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too long"))
            }
            found => Ok(found.cloned()),
        }
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(path, bytes)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.lock().remove(path);
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let files = self.0.lock();
        let mut names: Vec<String> = files
            .keys()
            .filter_map(|path| match folder {
                "" => Some(path.as_str()),
                _ => path.strip_prefix(folder)?.strip_prefix('/'),
            })
            .map(|rest| rest.split('/').next().unwrap_or(rest).to_owned())
            .collect();
        names.dedup();
        Ok(names)
    }

    fn create_segment(&self, _path: &str, bytes: usize) -> io::Result<Segment> {
        let (appender, reader) = append::anonymous(bytes)?;
        Ok(Segment { appender, file: SegmentFile { reader, file: None } })
    }

    fn open_segment(&self, _path: &str, _written: usize) -> io::Result<Segment> {
        Err(io::Error::new(io::ErrorKind::NotFound, "segments in memory end with the log"))
    }

    fn sync_segment(&self, _segment: &SegmentFile) -> io::Result<()> {
        Ok(())
    }
}
