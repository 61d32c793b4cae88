//! Sealing to a public key: HPKE (RFC 9180), base mode, with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
//! ChaCha20-Poly1305.

use orion::hazardous::hpke::{DHKEM_X25519_SHA256_CHACHA20, ModeBase};
use orion::hazardous::kem::x25519_hkdf_sha256::{PrivateKey, PublicKey};

use super::aead::{Aead, not_authentic};
use crate::security::keys::Secret;
use crate::{Code, Error, Result};

/// Bytes of what is in front of the cipher text: the ephemeral public key.
pub const ENCAPSULATED: usize = 32;

/// Seals to the public key: the encapsulated key, then the cipher text.
///
/// # Errors
/// [`Code::INVALID`] for a public key of low order, or a message that is too long.
pub fn seal(public: &[u8; 32], info: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let failed = |_| Error::new(Code::INVALID, "nothing can be sealed to this public key");
    let ephemeral = PrivateKey::from(*Secret::random(32)?.key()?);
    let to = PublicKey::from(*public);
    let (mut sender, encapsulated) =
        ModeBase::<DHKEM_X25519_SHA256_CHACHA20>::new_sender_deterministic(&to, info, ephemeral)
            .map_err(failed)?;
    let mut out = vec![0; ENCAPSULATED + plain.len() + Aead::TAG];
    let (front, rest) = out.split_at_mut(ENCAPSULATED);
    front.copy_from_slice(encapsulated.as_ref());
    sender.seal(plain, &[], rest).map_err(failed)?;
    Ok(out)
}

/// Opens what was sealed to the private key's public one.
///
/// # Errors
/// [`Code::NOT_AUTHENTIC`] when it is not what was sealed, or to another key, or with another `info`.
pub fn open(private: &Secret, info: &[u8], sealed: &[u8]) -> Result<Secret> {
    let (front, rest) = sealed.split_at_checked(ENCAPSULATED).ok_or_else(not_authentic)?;
    let len = rest.len().checked_sub(Aead::TAG).ok_or_else(not_authentic)?;
    let encapsulated = PublicKey::try_from(front).map_err(|_| not_authentic())?;
    let mut plain = Secret::new(vec![0; len]);
    ModeBase::<DHKEM_X25519_SHA256_CHACHA20>::base_open(
        &encapsulated,
        &PrivateKey::from(*private.key()?),
        info,
        rest,
        &[],
        plain.expose_mut(),
    )
    .map_err(|_| not_authentic())?;
    Ok(plain)
}
