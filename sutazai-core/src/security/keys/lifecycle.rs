//! The life of a keyset's keys: a state machine that takes the time and does nothing else.
//!
//! ```text
//! pre-active ──starts──▶ active ──its successor starts──▶ decrypt-only ──▶ destroyed
//!     └──────────────────── rotated or destroyed by hand ──────────────────────▲
//! ```
//!
//! **Invariants.** There is always exactly one active key, and at most one pre-active one. An active key is
//! never destroyed. A destroyed key has no material, and stays destroyed. (States after NIST SP 800-57 part 1,
//! revision 5, §7.)

use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::spec::{Algorithm, KeyId, Purpose, Schedule};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// The most keys with material in one keyset.
pub const KEYS_MAX: usize = 64;
/// The most destroyed keys that a keyset remembers the times of.
pub const DESTROYED_MAX: usize = 64;

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Made, and not used yet.
    PreActive,
    /// Encrypts, signs, … and decrypts and verifies.
    Active,
    /// Decrypts and verifies only.
    DecryptOnly,
    /// Gone.
    Destroyed,
}

impl KeyState {
    /// `pre-active`, `active`, `decrypt-only` or `destroyed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreActive => "pre-active",
            Self::Active => "active",
            Self::DecryptOnly => "decrypt-only",
            Self::Destroyed => "destroyed",
        }
    }
}

/// What may be known of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Its number.
    pub id: KeyId,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made.
    pub created: Timestamp,
    /// When a pre-active key is to become active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
    /// When it became active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activated: Option<Timestamp>,
    /// When another took its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired: Option<Timestamp>,
    /// When it was destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destroyed: Option<Timestamp>,
}

/// What may be known of a keyset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct KeysetInfo {
    /// Its name.
    pub name: String,
    /// What for.
    pub purpose: Purpose,
    /// How.
    pub algorithm: Algorithm,
    /// When keys come and go.
    pub schedule: Schedule,
    /// How often it was changed.
    pub version: u64,
    /// Its keys, oldest first.
    pub keys: Vec<KeyInfo>,
    /// Destroyed keys that are no longer listed.
    pub forgotten: u64,
    /// When something is due next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) state: KeyState,
    pub(super) created: i64,
    pub(super) starts: Option<i64>,
    pub(super) activated: Option<i64>,
    pub(super) retired: Option<i64>,
    pub(super) destroyed: Option<i64>,
    pub(super) material: Option<Secret>,
}

/// A keyset as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keyset {
    pub(super) name: String,
    pub(super) purpose: Purpose,
    pub(super) algorithm: Algorithm,
    pub(super) schedule: Schedule,
    pub(super) version: u64,
    pub(super) forgotten: u64,
    pub(super) keys: Vec<Key>,
}

/// What the schedule wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Make the next key, which is to start then.
    Make(Timestamp),
    /// Let the pre-active key take over.
    Activate(KeyId),
    /// Destroy a decrypt-only key.
    Destroy(KeyId),
}

impl Key {
    fn new(id: KeyId, material: Secret, now: Timestamp) -> Self {
        Self {
            id,
            state: KeyState::PreActive,
            created: now.as_nanos(),
            starts: None,
            activated: None,
            retired: None,
            destroyed: None,
            material: Some(material),
        }
    }

    fn activate(&mut self, now: Timestamp) {
        self.state = KeyState::Active;
        self.starts = None;
        self.activated = Some(now.as_nanos());
    }

    fn destroy(&mut self, now: Timestamp) {
        self.state = KeyState::Destroyed;
        self.starts = None;
        self.destroyed = Some(now.as_nanos());
        self.material = None;
    }

    fn info(&self) -> KeyInfo {
        let time = |nanos: Option<i64>| nanos.map(Timestamp::from_nanos);
        KeyInfo {
            id: self.id,
            state: self.state,
            created: Timestamp::from_nanos(self.created),
            starts: time(self.starts),
            activated: time(self.activated),
            retired: time(self.retired),
            destroyed: time(self.destroyed),
        }
    }
}

