//! Authenticated encryption with a nonce that the caller answers for.

use orion::hazardous::aead::xchacha20poly1305 as orion_x;
use ring::aead as ring_aead;

use crate::base::error::Fixed;
use crate::security::keys::Secret;
use crate::security::keys::wipe::Wiped;
use crate::{Code, Error, Result};

/// An authenticated cipher; all take keys of 32 bytes and give tags of 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aead {
    /// AES-256 in Galois/counter mode (NIST SP 800-38D), nonces of 12 bytes.
    Aes256Gcm,
    /// ChaCha20 with Poly1305 (RFC 8439), nonces of 12 bytes.
    ChaCha20Poly1305,
    /// The same with nonces of 24 bytes (draft-irtf-cfrg-xchacha-03).
    XChaCha20Poly1305,
}

impl Aead {
    /// Bytes of a key.
    pub const KEY: usize = 32;
    /// Bytes of a tag.
    pub const TAG: usize = 16;

    /// Bytes of a nonce.
    pub const fn nonce_len(self) -> usize {
        match self {
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 12,
            Self::XChaCha20Poly1305 => 24,
        }
    }

    /// Its name in IANA's registry of AEAD algorithms; the last one is not in it.
    pub const fn iana(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "AEAD_AES_256_GCM",
            Self::ChaCha20Poly1305 => "AEAD_CHACHA20_POLY1305",
            Self::XChaCha20Poly1305 => "AEAD_XCHACHA20_POLY1305",
        }
    }
}

/// A key of an authenticated cipher. Never seal twice with one nonce: it gives away both messages and,
/// with AES-GCM, the means to forge others.
pub struct AeadKey(Form);

#[allow(
    clippy::large_enum_variant,
    reason = "each message has a key of its own: no allocation for it"
)]
enum Form {
    Ring(Wiped<ring_aead::LessSafeKey>),
    Orion(Secret),
}

impl AeadKey {
    /// Prepares a key.
    ///
    /// # Errors
    /// [`Code::INVALID`] for one that has not 32 bytes.
    pub fn new(aead: Aead, key: &[u8]) -> Result<Self> {
        let algorithm = match aead {
            Aead::Aes256Gcm => &ring_aead::AES_256_GCM,
            Aead::ChaCha20Poly1305 => &ring_aead::CHACHA20_POLY1305,
            Aead::XChaCha20Poly1305 => {
                if key.len() != Aead::KEY {
                    return Err(bad_key(key.len()));
                }
                return Ok(Self(Form::Orion(Secret::new(key.to_vec()))));
            }
        };
        let key = ring_aead::UnboundKey::new(algorithm, key).map_err(|_| bad_key(key.len()))?;
        Ok(Self(Form::Ring(Wiped::new(ring_aead::LessSafeKey::new(key)))))
    }

    /// Encrypts in place, and gives the tag.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a nonce of another length, or a message beyond the cipher's bound.
    pub fn seal(&self, nonce: &[u8], aad: &[u8], text: &mut [u8]) -> Result<[u8; Aead::TAG]> {
        match &self.0 {
            Form::Ring(key) => {
                let aad = ring_aead::Aad::from(aad);
                let tag = key
                    .seal_in_place_separate_tag(ring_nonce(nonce)?, aad, text)
                    .map_err(|_| Error::new(Code::INVALID, "the message is too long to seal"))?;
                tag.as_ref()
                    .try_into()
                    .map_err(|_| Error::new(Code::INTERNAL, "a tag of another length"))
            }
            Form::Orion(key) => {
                let (key, nonce) = orion(key, nonce)?;
                let tag = orion_x::XChaCha20Poly1305::seal_inplace(&key, &nonce, Some(aad), text)
                    .map_err(|_| {
                    Error::new(Code::INVALID, "the message is too long to seal")
                })?;
                tag.unprotected_as_ref::<[u8]>()
                    .try_into()
                    .map_err(|_| Error::new(Code::INTERNAL, "a tag of another length"))
            }
        }
    }

    /// Decrypts a text with its tag behind it in place; gives the length of the plain text.
    ///
    /// # Errors
    /// [`Code::NOT_AUTHENTIC`] when it is not what was sealed, without saying in what; the text is
    /// then of no use. [`Code::INVALID`] for a nonce of another length.
    pub fn open(&self, nonce: &[u8], aad: &[u8], text: &mut [u8]) -> Result<usize> {
        match &self.0 {
            Form::Ring(key) => {
                let aad = ring_aead::Aad::from(aad);
                let nonce = ring_nonce(nonce)?;
                key.open_in_place(nonce, aad, text)
                    .map(|text| text.len())
                    .map_err(|_| not_authentic())
            }
            Form::Orion(key) => {
                let (key, nonce) = orion(key, nonce)?;
                let len = text.len().checked_sub(Aead::TAG).ok_or_else(not_authentic)?;
                let (text, tag) = text.split_at_mut(len);
                let tag = orion_x::Tag::try_from(&*tag).map_err(|_| not_authentic())?;
                orion_x::XChaCha20Poly1305::open_inplace(&key, &nonce, &tag, Some(aad), text)
                    .map_err(|_| not_authentic())?;
                Ok(len)
            }
        }
    }
}

fn ring_nonce(nonce: &[u8]) -> Result<ring_aead::Nonce> {
    ring_aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| bad_nonce(nonce.len()))
}

fn orion(key: &Secret, nonce: &[u8]) -> Result<(orion_x::SecretKey, orion_x::Nonce)> {
    let key = orion_x::SecretKey::try_from(key.expose()).map_err(|_| bad_key(key.len()))?;
    Ok((key, orion_x::Nonce::try_from(nonce).map_err(|_| bad_nonce(nonce.len()))?))
}

fn bad_key(bytes: usize) -> Error {
    Error::new(Code::INVALID, "a key of this cipher has 32 bytes").with("bytes", bytes)
}

fn bad_nonce(bytes: usize) -> Error {
    Error::new(Code::INVALID, "the nonce has not the length that the cipher wants")
        .with("bytes", bytes)
}

/// What is refused because it is not what was made; it says no more, and does not allocate.
pub(in crate::security::keys) fn not_authentic() -> Error {
    static NOT_AUTHENTIC: Fixed = Fixed {
        code: Code::NOT_AUTHENTIC,
        message: "it is not authentic: altered, cut short, or made with another key, name, purpose or context",
    };
    Error::from(&NOT_AUTHENTIC)
}
