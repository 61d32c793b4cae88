//! [`Shelf`]: the keysets in the store, wrapped.
//!
//! ```text
//! head               {format, generation, origin, sealed: the root key under the master key}
//! g<generation>/<n>  {format, sealed: the keyset n under the root key of that generation}
//! ```
//!
//! A change of the master key writes all keysets under a new root key as the next generation, and then the
//! head, in one row: whoever is interrupted leaves the old one or the new one. Rows of other generations
//! are swept away at the next opening.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::lifecycle::Keyset;
use super::master::{Master, Origin};
use super::primitive::aead::Aead;
use super::primitive::chunked::ChunkedKey;
use super::secret::Secret;
use crate::base::payload::Payload;
use crate::base::ticket::Ticket;
use crate::base::time::Timestamp;
use crate::store::{Durability, Entry, LIST_MAX, Store};
use crate::{Code, Error, Result};

const NAMESPACE: &str = "security.keys";
const HEAD: &str = "head";
const FORMAT: u32 = 1;
/// How many writes are under way at a time, where there are many.
const AT_ONCE: usize = 256;

pub(super) struct Shelf {
    store: Store,
    /// In tests: how many writes succeed before all fail, as after a crash.
    #[cfg(test)]
    pub(super) writes_left: std::sync::atomic::AtomicUsize,
}

/// What all rows of a generation are wrapped under.
pub(super) struct Root {
    pub(super) generation: u64,
    pub(super) key: Secret,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    generation: u64,
    origin: Origin,
    sealed: Secret,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    format: u32,
    sealed: Secret,
}

impl Shelf {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            #[cfg(test)]
            writes_left: std::sync::atomic::AtomicUsize::new(usize::MAX),
        }
    }

    /// The root key, made where there is none.
    pub(super) fn open(&self, master: &Master, now: Timestamp) -> Result<Root> {
        let Some(head) = self.head()? else {
            let root = Root { generation: 1, key: Secret::random(32)? };
            let (origin, key) = master.begin()?;
            self.put_head(&root, origin, &key, now)?;
            return Ok(root);
        };
        let key = master.resume(&head.origin)?;
        let sealer = ChunkedKey::new(Aead::Aes256Gcm, key.expose())?;
        let context = head_context(head.generation, &head.origin)?;
        let root =
            sealer.open(&[&context], head.sealed.expose()).map(Secret::new).map_err(|e| {
                Error::new(
                    Code::MASTER_KEY,
                    "this is not the master key of the keysets, or what is kept of it was altered",
                )
                .operation("keys.open")
                .because(e)
                .advice("give the one that was set last")
            })?;
        root.key()?;
        Ok(Root { generation: head.generation, key: root })
    }

    fn head(&self) -> Result<Option<Head>> {
        let Some(entry) = self.store.get(NAMESPACE, HEAD)? else { return Ok(None) };
        let head: Head = entry.value.to().map_err(|e| corrupt(HEAD).because(e))?;
        if head.format != FORMAT {
            return Err(newer(head.format));
        }
        Ok(Some(head))
    }

    /// Which generation the store is at.
    pub(super) fn generation(&self) -> Result<Option<u64>> {
        Ok(self.head()?.map(|head| head.generation))
    }

    /// Makes this root key the one that counts.
    pub(super) fn put_head(
        &self,
        root: &Root,
        origin: Origin,
        master: &Secret,
        now: Timestamp,
    ) -> Result<()> {
        let context = head_context(root.generation, &origin)?;
        let sealer = ChunkedKey::new(Aead::Aes256Gcm, master.expose())?;
        let sealed = Secret::new(sealer.seal(&[&context], root.key.expose())?);
        let head = Head { format: FORMAT, generation: root.generation, origin, sealed };
        self.put(HEAD, &head, now)?.wait()
    }

    /// Every keyset of a generation.
    pub(super) fn load(&self, root: &Root) -> Result<Vec<Keyset>> {
        let prefix = prefix(root.generation);
        let mut sets = Vec::new();
        self.each(&prefix, |entry| {
            let name = entry.key.strip_prefix(&prefix).unwrap_or_default();
            sets.push(unseal(root, name, &entry)?);
            Ok(())
        })?;
        Ok(sets)
    }

    pub(super) fn save(&self, root: &Root, keyset: &Keyset, now: Timestamp) -> Result<()> {
        self.begin_save(root, keyset, now)?.wait()
    }

    /// Saves all of them, many in one transaction.
    pub(super) fn save_all<'a>(
        &self,
        root: &Root,
        keysets: impl Iterator<Item = &'a Keyset>,
        now: Timestamp,
    ) -> Result<()> {
        let mut under_way = VecDeque::new();
        let mut result = Ok(());
        for keyset in keysets {
            if under_way.len() == AT_ONCE {
                let oldest = under_way.pop_front();
                result = oldest.map_or(Ok(()), |mut ticket: Ticket<()>| ticket.wait());
            }
            match result.and_then(|()| self.begin_save(root, keyset, now)) {
                Ok(ticket) => under_way.push_back(ticket),
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
            result = Ok(());
        }
        // Also after a failure: nothing of this comes later than what comes after it.
        let rest = under_way.iter_mut().map(Ticket::wait);
        rest.fold(result, |before, ticket| before.and(ticket))
    }

    fn begin_save(&self, root: &Root, keyset: &Keyset, now: Timestamp) -> Result<Ticket<()>> {
        let key = prefix(root.generation) + &keyset.name;
        self.put(&key, &Row { format: FORMAT, sealed: seal(root, keyset)? }, now)
    }

    pub(super) fn remove(&self, root: &Root, name: &str) -> Result<()> {
        self.spend()?;
        let key = prefix(root.generation) + name;
        self.store.delete(NAMESPACE, &key, Durability::Fsync).wait().map(drop)
    }

    /// Deletes the rows of other generations.
    pub(super) fn sweep(&self, root: &Root) -> Result<()> {
        let ours = prefix(root.generation);
        let mut stale = Vec::new();
        self.each("g", |entry| {
            if !entry.key.starts_with(&ours) {
                stale.push(entry.key);
            }
            Ok(())
        })?;
        for keys in stale.chunks(AT_ONCE) {
            let mut under_way = Vec::with_capacity(keys.len());
            for key in keys {
                self.spend()?;
                under_way.push(self.store.delete(NAMESPACE, key, Durability::Fsync));
            }
            under_way.iter_mut().try_for_each(|ticket| ticket.wait().map(drop))?;
        }
        Ok(())
    }

    fn each(&self, prefix: &str, mut f: impl FnMut(Entry) -> Result<()>) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(NAMESPACE, prefix, after.as_deref(), LIST_MAX)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            page.into_iter().try_for_each(&mut f)?;
        }
    }

    fn put<T: Serialize>(&self, key: &str, row: &T, now: Timestamp) -> Result<Ticket<()>> {
        self.spend()?;
        let payload = Payload::json(row)?;
        Ok(self.store.put(NAMESPACE, key, &payload, now, Durability::Fsync))
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests let it fail")]
    fn spend(&self) -> Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn spend(&self) -> Result<()> {
        use std::sync::atomic::Ordering;
        self.writes_left
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .map(drop)
            .map_err(|_| Error::new(Code::STORE_LOCKED, "no more writes"))
    }
}

