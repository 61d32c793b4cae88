//! Revocations: effective at once in memory, and durable.
//!
//! Four things can be revoked: one token, a family, all of a subject's before a time, and all before a
//! time. A revocation is in memory before anything else happens, so that it holds for every check that
//! begins after; it is acknowledged when it is on the disk ([`Durability::Fsync`]), and read again at
//! the start. It is dropped when all that it covers has expired.
//!
//! The number of entries is bounded. A revocation for which there is no room is **widened** rather than
//! refused: a token's and a family's to all of its subject's until now, and that, when there is no room for
//! subjects either, to everybody's. What is revoked stays revoked; others may have to log in again, and the
//! status tells.
//!
//! Besides, a subject can be suspended: as long as they are, all of theirs counts as revoked, whenever it was issued.

mod suspended;
mod table;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use suspended::Suspended;
use table::{Kind, Table};

use super::claims::{ATTRIBUTE_FAMILY, ATTRIBUTE_ID, ATTRIBUTE_ISSUED};
use super::fault;
use crate::base::payload::Payload;
use crate::base::ticket::{self, Ticket};
use crate::base::time::Timestamp;
use crate::port::Session;
use crate::store::{Durability, LIST_MAX, Store};
use crate::{Code, Error, Result};

const NAMESPACE: &str = "security.revoked";
/// The longest identifier or subject, in bytes.
pub const ID_MAX: usize = 1024;

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// One token: its `jti`, whose it is if that is known, and when it expires.
    Token {
        /// Its identifier.
        id: String,
        /// Its subject.
        subject: Option<String>,
        /// When it expires.
        expires: Timestamp,
    },
    /// A family of refresh tokens, with the access tokens that came of it.
    Family {
        /// Its identifier.
        id: String,
        /// Its subject.
        subject: Option<String>,
    },
    /// All of a subject's that were issued at or before a time, which is not in the future.
    Subject {
        /// Whose.
        subject: String,
        /// Up to when.
        before: Timestamp,
    },
    /// All that were issued at or before a time, which is not in the future.
    Everything {
        /// Up to when.
        before: Timestamp,
    },
}

/// What a token is known by, as far as revocations go.
#[derive(Clone, Copy, Debug)]
pub struct Bearer<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// Its family, if it has one.
    pub family: Option<&'a str>,
    /// Whose it is.
    pub subject: &'a str,
    /// When it was issued.
    pub issued: Timestamp,
}

/// Bounds of the [`Revocations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationPolicy {
    /// The most entries of each kind; 1 to 10,000,000, default 100,000.
    pub entries: usize,
    /// The longest that anything lives that may be revoked by family, subject or time: so long such a
    /// revocation is kept. Default 30 days and an hour.
    pub longest: Duration,
}

impl Default for RevocationPolicy {
    fn default() -> Self {
        Self { entries: 100_000, longest: Duration::from_secs(30 * 86_400 + 3600) }
    }
}

/// What was revoked, and whether something is. Checks take a shared lock for as long as a look-up takes.
///
/// ```
/// use sutazai_core::base::time::Timestamp;
/// use sutazai_core::security::token::{Bearer, Revocation, RevocationPolicy, Revocations};
/// use sutazai_core::store::Store;
///
/// let revocations = Revocations::open(Store::memory(&[])?, RevocationPolicy::default())?;
/// let now = Timestamp::from_nanos(1_000);
/// let token = Bearer { id: "t1", family: None, subject: "alice", issued: Timestamp::from_nanos(900) };
/// assert!(!revocations.is_revoked(&token));
/// revocations.revoke(&Revocation::Subject { subject: "alice".into(), before: now }, now)?;
/// assert!(revocations.is_revoked(&token));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
pub struct Revocations {
    store: Store,
    policy: RevocationPolicy,
    table: Table,
    everything: AtomicI64,
    generation: AtomicU64,
    suspended: Suspended,
    /// Held while an entry is changed and its write is queued, so that writes of one entry are queued
    /// in the order of its changes.
    writing: Mutex<()>,
    widened: AtomicU64,
}

/// The figures of the [`Revocations`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct RevocationStatus {
    /// Single tokens.
    pub tokens: u64,
    /// Families.
    pub families: u64,
    /// Subjects.
    pub subjects: u64,
    /// Everything issued until then is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub everything_before: Option<Timestamp>,
    /// Revocations that were widened for want of room.
    pub widened: u64,
}

/// An entry as it stands in the store.
#[derive(Serialize, Deserialize)]
struct Kept {
    kind: Kind,
    id: String,
    before: i64,
    until: i64,
}

