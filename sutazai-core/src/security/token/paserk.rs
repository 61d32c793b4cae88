//! PASERK, version 4: keys for PASETO as text (<https://github.com/paseto-standard/paserk>).
//!
//! Of its types the plain ones and the identifiers are offered. The wrapped ones (`local-wrap`, `secret-wrap`,
//! `local-pw`, `secret-pw`, `seal`) are not: [`keys`](super::super::keys) wraps what it keeps.

use blake2::digest::consts::U33;
use blake2::{Blake2b, Digest as _};
use pasetors::keys::{AsymmetricPublicKey, SymmetricKey};
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;
use ring::signature::Ed25519KeyPair;
use zeroize::Zeroizing;

use crate::{Code, Error, Result};

const SECRET: &str = "k4.secret.";
const SECRET_ID: &str = "k4.sid.";

/// A key that was read, and what it is for.
#[non_exhaustive]
pub enum PaserkKey {
    /// `k4.local`: encrypts and decrypts `v4.local` tokens. 32 bytes.
    Local(Zeroizing<[u8; 32]>),
    /// `k4.public`: verifies `v4.public` tokens. 32 bytes.
    Public([u8; 32]),
    /// `k4.secret`: signs `v4.public` tokens. The seed, then the public key: 64 bytes.
    Secret(Zeroizing<[u8; 64]>),
}

impl std::fmt::Debug for PaserkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Local(_) => "PaserkKey::Local(…)",
            Self::Public(_) => "PaserkKey::Public(…)",
            Self::Secret(_) => "PaserkKey::Secret(…)",
        })
    }
}

/// Reads `k4.local.…`, `k4.public.…` or `k4.secret.…`.
///
/// # Errors
/// [`Code::TOKEN_KEY`] for any other type or version, and for a key that is not one.
pub fn parse(text: &str) -> Result<PaserkKey> {
    if text.len() > 256 {
        return Err(unfit());
    }
    if text.starts_with("k4.local.") {
        let key = SymmetricKey::<V4>::try_from(text).map_err(|_| unfit())?;
        Ok(PaserkKey::Local(Zeroizing::new(exactly(key.as_bytes())?)))
    } else if text.starts_with("k4.public.") {
        let key = AsymmetricPublicKey::<V4>::try_from(text).map_err(|_| unfit())?;
        Ok(PaserkKey::Public(exactly(key.as_bytes())?))
    } else if let Some(body) = text.strip_prefix(SECRET) {
        let key = Zeroizing::new(super::text::decode(body).ok_or_else(unfit)?);
        check_pair(&key)?;
        Ok(PaserkKey::Secret(Zeroizing::new(exactly(&key)?)))
    } else {
        Err(unfit().advice("give a key of the form k4.local, k4.public or k4.secret"))
    }
}

/// `k4.local.…` of a key of 32 bytes. Secret.
///
/// # Errors
/// [`Code::TOKEN_KEY`] for another length.
pub fn local(key: &[u8]) -> Result<Zeroizing<String>> {
    text(&SymmetricKey::<V4>::from(key).map_err(|_| unfit())?).map(Zeroizing::new)
}

/// `k4.public.…` of a key of 32 bytes.
///
/// # Errors
/// [`Code::TOKEN_KEY`] for another length.
pub fn public(key: &[u8]) -> Result<String> {
    text(&AsymmetricPublicKey::<V4>::from(key).map_err(|_| unfit())?)
}

/// `k4.secret.…` of a seed and its public key, 64 bytes. Secret.
///
/// # Errors
/// [`Code::TOKEN_KEY`] for another length, and when the two do not belong together.
pub fn secret(key: &[u8]) -> Result<Zeroizing<String>> {
    check_pair(key)?;
    let mut text = Zeroizing::new(String::with_capacity(SECRET.len() + 88));
    text.push_str(SECRET);
    super::text::encode_to(key, &mut text);
    Ok(text)
}

/// Whether a seed and a public key belong together. pasetors would do it as well, but panics on a seed of
/// zeros.
fn check_pair(key: &[u8]) -> Result<()> {
    let (seed, public) = key.split_at_checked(32).ok_or_else(unfit)?;
    Ed25519KeyPair::from_seed_and_public_key(seed, public).map(drop).map_err(|_| unfit())
}

/// `k4.lid.…`: the identifier of a `k4.local` key.
///
/// # Errors
/// As [`local`].
pub fn local_id(key: &[u8]) -> Result<String> {
    text(&Id::from(&SymmetricKey::<V4>::from(key).map_err(|_| unfit())?))
}

/// `k4.pid.…`: the identifier of a `k4.public` key. Tokens name their key by it.
///
/// # Errors
/// As [`public`].
pub fn public_id(key: &[u8]) -> Result<String> {
    text(&Id::from(&AsymmetricPublicKey::<V4>::from(key).map_err(|_| unfit())?))
}

/// `k4.sid.…`: the identifier of a `k4.secret` key.
///
/// # Errors
/// As [`secret`].
pub fn secret_id(key: &[u8]) -> Result<String> {
    // BLAKE2b of 33 bytes over the identifier's header and the key's text (PASERK, "ID").
    let text = secret(key)?;
    let mut hash = Blake2b::<U33>::new();
    hash.update(SECRET_ID);
    hash.update(text.as_bytes());
    let digest = hash.finalize();
    Ok(format!("{SECRET_ID}{}", super::text::encode(&digest[..])))
}

fn text(key: &impl FormatAsPaserk) -> Result<String> {
    let mut text = String::with_capacity(128);
    key.fmt(&mut text).map_err(|_| unfit())?;
    Ok(text)
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| unfit())
}

fn unfit() -> Error {
    Error::new(Code::TOKEN_KEY, "not a PASERK key of version 4, or of another length")
        .operation("security.paserk")
}
