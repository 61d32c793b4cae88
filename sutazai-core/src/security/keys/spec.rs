//! What a key is for: [`Purpose`], [`Algorithm`], [`KeyId`] and the [`Spec`] of a keyset.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::primitive::random;
use crate::{Code, Error, Result};

/// The one thing that the keys of a keyset are for. It is bound into everything they make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To encrypt and decrypt data.
    Encrypt,
    /// To sign, so that others can verify.
    Sign,
    /// To make tags that only who has the key can make and check.
    Mac,
    /// To derive other keys.
    Derive,
    /// To wrap other keys, or to receive keysets that others export.
    Wrap,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 5] = [Self::Encrypt, Self::Sign, Self::Mac, Self::Derive, Self::Wrap];

    /// `encrypt`, `sign`, `mac`, `derive` or `wrap`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Sign => "sign",
            Self::Mac => "mac",
            Self::Derive => "derive",
            Self::Wrap => "wrap",
        }
    }

    /// What it takes unless something else is said.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Encrypt | Self::Wrap => Algorithm::Aes256Gcm,
            Self::Sign => Algorithm::Ed25519,
            Self::Mac => Algorithm::HmacSha256,
            Self::Derive => Algorithm::HkdfSha256,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the keys of a keyset work. All have 32 secret bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[non_exhaustive]
pub enum Algorithm {
    /// C2SP chunked encryption with AES-256-GCM: to encrypt or wrap.
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// C2SP chunked encryption with ChaCha20-Poly1305: to encrypt or wrap, where AES is not in hardware.
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
    /// Ed25519: to sign.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// HMAC-SHA-256: to make tags of 32 bytes.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// HMAC-SHA-512: to make tags of 64 bytes.
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
    /// HKDF-SHA-256: to derive.
    #[serde(rename = "hkdf-sha256")]
    HkdfSha256,
    /// HKDF-SHA-512: to derive.
    #[serde(rename = "hkdf-sha512")]
    HkdfSha512,
    /// HPKE with X25519: a recipient of what others wrap to its public key.
    #[serde(rename = "hpke-x25519")]
    HpkeX25519,
    /// Ed25519 and ML-DSA-65 beside it: to sign. Both must verify. Experimental.
    #[cfg(feature = "post-quantum")]
    #[serde(rename = "ed25519-ml-dsa-65")]
    Ed25519MlDsa65,
    /// HPKE with X25519 and ML-KEM-768 at once (X-Wing): a recipient. Experimental.
    #[cfg(feature = "post-quantum")]
    #[serde(rename = "hpke-x-wing")]
    HpkeXWing,
}

impl Algorithm {
    /// Its name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes-256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::Ed25519 => "ed25519",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha512 => "hmac-sha512",
            Self::HkdfSha256 => "hkdf-sha256",
            Self::HkdfSha512 => "hkdf-sha512",
            Self::HpkeX25519 => "hpke-x25519",
            #[cfg(feature = "post-quantum")]
            Self::Ed25519MlDsa65 => "ed25519-ml-dsa-65",
            #[cfg(feature = "post-quantum")]
            Self::HpkeXWing => "hpke-x-wing",
        }
    }

    /// Whether it can serve a purpose.
    pub const fn serves(self, purpose: Purpose) -> bool {
        match self {
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => {
                matches!(purpose, Purpose::Encrypt | Purpose::Wrap)
            }
            Self::Ed25519 => matches!(purpose, Purpose::Sign),
            Self::HmacSha256 | Self::HmacSha512 => matches!(purpose, Purpose::Mac),
            Self::HkdfSha256 | Self::HkdfSha512 => matches!(purpose, Purpose::Derive),
            Self::HpkeX25519 => matches!(purpose, Purpose::Wrap),
            #[cfg(feature = "post-quantum")]
            Self::Ed25519MlDsa65 => matches!(purpose, Purpose::Sign),
            #[cfg(feature = "post-quantum")]
            Self::HpkeXWing => matches!(purpose, Purpose::Wrap),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key's number in its keyset: random, shown as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

impl KeyId {
    pub(super) fn random() -> Result<Self> {
        Ok(Self(u64::from_be_bytes(random::bytes()?)))
    }

    /// The eight bytes that stand in what the key makes.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The key of these eight bytes.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for KeyId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self).ok_or_else(|| {
            Error::new(Code::INVALID, "a key's number has 16 hexadecimal digits")
                .with("text", text.chars().take(32).collect::<String>())
        })
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|e: Error| serde::de::Error::custom(e.message()))
    }
}

