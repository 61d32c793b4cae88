//! JSON Web Tokens, for interoperability only: JWS in compact form (RFC 7515, RFC 8725).
//!
//! The algorithm belongs to the key. A token's header must name the very same one, and chooses nothing:
//! not the algorithm (`none` least of all), not the key beyond its name, and no extension. Signatures are
//! ring's.
//!
//! ```
//! use sutazai_core::security::token::jwt::{Jwks, JwtSigner};
//! let signer = JwtSigner::hs256(&[7; 32], Some("k1"))?;
//! let token = signer.sign(&serde_json::json!({"sub": "alice"}))?;
//! let keys = Jwks::new([signer.key()?]);
//! assert_eq!(keys.verify(&token)?.claims["sub"], "alice");
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod jwks;
mod key;
mod sign;

pub use jwks::Jwks;
pub use key::{JwtAlgorithm, JwtKey};
pub use sign::JwtSigner;

use serde_json::{Map, Value};

use super::{MAX_TOKEN, fault, text};
use crate::{Error, Result};

/// A JWT whose signature was verified. Its claims were not looked at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Jwt {
    /// Its claims; no object in them has a key twice.
    pub claims: Map<String, Value>,
    /// The algorithm of the key that it was verified with.
    pub algorithm: JwtAlgorithm,
    /// The key's name, if it has one.
    pub kid: Option<String>,
    /// Its type, as the header has it.
    pub typ: Option<String>,
}

/// What is wrong with a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JwtFault {
    Length,
    Form,
    Critical,
    Key,
    Algorithm,
    Signature,
}

impl JwtFault {
    fn error(self) -> Error {
        match self {
            Self::Length => fault::too_long(),
            Self::Form => fault::malformed(),
            Self::Critical => fault::critical(),
            Self::Key => fault::key(),
            Self::Algorithm => fault::algorithm(),
            Self::Signature => fault::signature(),
        }
    }
}

/// What the header says, as far as it is listened to.
struct Header {
    algorithm: JwtAlgorithm,
    kid: Option<String>,
    typ: Option<String>,
}

/// A token in its parts.
struct Parts<'t> {
    header: Header,
    /// Header and payload, as they were signed.
    signed: &'t str,
    payload: &'t str,
    signature: Vec<u8>,
}

impl<'t> Parts<'t> {
    fn read(token: &'t str) -> Result<Self, JwtFault> {
        if token.len() > MAX_TOKEN {
            return Err(JwtFault::Length);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtFault::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtFault::Form)?;
        if payload.contains('.') {
            return Err(JwtFault::Form);
        }
        Ok(Self {
            header: Header::read(header)?,
            signed,
            payload,
            signature: text::decode(signature).ok_or(JwtFault::Form)?,
        })
    }
}

impl Header {
    /// Parameters that would change what is verified, or with which key. A token that has one is refused
    /// whatever its signature (`b64`: RFC 7797; `zip`: only JWE has it).
    const REFUSED: [&'static str; 8] = ["crit", "jwk", "jku", "x5u", "x5c", "b64", "zip", "enc"];

    fn read(text: &str) -> Result<Self, JwtFault> {
        let json = text::decode(text).ok_or(JwtFault::Form)?;
        let mut map = text::object(&json).ok_or(JwtFault::Form)?;
        if Self::REFUSED.iter().any(|name| map.contains_key(*name)) {
            return Err(JwtFault::Critical);
        }
        let mut string = |name: &str| match map.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(JwtFault::Form),
        };
        let named = string("alg")?.ok_or(JwtFault::Form)?;
        // `none` is none of them.
        let algorithm = JwtAlgorithm::named(&named).ok_or(JwtFault::Algorithm)?;
        Ok(Self { algorithm, kid: string("kid")?, typ: string("typ")? })
    }
}

impl Jwks {
    /// Verifies a token with the key that it names, or with the only one of its algorithm when it names
    /// none.
    ///
    /// # Errors
    /// [`TOKEN_MALFORMED`](crate::Code::TOKEN_MALFORMED) for what is no JWT, has a key of an object twice, or
    /// demands extensions; [`TOKEN_KEY`](crate::Code::TOKEN_KEY) when there is no such key, or its
    /// algorithm is another; [`TOKEN_SIGNATURE`](crate::Code::TOKEN_SIGNATURE).
    pub fn verify(&self, token: &str) -> Result<Jwt> {
        self.check(token).map_err(JwtFault::error)
    }

    /// As [`verify`](Self::verify), telling faults apart that have one code.
    pub(super) fn check(&self, token: &str) -> Result<Jwt, JwtFault> {
        let parts = Parts::read(token)?;
        let key = self.choose(parts.header.kid.as_deref(), parts.header.algorithm)?;
        if key.algorithm() != parts.header.algorithm {
            return Err(JwtFault::Algorithm);
        }
        key.verify(parts.signed.as_bytes(), &parts.signature)?;
        let json = text::decode(parts.payload).ok_or(JwtFault::Form)?;
        Ok(Jwt {
            claims: text::object(&json).ok_or(JwtFault::Form)?,
            algorithm: key.algorithm(),
            kid: key.kid().map(str::to_owned),
            typ: parts.header.typ,
        })
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
