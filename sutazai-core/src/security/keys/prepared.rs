//! [`Slot`]: the keys of one keyset, prepared for use and read without a lock.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::lifecycle::{KeyState, Keyset, unknown_key};
use super::primitive::aead::{Aead, not_authentic};
use super::primitive::chunked::ChunkedKey;
use super::primitive::ed25519::Ed25519;
use super::primitive::hpke::{self, Kem};
use super::primitive::kdf::{Hash, Hkdf};
use super::primitive::mac::Hmac;
#[cfg(feature = "post-quantum")]
use super::primitive::ml_dsa::MlDsa65;
use super::secret::Secret;
use super::spec::{Algorithm, KeyId, Purpose};
use crate::{Code, Error, Result};

/// In front of what a key makes: the format, and the key's number.
pub(super) const FRONT: usize = 9;

/// A keyset in use. Handles hold it; who changes the keyset puts other keys into it.
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) purpose: Purpose,
    pub(super) algorithm: Algorithm,
    keys: ArcSwap<Prepared>,
}

pub(super) struct Prepared {
    keys: Vec<PreparedKey>,
    active: usize,
}

pub(super) struct PreparedKey {
    pub(super) id: KeyId,
    pub(super) state: KeyState,
    /// What stands in front of what it makes.
    pub(super) front: [u8; FRONT],
    /// What everything it makes is bound to, whatever else the caller binds it to.
    pub(super) bound: Vec<u8>,
    pub(super) form: Form,
}

/// A key as its algorithm wants it.
pub(super) enum Form {
    Chunked(ChunkedKey),
    Sign(SigningKey),
    Mac(Hmac),
    Derive(Hkdf),
    Receive(ReceivingKey),
    Gone,
}

/// A key that signs, and its public half.
pub(super) struct SigningKey {
    pub(super) signer: Ed25519,
    pub(super) public: [u8; 32],
    #[cfg(feature = "post-quantum")]
    pub(super) second: Option<MlDsa65>,
}

/// A key that others wrap to, and its public half.
pub(super) struct ReceivingKey {
    pub(super) kem: Kem,
    pub(super) private: Secret,
    pub(super) public: Vec<u8>,
}

impl Slot {
    pub(super) fn new(keyset: &Keyset) -> Result<Self> {
        Ok(Self {
            name: keyset.name.clone(),
            purpose: keyset.purpose,
            algorithm: keyset.algorithm,
            keys: ArcSwap::from_pointee(Prepared::new(keyset)?),
        })
    }

    pub(super) fn publish(&self, prepared: Prepared) {
        self.keys.store(Arc::new(prepared));
    }

    /// Takes all keys away: the keyset is no more.
    pub(super) fn empty(&self) {
        self.publish(Prepared { keys: Vec::new(), active: 0 });
    }

    /// The keys at this moment.
    pub(super) fn now(&self) -> arc_swap::Guard<Arc<Prepared>> {
        self.keys.load()
    }

    /// The same, to keep.
    pub(super) fn hold(&self) -> Arc<Prepared> {
        self.keys.load_full()
    }

    /// Whether it serves this purpose.
    pub(super) fn check(&self, purpose: Purpose) -> Result<()> {
        if self.purpose == purpose {
            return Ok(());
        }
        Err(Error::new(Code::KEY_PURPOSE, format!("the keyset is not there to {purpose}"))
            .with("keyset", &self.name)
            .with("purpose", self.purpose)
            .advice("make a keyset for each purpose"))
    }
}

impl Prepared {
    pub(super) fn new(keyset: &Keyset) -> Result<Self> {
        let mut keys = Vec::with_capacity(keyset.keys.len());
        for key in &keyset.keys {
            // Nothing can be done with a key that is not active yet, but its public half is shown.
            let form = match &key.material {
                None => Form::Gone,
                Some(material) => Form::new(keyset.algorithm, material)?,
            };
            let format = keyset.algorithm.format();
            let mut front = [format; FRONT];
            front.iter_mut().skip(1).zip(key.id.to_bytes()).for_each(|(to, from)| *to = from);
            let bound = binding(keyset.purpose, &keyset.name, &front);
            keys.push(PreparedKey { id: key.id, state: key.state, front, bound, form });
        }
        let active =
            keys.iter().position(|key| key.state == KeyState::Active).unwrap_or(usize::MAX);
        Ok(Self { keys, active })
    }

    /// The key that encrypts, signs, ….
    pub(super) fn active(&self, name: &str) -> Result<&PreparedKey> {
        self.keys.get(self.active).ok_or_else(|| unknown_keyset(name))
    }

    /// The key of this number, if it may decrypt, verify, ….
    pub(super) fn key(&self, name: &str, id: KeyId) -> Result<&PreparedKey> {
        let key = self.keys.iter().find(|key| key.id == id).ok_or_else(|| unknown_key(name, id))?;
        let refused = match key.state {
            KeyState::Active | KeyState::DecryptOnly => return Ok(key),
            KeyState::PreActive => "the key is not active yet",
            KeyState::Destroyed => "the key was destroyed, and with it what only it could open",
        };
        Err(Error::new(Code::KEY_STATE, refused).with("keyset", name).with("key", id))
    }

