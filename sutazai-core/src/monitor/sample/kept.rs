//! Files of the kernel's that are kept open and read again and again from their beginning.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// Bytes that one of them has, at most: what comes after is not looked at.
const MOST: usize = 1 << 20;

/// A file that is read from its beginning each time.
pub(super) struct Kept {
    path: PathBuf,
    file: Option<File>,
}

impl Kept {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), file: None }
    }

    /// Opens it anew when it is read the next time.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// What it has now, in `buffer`, which only grows: clearing it would touch more memory than reading does. A descriptor that answers no more is opened anew: the device, the interface or the
    /// mount is another one.
    pub(super) fn read<'a>(&mut self, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        let again = self.file.as_ref().and_then(|file| fill(file, buffer).ok());
        let length = match again {
            Some(length) => length,
            None => {
                self.file = None;
                let file = File::open(&self.path)?;
                let length = fill(&file, buffer)?;
                self.file = Some(file);
                length
            }
        };
        Ok(buffer.get(..length).unwrap_or_default())
    }
}

/// Reads it from the beginning; answers with how many bytes there were.
fn fill(file: &File, buffer: &mut Vec<u8>) -> io::Result<usize> {
    if buffer.len() < 4096 {
        buffer.resize(4096, 0);
    }
    let mut at = 0;
    loop {
        let room = buffer.get_mut(at..).unwrap_or_default();
        if room.is_empty() {
            if at >= MOST {
                break;
            }
            buffer.resize((at * 2).min(MOST), 0);
            continue;
        }
        match file.read_at(room, at as u64) {
            Ok(0) => break,
            Ok(n) => at += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_anew_each_time_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut kept = Kept::new(&path);
        let mut buffer = Vec::new();
        assert!(kept.read(&mut buffer).is_err());
        let long = vec![b'x'; 20_000];
        std::fs::write(&path, &long).unwrap();
        assert_eq!(kept.read(&mut buffer).unwrap(), long);
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(kept.read(&mut buffer).unwrap(), b"short");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(kept.read(&mut buffer).unwrap(), b"");
        let huge = vec![b'y'; MOST + 10];
        std::fs::write(&path, &huge).unwrap();
        assert_eq!(kept.read(&mut buffer).unwrap().len(), MOST);
    }
}
