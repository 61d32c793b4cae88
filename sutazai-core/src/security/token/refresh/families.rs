//! The families that are alive.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use zeroize::Zeroizing;

use super::super::{Grant, fault};
use super::record::{Presented, Record, Standing};
use super::{RefreshPolicy, RefreshStatus};
use crate::base::payload::Payload;
use crate::base::time::Timestamp;
use crate::store::{Durability, LIST_MAX, Store};
use crate::{Code, Error, Result};

const NAMESPACE: &str = "security.refresh";
const LOCKS: usize = 256;
/// Successors that are kept for retries, at most.
const RETRIES: usize = 4096;

pub(in super::super) struct Families {
    store: Store,
    policy: RefreshPolicy,
    index: Mutex<Index>,
    /// One of them is held from when a family is read until it is written: of two that use the same
    /// token one comes second. Families share them by chance.
    locks: Vec<Mutex<()>>,
    hasher: RandomState,
    retries: Mutex<HashMap<String, Retry>>,
    rotated: AtomicU64,
    reused: AtomicU64,
    crowded_out: AtomicU64,
}

/// What is known of families without asking the store.
#[derive(Default)]
struct Index {
    families: HashMap<String, Alive>,
    subjects: HashMap<String, Vec<String>>,
}

struct Alive {
    subject: String,
    created: i64,
    ends: Timestamp,
}

/// What was answered to a token, for as long as the grace lasts.
struct Retry {
    number: u32,
    successor: Zeroizing<String>,
    until: Timestamp,
}

/// What comes of a token that was presented.
pub(in super::super) enum Judged {
    /// It was the current one; the family has another now. `before` is to be
    /// [put back](Families::put_back) when the successor cannot be handed out.
    Rotated { before: Box<Record>, after: Box<Record>, token: Zeroizing<String> },
    /// It was used a moment ago, and is answered as it was then.
    Repeated { record: Box<Record>, token: Zeroizing<String> },
    /// It was used before: the family has ended.
    Reused(Box<Record>),
}

impl Families {
    pub(in super::super) fn open(store: Store, policy: RefreshPolicy) -> Result<Self> {
        let families = Self {
            store,
            policy: policy.check()?,
            index: Mutex::default(),
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
            retries: Mutex::default(),
            rotated: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            crowded_out: AtomicU64::new(0),
        };
        let mut after: Option<String> = None;
        loop {
            let page = families.store.list(NAMESPACE, "", after.as_deref(), LIST_MAX)?;
            let Some(last) = page.last() else { return Ok(families) };
            after = Some(last.key.clone());
            for entry in &page {
                let record = read(&entry.value)?;
                families.index.lock().put(&record, &families.policy);
            }
        }
    }

    /// Begins a family and answers its first token, which is on the disk then.
    pub(in super::super) fn begin(
        &self,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<(Record, Zeroizing<String>)> {
        let (record, token) = Record::begin(grant, now)?;
        let crowded_out = {
            let mut index = self.index.lock();
            if index.families.len() >= self.policy.families {
                return Err(Error::new(
                    Code::OVERLOADED,
                    "as many refresh tokens are alive as there may be",
                )
                .operation("security.token.issue")
                .advice("sweep, raise refresh.families, or shorten refresh.idle"));
            }
            index.put(&record, &self.policy);
            index.crowd(&grant.subject, self.policy.per_subject)
        };
        let begun = crowded_out.iter().try_for_each(|family| {
            self.crowded_out.fetch_add(1, Ordering::Relaxed);
            self.end(family)
        });
        begun
            .and_then(|()| self.write(&record, now))
            .inspect_err(|_| self.index.lock().remove(&record.family))?;
        Ok((record, token))
    }

    /// Takes a token: rotates the family, or ends it when the token was used before. `refused` says of a family
    /// whether it is revoked; `reuse` is called while nobody else can use the family.
    pub(in super::super) fn take(
        &self,
        token: &str,
        now: Timestamp,
        refused: impl FnOnce(&Record) -> bool,
        reuse: impl FnOnce(&Record) -> Result<()>,
    ) -> Result<Judged> {
        let presented = Presented::read(token).ok_or_else(fault::refresh)?;
        if !self.index.lock().families.contains_key(&presented.family) {
            return Err(fault::refresh());
        }
        let _alone = self.alone(&presented.family);
        let entry = self.store.get(NAMESPACE, &presented.family)?.ok_or_else(fault::refresh)?;
        let record = read(&entry.value)?;
        let standing = record.standing(&presented);
        if standing == Standing::Stranger {
            return Err(fault::refresh());
        }
        if now >= record.ends(&self.policy) || refused(&record) {
            self.delete(&record.family)?;
            return Err(fault::refresh());
        }
        if standing == Standing::Earlier {
            if let Some(token) = self.retry(&presented, now) {
                return Ok(Judged::Repeated { record: Box::new(record), token });
            }
            self.reused.fetch_add(1, Ordering::Relaxed);
            reuse(&record)?;
            self.delete(&record.family)?;
            return Ok(Judged::Reused(Box::new(record)));
        }
        let (after, token) = record.next(now)?;
        self.write(&after, now)?;
        self.index.lock().put(&after, &self.policy);
        self.rotated.fetch_add(1, Ordering::Relaxed);
        self.remember(&presented, &token, now);
        Ok(Judged::Rotated { before: Box::new(record), after: Box::new(after), token })
    }

    /// Puts a family back to where it stood, unless it went on since: its new token was not handed out.
    pub(in super::super) fn put_back(
        &self,
        before: &Record,
        after: &Record,
        now: Timestamp,
    ) -> Result<()> {
        let _alone = self.alone(&before.family);
        let entry = self.store.get(NAMESPACE, &before.family)?;
        let Some(entry) = entry else { return Ok(()) };
        if read(&entry.value)?.number == after.number {
            self.write(before, now)?;
            self.retries.lock().remove(&before.family);
        }
        Ok(())
    }

    /// Whose family a token is of, and which; nothing where it is no refresh token.
    pub(in super::super) fn of(&self, token: &str) -> Result<Option<(String, String)>> {
        let Some(presented) = Presented::read(token) else { return Ok(None) };
        let entry = self.store.get(NAMESPACE, &presented.family)?.ok_or_else(fault::refresh)?;
        let record = read(&entry.value)?;
        match record.standing(&presented) {
            Standing::Current | Standing::Earlier => {
                Ok(Some((record.family, record.grant.subject)))
            }
            Standing::Stranger => Err(fault::refresh()),
        }
    }

    /// Ends a family; its tokens are unknown from here on.
    pub(in super::super) fn end(&self, family: &str) -> Result<()> {
        let _alone = self.alone(family);
        self.delete(family)
    }

    /// Ends what has expired or is revoked; answers how many.
    pub(in super::super) fn sweep(
        &self,
        now: Timestamp,
        revoked: impl Fn(&str, &str, Timestamp) -> bool,
    ) -> Result<usize> {
        let over: Vec<String> = {
            let index = self.index.lock();
            let over = index.families.iter().filter(|(family, alive)| {
                now >= alive.ends
                    || revoked(family, &alive.subject, Timestamp::from_nanos(alive.created))
            });
            over.map(|(family, _)| family.clone()).collect()
        };
        self.retries.lock().retain(|_, retry| now < retry.until);
        for family in &over {
            self.end(family)?;
        }
        Ok(over.len())
    }

    fn alone(&self, family: &str) -> Option<MutexGuard<'_, ()>> {
        let at = (self.hasher.hash_one(family) % LOCKS as u64) as usize;
        self.locks.get(at).map(Mutex::lock)
    }

