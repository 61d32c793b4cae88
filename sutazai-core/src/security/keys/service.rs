//! [`Keys`]: the keysets of a kernel.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::derive::DerivingKeyset;
use super::encrypt::Encryptor;
use super::event::{KeyChange, KeyEvent, denied, recorded};
use super::lifecycle::{Due, Keyset, KeysetInfo};
use super::mac::MacKeyset;
use super::master::Master;
use super::prepared::{Prepared, Slot, unknown_keyset};
use super::secret::Secret;
use super::shelf::{Root, Shelf};
use super::sign::SigningKeyset;
use super::spec::{KeyId, Spec};
use super::wrap::WrappingKeyset;
use crate::base::time::Timestamp;
use crate::port::audit::AuditTrail;
use crate::store::Store;
use crate::{Code, Error, Result};

/// The most keysets of one kernel.
pub const KEYSETS_MAX: usize = 10_000;

/// The keysets of a kernel. Cheap to clone. See the [module's documentation](super).
///
/// Every operation that changes something says who does it (`by`), is put on the record first and not done
/// when that fails, and is on the disk when it returns (as far as the store has one). Such operations may
/// block for a sync of the disk; using keys never does.
#[derive(Clone)]
pub struct Keys(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) shelf: Shelf,
    pub(super) audit: OnceLock<Arc<dyn AuditTrail>>,
    state: Mutex<State>,
    slots: ArcSwap<BTreeMap<String, Arc<Slot>>>,
}

struct State {
    root: Root,
    sets: BTreeMap<String, Keyset>,
    /// What the store is at is not known: nothing is changed any more.
    lost: bool,
}

/// What the schedules have brought about.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Ticked {
    /// What happened, in order.
    pub events: Vec<KeyEvent>,
    /// The keysets that failed, and why; the others went on.
    pub failures: Vec<(String, Error)>,
}

impl Keys {
    /// Opens the keysets in the store, or begins to keep them there, under this master key.
    ///
    /// # Errors
    /// [`Code::MASTER_KEY`] when it is not the one that was set last, [`Code::KEYS_CORRUPT`] when a
    /// keyset was altered, and those of the store and of the master key's source.
    pub fn open(
        store: Store,
        master: &Master,
        audit: Option<Arc<dyn AuditTrail>>,
        now: Timestamp,
    ) -> Result<Self> {
        let shelf = Shelf::new(store);
        let root = shelf.open(master, now)?;
        let mut sets = BTreeMap::new();
        let mut slots = BTreeMap::new();
        for keyset in shelf.load(&root)? {
            slots.insert(keyset.name.clone(), Arc::new(Slot::new(&keyset)?));
            sets.insert(keyset.name.clone(), keyset);
        }
        shelf.sweep(&root)?;
        let state = Mutex::new(State { root, sets, lost: false });
        let audit = audit.map_or_else(OnceLock::new, OnceLock::from);
        Ok(Self(Arc::new(Inner { shelf, audit, state, slots: ArcSwap::from_pointee(slots) })))
    }

    /// Whether keys are kept in the store, which only their master key opens.
    ///
    /// # Errors
    /// What the store answers.
    pub fn are_in(store: &Store) -> Result<bool> {
        Ok(Shelf::new(store.clone()).generation()?.is_some())
    }

    /// Puts what changes on this record from here on: for an audit trail that is signed with a key of
    /// ours, and so cannot be there first. It is to hold the [`SigningKeyset`] and not the keys, or
    /// neither is ever dropped.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] when there is one: what is recorded is not redirected.
    pub fn audit_to(&self, audit: Arc<dyn AuditTrail>) -> Result<()> {
        self.0.audit.set(audit).map_err(|_| {
            Error::new(Code::ALREADY_EXISTS, "the keys have an audit trail already")
                .operation("keys.audit_to")
        })
    }

    // ---- using keys ----

    /// The keyset of this name, to encrypt.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`], or [`Code::KEY_PURPOSE`] for one of another purpose.
    pub fn encryptor(&self, name: &str) -> Result<Encryptor> {
        Encryptor::new(self.slot(name)?)
    }

