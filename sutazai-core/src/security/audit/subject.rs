//! Personal details, and how they are erased.
//!
//! The personal details of a record are sealed (AES-256-GCM) under a key of their subject's, and that
//! key stands outside the tree. What is hashed, signed and proven is the sealed form: when the key is
//! destroyed nobody can read the details any more, in no copy of the log, and every proof still holds.
//!
//! **What is promised**: after [`SubjectKeys::destroy`] has returned, no details that were sealed for the
//! subject before can be opened through this process or a later one. **What is not**: the subject's *name*
//! stands in the record, as do details that were not given as personal; use a pseudonym where the name
//! itself must go. A copy of the key store that somebody made earlier (a backup) holds the keys still,
//! wrapped by the master key: destroy those copies too, or change the master key and wrap the rest again.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::merkle::Hash;
use crate::base::payload::Payload;
use crate::base::time::Timestamp;
use crate::store::{Durability, Store};
use crate::{Code, Error, Result};

/// Where the keys stand in the store.
const NAMESPACE: &str = "security.audit.subject";
/// A key's number, which a sealed text begins with.
const ID: usize = 8;
/// The most keys in memory at once.
const CACHED: usize = 1024;

/// The keys of subjects. Called with no lock held.
pub trait SubjectKeys: Send + Sync + 'static {
    /// Seals `plain` under the subject's key, which is made if there is none; `associated` must be the
    /// same to open it.
    ///
    /// # Errors
    /// When the key cannot be had; the record is refused then.
    fn seal(&self, subject: &str, associated: &[u8], plain: &[u8]) -> Result<Vec<u8>>;

    /// What was sealed; `None` when the key was destroyed.
    ///
    /// # Errors
    /// [`Code::AUDIT_PROOF`] when it was not sealed under that key; when the key cannot be had.
    fn open(&self, subject: &str, associated: &[u8], sealed: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Destroys the subject's key for good; false when there is none. What is recorded of the subject
    /// afterwards has a new one.
    ///
    /// # Errors
    /// When it cannot be destroyed.
    fn destroy(&self, subject: &str) -> Result<bool>;
}

/// What the sealed details of a record belong to.
pub(super) fn associated(subject: &str, at: Timestamp) -> Vec<u8> {
    let mut bytes = b"sutazai.audit.personal.v1\0".to_vec();
    bytes.extend(at.as_nanos().to_be_bytes());
    bytes.extend(subject.as_bytes());
    bytes
}

/// Keys in the store, each wrapped (AES-256-GCM) by a master key that stands elsewhere.
pub struct StoredSubjectKeys {
    store: Store,
    master: LessSafeKey,
    random: SystemRandom,
    cache: Mutex<BTreeMap<String, Key>>,
}

struct Key {
    id: [u8; ID],
    aead: LessSafeKey,
}

impl StoredSubjectKeys {
    /// The keys in this store, under this master key.
    ///
    /// # Errors
    /// [`Code::INTERNAL`] if the cipher does not take the key.
    pub fn new(store: Store, master: &[u8; 32]) -> Result<Self> {
        Ok(Self {
            store,
            master: aead(master)?,
            random: SystemRandom::new(),
            cache: Mutex::default(),
        })
    }

    /// The name of a subject's entry: a digest, since a subject's name may be longer than a key may.
    fn entry(subject: &str) -> String {
        Hash::leaf(subject.as_bytes()).to_string()
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        self.random
            .fill(bytes)
            .map_err(|_| Error::new(Code::IO, "the system gives no random bytes"))
    }

    /// Gives the key to `with`; makes one when there is none and `make` is set.
    fn with<T>(
        &self,
        subject: &str,
        make: bool,
        with: impl FnOnce(&Key) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut cache = self.cache.lock();
        if let Some(key) = cache.get(subject) {
            return with(key).map(Some);
        }
        let name = Self::entry(subject);
        let blank = Payload::from(blank());
        let key = match self.store.get(NAMESPACE, &name)? {
            // One whose destruction was interrupted is destroyed.
            Some(entry) if entry.value != blank => self.unwrap(subject, &entry.value)?,
            _ if !make => return Ok(None),
            _ => self.make(subject, &name)?,
        };
        let given = with(&key)?;
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(subject.to_owned(), key);
        Ok(Some(given))
    }

