//! PASETO, version 4: the framing of `v4.public`, and `v4.local` through pasetors
//! (<https://github.com/paseto-standard/paseto-spec>).
//!
//! `v4.public` is Ed25519 over the pre-authentication encoding, signed by ring and verified by ed25519-dalek,
//! which reads a key once and not for each token. The algorithm follows from the type of the key, and the header
//! must be that algorithm's: a token cannot choose.

use pasetors::token::{Local, UntrustedToken};
use pasetors::version4::{LocalToken, V4};

use super::keys::{LocalKey, SigningKey, VerifyingKey};
use super::{MAX_TOKEN, fault, text};
use crate::{Code, Error, Result};

/// What signed tokens begin with.
pub const PUBLIC: &str = "v4.public.";
/// What encrypted tokens begin with.
pub const LOCAL: &str = "v4.local.";

/// What a token said, once it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The message; claims as JSON, mostly.
    pub message: Vec<u8>,
    /// The footer, authenticated but not encrypted; empty when there is none.
    pub footer: Vec<u8>,
}

/// Signs a message as a `v4.public` token. `implicit` is authenticated but not part of the token: whoever
/// verifies must know it.
///
/// ```
/// use sutazai_core::security::token::{SigningKey, paseto};
/// let key = SigningKey::from_seed(&[1; 32])?;
/// let token = paseto::sign(&key, b"{}", b"", b"")?;
/// assert_eq!(paseto::verify(key.verifying(), &token, b"")?.message, b"{}");
/// # Ok::<(), sutazai_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::INVALID`] for an empty message, or one whose token would be longer than [`MAX_TOKEN`].
pub fn sign(key: &SigningKey, message: &[u8], footer: &[u8], implicit: &[u8]) -> Result<String> {
    fits(message, footer)?;
    let mut signed = pae(&[PUBLIC.as_bytes(), message, footer, implicit]);
    let signature = key.sign(&signed);
    signed.clear();
    signed.extend_from_slice(message);
    signed.extend_from_slice(&signature);
    let mut token = String::with_capacity(PUBLIC.len() + (signed.len() + footer.len()) * 4 / 3 + 8);
    token.push_str(PUBLIC);
    text::encode_to(&signed, &mut token);
    if !footer.is_empty() {
        token.push('.');
        text::encode_to(footer, &mut token);
    }
    Ok(token)
}

/// Verifies a `v4.public` token.
///
/// # Errors
/// [`Code::TOKEN_MALFORMED`] for anything else, [`Code::TOKEN_SIGNATURE`] when the signature is not the
/// key's.
pub fn verify(key: &VerifyingKey, token: &str, implicit: &[u8]) -> Result<Opened> {
    let (body, footer) = split(token, PUBLIC)?;
    let mut message = text::decode(body).ok_or_else(fault::malformed)?;
    let footer = decode_footer(footer)?;
    let (said, signature) = message.split_last_chunk::<64>().ok_or_else(fault::malformed)?;
    if said.is_empty() {
        return Err(fault::malformed());
    }
    let signed = pae(&[PUBLIC.as_bytes(), said, &footer, implicit]);
    if !key.is_signed(&signed, signature) {
        return Err(fault::signature());
    }
    message.truncate(message.len() - 64);
    Ok(Opened { message, footer })
}

/// Encrypts a message as a `v4.local` token, under a random nonce.
///
/// # Errors
/// [`Code::INVALID`] as [`sign`]; [`Code::INTERNAL`] when there is no randomness.
pub fn encrypt(key: &LocalKey, message: &[u8], footer: &[u8], implicit: &[u8]) -> Result<String> {
    fits(message, footer)?;
    LocalToken::encrypt(key.inner(), message, some(footer), some(implicit))
        .map_err(|e| Error::new(Code::INTERNAL, "the token cannot be encrypted").because(e))
}

/// Decrypts a `v4.local` token.
///
/// # Errors
/// [`Code::TOKEN_MALFORMED`] for anything else, [`Code::TOKEN_SIGNATURE`] when it was not made with the
/// key.
pub fn decrypt(key: &LocalKey, token: &str, implicit: &[u8]) -> Result<Opened> {
    let (body, footer) = split(token, LOCAL)?;
    // pasetors reads it again; this only holds it to one spelling.
    text::decode(body).ok_or_else(fault::malformed)?;
    let footer = decode_footer(footer)?;
    let untrusted = UntrustedToken::<Local, V4>::try_from(token).map_err(|_| fault::malformed())?;
    let trusted = LocalToken::decrypt(key.inner(), &untrusted, some(&footer), some(implicit))
        .map_err(|_| fault::signature())?;
    Ok(Opened { message: trusted.payload().as_bytes().to_vec(), footer })
}

