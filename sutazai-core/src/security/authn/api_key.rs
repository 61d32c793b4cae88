//! API keys: for programs that call.

use std::collections::{BTreeMap, HashMap};

use parking_lot::RwLock;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::check_principal;
use super::records::{Fate, Records};
use crate::base::time::Timestamp;
use crate::port::{AuthProvider, AuthStep, Credential, Session};
use crate::store::Store;
use crate::{Code, Error, Result};

/// Bytes of a key's number, and of its secret part.
const ID: usize = 8;
const SECRET: usize = 32;
/// What every key begins with, so that scanners find it where it does not belong.
const PREFIX: &str = "stz_";
/// How many keys are remembered, so that checking one need not ask the store.
const CACHED: usize = 10_000;
/// How often it is kept that a key was used.
const USED_EVERY_NS: i64 = 60_000_000_000;

/// The public part of a key: it names the key in lists and logs.
pub type ApiKeyId = String;

/// A key that is wanted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyOrder {
    /// Whose it is.
    pub principal: String,
    /// What it is for, to tell it from others.
    #[serde(default)]
    pub label: String,
    /// What it may be used for; policies see them as `context.scopes`. Empty: whatever its
    /// principal may.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// When it ends, in milliseconds from now; without it, never.
    #[serde(default)]
    pub lasts_ms: Option<u64>,
}

/// A key as it was made. This is the only time that its secret is seen.
#[derive(Clone, Serialize, JsonSchema)]
pub struct MadeApiKey {
    /// What is kept of it.
    pub view: ApiKeyView,
    /// What the program sends.
    pub key: String,
}

impl std::fmt::Debug for MadeApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeApiKey").field("view", &self.view).finish_non_exhaustive()
    }
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyView {
    /// Its public part.
    pub id: ApiKeyId,
    /// Whose it is.
    pub principal: String,
    /// What it is for.
    pub label: String,
    /// What it may be used for; empty: whatever its principal may.
    pub scopes: Vec<String>,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Timestamp>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    view: ApiKeyView,
    /// SHA-256 of the whole key, in hexadecimal: it is random, nothing slower is called for.
    hash: String,
}

struct Cached {
    session: Session,
    id: ApiKeyId,
    ends: Option<Timestamp>,
    used: Timestamp,
}

/// The attribute of a session that says by which key it came.
pub(in crate::security) const KEY: &str = "key";

/// The factor `api-key`: random keys, kept hashed, that end and can be revoked.
pub struct ApiKeys {
    records: Records<Record>,
    cache: RwLock<HashMap<[u8; 32], Cached>>,
}

impl ApiKeys {
    /// The scheme: `api-key`.
    pub const SCHEME: &'static str = "api-key";

    /// Keys kept in this store.
    pub fn new(store: Store) -> Self {
        Self { records: Records::new(store, "security.api_key"), cache: RwLock::default() }
    }

    /// Whether this looks like one of ours; says nothing about whether it is good.
    pub fn is_key(text: &str) -> bool {
        parts(text).is_some()
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`Code::INVALID`] for an order that cannot be, and what the store answers.
    pub fn make(&self, order: ApiKeyOrder, now: Timestamp) -> Result<MadeApiKey> {
        let made = Self::draft(order, now)?;
        self.keep(&made, now)?;
        Ok(made)
    }