impl schemars::JsonSchema for KeyId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KeyId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9a-f]{16}$"})
    }
}

/// When keys of a keyset come and go. In JSON, whole seconds; `null` for never.
///
/// The default: a key is active for 90 days, its successor is there 7 days before, and no key is destroyed
/// by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// How long before it becomes active a key is made, so that its public half can be handed out.
    #[serde(with = "seconds", rename = "lead_s")]
    #[schemars(with = "u64")]
    pub lead: Duration,
    /// How long a key is active; `None`: until somebody rotates it.
    #[serde(with = "maybe_seconds", rename = "active_s")]
    #[schemars(with = "Option<u64>")]
    pub active: Option<Duration>,
    /// How long after that it still decrypts and verifies before it is destroyed; `None`: until
    /// somebody destroys it.
    ///
    /// What was encrypted with a key and not [rewrapped](super::Encryptor::rewrap) by then is lost. A
    /// clock that is set ahead brings that day nearer.
    #[serde(with = "maybe_seconds", rename = "decrypt_only_s")]
    #[schemars(with = "Option<u64>")]
    pub decrypt_only: Option<Duration>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Schedule {
    fn default() -> Self {
        Self { lead: DAY * 7, active: Some(DAY * 90), decrypt_only: None }
    }
}

impl Schedule {
    /// Nothing happens by itself.
    pub const MANUAL: Self = Self { lead: Duration::ZERO, active: None, decrypt_only: None };

    pub(super) fn check(&self) -> Result<()> {
        let second = Duration::from_secs(1);
        let century = DAY * 36_525;
        let fits = |period: Duration| (second..=century).contains(&period);
        let ok = self.active.is_none_or(|active| fits(active) && self.lead < active)
            && self.decrypt_only.is_none_or(fits)
            && self.lead <= century;
        ok.then_some(()).ok_or_else(|| {
            Error::new(Code::INVALID, "the schedule of the keyset is not valid")
                .operation("keys.create")
                .advice("periods are of 1 second to 100 years, and the lead is shorter than the active period")
        })
    }
}

mod seconds {
    use super::*;
    pub(super) fn serialize<S: serde::Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(d.as_secs())
    }
    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        d: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_secs)
    }
}

mod maybe_seconds {
    use super::*;
    pub(super) fn serialize<S: serde::Serializer>(
        d: &Option<Duration>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        d.map(|d| d.as_secs()).serialize(s)
    }
    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<u64>::deserialize(d).map(|d| d.map(Duration::from_secs))
    }
}

/// What a new keyset is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What for.
    pub purpose: Purpose,
    /// How; the purpose's own when absent.
    #[serde(default)]
    pub algorithm: Option<Algorithm>,
    /// When keys come and go.
    #[serde(default)]
    pub schedule: Schedule,
}

impl Spec {
    /// A keyset of this purpose, with its usual algorithm and the default schedule.
    pub fn new(purpose: Purpose) -> Self {
        Self { purpose, algorithm: None, schedule: Schedule::default() }
    }

    /// With another algorithm.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// With another schedule.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    pub(super) fn check(&self) -> Result<Algorithm> {
        self.schedule.check()?;
        let algorithm = self.algorithm.unwrap_or(self.purpose.algorithm());
        if algorithm.serves(self.purpose) {
            return Ok(algorithm);
        }
        Err(Error::new(Code::KEY_PURPOSE, format!("{algorithm} cannot {}", self.purpose))
            .operation("keys.create"))
    }
}
