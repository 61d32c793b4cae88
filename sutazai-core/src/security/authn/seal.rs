//! Secrets that must be read again are sealed before they are kept.

use zeroize::Zeroizing;

use crate::Result;
use crate::security::keys::Encryptor;

/// Seals small secrets that are kept in the store. A keyset that encrypts is one.
pub trait Sealer: Send + Sync + 'static {
    /// Seals it for this context: it opens for no other.
    ///
    /// # Errors
    /// When there is no key to seal with.
    fn seal(&self, context: &str, secret: &[u8]) -> Result<Vec<u8>>;

    /// Opens what was sealed for this context.
    ///
    /// # Errors
    /// When it was not, was changed since, or its key is gone.
    fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>>;
}

impl Sealer for Encryptor {
    fn seal(&self, context: &str, secret: &[u8]) -> Result<Vec<u8>> {
        self.encrypt(context.as_bytes(), secret)
    }

    fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.decrypt(context.as_bytes(), sealed).map(Zeroizing::new)
    }
}
