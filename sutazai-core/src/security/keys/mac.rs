//! [`MacKeyset`]: a keyset that makes and checks tags.

use std::sync::Arc;

use super::prepared::{Form, PreparedKey, Slot};
use super::primitive::mac::Hmac;
use super::spec::Purpose;
use crate::{Code, Error, Result};

/// A keyset of the purpose [`Mac`](Purpose::Mac). Cheap to clone; follows every rotation; takes no lock.
#[derive(Clone)]
pub struct MacKeyset(Arc<Slot>);

impl MacKeyset {
    pub(super) fn new(slot: Arc<Slot>) -> Result<Self> {
        slot.check(Purpose::Mac)?;
        Ok(Self(slot))
    }

    /// The tag of a message: 41 or 73 bytes, the key's number among them.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`] when the keyset was removed.
    pub fn tag(&self, context: &[u8], message: &[u8]) -> Result<Vec<u8>> {
        let keys = self.0.now();
        let key = keys.active(&self.0.name)?;
        let length = (context.len() as u64).to_be_bytes();
        let mut out = key.front.to_vec();
        out.extend(hmac(key)?.tag(&[&key.bound, &length, context, message]));
        Ok(out)
    }

    /// Whether it is the tag of the message; in constant time.
    ///
    /// # Errors
    /// [`Code::NOT_AUTHENTIC`], [`Code::KEY_STATE`], [`Code::KEY_UNKNOWN`] or [`Code::KEY_FORMAT`].
    pub fn verify(&self, context: &[u8], message: &[u8], tag: &[u8]) -> Result<()> {
        let keys = self.0.now();
        let (key, tag) = keys.maker(&self.0, tag)?;
        let length = (context.len() as u64).to_be_bytes();
        hmac(key)?.verify(&[&key.bound, &length, context, message], tag)
    }
}

impl std::fmt::Debug for MacKeyset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MacKeyset").field(&self.0.name).finish()
    }
}

fn hmac(key: &PreparedKey) -> Result<&Hmac> {
    match &key.form {
        Form::Mac(hmac) => Ok(hmac),
        _ => Err(Error::new(Code::KEY_PURPOSE, "the key makes no tags").with("key", key.id)),
    }
}
