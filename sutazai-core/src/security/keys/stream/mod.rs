//! Encryption of what does not fit into memory: a writer that seals what is written to it, and a reader
//! that opens what it reads. Both hold one chunk of 16 KiB, however long the message is.
//!
//! What [`Sealer`] makes is what [`Encryptor::encrypt`](super::Encryptor::encrypt) makes: each opens the
//! other's.
//!
//! A reader gives out each chunk as soon as that chunk is found authentic, so what was read before an error is
//! a true beginning, but not the whole: act on it only when the end was reached.

mod file;
pub(super) mod open;
mod seal;

pub use open::Opener;
pub use seal::Sealer;

use std::io::{Read, Write};
use std::ops::ControlFlow;

use zeroize::Zeroizing;

use super::primitive::chunked::CHUNK;
use crate::{Code, Error, Result};

/// Hears how many bytes of plain text have passed, after each chunk, and says whether to go on.
pub type Progress<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// Copies in chunks until the end or until told to stop; answers how many bytes passed.
pub(super) fn pump(
    mut input: impl Read,
    mut output: impl Write,
    progress: Progress<'_>,
) -> Result<u64> {
    let mut buffer = Zeroizing::new(vec![0; CHUNK]);
    let mut passed = 0;
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => return Ok(passed),
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(from_io(e)),
        };
        output.write_all(buffer.get(..count).unwrap_or_default()).map_err(from_io)?;
        passed += count as u64;
        if progress(passed).is_break() {
            return Err(Error::new(Code::CANCELLED, "the encryption was stopped half way")
                .with("bytes", passed));
        }
    }
}

/// The error inside, if it is one of ours.
pub(super) fn from_io(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(theirs) => {
            Error::new(Code::INVALID, "the stream cannot be read or written").because(theirs)
        }
    }
}

fn to_io(error: Error) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, error)
}
