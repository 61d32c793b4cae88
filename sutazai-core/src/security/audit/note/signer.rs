//! Who signs checkpoints.

use ring::rand::SecureRandom as _;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::VerifierKey;
use crate::{Code, Error, Result};

/// Signs the checkpoints of a log. Called with no lock held.
pub trait CheckpointSigner: Send + Sync + 'static {
    /// The public half, whose name is the log's origin.
    fn key(&self) -> &VerifierKey;

    /// The Ed25519 signature (RFC 8032) of the message.
    ///
    /// # Errors
    /// When the key cannot be used; the records stay in the journal until it can.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64]>;
}

/// A key in memory.
pub struct Ed25519Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

impl Ed25519Signer {
    /// From the seed, the 32 bytes that RFC 8032 calls the private key; `name` is the log's origin, such
    /// as `example.org/audit`.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that a key cannot have.
    pub fn from_seed(name: impl Into<String>, seed: &[u8; 32]) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| Error::new(Code::INVALID, "not an Ed25519 seed"))?;
        Self::new(name.into(), pair)
    }

    /// From a PKCS#8 document (RFC 5208, RFC 5958), with or without the public key in it.
    ///
    /// # Errors
    /// [`Code::INVALID`] when it is none, or for a name that a key cannot have.
    pub fn from_pkcs8(name: impl Into<String>, document: &[u8]) -> Result<Self> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document).map_err(|e| {
            Error::new(Code::INVALID, "not an Ed25519 key in PKCS#8").with("reason", e)
        })?;
        Self::new(name.into(), pair)
    }

    /// A new key that nobody else has: for a log in memory, which ends with the process.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that a key cannot have; [`Code::IO`] when the system gives no random bytes.
    pub fn ephemeral(name: impl Into<String>) -> Result<Self> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        ring::rand::SystemRandom::new()
            .fill(&mut *seed)
            .map_err(|_| Error::new(Code::IO, "the system gives no random bytes"))?;
        Self::from_seed(name, &seed)
    }

    fn new(name: String, pair: Ed25519KeyPair) -> Result<Self> {
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { key: VerifierKey::of_log(name, public)?, pair })
    }

    pub(super) fn pair(&self) -> &Ed25519KeyPair {
        &self.pair
    }
}

impl CheckpointSigner for Ed25519Signer {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        Ok(signature)
    }
}

impl std::fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ed25519Signer").field("key", &self.key).finish_non_exhaustive()
    }
}