/// A keyset as a value of its own, sealed under the root key and bound to its generation and name.
fn seal(root: &Root, keyset: &Keyset) -> Result<Secret> {
    let plain = to_json(keyset)?;
    let sealer = ChunkedKey::new(Aead::Aes256Gcm, root.key.expose())?;
    sealer.seal(&[&row_context(root.generation, &keyset.name)], &plain).map(Secret::new)
}

fn unseal(root: &Root, name: &str, entry: &Entry) -> Result<Keyset> {
    let row: Row = entry.value.to().map_err(|e| corrupt(name).because(e))?;
    if row.format != FORMAT {
        return Err(newer(row.format));
    }
    let sealer = ChunkedKey::new(Aead::Aes256Gcm, root.key.expose())?;
    let plain = sealer
        .open(&[&row_context(root.generation, name)], row.sealed.expose())
        .map(Zeroizing::new)
        .map_err(|e| corrupt(name).because(e))?;
    from_json(&plain).filter(|keyset| keyset.name == name).ok_or_else(|| corrupt(name))
}

/// A keyset as JSON, written where it is wiped and where nothing of it is left by growing.
pub(super) fn to_json(keyset: &Keyset) -> Result<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(1024 + 512 * keyset.keys.len()));
    serde_json::to_writer(&mut *plain, keyset)
        .map_err(|_| Error::new(Code::INTERNAL, "the keyset has no JSON form"))?;
    Ok(plain)
}

/// A keyset that the state machine can have made, of its JSON form.
pub(super) fn from_json(plain: &[u8]) -> Option<Keyset> {
    serde_json::from_slice::<Keyset>(plain).ok().filter(Keyset::is_sound)
}

fn prefix(generation: u64) -> String {
    format!("g{generation:016x}/")
}

fn head_context(generation: u64, origin: &Origin) -> Result<Vec<u8>> {
    let mut context = b"sutazai.keys.head.v1".to_vec();
    context.extend_from_slice(&generation.to_be_bytes());
    let origin = serde_json::to_vec(origin)
        .map_err(|_| Error::new(Code::INTERNAL, "the origin has no JSON form"))?;
    context.extend(origin);
    Ok(context)
}

fn row_context(generation: u64, name: &str) -> Vec<u8> {
    let mut context = b"sutazai.keys.row.v1".to_vec();
    context.extend_from_slice(&generation.to_be_bytes());
    context.extend_from_slice(name.as_bytes());
    context
}

fn corrupt(what: &str) -> Error {
    Error::new(Code::KEYS_CORRUPT, "a stored keyset was altered, or is not whole")
        .operation("keys.open")
        .with("row", what.chars().take(64).collect::<String>())
        .advice("restore the data directory from a backup; import the keyset from an export")
}

fn newer(format: u32) -> Error {
    Error::new(
        Code::KEY_FORMAT,
        "the keysets were written by a version that this one does not know",
    )
    .operation("keys.open")
    .with("format", format)
}