    /// The keyset of this name, to sign.
    ///
    /// # Errors
    /// As [`encryptor`](Self::encryptor).
    pub fn signing(&self, name: &str) -> Result<SigningKeyset> {
        SigningKeyset::new(self.slot(name)?)
    }

    /// The keyset of this name, to make tags.
    ///
    /// # Errors
    /// As [`encryptor`](Self::encryptor).
    pub fn mac(&self, name: &str) -> Result<MacKeyset> {
        MacKeyset::new(self.slot(name)?)
    }

    /// The keyset of this name, to derive.
    ///
    /// # Errors
    /// As [`encryptor`](Self::encryptor).
    pub fn deriving(&self, name: &str) -> Result<DerivingKeyset> {
        DerivingKeyset::new(self.slot(name)?)
    }

    /// The keyset of this name, to wrap.
    ///
    /// # Errors
    /// As [`encryptor`](Self::encryptor).
    pub fn wrapping(&self, name: &str) -> Result<WrappingKeyset> {
        WrappingKeyset::new(self.slot(name)?)
    }

    fn slot(&self, name: &str) -> Result<Arc<Slot>> {
        self.0.slots.load().get(name).cloned().ok_or_else(|| unknown_keyset(name))
    }

    /// What there is, by name.
    pub fn list(&self) -> Vec<KeysetInfo> {
        self.0.state.lock().sets.values().map(Keyset::info).collect()
    }

    /// One keyset.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`].
    pub fn info(&self, name: &str) -> Result<KeysetInfo> {
        self.0.peek(name, |keyset| Ok(keyset.info()))
    }

    // ---- changing keysets ----

    /// A new keyset with an active key.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`], [`Code::INVALID`] for a name (1 to 64 of `a-z A-Z 0-9 . _ - /`) or
    /// schedule that is not valid, [`Code::KEY_PURPOSE`] for an algorithm that cannot serve the
    /// purpose, [`Code::KEYS_FULL`].
    pub fn create(&self, name: &str, spec: Spec, by: &str, now: Timestamp) -> Result<KeyEvent> {
        let algorithm = spec.check()?;
        check_name(name)?;
        let first = (KeyId::random()?, Secret::random(32)?);
        let event = KeyEvent::new(KeyChange::Created, name, Some(first.0), now);
        let keyset = Keyset::new(name, spec.purpose, algorithm, spec.schedule, first, now);
        self.0.is_free(name)?;
        self.0.record(by, &event, || self.0.add(keyset, now))?;
        Ok(event)
    }

