//! Keys of JWTs, each with its one algorithm.

use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use ring::{digest, hmac};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::JwtFault;
use crate::{Code, Error, Result};

/// The algorithms that are accepted (RFC 7518, §3.1; RFC 8037).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[non_exhaustive]
pub enum JwtAlgorithm {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// HMAC with SHA-256: who verifies can sign.
    #[serde(rename = "HS256")]
    Hs256,
}

impl JwtAlgorithm {
    const ALL: [Self; 5] = [Self::EdDsa, Self::Es256, Self::Rs256, Self::Ps256, Self::Hs256];

    /// Its name in headers and keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Hs256 => "HS256",
        }
    }

    /// The algorithm of this name. Names have one spelling, case included.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The hash that belongs to it, as `at_hash` of OpenID Connect takes it.
    pub(in super::super) fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::EdDsa => &digest::SHA512,
            Self::Es256 | Self::Rs256 | Self::Ps256 | Self::Hs256 => &digest::SHA256,
        }
    }
}

/// A key that verifies JWTs with one algorithm.
#[derive(Clone)]
pub struct JwtKey {
    algorithm: JwtAlgorithm,
    kid: Option<String>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    /// Ed25519, or an uncompressed point of P-256.
    Public(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Secret(hmac::Key),
}

impl JwtKey {
    /// A public key of Ed25519.
    pub fn ed25519(public: &[u8; 32]) -> Self {
        Self::new(JwtAlgorithm::EdDsa, Material::Public(public.to_vec()))
    }

    /// A public key on P-256, by its coordinates, big-endian.
    pub fn es256(x: &[u8; 32], y: &[u8; 32]) -> Self {
        let point = [&[4][..], x, y].concat();
        Self::new(JwtAlgorithm::Es256, Material::Public(point))
    }

    /// A public key of RSA, by modulus and exponent, big-endian; 2,048 to 8,192 bits.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] for another size, and for an algorithm that is not RSA's.
    pub fn rsa(algorithm: JwtAlgorithm, n: &[u8], e: &[u8]) -> Result<Self> {
        if !matches!(algorithm, JwtAlgorithm::Rs256 | JwtAlgorithm::Ps256) {
            return Err(unfit("an RSA key is for RS256 or PS256"));
        }
        let strip =
            |bytes: &[u8]| bytes.iter().copied().skip_while(|b| *b == 0).collect::<Vec<_>>();
        let (n, e) = (strip(n), strip(e));
        let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
        if !(2048..=8192).contains(&bits) || e.is_empty() || e.len() > 5 {
            return Err(unfit("an RSA key has 2,048 to 8,192 bits, and an exponent below 2³³"));
        }
        Ok(Self::new(algorithm, Material::Rsa { n, e }))
    }

    /// A shared secret of at least 32 bytes.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] for fewer, and for something that looks like a public key or a certificate: whoever
    /// takes one for a secret lets everybody sign.
    pub fn hs256(secret: &[u8]) -> Result<Self> {
        if secret.len() < 32 {
            return Err(unfit("a secret for HS256 has at least 32 bytes (RFC 7518, §3.2)"));
        }
        let pem = secret.windows(11).any(|part| part == b"-----BEGIN ");
        // A SEQUENCE that holds a SEQUENCE, or an INTEGER: keys and certificates in DER.
        let der = matches!(
            secret,
            [0x30, 0x82, _, _, 0x30 | 0x02, ..] | [0x30, 0x81, _, 0x30 | 0x02, ..]
        ) || matches!(secret, [0x30, length, 0x30, ..] if usize::from(*length) + 2 == secret.len());
        if pem || der {
            return Err(unfit("that is a key pair's, or a certificate, and no secret"));
        }
        Ok(Self::shared(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    pub(super) fn shared(key: hmac::Key) -> Self {
        Self::new(JwtAlgorithm::Hs256, Material::Secret(key))
    }

    fn new(algorithm: JwtAlgorithm, material: Material) -> Self {
        Self { algorithm, kid: None, material }
    }

    /// With a name.
    #[must_use]
    pub fn with_kid(mut self, kid: Option<impl Into<String>>) -> Self {
        self.kid = kid.map(Into::into);
        self
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> JwtAlgorithm {
        self.algorithm
    }

    /// Its name.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), JwtFault> {
        let verified = match (&self.material, self.algorithm) {
            (Material::Public(key), JwtAlgorithm::EdDsa) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(signed, signature)
            }
            (Material::Public(key), JwtAlgorithm::Es256) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, key)
                    .verify(signed, signature)
            }
            (Material::Rsa { n, e }, JwtAlgorithm::Rs256) => RsaPublicKeyComponents { n, e }
                .verify(&signature::RSA_PKCS1_2048_8192_SHA256, signed, signature),
            (Material::Rsa { n, e }, JwtAlgorithm::Ps256) => RsaPublicKeyComponents { n, e }
                .verify(&signature::RSA_PSS_2048_8192_SHA256, signed, signature),
            (Material::Secret(key), JwtAlgorithm::Hs256) => hmac::verify(key, signed, signature),
            _ => return Err(JwtFault::Algorithm),
        };
        verified.map_err(|_| JwtFault::Signature)
    }
}

impl std::fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// A key out of its text form, wiped when it is dropped.
pub(super) type Bytes = Zeroizing<Vec<u8>>;

pub(super) fn unfit(message: &'static str) -> Error {
    Error::new(Code::TOKEN_KEY, message).operation("security.jwt.key")
}
