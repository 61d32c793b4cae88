//! A buffer of fixed length in shared memory that one [`Appender`] fills from front to back while
//! [`Reader`]s look at what is there: over a file, whose bytes outlive the process, or over none.
//!
//! Why `unsafe`: the bytes are shared between threads without a lock. It is sound because a byte is
//! written at most once, before `published` passes it, and read only after. Over a file there is one
//! thing more: that no other process changes or shortens it. The owner of the data directory holds its
//! lock, and the directory is readable by its user only.
#![allow(unsafe_code, reason = "bytes shared between threads; see the module's second paragraph")]

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{MmapMut, MmapOptions, MmapRaw};

struct Shared {
    map: MmapRaw,
    /// Bytes below this are final.
    published: AtomicUsize,
}

/// The only one who writes.
pub(crate) struct Appender(Arc<Shared>);

/// Sees what has been written.
#[derive(Clone)]
pub(crate) struct Reader(Arc<Shared>);

/// Over the first `bytes` of a file, which has so many; the first `written` of them are there already.
pub(crate) fn over(file: &File, bytes: usize, written: usize) -> io::Result<(Appender, Reader)> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if bytes == 0 || length < bytes || written > bytes {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is too short to map"));
    }
    let map = MmapOptions::new().len(bytes).map_raw(file)?;
    Ok(share(map, written))
}

/// In memory only; it is gone with the process.
pub(crate) fn anonymous(bytes: usize) -> io::Result<(Appender, Reader)> {
    Ok(share(MmapRaw::from(MmapMut::map_anon(bytes.max(1))?), 0))
}

fn share(map: MmapRaw, written: usize) -> (Appender, Reader) {
    let shared = Arc::new(Shared { map, published: AtomicUsize::new(written) });
    (Appender(Arc::clone(&shared)), Reader(shared))
}

impl Appender {
    /// How many bytes are there.
    #[inline]
    pub(crate) fn written(&self) -> usize {
        self.0.published.load(Ordering::Relaxed)
    }

    /// How many more fit.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.0.map.len() - self.written()
    }

    /// Appends the parts, one behind the other, and publishes them; false, and nothing is changed, where
    /// they do not fit.
    #[inline]
    #[must_use]
    pub(crate) fn append(&mut self, parts: &[&[u8]]) -> bool {
        let start = self.written();
        let mut room = self.0.map.len() - start;
        for part in parts {
            if part.len() > room {
                return false;
            }
            room -= part.len();
        }
        let mut at = start;
        for part in parts {
            // SAFETY: `at..at + part.len()` is inside the mapping (checked above) and not published, so
            // that nobody reads it; `&mut self` of the only appender means that nobody else writes it.
            unsafe {
                let to = self.0.map.as_mut_ptr().add(at);
                std::ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
            }
            at += part.len();
        }
        self.0.published.store(at, Ordering::Release);
        true
    }
}

impl Reader {
    /// What has been published.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        let published = self.0.published.load(Ordering::Acquire);
        // SAFETY: the mapping is at least so long and lives as long as `self`; published bytes are
        // never written again.
        unsafe { std::slice::from_raw_parts(self.0.map.as_ptr(), published) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_there_and_in_the_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let (mut appender, reader) = over(&file, 4096, 0).unwrap();
        let seen = reader.clone();
        let watcher = std::thread::spawn(move || {
            while seen.bytes().len() < 4000 {
                let bytes = seen.bytes();
                assert!(bytes.iter().enumerate().all(|(at, &b)| usize::from(b) == at % 8));
                std::thread::yield_now();
            }
        });
        for _ in 0..500 {
            assert!(appender.append(&[&[0, 1, 2], &[3, 4, 5, 6, 7]]));
        }
        watcher.join().unwrap();
        assert_eq!(appender.room(), 96);
        assert!(!appender.append(&[&[0; 90], &[0; 7]]));
        assert_eq!(reader.bytes().len(), 4000);
        drop((appender, reader));
        let (_, again) = over(&file, 4096, 4000).unwrap();
        assert_eq!(&again.bytes()[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(over(&file, 8192, 0).is_err());
    }
}