    /// The same, unless there is one of that name already that serves the same purpose: what a room
    /// calls when it starts.
    ///
    /// # Errors
    /// As [`create`](Self::create), without [`Code::ALREADY_EXISTS`].
    pub fn ensure(
        &self,
        name: &str,
        spec: Spec,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<KeyEvent>> {
        match self.create(name, spec, by, now) {
            Ok(event) => Ok(Some(event)),
            Err(e) if e.code() == Code::ALREADY_EXISTS => {
                self.slot(name)?.check(spec.purpose)?;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// A fresh key takes over at once; the one before still decrypts and verifies.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`], or [`Code::KEYS_FULL`] when too many keys still decrypt.
    pub fn rotate(&self, name: &str, by: &str, now: Timestamp) -> Result<KeyEvent> {
        let (id, material) = (KeyId::random()?, Secret::random(32)?);
        let event = KeyEvent::new(KeyChange::Rotated, name, Some(id), now);
        self.0.peek(name, |_| Ok(()))?;
        self.0.record(by, &event, || {
            self.0.change(name, now, |keyset| keyset.rotate(id, material, now))
        })?;
        Ok(event)
    }

    /// Destroys a key: what only it can open is lost.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`], or [`Code::KEY_STATE`] for the active key and for one that is destroyed.
    pub fn destroy(&self, name: &str, id: KeyId, by: &str, now: Timestamp) -> Result<KeyEvent> {
        let event = KeyEvent::new(KeyChange::Destroyed, name, Some(id), now);
        self.0.peek(name, |keyset| keyset.may_destroy(id))?;
        self.0.record(by, &event, || self.0.change(name, now, |keyset| keyset.destroy(id, now)))?;
        Ok(event)
    }

    /// Removes a keyset with all its keys: what only they can open is lost.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`].
    pub fn remove(&self, name: &str, by: &str, now: Timestamp) -> Result<KeyEvent> {
        let event = KeyEvent::new(KeyChange::Removed, name, None, now);
        self.0.peek(name, |_| Ok(()))?;
        self.0.record(by, &event, || self.0.discard(name))?;
        Ok(event)
    }

    /// When a schedule wants something done next: call [`tick`](Self::tick) then.
    pub fn due(&self) -> Option<Timestamp> {
        self.0.state.lock().sets.values().filter_map(Keyset::due_at).min()
    }

    /// Does what the schedules want done by now: makes keys, lets them take over, destroys them.
    pub fn tick(&self, by: &str, now: Timestamp) -> Ticked {
        let mut ticked = Ticked::default();
        let names: Vec<_> = {
            let state = self.0.state.lock();
            state
                .sets
                .iter()
                .filter(|(_, set)| set.due(now).is_some())
                .map(|(n, _)| n.clone())
                .collect()
        };
        for name in names {
            // A key is made, another takes over, and as many are destroyed as there can be.
            for _ in 0..super::lifecycle::KEYS_MAX + 2 {
                match self.step(&name, by, now) {
                    Ok(Some(event)) => ticked.events.push(event),
                    Ok(None) => break,
                    Err(e) => {
                        ticked.failures.push((name, e));
                        break;
                    }
                }
            }
        }
        ticked
    }

    fn step(&self, name: &str, by: &str, now: Timestamp) -> Result<Option<KeyEvent>> {
        let due = match self.0.peek(name, |keyset| Ok(keyset.due(now))) {
            Ok(Some(due)) => due,
            Ok(None) => return Ok(None),
            // Removed meanwhile.
            Err(e) if e.code() == Code::KEY_UNKNOWN => return Ok(None),
            Err(e) => return Err(e),
        };
        let (change, id) = match due {
            Due::Make(_) => (KeyChange::Made, KeyId::random()?),
            Due::Activate(id) => (KeyChange::Activated, id),
            Due::Destroy(id) => (KeyChange::Destroyed, id),
        };
        let event = KeyEvent::new(change, name, Some(id), now);
        let material = Secret::random(32)?;
        // If somebody else was quicker, these do nothing.
        self.0.record(by, &event, || {
            self.0.change(name, now, |keyset| match due {
                Due::Make(starts) => keyset.make(id, material, starts, now).map(drop),
                Due::Activate(id) => {
                    keyset.activate(id, now);
                    Ok(())
                }
                Due::Destroy(id) if keyset.may_destroy(id).is_err() => Ok(()),
                Due::Destroy(id) => keyset.destroy(id, now),
            })
        })?;
        Ok(Some(event))
    }

    /// Takes another master key, and wraps all keysets anew under a new root key. One who is
    /// interrupted leaves all of it under the old master key, or all of it under the new one.
    ///
    /// # Errors
    /// Those of the store and of the master key's source; the old master key then still counts.
    pub fn change_master(&self, master: &Master, by: &str, now: Timestamp) -> Result<KeyEvent> {
        let event = KeyEvent::new(KeyChange::MasterChanged, "", None, now);
        let (origin, key) = master.begin()?;
        self.0.record(by, &event, || {
            let mut state = self.0.state.lock();
            state.check()?;
            // Of one that was broken off before, whose rows nobody could open.
            self.0.shelf.sweep(&state.root)?;
            let next = Root { generation: state.root.generation + 1, key: Secret::random(32)? };
            self.0.shelf.save_all(&next, state.sets.values(), now)?;
            if let Err(e) = self.0.shelf.put_head(&next, origin, &key, now) {
                // Whether it was written decides which of the two counts.
                match self.0.shelf.generation() {
                    Ok(Some(generation)) if generation == next.generation => {}
                    Ok(_) => return Err(e),
                    Err(_) => {
                        state.lost = true;
                        return Err(e);
                    }
                }
            }
            state.root = next;
            // What is left of the old generation nobody can read without the old master key; the next opening
            // sweeps again.
            let _ = self.0.shelf.sweep(&state.root);
            Ok(())
        })?;
        Ok(event)
    }
}

impl Inner {
    pub(super) fn record<T>(
        &self,
        by: &str,
        event: &KeyEvent,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        recorded(self.audit.get(), by, event, act)
    }

    /// Puts on the record that something was refused.
    pub(super) fn denied(&self, by: &str, event: &KeyEvent) {
        if let Some(audit) = self.audit.get() {
            denied(&**audit, by, event);
        }
    }

    /// Looks at a keyset.
    pub(super) fn peek<T>(&self, name: &str, look: impl FnOnce(&Keyset) -> Result<T>) -> Result<T> {
        look(self.state.lock().sets.get(name).ok_or_else(|| unknown_keyset(name))?)
    }

    pub(super) fn is_free(&self, name: &str) -> Result<()> {
        let state = self.state.lock();
        if state.sets.contains_key(name) {
            return Err(Error::new(Code::ALREADY_EXISTS, "there is a keyset of that name")
                .with("keyset", name));
        }
        if state.sets.len() >= KEYSETS_MAX {
            return Err(Error::new(Code::KEYS_FULL, "there are as many keysets as there may be")
                .with("most", KEYSETS_MAX)
                .advice("remove those that nobody uses"));
        }
        Ok(())
    }

    /// Adds a keyset: to the store, and then for everybody.
    pub(super) fn add(&self, keyset: Keyset, now: Timestamp) -> Result<()> {
        let slot = Arc::new(Slot::new(&keyset)?);
        let mut state = self.state.lock();
        state.check()?;
        if state.sets.contains_key(&keyset.name) {
            return Err(Error::new(Code::ALREADY_EXISTS, "there is a keyset of that name")
                .with("keyset", &keyset.name));
        }
        self.shelf.save(&state.root, &keyset, now)?;
        let mut slots = BTreeMap::clone(&self.slots.load());
        slots.insert(keyset.name.clone(), slot);
        self.slots.store(Arc::new(slots));
        state.sets.insert(keyset.name.clone(), keyset);
        Ok(())
    }

    fn discard(&self, name: &str) -> Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        if !state.sets.contains_key(name) {
            return Err(unknown_keyset(name));
        }
        self.shelf.remove(&state.root, name)?;
        let mut slots = BTreeMap::clone(&self.slots.load());
        if let Some(slot) = slots.remove(name) {
            slot.empty();
        }
        self.slots.store(Arc::new(slots));
        state.sets.remove(name);
        Ok(())
    }

    /// Changes a keyset: a copy of it, then the store, then for everybody. Where one fails, nothing has
    /// changed.
    pub(super) fn change(
        &self,
        name: &str,
        now: Timestamp,
        change: impl FnOnce(&mut Keyset) -> Result<()>,
    ) -> Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        let before = state.sets.get(name).ok_or_else(|| unknown_keyset(name))?;
        let mut keyset = before.clone();
        change(&mut keyset)?;
        if keyset.version == before.version {
            return Ok(());
        }
        let prepared = Prepared::new(&keyset)?;
        self.shelf.save(&state.root, &keyset, now)?;
        if let Some(slot) = self.slots.load().get(name) {
            slot.publish(prepared);
        }
        state.sets.insert(name.to_owned(), keyset);
        Ok(())
    }
}

impl State {
    fn check(&self) -> Result<()> {
        if !self.lost {
            return Ok(());
        }
        Err(Error::new(
            Code::KEYS_CORRUPT,
            "a change of the master key failed in a way that leaves open which one counts",
        )
        .advice("open the keys again, with the new master key or with the old one"))
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("keysets", &self.0.slots.load().len()).finish_non_exhaustive()
    }
}

pub(super) fn check_name(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Error::new(Code::INVALID, "the name of a keyset is not valid")
        .with("keyset", name.chars().take(64).collect::<String>())
        .advice("1 to 64 letters, digits, dots, dashes, underscores and slashes"))
}

#[cfg(test)]
mod tests;
