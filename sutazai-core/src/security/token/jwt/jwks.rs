//! Sets of keys (RFC 7517).

use serde_json::{Map, Value};

use super::super::text;
use super::JwtFault;
use super::key::{Bytes, JwtAlgorithm, JwtKey, unfit};
use crate::{Code, Error, Result};

/// The longest text of a set, in bytes.
const TEXT_MAX: usize = 256 * 1024;
/// The most keys of a set.
const KEYS_MAX: usize = 256;

/// The keys that JWTs of one issuer are verified with. The host supplies them: nothing here fetches any.
#[derive(Clone, Debug, Default)]
pub struct Jwks {
    keys: Vec<JwtKey>,
    skipped: usize,
}

impl Jwks {
    /// These keys.
    pub fn new(keys: impl IntoIterator<Item = JwtKey>) -> Self {
        Self { keys: keys.into_iter().collect(), skipped: 0 }
    }

    /// Reads a set as issuers publish it.
    ///
    /// Taken are public keys of Ed25519, of P-256, and of RSA that are for signatures; an RSA key must say
    /// its algorithm, or is for `rsa`. Keys of other types, sizes, curves, algorithms and uses are skipped
    /// ([`skipped`](Self::skipped)), as RFC 7517, §5, has it; shared secrets (`oct`) are, too: a public set has none.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] for what is no such set, or has two keys of one name and algorithm.
    pub fn parse(json: &str, rsa: JwtAlgorithm) -> Result<Self> {
        let not_one = || {
            Error::new(Code::TOKEN_KEY, "that is no JSON Web Key Set")
                .operation("security.jwt.keys")
                .advice("give what the issuer's jwks_uri answers, unchanged")
        };
        if json.len() > TEXT_MAX {
            return Err(not_one());
        }
        let map = text::object(json.as_bytes()).ok_or_else(not_one)?;
        let Some(Value::Array(entries)) = map.get("keys") else { return Err(not_one()) };
        if entries.len() > KEYS_MAX {
            return Err(not_one().with("most keys", KEYS_MAX));
        }
        let mut set = Self::default();
        for entry in entries {
            let Value::Object(entry) = entry else { return Err(not_one()) };
            match read(entry, rsa) {
                Some(key) => set.add(key)?,
                None => set.skipped += 1,
            }
        }
        Ok(set)
    }

    fn add(&mut self, key: JwtKey) -> Result<()> {
        let same =
            |other: &JwtKey| other.kid() == key.kid() && other.algorithm() == key.algorithm();
        if key.kid().is_some() && self.keys.iter().any(same) {
            return Err(unfit("two keys of the set have the same name"));
        }
        self.keys.push(key);
        Ok(())
    }

    /// How many keys were skipped.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// The keys.
    pub fn keys(&self) -> &[JwtKey] {
        &self.keys
    }

    /// The key of this name; without a name the only one of the algorithm.
    pub(super) fn choose(
        &self,
        kid: Option<&str>,
        algorithm: JwtAlgorithm,
    ) -> Result<&JwtKey, JwtFault> {
        let fits = |key: &&JwtKey| match kid {
            Some(_) => key.kid() == kid,
            None => key.algorithm() == algorithm,
        };
        let mut found = self.keys.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(key), None) => Ok(key),
            // A name may stand for one key an algorithm.
            (Some(_), Some(_)) if kid.is_some() => self
                .keys
                .iter()
                .find(|key| key.kid() == kid && key.algorithm() == algorithm)
                .ok_or(JwtFault::Algorithm),
            _ => Err(JwtFault::Key),
        }
    }
}

/// A key, unless it is to be skipped.
fn read(map: &Map<String, Value>, rsa: JwtAlgorithm) -> Option<JwtKey> {
    let string = |name: &str| map.get(name).and_then(Value::as_str);
    let bytes = |name: &str| string(name).and_then(text::decode).map(Bytes::new);
    let coordinate = |name: &str| <[u8; 32]>::try_from(bytes(name)?.as_slice()).ok();
    if map.contains_key("use") && string("use") != Some("sig") {
        return None;
    }
    if let Some(operations) = map.get("key_ops") {
        operations.as_array()?.iter().find(|op| op.as_str() == Some("verify"))?;
    }
    // What cannot be understood is not guessed at.
    let said = match map.get("alg") {
        None => None,
        Some(name) => Some(JwtAlgorithm::named(name.as_str()?)?),
    };
    let key = match (string("kty")?, string("crv")) {
        ("OKP", Some("Ed25519")) => JwtKey::ed25519(&coordinate("x")?),
        ("EC", Some("P-256")) => JwtKey::es256(&coordinate("x")?, &coordinate("y")?),
        ("RSA", _) => JwtKey::rsa(said.unwrap_or(rsa), &bytes("n")?, &bytes("e")?).ok()?,
        _ => return None,
    };
    if said.is_some_and(|said| said != key.algorithm()) {
        return None;
    }
    Some(key.with_kid(string("kid")))
}
