//! ML-DSA-65 signatures (FIPS 204). Experimental: beside an Ed25519 signature, not in its place.

use orion::KP as _;
use orion::hazardous::dsa::mldsa65 as orion_dsa;

use super::aead::not_authentic;
use crate::security::keys::Secret;
use crate::{Code, Error, Result};

/// Bytes of a signature.
pub const SIGNATURE: usize = 3309;

/// A key that signs.
pub struct MlDsa65(Box<orion_dsa::KeyPair>);

impl MlDsa65 {
    /// Of a seed (`ξ`): 32 uniformly random bytes.
    ///
    /// # Errors
    /// [`Code::KEY_FORMAT`] for another length.
    pub fn from_seed(seed: &Secret) -> Result<Self> {
        let wrong = |_| Error::new(Code::KEY_FORMAT, "the seed of an ML-DSA key has 32 bytes");
        let seed = orion_dsa::Seed::try_from(seed.expose()).map_err(wrong)?;
        Ok(Self(Box::new(orion_dsa::KeyPair::new(seed).map_err(wrong)?)))
    }

    /// The public key: 1,952 bytes.
    pub fn public(&self) -> Vec<u8> {
        self.0.public().as_ref().to_vec()
    }

    /// Signs a message with a context of up to 255 bytes (the hedged variant).
    ///
    /// # Errors
    /// [`Code::INVALID`] for a longer context.
    pub fn sign(&self, context: &[u8], message: &[u8]) -> Result<Vec<u8>> {
        self.sign_with(context, message, &Secret::random(32)?)
    }

    /// The same with the randomness given; zeros for the deterministic variant.
    ///
    /// # Errors
    /// As [`sign`](Self::sign), [`Code::KEY_FORMAT`] for randomness that has not 32 bytes.
    pub fn sign_with(&self, context: &[u8], message: &[u8], random: &Secret) -> Result<Vec<u8>> {
        let random = orion_dsa::ExplicitRandom::from(*random.key()?);
        let signature = self
            .0
            .private()
            .sign_with_rnd(message, context, &random)
            .map_err(|_| Error::new(Code::INVALID, "a context has at most 255 bytes"))?;
        Ok(signature.as_ref().to_vec())
    }
}

/// Whether a signature is that of the message in its context.
///
/// # Errors
/// [`Code::NOT_AUTHENTIC`] when it is not.
pub fn verify(public: &[u8], context: &[u8], message: &[u8], signature: &[u8]) -> Result<()> {
    let public = orion_dsa::VerifyingKey::try_from(public).map_err(|_| not_authentic())?;
    let signature = orion_dsa::Signature::try_from(signature).map_err(|_| not_authentic())?;
    public.verify(message, context, &signature).map_err(|_| not_authentic())
}