impl Revocations {
    /// What is revoked by this store.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy out of range; what the store answers; [`Code::STORE_CORRUPT`] for an
    /// entry that cannot be read: it may be of something that is revoked.
    pub fn open(store: Store, policy: RevocationPolicy) -> Result<Self> {
        if !(1..=10_000_000).contains(&policy.entries) {
            return Err(Error::new(Code::INVALID, "entries must be from 1 to 10,000,000")
                .operation("security.revoke.open"));
        }
        let all = Self {
            store,
            policy,
            table: Table::default(),
            everything: AtomicI64::new(i64::MIN),
            generation: AtomicU64::new(0),
            suspended: Suspended::default(),
            writing: Mutex::new(()),
            widened: AtomicU64::new(0),
        };
        let mut after: Option<String> = None;
        loop {
            let page = all.store.list(NAMESPACE, "", after.as_deref(), LIST_MAX)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for entry in &page {
                let kept: Kept = serde_json::from_str(&entry.value.to_text()).map_err(|e| {
                    Error::new(Code::STORE_CORRUPT, "a revocation cannot be read")
                        .operation("security.revoke.open")
                        .with("key", &entry.key)
                        .because(e)
                })?;
                all.remember(&kept);
            }
        }
        Ok(all)
    }

    fn remember(&self, kept: &Kept) {
        if kept.kind == Kind::Everything {
            self.everything.fetch_max(kept.before, Ordering::AcqRel);
        } else {
            self.table.put(kept.kind, &kept.id, kept.before, kept.until);
        }
    }

    /// Whether a token is revoked. An answer of "no" is right for every revocation that returned, or whose
    /// generation was read, before.
    pub fn is_revoked(&self, token: &Bearer<'_>) -> bool {
        let issued = token.issued.as_nanos();
        issued <= self.everything.load(Ordering::Acquire)
            || self.table.get(Kind::Subject, token.subject).is_some_and(|before| issued <= before)
            || token.family.is_some_and(|family| self.table.get(Kind::Family, family).is_some())
            || self.table.get(Kind::Token, token.id).is_some()
            || self.suspended.has(token.subject)
    }

