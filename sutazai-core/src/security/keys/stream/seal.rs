//! [`Sealer`]: seals what is written to it.

use std::io::{self, Write};

use zeroize::{Zeroize as _, Zeroizing};

use super::{from_io, to_io};
use crate::Result;
use crate::security::keys::primitive::chunked::{CHUNK, ChunkedKey, Chunks, SEALED_CHUNK};

/// A [`Write`] that seals. It **must** be [finished](Self::finish): a message without its end is refused
/// when it is opened.
pub struct Sealer<W: Write> {
    inner: W,
    chunks: Chunks,
    /// Less than a chunk of plain text.
    plain: Zeroizing<Vec<u8>>,
    sealed: Vec<u8>,
    /// After a failure nothing is written any more: what got through is not known.
    failed: bool,
}

impl<W: Write> Sealer<W> {
    /// Begins a message with something in front of it. Writes the beginning at once.
    pub(in crate::security::keys) fn new(
        key: &ChunkedKey,
        front: &[u8],
        context: &[&[u8]],
        mut inner: W,
    ) -> Result<Self> {
        let (prefix, chunks) = key.begin(context)?;
        inner.write_all(front).and_then(|()| inner.write_all(&prefix)).map_err(from_io)?;
        let plain = Zeroizing::new(Vec::with_capacity(CHUNK));
        Ok(Self { inner, chunks, plain, sealed: Vec::with_capacity(SEALED_CHUNK), failed: false })
    }

    /// Writes the end, and gives the writer back, flushed.
    ///
    /// # Errors
    /// When the writer fails, or has failed.
    pub fn finish(mut self) -> Result<W> {
        self.emit().and_then(|()| self.inner.flush()).map_err(from_io)?;
        Ok(self.inner)
    }

    fn emit(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("the stream has failed before"));
        }
        self.failed = true;
        self.sealed.clear();
        self.chunks.seal(&self.plain, &mut self.sealed).map_err(to_io)?;
        self.plain.zeroize();
        self.inner.write_all(&self.sealed)?;
        self.failed = false;
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK - self.plain.len());
        self.plain.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.plain.len() == CHUNK {
            self.emit()?;
        }
        Ok(count)
    }

    /// Flushes what is sealed; what does not fill a chunk waits on.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