    /// The key that made something, and what comes behind its front.
    pub(super) fn maker<'a, 'b>(
        &'a self,
        slot: &Slot,
        made: &'b [u8],
    ) -> Result<(&'a PreparedKey, &'b [u8])> {
        let (id, rest) = split(slot.algorithm, made)?;
        Ok((self.key(&slot.name, id)?, rest))
    }

    /// All keys, oldest first.
    pub(super) fn keys(&self) -> &[PreparedKey] {
        &self.keys
    }
}

impl Form {
    fn new(algorithm: Algorithm, material: &Secret) -> Result<Self> {
        let key = material.expose();
        Ok(match algorithm {
            Algorithm::Aes256Gcm => Self::Chunked(ChunkedKey::new(Aead::Aes256Gcm, key)?),
            Algorithm::ChaCha20Poly1305 => {
                Self::Chunked(ChunkedKey::new(Aead::ChaCha20Poly1305, key)?)
            }
            Algorithm::Ed25519 => Self::Sign(SigningKey::new(key)?),
            #[cfg(feature = "post-quantum")]
            Algorithm::Ed25519MlDsa65 => {
                // Two keys of one that have nothing to do with each other.
                let of_both = Hkdf::of_random(Hash::Sha512, key);
                let (mut one, mut other) = (Secret::new(vec![0; 32]), Secret::new(vec![0; 32]));
                of_both.expand(&[b"sutazai.keys.v1 ed25519"], one.expose_mut())?;
                of_both.expand(&[b"sutazai.keys.v1 ml-dsa-65"], other.expose_mut())?;
                let mut pair = SigningKey::new(one.expose())?;
                pair.second = Some(MlDsa65::from_seed(&other)?);
                Self::Sign(pair)
            }
            Algorithm::HmacSha256 => Self::Mac(Hmac::new(Hash::Sha256, key)),
            Algorithm::HmacSha512 => Self::Mac(Hmac::new(Hash::Sha512, key)),
            Algorithm::HkdfSha256 => Self::Derive(Hkdf::of_random(Hash::Sha256, key)),
            Algorithm::HkdfSha512 => Self::Derive(Hkdf::of_random(Hash::Sha512, key)),
            Algorithm::HpkeX25519 => Self::receive(Kem::X25519, material)?,
            #[cfg(feature = "post-quantum")]
            Algorithm::HpkeXWing => Self::receive(Kem::XWing, material)?,
        })
    }

    fn receive(kem: Kem, material: &Secret) -> Result<Self> {
        let public = hpke::public(kem, material)?;
        Ok(Self::Receive(ReceivingKey { kem, private: material.clone(), public }))
    }
}

impl SigningKey {
    fn new(seed: &[u8]) -> Result<Self> {
        let signer = Ed25519::from_seed(seed)?;
        let public = signer.public();
        Ok(Self {
            signer,
            public,
            #[cfg(feature = "post-quantum")]
            second: None,
        })
    }
}

impl Algorithm {
    /// The first byte of what it makes: the format and its version.
    const fn format(self) -> u8 {
        match self {
            Self::Aes256Gcm => 0x01,
            Self::ChaCha20Poly1305 => 0x02,
            Self::Ed25519 => 0x11,
            Self::HmacSha256 => 0x21,
            Self::HmacSha512 => 0x22,
            // They make nothing that carries a front.
            Self::HkdfSha256 => 0x31,
            Self::HkdfSha512 => 0x32,
            Self::HpkeX25519 => 0x41,
            #[cfg(feature = "post-quantum")]
            Self::Ed25519MlDsa65 => 0x12,
            #[cfg(feature = "post-quantum")]
            Self::HpkeXWing => 0x42,
        }
    }
}

/// The number of the key that made something, and what comes behind it.
pub(super) fn split(algorithm: Algorithm, made: &[u8]) -> Result<(KeyId, &[u8])> {
    let (front, rest) = made.split_first_chunk::<FRONT>().ok_or_else(not_authentic)?;
    let [format, id @ ..] = *front;
    if format != algorithm.format() {
        return Err(Error::new(Code::KEY_FORMAT, "it is not in the format that this keyset makes")
            .with("format", format!("{format:#04x}"))
            .with("expected", format!("{:#04x}", algorithm.format())));
    }
    Ok((KeyId::from_bytes(id), rest))
}

/// Purpose, name, format and key as one text that no other four give.
fn binding(purpose: Purpose, name: &str, front: &[u8; FRONT]) -> Vec<u8> {
    let mut bound = b"sutazai.keys.v1".to_vec();
    for part in [purpose.name().as_bytes(), name.as_bytes()] {
        // A purpose and a name have less than 256 bytes.
        bound.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        bound.extend_from_slice(part);
    }
    bound.extend_from_slice(front);
    bound
}

pub(super) fn unknown_keyset(name: &str) -> Error {
    Error::new(Code::KEY_UNKNOWN, "there is no such keyset")
        .with("keyset", name.chars().take(64).collect::<String>())
        .advice("create it, or check its name")
}
