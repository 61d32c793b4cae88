//! Files: encrypted and decrypted into another file, which is there as a whole or not at all.

use std::path::Path;

use super::Progress;
use crate::Result;
use crate::security::keys::Encryptor;
use crate::security::whole::{into, read};

impl Encryptor {
    /// Encrypts a file into another; answers how many bytes of plain text passed. `to` is there when this
    /// returns, as a whole, on the disk, and for its owner only; or it is not.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`](crate::Code::ALREADY_EXISTS) when `to` is there and may not be replaced; [`Code::NOT_FOUND`](crate::Code::NOT_FOUND) and
    /// [`Code::IO`](crate::Code::IO) for what cannot be read or
    /// written; as [`encrypt_stream`](Self::encrypt_stream).
    pub fn encrypt_file(
        &self,
        context: &[u8],
        from: &Path,
        to: &Path,
        replace: bool,
        progress: Progress<'_>,
    ) -> Result<u64> {
        let input = read(from)?;
        into(to, replace, |out| self.encrypt_stream(context, input, out, progress))
    }

    /// Decrypts a file into another, with the same promise: nothing of what is not authentic to its end is ever
    /// found under the name `to`.
    ///
    /// # Errors
    /// As [`encrypt_file`](Self::encrypt_file) and [`decrypt`](Self::decrypt).
    pub fn decrypt_file(
        &self,
        context: &[u8],
        from: &Path,
        to: &Path,
        replace: bool,
        progress: Progress<'_>,
    ) -> Result<u64> {
        let input = read(from)?;
        into(to, replace, |out| self.decrypt_stream(context, input, out, progress))
    }
}
