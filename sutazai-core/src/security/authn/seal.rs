//! Secrets that must be read again are sealed before they are kept.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::{Code, Error, Result};

/// Seals small secrets that are kept in the store.
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

/// Seals under one key that the host supplies: AES-256-GCM (NIST SP 800-38D) with a random nonce, good
/// for 2³² secrets. For keys that rotate, take a keyset.
pub struct MasterSealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl MasterSealer {
    /// Under these 32 bytes.
    ///
    /// # Errors
    /// None that is known; the key's length is right by its type.
    pub fn new(key: &[u8; 32]) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| broken())?;
        Ok(Self { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }
}

impl Sealer for MasterSealer {
    fn seal(&self, context: &str, secret: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| broken())?;
        let mut out = Vec::with_capacity(NONCE_LEN + secret.len() + AES_256_GCM.tag_len());
        out.extend_from_slice(secret);
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce_used, Aad::from(context.as_bytes()), &mut out)
            .map_err(|_| broken())?;
        out.splice(0..0, nonce);
        Ok(out)
    }

    fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or_else(not_ours)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| not_ours())?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let length = self
            .key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut plain)
            .map_err(|_| not_ours())?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

impl std::fmt::Debug for MasterSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterSealer").finish_non_exhaustive()
    }
}

fn broken() -> Error {
    Error::new(Code::INTERNAL, "the cryptographic library refused to work")
}

fn not_ours() -> Error {
    Error::new(Code::SEAL_BROKEN, "a sealed secret does not open")
        .advice("it was changed, belongs to something else, or was sealed under another key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_for_its_context_and_unchanged_only() {
        let sealer = MasterSealer::new(&[7; 32]).unwrap();
        let sealed = sealer.seal("totp:ann", b"secret").unwrap();
        assert_eq!(*sealer.open("totp:ann", &sealed).unwrap(), b"secret");
        assert_eq!(sealer.open("totp:bob", &sealed).unwrap_err().code(), Code::SEAL_BROKEN);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer.open("totp:ann", &changed).is_err(), "byte {at}");
            assert!(sealer.open("totp:ann", &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_ne!(sealed, sealer.seal("totp:ann", b"secret").unwrap(), "nonces differ");
    }
}
