//! [`DerivingKeyset`]: a keyset that other keys come from.

use std::sync::Arc;

use super::prepared::{Form, PreparedKey, Slot};
use super::secret::Secret;
use super::spec::{KeyId, Purpose};
use crate::{Code, Error, Result};

/// A keyset of the purpose [`Derive`](Purpose::Derive). Cheap to clone; follows every rotation; takes no lock.
///
/// For a protocol that needs a raw key (a `v4.local` token's, say): keep the number of the key it came
/// from, and the same secret comes again until that key is destroyed.
#[derive(Clone)]
pub struct DerivingKeyset(Arc<Slot>);

impl DerivingKeyset {
    pub(super) fn new(slot: Arc<Slot>) -> Result<Self> {
        slot.check(Purpose::Derive)?;
        Ok(Self(slot))
    }

    /// A secret for this use, of the active key, and that key's number.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a length that is not 1 to 1,024 bytes.
    pub fn derive(&self, context: &[u8], len: usize) -> Result<(KeyId, Secret)> {
        let keys = self.0.now();
        let key = keys.active(&self.0.name)?;
        Ok((key.id, expand(key, context, len)?))
    }

    /// The secret for this use of the key of that number.
    ///
    /// # Errors
    /// As [`derive`](Self::derive), [`Code::KEY_STATE`] or [`Code::KEY_UNKNOWN`].
    pub fn derive_of(&self, id: KeyId, context: &[u8], len: usize) -> Result<Secret> {
        expand(self.0.now().key(&self.0.name, id)?, context, len)
    }
}

impl std::fmt::Debug for DerivingKeyset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DerivingKeyset").field(&self.0.name).finish()
    }
}

fn expand(key: &PreparedKey, context: &[u8], len: usize) -> Result<Secret> {
    if !(1..=1024).contains(&len) {
        return Err(
            Error::new(Code::INVALID, "a derived secret has 1 to 1,024 bytes").with("bytes", len)
        );
    }
    let Form::Derive(hkdf) = &key.form else {
        return Err(
            Error::new(Code::KEY_PURPOSE, "nothing is derived from the key").with("key", key.id)
        );
    };
    let mut out = Secret::new(vec![0; len]);
    // The length is part of it: a shorter secret is not the beginning of a longer one.
    hkdf.expand(&[&key.bound, &(len as u64).to_be_bytes(), context], out.expose_mut())?;
    Ok(out)
}
