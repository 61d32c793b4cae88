//! Keys of keys: HKDF (RFC 5869), and PBKDF2 (RFC 8018) for what others have made.

use std::num::NonZeroU32;

use ring::{hkdf, hmac, pbkdf2};

use crate::security::keys::Secret;
use crate::security::keys::wipe::Wiped;
use crate::{Code, Error, Result};

/// A hash function of the SHA-2 family (FIPS 180-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Bytes of a digest.
    pub const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Never: a digest has bytes.
    pub const fn is_empty(self) -> bool {
        false
    }

    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn hkdf(self) -> hkdf::Algorithm {
        match self {
            Self::Sha256 => hkdf::HKDF_SHA256,
            Self::Sha512 => hkdf::HKDF_SHA512,
        }
    }
}

/// A pseudo-random key of HKDF, ready to expand.
pub struct Hkdf(Box<Wiped<hkdf::Prk>>);

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

impl Hkdf {
    /// Extracts one from key material of any kind.
    pub fn extract(hash: Hash, salt: &[u8], material: &[u8]) -> Self {
        Self(Box::new(Wiped::new(hkdf::Salt::new(hash.hkdf(), salt).extract(material))))
    }

    /// A key that is uniformly random already (RFC 5869, §3.3).
    pub fn of_random(hash: Hash, key: &[u8]) -> Self {
        Self(Box::new(Wiped::new(hkdf::Prk::new_less_safe(hash.hkdf(), key))))
    }

    /// Expands into the buffer; the parts of `info` count as one text.
    ///
    /// # Errors
    /// [`Code::INVALID`] for more than 255 times the length of a digest.
    pub fn expand(&self, info: &[&[u8]], out: &mut [u8]) -> Result<()> {
        let len = Len(out.len());
        self.0.expand(info, len).and_then(|okm| okm.fill(out)).map_err(|_| {
            Error::new(Code::INVALID, "HKDF gives at most 255 times its hash")
                .with("bytes", out.len())
        })
    }
}

/// A key of a password, as PBKDF2 with HMAC makes it. For what others have made: new ones take
/// [Argon2id](super::passphrase).
///
/// # Errors
/// [`Code::INVALID`] for no iterations, more than ten million, or a key of other than 1 to 1,024 bytes.
pub fn pbkdf2(
    hash: Hash,
    iterations: u32,
    salt: &[u8],
    password: &[u8],
    len: usize,
) -> Result<Secret> {
    const MOST: u32 = 10_000_000;
    let iterations = NonZeroU32::new(iterations).filter(|n| n.get() <= MOST);
    let (Some(iterations), 1..=1024) = (iterations, len) else {
        return Err(Error::new(
            Code::INVALID,
            "PBKDF2 takes 1 to 10,000,000 iterations and gives 1 to 1,024 bytes",
        ));
    };
    let algorithm = match hash {
        Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
    };
    let mut out = vec![0; len];
    pbkdf2::derive(algorithm, iterations, salt, password, &mut out);
    Ok(Secret::new(out))
}
