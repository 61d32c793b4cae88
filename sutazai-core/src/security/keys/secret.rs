//! [`Secret`]: bytes that are wiped, compared in constant time, and never shown.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::primitive::random;
use crate::{Code, Error, Result};

/// Secret bytes: wiped when dropped, compared in constant time (for equal lengths), absent from `Debug`.
///
/// ```
/// use sutazai_core::security::keys::Secret;
/// let one = Secret::random(32)?;
/// assert_eq!(one, one.clone());
/// assert_ne!(one, Secret::random(32)?);
/// assert_eq!(format!("{one:?}"), "Secret(32 bytes)");
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// These bytes. The vector becomes the secret; copies of it elsewhere are the caller's to wipe.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Fresh random bytes of the operating system.
    ///
    /// # Errors
    /// [`Code::INTERNAL`] when the system gives none.
    pub fn random(len: usize) -> Result<Self> {
        let mut bytes = Zeroizing::new(vec![0; len]);
        random::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// From base64 (RFC 4648, standard alphabet, padded).
    ///
    /// # Errors
    /// [`Code::KEY_FORMAT`] for what is not base64. The text is not repeated.
    pub fn from_base64(text: &str) -> Result<Self> {
        // As long as it can get, so that no copy is left behind by growing.
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
        STANDARD
            .decode_vec(text, &mut bytes)
            .map_err(|_| Error::new(Code::KEY_FORMAT, "the secret is not base64"))?;
        Ok(Self(bytes))
    }

    /// The bytes. Whoever asks sees to it that they stay secret.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// As base64, in text that is wiped when dropped.
    pub fn to_base64(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() / 3 * 4 + 4));
        STANDARD.encode_string(&**self.0, &mut text);
        text
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a key of 32 bytes.
    pub(super) fn key(&self) -> Result<&[u8; 32]> {
        self.0.as_slice().try_into().map_err(|_| {
            Error::new(Code::KEY_FORMAT, "a key has 32 bytes").with("bytes", self.len())
        })
    }
}

impl From<&str> for Secret {
    /// A passphrase: its UTF-8 bytes.
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

impl serde::Serialize for Secret {
    /// As base64: only into what is sealed, or for a host that asked for the secret.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64())
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;
        impl serde::de::Visitor<'_> for Base64 {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Secret, E> {
                Secret::from_base64(text).map_err(|_| E::custom("not base64"))
            }
            fn visit_string<E: serde::de::Error>(self, mut text: String) -> Result<Secret, E> {
                let secret = self.visit_str(&text);
                text.zeroize();
                secret
            }
        }
        deserializer.deserialize_str(Base64)
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "contentEncoding": "base64", "writeOnly": true})
    }
}