impl Keyset {
    /// One with an active key.
    pub(super) fn new(
        name: &str,
        purpose: Purpose,
        algorithm: Algorithm,
        schedule: Schedule,
        first: (KeyId, Secret),
        now: Timestamp,
    ) -> Self {
        let mut key = Key::new(first.0, first.1, now);
        key.activate(now);
        let (name, keys) = (name.to_owned(), vec![key]);
        Self { name, purpose, algorithm, schedule, version: 1, forgotten: 0, keys }
    }

    /// The key of this number.
    pub(super) fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    pub(super) fn in_state(&self, state: KeyState) -> Option<&Key> {
        self.keys.iter().find(|key| key.state == state)
    }

    fn live(&self) -> usize {
        self.keys.iter().filter(|key| key.material.is_some()).count()
    }

    /// What the schedule wants done now, one thing at a time.
    pub(super) fn due(&self, now: Timestamp) -> Option<Due> {
        self.plan().filter(|(at, _)| *at <= now).map(|(_, due)| match due {
            // A successor is known for its lead before it starts, however late it is made.
            Due::Make(starts) => Due::Make(starts.max(now + self.schedule.lead)),
            other => other,
        })
    }

    /// When the schedule wants something done next.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        self.plan().map(|(at, _)| at)
    }

    fn plan(&self) -> Option<(Timestamp, Due)> {
        let next = self.in_state(KeyState::PreActive);
        let takes_over = next.and_then(|key| {
            key.starts.map(|at| (Timestamp::from_nanos(at), Due::Activate(key.id)))
        });
        let is_made = self.in_state(KeyState::Active).filter(|_| next.is_none()).and_then(|key| {
            let ends = Timestamp::from_nanos(key.activated?) + self.schedule.active?;
            let lead = i64::try_from(self.schedule.lead.as_nanos()).unwrap_or(i64::MAX);
            Some((Timestamp::from_nanos(ends.as_nanos().saturating_sub(lead)), Due::Make(ends)))
        });
        let is_destroyed = self.keys.iter().filter_map(|key| {
            let retired = key.retired.filter(|_| key.state == KeyState::DecryptOnly)?;
            let at = Timestamp::from_nanos(retired) + self.schedule.decrypt_only?;
            Some((at, Due::Destroy(key.id)))
        });
        takes_over.into_iter().chain(is_made).chain(is_destroyed).min_by_key(|(at, _)| *at)
    }

    /// A key that is to start then. Does nothing when there is a pre-active one.
    pub(super) fn make(
        &mut self,
        id: KeyId,
        material: Secret,
        starts: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        if self.in_state(KeyState::PreActive).is_some() {
            return Ok(false);
        }
        self.room_for_one()?;
        let mut key = Key::new(id, material, now);
        key.starts = Some(starts.as_nanos());
        self.keys.push(key);
        Ok(self.changed())
    }

    /// Lets a pre-active key take over. Does nothing when it is none.
    pub(super) fn activate(&mut self, id: KeyId, now: Timestamp) -> bool {
        if self.key(id).is_none_or(|key| key.state != KeyState::PreActive) {
            return false;
        }
        self.retire_active(now);
        self.keys.iter_mut().filter(|key| key.id == id).for_each(|key| key.activate(now));
        self.changed()
    }

    /// A fresh key takes over at once. A pre-active one is destroyed: whoever rotates by hand may not trust it.
    pub(super) fn rotate(&mut self, id: KeyId, material: Secret, now: Timestamp) -> Result<()> {
        let waiting = |key: &&mut Key| key.state == KeyState::PreActive;
        if self.in_state(KeyState::PreActive).is_none() {
            self.room_for_one()?;
        }
        self.keys.iter_mut().filter(waiting).for_each(|key| key.destroy(now));
        self.retire_active(now);
        let mut key = Key::new(id, material, now);
        key.activate(now);
        self.keys.push(key);
        self.changed();
        Ok(())
    }

    /// Whether a key may be destroyed.
    pub(super) fn may_destroy(&self, id: KeyId) -> Result<()> {
        match self.key(id).map(|key| key.state) {
            Some(KeyState::DecryptOnly | KeyState::PreActive) => Ok(()),
            Some(KeyState::Active) => {
                Err(Error::new(Code::KEY_STATE, "the active key cannot be destroyed")
                    .with("keyset", &self.name)
                    .with("key", id)
                    .advice("rotate the keyset first, and rewrap what is to be kept"))
            }
            Some(KeyState::Destroyed) => {
                Err(Error::new(Code::KEY_STATE, "the key is destroyed already")
                    .with("keyset", &self.name)
                    .with("key", id))
            }
            None => Err(unknown_key(&self.name, id)),
        }
    }

    /// Destroys a key that is decrypt-only or pre-active.
    pub(super) fn destroy(&mut self, id: KeyId, now: Timestamp) -> Result<()> {
        self.may_destroy(id)?;
        self.keys.iter_mut().filter(|key| key.id == id).for_each(|key| key.destroy(now));
        self.changed();
        Ok(())
    }

    fn retire_active(&mut self, now: Timestamp) {
        for key in self.keys.iter_mut().filter(|key| key.state == KeyState::Active) {
            key.state = KeyState::DecryptOnly;
            key.retired = Some(now.as_nanos());
        }
    }

    fn room_for_one(&self) -> Result<()> {
        if self.live() < KEYS_MAX {
            return Ok(());
        }
        Err(Error::new(Code::KEYS_FULL, "the keyset has as many keys as it may have")
            .with("keyset", &self.name)
            .with("most", KEYS_MAX)
            .advice("rewrap what its oldest keys have encrypted, and destroy them"))
    }

    fn changed(&mut self) -> bool {
        self.version += 1;
        let destroyed = self.keys.iter().filter(|key| key.state == KeyState::Destroyed).count();
        let mut surplus = destroyed.saturating_sub(DESTROYED_MAX);
        self.forgotten += surplus as u64;
        self.keys.retain(|key| {
            let goes = surplus > 0 && key.state == KeyState::Destroyed;
            surplus -= usize::from(goes);
            !goes
        });
        true
    }

    /// What may be known of it.
    pub(super) fn info(&self) -> KeysetInfo {
        KeysetInfo {
            name: self.name.clone(),
            purpose: self.purpose,
            algorithm: self.algorithm,
            schedule: self.schedule,
            version: self.version,
            keys: self.keys.iter().map(Key::info).collect(),
            forgotten: self.forgotten,
            due: self.due_at(),
        }
    }

    /// Whether it is one that this state machine can have made.
    pub(super) fn is_sound(&self) -> bool {
        let count = |state| self.keys.iter().filter(|key| key.state == state).count();
        let mut ids: Vec<_> = self.keys.iter().map(|key| key.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let times = |key: &Key| match key.state {
            KeyState::PreActive => key.starts.is_some(),
            KeyState::Active => key.activated.is_some(),
            KeyState::DecryptOnly => key.retired.is_some(),
            KeyState::Destroyed => key.destroyed.is_some(),
        };
        let material = |key: &Key| match (&key.material, key.state) {
            (None, state) => state == KeyState::Destroyed,
            (Some(_), KeyState::Destroyed) => false,
            (Some(material), _) => material.len() == 32,
        };
        self.algorithm.serves(self.purpose)
            && self.schedule.check().is_ok()
            && ids.len() == self.keys.len()
            && count(KeyState::Active) == 1
            && count(KeyState::PreActive) <= 1
            && count(KeyState::Destroyed) <= DESTROYED_MAX
            && self.live() <= KEYS_MAX
            && self.keys.iter().all(|key| times(key) && material(key))
    }
}

pub(super) fn unknown_key(keyset: &str, id: KeyId) -> Error {
    Error::new(Code::KEY_UNKNOWN, "the keyset has no such key")
        .with("keyset", keyset)
        .with("key", id)
}

#[cfg(test)]
mod tests;
