//! ML-KEM-768 (FIPS 203). Experimental: take it together with X25519, as [`hpke`](super::hpke) does.

use orion::KP as _;
use orion::hazardous::kem::mlkem768 as orion_kem;

use super::aead::not_authentic;
use crate::security::keys::Secret;
use crate::{Code, Error, Result};

/// A key that others encapsulate to.
pub struct MlKem768(Box<orion_kem::KeyPair>);

impl MlKem768 {
    /// Of a seed (`d ‖ z`): 64 uniformly random bytes.
    ///
    /// # Errors
    /// [`Code::KEY_FORMAT`] for another length.
    pub fn from_seed(seed: &Secret) -> Result<Self> {
        let wrong = |_| Error::new(Code::KEY_FORMAT, "the seed of an ML-KEM key has 64 bytes");
        let seed = orion_kem::Seed::try_from(seed.expose()).map_err(wrong)?;
        Ok(Self(Box::new(orion_kem::KeyPair::new(seed).map_err(wrong)?)))
    }

    /// The encapsulation key: 1,184 bytes.
    pub fn public(&self) -> Vec<u8> {
        self.0.public().as_ref().to_vec()
    }

    /// The shared secret of a cipher text: 32 bytes. One that nobody made for this key gives a secret
    /// that nobody knows.
    ///
    /// # Errors
    /// [`Code::NOT_AUTHENTIC`] for one that has not 1,088 bytes.
    pub fn decapsulate(&self, cipher_text: &[u8]) -> Result<Secret> {
        let cipher_text =
            orion_kem::Ciphertext::try_from(cipher_text).map_err(|_| not_authentic())?;
        let shared = self.0.decap(&cipher_text).map_err(|_| not_authentic())?;
        Ok(Secret::new(shared.unprotected_as_ref::<[u8]>().to_vec()))
    }
}

/// A shared secret, and the cipher text for whoever has the private key.
///
/// # Errors
/// [`Code::INVALID`] for a public key that is none (FIPS 203, §7.2).
pub fn encapsulate(public: &[u8]) -> Result<(Secret, Vec<u8>)> {
    encapsulate_with(public, &Secret::random(32)?)
}

/// The same with the randomness given, which must be fresh and secret: for tests.
///
/// # Errors
/// As [`encapsulate`].
pub fn encapsulate_with(public: &[u8], random: &Secret) -> Result<(Secret, Vec<u8>)> {
    let wrong = |_| Error::new(Code::INVALID, "it is no ML-KEM-768 public key");
    let public = orion_kem::EncapsulationKey::try_from(public).map_err(wrong)?;
    let random = orion_kem::ExplicitRandom::from(*random.key()?);
    let (shared, cipher_text) = public.encap_deterministic(&random).map_err(wrong)?;
    Ok((Secret::new(shared.unprotected_as_ref::<[u8]>().to_vec()), cipher_text.as_ref().to_vec()))
}
