//! [`WrappingKeyset`]: a keyset that wraps other keys.

use std::sync::Arc;

use super::encrypt;
use super::prepared::{Form, ReceivingKey, Slot};
use super::primitive::hpke;
use super::secret::Secret;
use super::spec::{Algorithm, KeyId, Purpose};
use crate::{Code, Error, Result};

/// A keyset of the purpose [`Wrap`](Purpose::Wrap). Cheap to clone; follows every rotation; takes no lock.
///
/// What it wraps and unwraps are [`Secret`]s: a key that is destroyed by forgetting its wrapped form, for
/// example. One of [`HpkeX25519`](Algorithm::HpkeX25519) has a public key besides, to which others
/// [export](super::Keys::export) keysets.
#[derive(Clone)]
pub struct WrappingKeyset(Arc<Slot>);

impl WrappingKeyset {
    pub(super) fn new(slot: Arc<Slot>) -> Result<Self> {
        slot.check(Purpose::Wrap)?;
        Ok(Self(slot))
    }

    /// Wraps a secret under the active key, bound to a context.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`] when the keyset was removed.
    pub fn wrap(&self, context: &[u8], secret: &Secret) -> Result<Vec<u8>> {
        if is_symmetric(self.0.algorithm) {
            return encrypt::encrypt(&self.0, context, secret.expose());
        }
        let keys = self.0.now();
        let key = keys.active(&self.0.name)?;
        let to = receive(&key.form)?;
        let mut out = key.front.to_vec();
        out.extend(hpke::seal(to.kem, &to.public, &info(&key.bound, context), secret.expose())?);
        Ok(out)
    }

    /// Unwraps a secret.
    ///
    /// # Errors
    /// [`Code::NOT_AUTHENTIC`], [`Code::KEY_STATE`], [`Code::KEY_UNKNOWN`] or [`Code::KEY_FORMAT`].
    pub fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Secret> {
        if is_symmetric(self.0.algorithm) {
            return encrypt::decrypt(&self.0, context, wrapped).map(Secret::new);
        }
        let keys = self.0.now();
        let (key, sealed) = keys.maker(&self.0, wrapped)?;
        let to = receive(&key.form)?;
        hpke::open(to.kem, &to.private, &info(&key.bound, context), sealed)
    }

    /// The same under the active key; `None` when it is already.
    ///
    /// # Errors
    /// As [`unwrap`](Self::unwrap).
    pub fn rewrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Option<Vec<u8>>> {
        let secret = self.unwrap(context, wrapped)?;
        let (id, _) = super::prepared::split(self.0.algorithm, wrapped)?;
        if self.0.now().active(&self.0.name)?.id == id {
            return Ok(None);
        }
        self.wrap(context, &secret).map(Some)
    }

    /// The public key to export to, and its number.
    ///
    /// # Errors
    /// [`Code::KEY_PURPOSE`] for a keyset of another algorithm.
    pub fn public_key(&self) -> Result<(KeyId, Vec<u8>)> {
        let keys = self.0.now();
        let key = keys.active(&self.0.name)?;
        receive(&key.form).map(|to| (key.id, to.public.clone()))
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// Opens what was sealed to any of its public keys; the newest are tried first.
    pub(super) fn open_any(&self, info: &[u8], sealed: &[u8]) -> Result<Secret> {
        let keys = self.0.now();
        let usable = keys.keys().iter().rev().filter(|key| {
            matches!(key.state, super::KeyState::Active | super::KeyState::DecryptOnly)
        });
        let mut last = super::primitive::aead::not_authentic();
        for key in usable {
            let to = receive(&key.form)?;
            match hpke::open(to.kem, &to.private, info, sealed) {
                Ok(secret) => return Ok(secret),
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

impl std::fmt::Debug for WrappingKeyset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WrappingKeyset").field(&self.0.name).finish()
    }
}

fn info(bound: &[u8], context: &[u8]) -> Vec<u8> {
    [bound, context].concat()
}

fn receive(form: &Form) -> Result<&ReceivingKey> {
    match form {
        Form::Receive(key) => Ok(key),
        _ => Err(Error::new(Code::KEY_PURPOSE, "the keyset has no public key to wrap to")
            .advice("make a keyset to wrap with the algorithm hpke-x25519")),
    }
}

fn is_symmetric(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Aes256Gcm | Algorithm::ChaCha20Poly1305)
}