/// The footer of a token that was not verified: good for choosing a key, and for nothing else.
///
/// # Errors
/// [`Code::TOKEN_MALFORMED`].
pub fn untrusted_footer(token: &str) -> Result<Vec<u8>> {
    let header = if token.starts_with(PUBLIC) { PUBLIC } else { LOCAL };
    decode_footer(split(token, header)?.1)
}

/// Body and footer.
fn split<'t>(token: &'t str, header: &str) -> Result<(&'t str, Option<&'t str>)> {
    if token.len() > MAX_TOKEN {
        return Err(fault::too_long());
    }
    let rest = token.strip_prefix(header).ok_or_else(fault::malformed)?;
    match rest.split_once('.') {
        None => Ok((rest, None)),
        Some((_, footer)) if footer.is_empty() || footer.contains('.') => Err(fault::malformed()),
        Some((body, footer)) => Ok((body, Some(footer))),
    }
}

fn decode_footer(footer: Option<&str>) -> Result<Vec<u8>> {
    footer.map_or(Ok(Vec::new()), |footer| text::decode(footer).ok_or_else(fault::malformed))
}

/// The pre-authentication encoding: the number of pieces, then each with its length before it, as 64 bits,
/// little-endian, of which the top one is clear (PASETO specification, "Common").
fn pae(pieces: &[&[u8]]) -> Vec<u8> {
    let le64 = |n: usize| (n as u64 & (u64::MAX >> 1)).to_le_bytes();
    let mut encoded =
        Vec::with_capacity(8 + pieces.iter().map(|piece| piece.len() + 8).sum::<usize>());
    encoded.extend_from_slice(&le64(pieces.len()));
    for piece in pieces {
        encoded.extend_from_slice(&le64(piece.len()));
        encoded.extend_from_slice(piece);
    }
    encoded
}

fn fits(message: &[u8], footer: &[u8]) -> Result<()> {
    let invalid =
        |what: &'static str| Err(Error::new(Code::INVALID, what).operation("security.token"));
    if message.is_empty() {
        return invalid("a token must say something");
    }
    if (message.len() + footer.len() + 64) * 4 / 3 + 32 > MAX_TOKEN {
        return invalid("what the token is to say is too long; put less into attributes");
    }
    Ok(())
}

fn some(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_specifications() {
        assert_eq!(pae(&[]), [0; 8]);
        assert_eq!(pae(&[b""]), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let test = pae(&[b"test"]);
        assert_eq!(test, b"\x01\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0test");
    }

    #[test]
    fn every_byte_counts() {
        let key = SigningKey::from_seed(&[3; 32]).unwrap();
        let token = sign(&key, br#"{"a":1}"#, b"f", b"i").unwrap();
        assert!(verify(key.verifying(), &token, b"i").is_ok());
        assert!(verify(key.verifying(), &token, b"").is_err());
        for at in 0..token.len() {
            for with in ["A", "B", ".", "="] {
                let mut other = token.clone();
                other.replace_range(at..=at, with);
                assert!(other == token || verify(key.verifying(), &other, b"i").is_err());
            }
            assert!(verify(key.verifying(), &token[..at], b"i").is_err());
        }
        assert!(verify(key.verifying(), &format!("{token}."), b"i").is_err());
    }

    #[test]
    fn local_tokens_keep_their_content() {
        let key = LocalKey::from_bytes(&[4; 32]).unwrap();
        let token = encrypt(&key, b"secret", b"", b"i").unwrap();
        assert_eq!(decrypt(&key, &token, b"i").unwrap().message, b"secret");
        assert!(decrypt(&key, &token, b"").is_err());
        let other = LocalKey::from_bytes(&[5; 32]).unwrap();
        assert_eq!(decrypt(&other, &token, b"i").unwrap_err().code(), Code::TOKEN_SIGNATURE);
    }
}