    fn make(&self, subject: &str, name: &str) -> Result<Key> {
        let mut whole = Zeroizing::new(vec![0; ID + 32]);
        self.fill(&mut whole)?;
        let key = read_key(&whole)?;
        let wrapped = self.lock(&self.master, subject.as_bytes(), &whole)?;
        let value = Payload::from(STANDARD.encode(wrapped));
        // A record must not be durable before the key that opens it.
        self.store.put(NAMESPACE, name, &value, Timestamp::now(), Durability::Fsync).wait()?;
        Ok(key)
    }

    fn unwrap(&self, subject: &str, value: &Payload) -> Result<Key> {
        let bad = || {
            Error::new(Code::AUDIT_PROOF, "the subject's key was not wrapped by this master key")
                .operation("audit.subject")
                .advice("open the log with the master key that it was made with")
        };
        let wrapped = STANDARD.decode(value.to::<String>()?).map_err(|e| bad().because(e))?;
        let whole = unlock(&self.master, subject.as_bytes(), &wrapped).ok_or_else(bad)?;
        read_key(&whole)
    }

    /// Nonce ‖ ciphertext ‖ tag.
    fn lock(&self, key: &LessSafeKey, associated: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.fill(&mut nonce)?;
        let mut sealed = nonce.to_vec();
        sealed.extend_from_slice(plain);
        let (_, body) = sealed.split_at_mut(NONCE_LEN);
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated),
                body,
            )
            .map_err(|_| Error::new(Code::INTERNAL, "the cipher refused to seal"))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }
}

/// What a key's entry is overwritten with, as long as it.
fn blank() -> String {
    STANDARD.encode([0; NONCE_LEN + ID + 32 + 16])
}

fn aead(key: &[u8]) -> Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| Error::new(Code::INTERNAL, "the cipher does not take the key"))
}

fn read_key(whole: &[u8]) -> Result<Key> {
    let (id, key) = whole
        .split_first_chunk::<ID>()
        .ok_or_else(|| Error::new(Code::AUDIT_PROOF, "the subject's key is too short"))?;
    Ok(Key { id: *id, aead: aead(key)? })
}

fn unlock(key: &LessSafeKey, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut body = Zeroizing::new(body.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key.open_in_place(nonce, Aad::from(associated), &mut body).ok()?.len();
    body.truncate(length);
    Some(body)
}

impl SubjectKeys for StoredSubjectKeys {
    fn seal(&self, subject: &str, associated: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let sealed = self.with(subject, true, |key| {
            let mut sealed = key.id.to_vec();
            sealed.extend(self.lock(&key.aead, associated, plain)?);
            Ok(sealed)
        })?;
        sealed.ok_or_else(|| Error::new(Code::INTERNAL, "the subject has no key"))
    }

    fn open(&self, subject: &str, associated: &[u8], sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        let bad =
            || Error::new(Code::AUDIT_PROOF, "the personal details were not sealed like this");
        let (id, sealed) = sealed.split_first_chunk::<ID>().ok_or_else(bad)?;
        let opened = self.with(subject, false, |key| {
            if key.id != *id {
                // Sealed under one that was destroyed since.
                return Ok(None);
            }
            let plain = unlock(&key.aead, associated, sealed).ok_or_else(bad)?;
            Ok(Some(plain.to_vec()))
        })?;
        Ok(opened.flatten())
    }

    fn destroy(&self, subject: &str) -> Result<bool> {
        let name = Self::entry(subject);
        let mut cache = self.cache.lock();
        cache.remove(subject);
        if self.store.get(NAMESPACE, &name)?.is_none() {
            return Ok(false);
        }
        // Overwritten first: a deleted row's bytes may stay in the file.
        let blank = Payload::from(blank());
        self.store.put(NAMESPACE, &name, &blank, Timestamp::now(), Durability::Fsync).wait()?;
        self.store.delete(NAMESPACE, &name, Durability::Fsync).wait()
    }
}

impl std::fmt::Debug for StoredSubjectKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredSubjectKeys").finish_non_exhaustive()
    }
}
