//! The keys that root tokens are minted with. They do nothing else.

use std::sync::Arc;

use biscuit_auth::builder::Algorithm;
use biscuit_auth::{KeyPair, PrivateKey, PublicKey};

use super::super::keys::derive;
use crate::{Code, Error, Result};

/// Where the keys of root tokens come from; as [`TokenKeys`](super::super::TokenKeys).
pub trait DelegationKeys: Send + Sync + 'static {
    /// The key that mints now.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] when there is none.
    fn current(&self) -> Result<Arc<RootKey>>;

    /// The public key of this number, if its tokens may still be accepted.
    fn verifier(&self, id: u32) -> Option<RootPublicKey>;

    /// A number that changes whenever a key is no longer accepted.
    fn generation(&self) -> u64 {
        0
    }
}

/// Mints root tokens (Ed25519).
pub struct RootKey {
    pub(super) pair: KeyPair,
    pub(super) id: u32,
}

impl RootKey {
    /// The key of this seed; tokens name it by the number.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] when it cannot be made.
    pub fn from_seed(seed: &[u8; 32], id: u32) -> Result<Self> {
        let private = PrivateKey::from_bytes(seed, Algorithm::Ed25519).map_err(|_| unfit())?;
        Ok(Self { pair: KeyPair::from(&private), id })
    }

    /// The number by which tokens name it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The key that verifies what this one mints.
    pub fn public(&self) -> RootPublicKey {
        RootPublicKey(self.pair.public())
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RootKey").field(&self.id).finish()
    }
}

/// Verifies root tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootPublicKey(pub(super) PublicKey);

impl RootPublicKey {
    /// The public key of Ed25519 with these bytes.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] when they are none.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        PublicKey::from_bytes(bytes, Algorithm::Ed25519).map(Self).map_err(|_| unfit())
    }

    /// The public key on P-256 with these bytes (SEC 1, compressed), as other issuers of Biscuits may have.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] when they are none.
    pub fn p256_from_bytes(bytes: &[u8]) -> Result<Self> {
        PublicKey::from_bytes(bytes, Algorithm::Secp256r1).map(Self).map_err(|_| unfit())
    }
}

fn unfit() -> Error {
    Error::new(Code::TOKEN_KEY, "not a key of root tokens").operation("security.delegate.key")
}

/// One key, derived from a seed: for programs without a key store, and for tests. Its purpose is part of
/// the derivation, so that the same seed may serve [`SeedKeys`](super::super::SeedKeys).
#[derive(Debug)]
pub struct RootSeed(Arc<RootKey>);

impl RootSeed {
    /// The key of this seed, which should be random; its number is 0.
    ///
    /// # Errors
    /// [`Code::INTERNAL`] when it cannot be derived.
    pub fn new(seed: &[u8; 32]) -> Result<Self> {
        Ok(Self(Arc::new(RootKey::from_seed(&*derive(seed, b"sutazai biscuit root")?, 0)?)))
    }
}

impl DelegationKeys for RootSeed {
    fn current(&self) -> Result<Arc<RootKey>> {
        Ok(Arc::clone(&self.0))
    }

    fn verifier(&self, id: u32) -> Option<RootPublicKey> {
        (id == self.0.id).then(|| self.0.public())
    }
}