    /// Makes a key that opens nothing before it is [kept](Self::keep).
    pub(in crate::security) fn draft(order: ApiKeyOrder, now: Timestamp) -> Result<MadeApiKey> {
        const OPERATION: &str = "security.api_key_make";
        check_principal(&order.principal, OPERATION)?;
        let invalid = |what: &'static str| Error::new(Code::INVALID, what).operation(OPERATION);
        if order.label.len() > 256 {
            return Err(invalid("a label has 256 bytes at most"));
        }
        let fits = |scope: &String| {
            (1..=128).contains(&scope.len())
                && !scope.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        if order.scopes.len() > 64 || !order.scopes.iter().all(fits) {
            return Err(invalid("64 scopes at most, each of 1 to 128 bytes without spaces"));
        }
        let ends = match order.lasts_ms {
            None => None,
            Some(0) => return Err(invalid("a key lasts some time")),
            Some(ms) => {
                let nanos = i64::try_from(ms).ok().and_then(|ms| ms.checked_mul(1_000_000));
                let ends = nanos.and_then(|nanos| now.as_nanos().checked_add(nanos));
                Some(Timestamp::from_nanos(ends.ok_or_else(|| invalid("a key lasts too long"))?))
            }
        };
        let mut bytes = zeroize::Zeroizing::new([0; ID + SECRET]);
        SystemRandom::new().fill(&mut *bytes).map_err(|_| {
            Error::new(Code::IO, "the operating system gave no random bytes").operation(OPERATION)
        })?;
        let (id, secret) = bytes.split_at(ID);
        let id = hex(id);
        let key = format!("{PREFIX}{id}_{}", hex(secret));
        let view = ApiKeyView {
            id,
            principal: order.principal,
            label: order.label,
            scopes: order.scopes,
            made: now,
            ends,
            used: None,
        };
        Ok(MadeApiKey { view, key })
    }

    /// Keeps a key that was made: it opens from here on.
    pub(in crate::security) fn keep(&self, made: &MadeApiKey, now: Timestamp) -> Result<()> {
        let record = Record { view: made.view.clone(), hash: hex(&hash(&made.key)) };
        self.records.change(&made.view.id, now, |_| Ok((Fate::Put(record), ())))
    }

    /// Ends a key at once; whether there was one.
    ///
    /// # Errors
    /// What the store answers.
    pub fn revoke(&self, id: &str, now: Timestamp) -> Result<bool> {
        if id.len() != 2 * ID {
            return Ok(false);
        }
        let was = self.records.change(id, now, |record| Ok((Fate::Delete, record.is_some())))?;
        // Nobody has put it back meanwhile: what is remembered is checked against the store under the
        // cache's lock.
        self.cache.write().retain(|_, cached| cached.id != id);
        Ok(was)
    }

    /// The keys, of one principal or of all, after `after` (an id).
    ///
    /// # Errors
    /// What the store answers.
    pub fn list(
        &self,
        principal: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ApiKeyView>> {
        self.records.find(after, limit, |record| {
            Some(record.view).filter(|view| principal.is_none_or(|name| view.principal == name))
        })
    }

    /// Whether a key is still there and has not ended, by its public part.
    ///
    /// # Errors
    /// What the store answers.
    pub fn is_good(&self, id: &str, now: Timestamp) -> Result<bool> {
        let good = |ends: Option<Timestamp>| ends.is_none_or(|ends| now < ends);
        if let Some(cached) = self.cache.read().values().find(|cached| cached.id == id) {
            return Ok(good(cached.ends));
        }
        let record = self.records.get(id)?;
        Ok(record.is_some_and(|record| good(record.view.ends)))
    }

    /// The session of a key; `None` where it is not good. A key that was good before is checked without the
    /// store, but for once a minute, when it is kept that it was used.
    ///
    /// # Errors
    /// What the store answers.
    pub fn session(&self, key: &str, now: Timestamp) -> Result<Option<Session>> {
        let Some(id) = parts(key) else { return Ok(None) };
        let digest = hash(key);
        if let Some(cached) = self.cache.read().get(&digest) {
            if cached.ends.is_some_and(|ends| ends <= now) {
                return Ok(None);
            }
            if now.as_nanos().saturating_sub(cached.used.as_nanos()) < USED_EVERY_NS {
                return Ok(Some(cached.session.clone()));
            }
        }
        let Some(record) = self.records.get(id)? else { return Ok(None) };
        let ends = record.view.ends;
        // Hashes are compared: how far they agree tells nothing that helps to find what hashes so.
        if record.hash != hex(&digest) || ends.is_some_and(|ends| ends <= now) {
            return Ok(None);
        }
        let mut attributes = BTreeMap::new();
        attributes.insert(KEY.to_owned(), record.view.id.clone());
        if !record.view.scopes.is_empty() {
            attributes.insert(Session::SCOPES.to_owned(), record.view.scopes.join(" "));
        }
        let principal = &*record.view.principal;
        let session = Session::new(principal, Self::SCHEME).with_attributes(attributes);
        // Under the record's lock, and only where it is still there: one that was revoked meanwhile is
        // not remembered.
        let good = self.records.touch(id, now, |there| {
            there.view.used = Some(now);
            let mut cache = self.cache.write();
            if cache.len() >= CACHED {
                cache.clear();
            }
            let (session, id) = (session.clone(), id.to_owned());
            cache.insert(digest, Cached { session, id, ends, used: now });
        })?;
        Ok(good.then_some(session))
    }
}

impl AuthProvider for ApiKeys {
    fn scheme(&self) -> &str {
        Self::SCHEME
    }

    fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<AuthStep> {
        let key = std::str::from_utf8(&credential.secret).unwrap_or("");
        let session = self.session(key, now)?.filter(|session| {
            credential.principal.as_deref().is_none_or(|name| name == session.principal())
        });
        Ok(match session {
            Some(session) => AuthStep::Accepted(session),
            None => AuthStep::Refused("the key is not good: wrong, revoked or over".to_owned()),
        })
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeys").finish_non_exhaustive()
    }
}

/// The public part of what has the form of a key.
fn parts(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (id.len() == 2 * ID && secret.len() == 2 * SECRET && is_hex(id) && is_hex(secret)).then_some(id)
}

fn hash(key: &str) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = digest(&SHA256, key.as_bytes());
    out.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    out
}

/// In hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(principal: &str) -> ApiKeyOrder {
        ApiKeyOrder {
            principal: principal.to_owned(),
            label: "ci".to_owned(),
            scopes: vec!["read".to_owned(), "write".to_owned()],
            lasts_ms: Some(1000),
        }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_key_is_good_until_it_ends_or_is_revoked() {
        let keys = ApiKeys::new(Store::memory(&[]).unwrap());
        let made = keys.make(order("ann"), at(0)).unwrap();
        for _ in 0..2 {
            let session = keys.session(&made.key, at(1)).unwrap().unwrap();
            assert_eq!((session.principal(), session.scheme()), ("ann", "api-key"));
            assert_eq!(session.attributes()["scopes"], "read write");
        }
        assert!(keys.session(&made.key, at(1000)).unwrap().is_none(), "over, though remembered");
        assert!(keys.session(&made.key, at(999)).unwrap().is_some());
        let mut wrong = made.key.clone();
        wrong.replace_range(made.key.len() - 1.., if wrong.ends_with('0') { "1" } else { "0" });
        assert!(keys.session(&wrong, at(1)).unwrap().is_none());
        // Whatever is written after it is there has it behind it.
        keys.make(order("bob"), at(1)).unwrap();
        assert_eq!(keys.list(Some("ann"), None, 9).unwrap()[0].used, Some(at(1)));
        assert!(keys.revoke(&made.view.id, at(2)).unwrap());
        assert!(keys.session(&made.key, at(2)).unwrap().is_none(), "revoked, though remembered");
        assert!(!keys.revoke(&made.view.id, at(3)).unwrap());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let keys = ApiKeys::new(Store::memory(&[]).unwrap());
        for text in ["", "stz_", "stz__", "stz_00_00", "sk_1", "stz_zzzzzzzzzzzzzzzz_"] {
            assert!(!ApiKeys::is_key(text));
            assert!(keys.session(text, at(0)).unwrap().is_none());
        }
        let bad = ApiKeyOrder { scopes: vec!["a b".to_owned()], ..order("ann") };
        assert_eq!(keys.make(bad, at(0)).unwrap_err().code(), Code::INVALID);
        assert!(
            keys.make(ApiKeyOrder { lasts_ms: Some(u64::MAX), ..order("ann") }, at(0)).is_err()
        );
    }

    #[test]
    fn lists_go_on() {
        let keys = ApiKeys::new(Store::memory(&[]).unwrap());
        for n in 0..7 {
            keys.make(order(if n % 2 == 0 { "ann" } else { "bob" }), at(0)).unwrap();
        }
        let first = keys.list(None, None, 4).unwrap();
        let rest = keys.list(None, Some(&first[3].id), 9).unwrap();
        assert_eq!((first.len(), rest.len()), (4, 3));
        assert_eq!(keys.list(Some("bob"), None, 9).unwrap().len(), 3);
    }
}
