//! X25519 (RFC 7748) with a private key that is kept; ring has it with ephemeral ones only.

use orion::hazardous::ecc::x25519;

use crate::security::keys::Secret;
use crate::{Code, Error, Result};

/// The public key of a private one of 32 bytes.
///
/// # Errors
/// [`Code::KEY_FORMAT`] for another length.
pub fn public(private: &Secret) -> Result<[u8; 32]> {
    let private = x25519::PrivateKey::from(*private.key()?);
    let public = x25519::PublicKey::try_from(&private)
        .map_err(|_| Error::new(Code::INTERNAL, "no public key came of the private one"))?;
    public
        .as_ref()
        .try_into()
        .map_err(|_| Error::new(Code::INTERNAL, "a public key of another length"))
}

/// What both sides get: run it through a KDF with both public keys before it is used as a key.
///
/// # Errors
/// [`Code::KEY_FORMAT`] for a private key of another length than 32 bytes, [`Code::INVALID`] for a public
/// key that is of low order: everybody would know what comes of it (RFC 7748, §6.1).
pub fn agree(private: &Secret, public: &[u8; 32]) -> Result<Secret> {
    let private = x25519::PrivateKey::from(*private.key()?);
    let shared = x25519::key_agreement(&private, &x25519::PublicKey::from(*public))
        .map_err(|_| Error::new(Code::INVALID, "the public key is of low order"))?;
    Ok(Secret::new(shared.unprotected_as_ref::<[u8]>().to_vec()))
}
