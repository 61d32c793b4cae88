//! [`Encryptor`]: a keyset that encrypts.

use std::io::{Read, Write};
use std::sync::Arc;

use super::prepared::{FRONT, Form, PreparedKey, Slot};
use super::primitive::chunked::ChunkedKey;
use super::spec::{KeyId, Purpose};
use super::stream::{Opener, Progress, Sealer, open::read_exactly, pump};
use crate::{Code, Error, Result};

/// A keyset of the purpose [`Encrypt`](Purpose::Encrypt). Cheap to clone; follows every rotation; takes no
/// lock.
///
/// A ciphertext is a format byte, the key's number (8 bytes), then a message of [chunked
/// encryption](super::primitive::chunked). It is bound to the keyset's name, its purpose and the caller's
/// context: what it belongs to (a table and row, a file's name), which is not kept in it.
#[derive(Clone)]
pub struct Encryptor(pub(super) Arc<Slot>);

impl Encryptor {
    pub(super) fn new(slot: Arc<Slot>) -> Result<Self> {
        slot.check(Purpose::Encrypt)?;
        Ok(Self(slot))
    }

    /// Encrypts with the active key; 65 bytes longer, and 16 a chunk of 16 KiB.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`] when the keyset was removed.
    pub fn encrypt(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        encrypt(&self.0, context, plain)
    }

    /// Decrypts with the key that encrypted.
    ///
    /// # Errors
    /// [`Code::NOT_AUTHENTIC`] for what was altered or has another context, [`Code::KEY_STATE`] when its key is
    /// destroyed, [`Code::KEY_UNKNOWN`] when the keyset never had it or has forgotten it, [`Code::KEY_FORMAT`].
    pub fn decrypt(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        decrypt(&self.0, context, sealed)
    }

    /// The same under the active key; `None` when it is already.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt).
    pub fn rewrap(&self, context: &[u8], sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        rewrap(&self.0, context, sealed)
    }

    /// The number of the key that encrypted; it need not exist.
    ///
    /// # Errors
    /// [`Code::KEY_FORMAT`] or [`Code::NOT_AUTHENTIC`] for what is no ciphertext of such a keyset.
    pub fn key_of(&self, sealed: &[u8]) -> Result<KeyId> {
        super::prepared::split(self.0.algorithm, sealed).map(|(id, _)| id)
    }

    /// A writer that encrypts what is written to it; [`finish`](Sealer::finish) it.
    ///
    /// # Errors
    /// When the writer fails at once, or as [`encrypt`](Self::encrypt).
    pub fn sealer<W: Write>(&self, context: &[u8], output: W) -> Result<Sealer<W>> {
        let keys = self.0.now();
        let key = keys.active(&self.0.name)?;
        Sealer::new(chunked(key)?, &key.front, &[&key.bound, context], output)
    }

    /// A reader that decrypts what it reads.
    ///
    /// # Errors
    /// When the reader fails at once, or as [`decrypt`](Self::decrypt).
    pub fn opener<R: Read>(&self, context: &[u8], mut input: R) -> Result<Opener<R>> {
        let front = read_exactly::<FRONT>(&mut input)?;
        let keys = self.0.now();
        let (key, _) = keys.maker(&self.0, &front)?;
        Opener::new(chunked(key)?, &[&key.bound, context], input)
    }

    /// Encrypts a stream to its end; answers how many bytes of plain text passed.
    ///
    /// # Errors
    /// [`Code::CANCELLED`] when `progress` breaks: what was written then is refused when it is
    /// decrypted. Otherwise as the reader, the writer or [`encrypt`](Self::encrypt).
    pub fn encrypt_stream(
        &self,
        context: &[u8],
        input: impl Read,
        output: impl Write,
        progress: Progress<'_>,
    ) -> Result<u64> {
        let mut sealer = self.sealer(context, output)?;
        let passed = pump(input, &mut sealer, progress)?;
        sealer.finish()?;
        Ok(passed)
    }

    /// Decrypts a stream to its end; answers how many bytes of plain text passed. What was written before an
    /// error is a true beginning, but not the whole: throw it away.
    ///
    /// # Errors
    /// As [`encrypt_stream`](Self::encrypt_stream) and [`decrypt`](Self::decrypt).
    pub fn decrypt_stream(
        &self,
        context: &[u8],
        input: impl Read,
        mut output: impl Write,
        progress: Progress<'_>,
    ) -> Result<u64> {
        let passed = pump(self.opener(context, input)?, &mut output, progress)?;
        output.flush().map_err(super::stream::from_io)?;
        Ok(passed)
    }
}

impl std::fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Encryptor").field(&self.0.name).finish()
    }
}

pub(super) fn encrypt(slot: &Slot, context: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let keys = slot.now();
    let key = keys.active(&slot.name)?;
    chunked(key)?.seal_behind(&key.front, &[&key.bound, context], plain)
}

pub(super) fn decrypt(slot: &Slot, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    let keys = slot.now();
    let (key, message) = keys.maker(slot, sealed)?;
    chunked(key)?.open(&[&key.bound, context], message)
}

pub(super) fn rewrap(slot: &Slot, context: &[u8], sealed: &[u8]) -> Result<Option<Vec<u8>>> {
    let plain = zeroize::Zeroizing::new(decrypt(slot, context, sealed)?);
    let (id, _) = super::prepared::split(slot.algorithm, sealed)?;
    if slot.now().active(&slot.name)?.id == id {
        return Ok(None);
    }
    encrypt(slot, context, &plain).map(Some)
}

fn chunked(key: &PreparedKey) -> Result<&ChunkedKey> {
    match &key.form {
        Form::Chunked(chunked) => Ok(chunked),
        _ => Err(Error::new(Code::KEY_PURPOSE, "the key does not encrypt").with("key", key.id)),
    }
}
