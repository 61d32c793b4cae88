//! [`SigningKeyset`]: a keyset that signs, and whose public keys verify.

use std::sync::Arc;

use super::KeyState;
use super::prepared::{Form, Prepared, PreparedKey, SigningKey, Slot};
use super::primitive::ed25519;
#[cfg(feature = "post-quantum")]
use super::primitive::{aead::not_authentic, ml_dsa};
use super::spec::{KeyId, Purpose};
use crate::{Code, Error, Result};

/// The context of the second signature, so that it is none of a protocol's own.
#[cfg(feature = "post-quantum")]
const CO_SIGNED: &[u8] = b"sutazai.keys.v1";

/// A public key of a signing keyset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublicKey {
    /// Its number.
    pub id: KeyId,
    /// Where it is in its life: pre-active, active or decrypt-only, which here is verify-only.
    pub state: KeyState,
    /// The Ed25519 public key.
    pub bytes: [u8; 32],
}

/// A keyset of the purpose [`Sign`](Purpose::Sign). Cheap to clone; follows every rotation; takes no lock.
///
/// [`sign`](Self::sign) is bound to the keyset's name, its purpose and the caller's context, and carries
/// the key's number. Protocols with a form of their own (a token, a signed note) take the
/// [`signer`](Self::signer), whose signatures are Ed25519's alone: give each protocol a keyset of its own.
#[derive(Clone)]
pub struct SigningKeyset(Arc<Slot>);

impl SigningKeyset {
    pub(super) fn new(slot: Arc<Slot>) -> Result<Self> {
        slot.check(Purpose::Sign)?;
        Ok(Self(slot))
    }

    /// Signs with the active key: 73 bytes, or 3,382 with two algorithms.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`] when the keyset was removed.
    pub fn sign(&self, context: &[u8], message: &[u8]) -> Result<Vec<u8>> {
        let keys = self.0.now();
        let key = keys.active(&self.0.name)?;
        let (pair, text) = (pair(key)?, bound(key, context, message));
        let mut out = Vec::with_capacity(key.front.len() + 64);
        out.extend_from_slice(&key.front);
        out.extend_from_slice(&pair.signer.sign(&text));
        #[cfg(feature = "post-quantum")]
        if let Some(second) = &pair.second {
            out.extend(second.sign(CO_SIGNED, &text)?);
        }
        Ok(out)
    }

    /// Verifies what [`sign`](Self::sign) made.
    ///
    /// # Errors
    /// [`Code::NOT_AUTHENTIC`], [`Code::KEY_STATE`], [`Code::KEY_UNKNOWN`] or [`Code::KEY_FORMAT`].
    pub fn verify(&self, context: &[u8], message: &[u8], signature: &[u8]) -> Result<()> {
        let keys = self.0.now();
        let (key, signature) = keys.maker(&self.0, signature)?;
        let (pair, text) = (pair(key)?, bound(key, context, message));
        #[cfg(feature = "post-quantum")]
        if let Some(second) = &pair.second {
            let (one, other) = signature.split_at_checked(64).ok_or_else(not_authentic)?;
            ml_dsa::verify(&second.public(), CO_SIGNED, &text, other)?;
            return ed25519::verify(&pair.public, &text, one);
        }
        ed25519::verify(&pair.public, &text, signature)
    }

    /// The active key, to sign with in a form of one's own. Ask for it each time: it does not follow a
    /// rotation.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`] when the keyset was removed.
    pub fn signer(&self) -> Result<Signer> {
        let keys = self.0.hold();
        let id = keys.active(&self.0.name)?.id;
        Ok(Signer { keys, id })
    }

    /// The public key of this number, if it verifies: the active one's and those of verify-only ones.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`], or [`Code::KEY_STATE`] for one that is destroyed or not active yet.
    #[inline]
    pub fn public_key(&self, id: KeyId) -> Result<[u8; 32]> {
        pair(self.0.now().key(&self.0.name, id)?).map(|pair| pair.public)
    }

    /// All public keys but those of destroyed ones, oldest first: what others are given, pre-active
    /// ones included, so that they have them when their time comes.
    pub fn public_keys(&self) -> Vec<PublicKey> {
        let public = |key: &PreparedKey| {
            let pair = pair(key).ok()?;
            Some(PublicKey { id: key.id, state: key.state, bytes: pair.public })
        };
        self.0.now().keys().iter().filter_map(public).collect()
    }
}

#[cfg(feature = "post-quantum")]
impl SigningKeyset {
    /// The ML-DSA-65 public key beside the Ed25519 one, for keysets of two algorithms.
    ///
    /// # Errors
    /// As [`public_key`](Self::public_key), [`Code::KEY_PURPOSE`] for a keyset of one algorithm.
    pub fn second_public_key(&self, id: KeyId) -> Result<Vec<u8>> {
        let keys = self.0.now();
        let second = &pair(keys.key(&self.0.name, id)?)?.second;
        second.as_ref().map(ml_dsa::MlDsa65::public).ok_or_else(no_second)
    }
}

impl std::fmt::Debug for SigningKeyset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKeyset").field(&self.0.name).finish()
    }
}

/// One key that signs, as it was when it was asked for.
pub struct Signer {
    keys: Arc<Prepared>,
    id: KeyId,
}

impl Signer {
    /// The key's number.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Its public key.
    ///
    /// # Errors
    /// [`Code::INTERNAL`] does not happen: the key was there when the signer was made.
    pub fn public(&self) -> Result<[u8; 32]> {
        self.pair().map(|pair| pair.public)
    }

    /// Signs exactly these bytes (Ed25519, RFC 8032).
    ///
    /// # Errors
    /// As [`public`](Self::public).
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        self.pair().map(|pair| pair.signer.sign(message))
    }

    /// Signs exactly these bytes once more (ML-DSA-65, FIPS 204, with an empty context), for keysets of
    /// two algorithms.
    ///
    /// # Errors
    /// [`Code::KEY_PURPOSE`] for a keyset of one algorithm.
    #[cfg(feature = "post-quantum")]
    pub fn co_sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.pair()?.second.as_ref().ok_or_else(no_second)?.sign(&[], message)
    }

    fn pair(&self) -> Result<&SigningKey> {
        let found = self.keys.keys().iter().find(|key| key.id == self.id);
        pair(found.ok_or_else(|| Error::new(Code::INTERNAL, "the signer has lost its key"))?)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Signer").field(&self.id).finish()
    }
}

/// What is signed: the binding, the context with its length, the message.
fn bound(key: &PreparedKey, context: &[u8], message: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(key.bound.len() + 8 + context.len() + message.len());
    text.extend_from_slice(&key.bound);
    text.extend_from_slice(&(context.len() as u64).to_be_bytes());
    text.extend_from_slice(context);
    text.extend_from_slice(message);
    text
}

fn pair(key: &PreparedKey) -> Result<&SigningKey> {
    match &key.form {
        Form::Sign(pair) => Ok(pair),
        _ => Err(Error::new(Code::KEY_PURPOSE, "the key does not sign").with("key", key.id)),
    }
}

#[cfg(feature = "post-quantum")]
fn no_second() -> Error {
    Error::new(Code::KEY_PURPOSE, "the keyset signs with one algorithm only")
        .advice("make a keyset to sign with the algorithm ed25519-ml-dsa-65")
}
