//! Message authentication: HMAC (RFC 2104, FIPS 198-1).

use ring::hmac;
use subtle::ConstantTimeEq as _;

use super::aead::not_authentic;
use super::kdf::Hash;
use crate::Result;
use crate::security::keys::wipe::Wiped;

/// A key that makes and checks tags.
pub struct Hmac(Box<Wiped<hmac::Key>>);

impl Hmac {
    /// A key of any length; fewer bytes than the hash has are as weak as they are short.
    pub fn new(hash: Hash, key: &[u8]) -> Self {
        Self(Box::new(Wiped::new(hmac::Key::new(hash.hmac(), key))))
    }

    /// The tag of a message, given in parts: 32 or 64 bytes.
    pub fn tag(&self, parts: &[&[u8]]) -> Vec<u8> {
        self.sign(parts).as_ref().to_vec()
    }

    /// Whether it is the whole tag of the message; in constant time.
    ///
    /// # Errors
    /// [`Code::NOT_AUTHENTIC`](crate::Code::NOT_AUTHENTIC) when it is not, a shortened one among them.
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> Result<()> {
        if self.sign(parts).as_ref().ct_eq(tag).into() { Ok(()) } else { Err(not_authentic()) }
    }

    fn sign(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        context.sign()
    }
}
