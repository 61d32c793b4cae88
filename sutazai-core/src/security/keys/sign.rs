//! [`SigningKeyset`]: a keyset that signs, and whose public keys verify.

use std::sync::Arc;

use super::KeyState;
use super::prepared::{Form, Prepared, PreparedKey, Slot};
use super::primitive::ed25519::{self, Ed25519};
use super::spec::{KeyId, Purpose};
use crate::{Code, Error, Result};

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
/// [`sign`](Self::sign) is bound to the keyset's name, its purpose and the caller's context, and carries the key's number.
/// Protocols with a form of their own (a token, a signed note) take the [`signer`](Self::signer), whose
/// signatures are Ed25519's alone: give each protocol a keyset of its own.
#[derive(Clone)]
pub struct SigningKeyset(Arc<Slot>);

impl SigningKeyset {
    pub(super) fn new(slot: Arc<Slot>) -> Result<Self> {
        slot.check(Purpose::Sign)?;
        Ok(Self(slot))
    }

    /// Signs with the active key: 73 bytes.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`] when the keyset was removed.
    pub fn sign(&self, context: &[u8], message: &[u8]) -> Result<Vec<u8>> {
        let keys = self.0.now();
        let key = keys.active(&self.0.name)?;
        let (signer, _) = pair(key)?;
        let mut out = Vec::with_capacity(key.front.len() + 64);
        out.extend_from_slice(&key.front);
        out.extend_from_slice(&signer.sign(&bound(key, context, message)));
        Ok(out)
    }

    /// Verifies what [`sign`](Self::sign) made.
    ///
    /// # Errors
    /// [`Code::NOT_AUTHENTIC`], [`Code::KEY_STATE`], [`Code::KEY_UNKNOWN`] or [`Code::KEY_FORMAT`].
    pub fn verify(&self, context: &[u8], message: &[u8], signature: &[u8]) -> Result<()> {
        let keys = self.0.now();
        let (key, signature) = keys.maker(&self.0, signature)?;
        ed25519::verify(pair(key)?.1, &bound(key, context, message), signature)
    }

    /// The active key, to sign with in a form of one's own. Ask for it each time: it does not follow a rotation.
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
        pair(self.0.now().key(&self.0.name, id)?).map(|(_, public)| *public)
    }

    /// All public keys but those of destroyed ones, oldest first: what others are given, pre-active ones included, so that
    /// they have them when their time comes.
    pub fn public_keys(&self) -> Vec<PublicKey> {
        let public = |key: &PreparedKey| {
            pair(key).ok().map(|(_, bytes)| PublicKey {
                id: key.id,
                state: key.state,
                bytes: *bytes,
            })
        };
        self.0.now().keys().iter().filter_map(public).collect()
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
        self.pair().map(|(_, public)| *public)
    }

    /// Signs exactly these bytes (Ed25519, RFC 8032).
    ///
    /// # Errors
    /// As [`public`](Self::public).
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        self.pair().map(|(signer, _)| signer.sign(message))
    }

    fn pair(&self) -> Result<(&Ed25519, &[u8; 32])> {
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

fn pair(key: &PreparedKey) -> Result<(&Ed25519, &[u8; 32])> {
    match &key.form {
        Form::Sign(signer, public) => Ok((signer, public)),
        _ => Err(Error::new(Code::KEY_PURPOSE, "the key does not sign").with("key", key.id)),
    }
}
