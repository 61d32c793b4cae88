//! [`Opener`]: opens what it reads.

use std::io::{self, Read};

use zeroize::{Zeroize as _, Zeroizing};

use super::{from_io, to_io};
use crate::Result;
use crate::security::keys::primitive::aead::not_authentic;
use crate::security::keys::primitive::chunked::{CHUNK, ChunkedKey, Chunks, PREFIX, SEALED_CHUNK};

/// A [`Read`] that opens what was sealed. An error of a message that is not authentic is of the kind
/// [`InvalidData`](io::ErrorKind::InvalidData), with ours inside, and comes again each time.
pub struct Opener<R: Read> {
    inner: R,
    chunks: Chunks,
    sealed: Vec<u8>,
    plain: Zeroizing<Vec<u8>>,
    given: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Going,
    Ended,
    Failed,
}

impl<R: Read> Opener<R> {
    /// Begins to open a message whose front, if it has one, was read already.
    pub(in crate::security::keys) fn new(
        key: &ChunkedKey,
        context: &[&[u8]],
        mut inner: R,
    ) -> Result<Self> {
        let prefix = read_exactly::<PREFIX>(&mut inner)?;
        let chunks = key.resume(context, &prefix)?;
        let plain = Zeroizing::new(Vec::with_capacity(SEALED_CHUNK));
        let sealed = vec![0; SEALED_CHUNK];
        Ok(Self { inner, chunks, sealed, plain, given: 0, state: State::Going })
    }

    /// Reads and opens the next chunk.
    fn advance(&mut self) -> io::Result<()> {
        let mut count = 0;
        while let Some(place) = self.sealed.get_mut(count..).filter(|place| !place.is_empty()) {
            match self.inner.read(place) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    // What was read is lost: it does not go on from here.
                    self.state = State::Failed;
                    return Err(e);
                }
            }
        }
        self.plain.zeroize();
        self.given = 0;
        self.state = State::Failed;
        let sealed = self.sealed.get(..count).unwrap_or_default();
        self.chunks.open(sealed, &mut self.plain).map_err(to_io)?;
        self.state = if self.plain.len() < CHUNK { State::Ended } else { State::Going };
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let ready = self.plain.get(self.given..).unwrap_or_default();
            if !ready.is_empty() {
                let count = ready.len().min(out.len());
                out.iter_mut().zip(ready).for_each(|(to, from)| *to = *from);
                self.given += count;
                return Ok(count);
            }
            match self.state {
                State::Going => self.advance()?,
                State::Ended => return Ok(0),
                State::Failed => return Err(to_io(not_authentic())),
            }
        }
    }
}

/// So many bytes; a stream that ends before is not authentic.
pub(in crate::security::keys) fn read_exactly<const N: usize>(
    inner: &mut impl Read,
) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    inner.read_exact(&mut bytes).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => not_authentic(),
        _ => from_io(e),
    })?;
    Ok(bytes)
}