    fn write(&self, record: &Record, now: Timestamp) -> Result<()> {
        let value = Payload::json(record)?;
        self.store.put(NAMESPACE, &record.family, &value, now, Durability::Fsync).wait()
    }

    fn delete(&self, family: &str) -> Result<()> {
        self.index.lock().remove(family);
        self.retries.lock().remove(family);
        self.store.delete(NAMESPACE, family, Durability::Fsync).wait().map(drop)
    }

    fn remember(&self, presented: &Presented, token: &Zeroizing<String>, now: Timestamp) {
        if self.policy.grace.is_zero() {
            return;
        }
        let mut retries = self.retries.lock();
        if retries.len() >= RETRIES {
            retries.retain(|_, retry| now < retry.until);
        }
        if retries.len() < RETRIES {
            let until = now + self.policy.grace;
            let retry = Retry { number: presented.number, successor: token.clone(), until };
            retries.insert(presented.family.clone(), retry);
        }
    }

    fn retry(&self, presented: &Presented, now: Timestamp) -> Option<Zeroizing<String>> {
        let retries = self.retries.lock();
        let retry = retries.get(&presented.family)?;
        (retry.number == presented.number && now < retry.until).then(|| retry.successor.clone())
    }

    pub(in super::super) fn status(&self) -> RefreshStatus {
        RefreshStatus {
            families: self.index.lock().families.len() as u64,
            rotated: self.rotated.load(Ordering::Relaxed),
            reused: self.reused.load(Ordering::Relaxed),
            crowded_out: self.crowded_out.load(Ordering::Relaxed),
        }
    }
}

impl Index {
    fn put(&mut self, record: &Record, policy: &RefreshPolicy) {
        let subject = &record.grant.subject;
        let alive =
            Alive { subject: subject.clone(), created: record.created, ends: record.ends(policy) };
        if self.families.insert(record.family.clone(), alive).is_none() {
            self.subjects.entry(subject.clone()).or_default().push(record.family.clone());
        }
    }

    fn remove(&mut self, family: &str) {
        let Some(alive) = self.families.remove(family) else { return };
        if let Some(of) = self.subjects.get_mut(&alive.subject) {
            of.retain(|other| other != family);
            if of.is_empty() {
                self.subjects.remove(&alive.subject);
            }
        }
    }

    /// The oldest families of a subject that are too many.
    fn crowd(&self, subject: &str, most: usize) -> Vec<String> {
        let mut of = self.subjects.get(subject).cloned().unwrap_or_default();
        let many = of.len().saturating_sub(most);
        of.sort_by_key(|family| self.families.get(family).map_or(0, |alive| alive.created));
        of.truncate(many);
        of
    }
}

fn read(value: &Payload) -> Result<Record> {
    serde_json::from_str(&value.to_text()).map_err(|e| {
        Error::new(Code::STORE_CORRUPT, "a family of refresh tokens cannot be read")
            .operation("security.token.refresh")
            .because(e)
    })
}
