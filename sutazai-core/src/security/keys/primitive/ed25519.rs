//! Ed25519 signatures (RFC 8032).

use ring::signature::{self, KeyPair as _};

use super::aead::not_authentic;
use crate::security::keys::wipe::Wiped;
use crate::{Code, Error, Result};

/// A key that signs.
pub struct Ed25519(Box<Wiped<signature::Ed25519KeyPair>>);

impl Ed25519 {
    /// Of the 32 bytes that RFC 8032 calls the private key.
    ///
    /// # Errors
    /// [`Code::INVALID`] for another length.
    pub fn from_seed(seed: &[u8]) -> Result<Self> {
        let pair = signature::Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| Error::new(Code::INVALID, "the seed of an Ed25519 key has 32 bytes"))?;
        Ok(Self(Box::new(Wiped::new(pair))))
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        // A public key of this curve has 32 bytes.
        self.0.public_key().as_ref().try_into().unwrap_or_default()
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        // A signature of this curve has 64 bytes.
        self.0.sign(message).as_ref().try_into().unwrap_or([0; 64])
    }
}

/// Whether a signature is that of the message.
///
/// # Errors
/// [`Code::NOT_AUTHENTIC`] when it is not.
pub fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> Result<()> {
    signature::UnparsedPublicKey::new(&signature::ED25519, public)
        .verify(message, signature)
        .map_err(|_| not_authentic())
}