    /// Refuses whatever this subject has, and whatever they are issued, until they are [resumed](Self::resume). It holds
    /// from before this returns, in memory only: [`Principals`](crate::security::authn::Principals) keeps it.
    pub fn suspend(&self, subject: &str) {
        self.suspended.add(subject);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Ends what [`suspend`](Self::suspend) began; whether it had. What was revoked meanwhile stays revoked.
    pub fn resume(&self, subject: &str) -> bool {
        let was = self.suspended.remove(subject);
        self.generation.fetch_add(1, Ordering::AcqRel);
        was
    }

    /// Whether whatever this subject has is refused for now.
    pub fn is_suspended(&self, subject: &str) -> bool {
        self.suspended.has(subject)
    }

    /// Whether the token that a session came of has not been revoked since.
    ///
    /// # Errors
    /// [`Code::TOKEN_REVOKED`] when it has; [`Code::TOKEN_CLAIMS`] for a session that says nothing of a token.
    pub fn still_good(&self, session: &Session) -> Result<()> {
        let attribute = |name: &str| session.attributes().get(name).map(String::as_str);
        let issued = attribute(ATTRIBUTE_ISSUED).and_then(|at| at.parse().ok());
        let (Some(id), Some(issued)) = (attribute(ATTRIBUTE_ID), issued) else {
            return Err(fault::claims_form());
        };
        let family = attribute(ATTRIBUTE_FAMILY);
        let bearer = Bearer { id, family, subject: session.principal(), issued };
        if self.is_revoked(&bearer) { Err(fault::revoked()) } else { Ok(()) }
    }

    /// Up to when all of this subject's tokens are revoked.
    pub fn revoked_until(&self, subject: &str) -> Option<Timestamp> {
        let everything = self.everything.load(Ordering::Acquire);
        let own = self.table.get(Kind::Subject, subject).unwrap_or(i64::MIN);
        let until = everything.max(own);
        (until != i64::MIN).then(|| Timestamp::from_nanos(until))
    }

    /// Moves with every revocation, after it holds in memory.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Revokes. It holds from before this returns, and whatever it returns; when it returns `Ok` it is on the
    /// disk.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a time in the future, and for an identifier that is empty or longer than
    /// [`ID_MAX`]; what the store answers: then the revocation holds until this process ends, and may be tried
    /// again.
    pub fn revoke(&self, what: &Revocation, now: Timestamp) -> Result<()> {
        let kept = self.kept(what, now)?;
        let mut written = self.enter(what, kept, now);
        written.wait().map_err(|e| {
            Error::new(e.code(), "the revocation holds, but only until this process ends")
                .operation("security.revoke")
                .advice("try again when the store can be written")
                .because(e)
        })
    }

    fn kept(&self, what: &Revocation, now: Timestamp) -> Result<Kept> {
        let (kind, id, before, until) = match what {
            Revocation::Token { id, expires, .. } => (Kind::Token, id.as_str(), now, *expires),
            Revocation::Family { id, .. } => {
                (Kind::Family, id.as_str(), now, now + self.policy.longest)
            }
            Revocation::Subject { subject, before } => {
                (Kind::Subject, subject.as_str(), *before, now + self.policy.longest)
            }
            Revocation::Everything { before } => {
                (Kind::Everything, "everything", *before, Timestamp::from_nanos(i64::MAX))
            }
        };
        let invalid =
            |message: &'static str| Error::new(Code::INVALID, message).operation("security.revoke");
        if id.is_empty() || id.len() > ID_MAX {
            return Err(invalid("what is revoked is named by 1 to 1,024 bytes"));
        }
        if before > now {
            return Err(invalid("nothing can be revoked that was not issued yet"));
        }
        Ok(Kept { kind, id: id.to_owned(), before: before.as_nanos(), until: until.as_nanos() })
    }

    /// Into memory, and on its way to the disk.
    fn enter(&self, what: &Revocation, kept: Kept, now: Timestamp) -> Ticket<()> {
        let writing = self.writing.lock();
        let kept = self.widen(what, kept, now);
        self.remember(&kept);
        self.generation.fetch_add(1, Ordering::AcqRel);
        // What stands there now, which may be more than was asked for.
        let before = match kept.kind {
            Kind::Everything => self.everything.load(Ordering::Acquire),
            kind => self.table.get(kind, &kept.id).unwrap_or(kept.before).max(kept.before),
        };
        let key = key(kept.kind, &kept.id);
        let ticket = match Payload::json(&Kept { before, ..kept }) {
            Ok(value) => self.store.put(NAMESPACE, &key, &value, now, Durability::Fsync),
            Err(error) => ticket::ready(Err(error)),
        };
        drop(writing);
        ticket
    }

    /// The same, or something wider when there is no room for it.
    fn widen(&self, what: &Revocation, kept: Kept, now: Timestamp) -> Kept {
        let has_room = |kind, id: &str| {
            self.table.get(kind, id).is_some() || self.table.count(kind) < self.policy.entries
        };
        if kept.kind == Kind::Everything || has_room(kept.kind, &kept.id) {
            return kept;
        }
        self.widened.fetch_add(1, Ordering::Relaxed);
        let subject = match what {
            Revocation::Token { subject, .. } | Revocation::Family { subject, .. } => {
                subject.as_deref()
            }
            Revocation::Subject { .. } | Revocation::Everything { .. } => None,
        };
        match subject.filter(|subject| subject.len() <= ID_MAX && has_room(Kind::Subject, subject))
        {
            Some(subject) => Kept {
                kind: Kind::Subject,
                id: subject.to_owned(),
                before: now.as_nanos(),
                until: (now + self.policy.longest).as_nanos(),
            },
            None => Kept {
                kind: Kind::Everything,
                id: "everything".to_owned(),
                before: kept.before.max(now.as_nanos()),
                until: i64::MAX,
            },
        }
    }

    /// Drops what covers nothing any more, a leeway after its end; answers how much that was. To be called now and
    /// then, with the time that [`Clock::observe`](crate::security::Clock::observe) answers.
    pub fn sweep(&self, now: Timestamp, leeway: Duration) -> usize {
        let mut dropped = 0;
        for kind in [Kind::Token, Kind::Family, Kind::Subject] {
            for id in self.table.over(kind, now, leeway) {
                let writing = self.writing.lock();
                // It may have been revoked anew meanwhile.
                if self.table.drop_over(kind, &id, now, leeway) {
                    let key = key(kind, &id);
                    self.store.delete(NAMESPACE, &key, Durability::Process).detach();
                    dropped += 1;
                }
                drop(writing);
            }
        }
        dropped
    }

    /// The figures.
    pub fn status(&self) -> RevocationStatus {
        let count = |kind| self.table.count(kind) as u64;
        let before = self.everything.load(Ordering::Acquire);
        RevocationStatus {
            tokens: count(Kind::Token),
            families: count(Kind::Family),
            subjects: count(Kind::Subject),
            everything_before: (before != i64::MIN).then(|| Timestamp::from_nanos(before)),
            widened: self.widened.load(Ordering::Relaxed),
        }
    }
}

impl std::fmt::Debug for Revocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Revocations").field(&self.status()).finish()
    }
}

/// Where an entry stands in the store: identifiers are other parties' too, and may be anything.
fn key(kind: Kind, id: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    format!("{}/{}", kind.letter(), super::text::encode(digest))
}

#[cfg(test)]
mod tests;
