//! Successors by hand: a key that is made before it is needed, and takes over when somebody says so.

use super::event::{KeyChange, KeyEvent};
use super::lifecycle::{KeyState, Keyset};
use super::secret::Secret;
use super::service::Keys;
use super::spec::KeyId;
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

impl Keys {
    /// Makes the key that is to take over at `starts`, so that its public half can be handed out before. The
    /// schedule lets it take over then; [`promote`](Self::promote) does it before.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`]; [`Code::KEY_STATE`] when there is a successor already; [`Code::INVALID`] for a
    /// time that has passed; [`Code::KEYS_FULL`].
    pub fn stage(
        &self,
        name: &str,
        starts: Timestamp,
        by: &str,
        now: Timestamp,
    ) -> Result<KeyEvent> {
        if starts <= now {
            return Err(Error::new(Code::INVALID, "a successor starts later than now")
                .operation("keys.stage")
                .with("keyset", name)
                .advice("rotate the keyset, for a key that takes over at once"));
        }
        let free = |keyset: &Keyset| match keyset.in_state(KeyState::PreActive) {
            None => Ok(()),
            Some(key) => Err(Error::new(Code::KEY_STATE, "the keyset has a successor already")
                .operation("keys.stage")
                .with("keyset", name)
                .with("key", key.id)
                .advice("promote it, or destroy it")),
        };
        self.0.peek(name, free)?;
        let (id, material) = (KeyId::random()?, Secret::random(32)?);
        let event = KeyEvent::new(KeyChange::Made, name, Some(id), now);
        self.0.record(by, &event, || {
            self.0.change(name, now, |keyset| {
                free(keyset)?;
                keyset.make(id, material, starts, now).map(drop)
            })
        })?;
        Ok(event)
    }

    /// Lets the successor take over at once; the key before still decrypts and verifies.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`]; [`Code::KEY_STATE`] when there is no successor.
    pub fn promote(&self, name: &str, by: &str, now: Timestamp) -> Result<KeyEvent> {
        let none = || {
            Error::new(Code::KEY_STATE, "the keyset has no successor that could take over")
                .operation("keys.promote")
                .with("keyset", name)
                .advice("stage one, or rotate the keyset")
        };
        let next = |keyset: &Keyset| {
            keyset.in_state(KeyState::PreActive).map(|key| key.id).ok_or_else(none)
        };
        let id = self.0.peek(name, next)?;
        let event = KeyEvent::new(KeyChange::Activated, name, Some(id), now);
        self.0.record(by, &event, || {
            self.0.change(name, now, |keyset| {
                // Somebody else may have been quicker.
                if keyset.activate(id, now) { Ok(()) } else { Err(none()) }
            })
        })?;
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Master, Purpose, Schedule, Spec};
    use super::*;
    use crate::store::Store;

    #[test]
    fn a_successor_is_known_before_it_takes_over() {
        let now = Timestamp::from_nanos(1_000_000_000);
        let master = Master::key(Secret::random(32).unwrap()).unwrap();
        let keys = Keys::open(Store::memory(&[]).unwrap(), &master, None, now).unwrap();
        let spec = Spec::new(Purpose::Sign).schedule(Schedule::MANUAL);
        let first = keys.create("s", spec, "t", now).unwrap().key.unwrap();
        let code = |result: Result<KeyEvent>| result.unwrap_err().code();
        assert_eq!(code(keys.promote("s", "t", now)), Code::KEY_STATE);
        assert_eq!(code(keys.stage("s", now, "t", now)), Code::INVALID);
        let later = now + Duration::from_secs(60);
        let next = keys.stage("s", later, "t", now).unwrap().key.unwrap();
        assert_eq!(code(keys.stage("s", later, "t", now)), Code::KEY_STATE);
        let public = keys.signing("s").unwrap().public_keys();
        assert_eq!(public.iter().map(|key| key.id).collect::<Vec<_>>(), [first, next]);
        assert_eq!(keys.signing("s").unwrap().signer().unwrap().id(), first);
        // By the schedule, even where it makes no successors of its own.
        assert!(keys.tick("t", now).events.is_empty());
        assert_eq!(keys.due(), Some(later));
        keys.promote("s", "t", now).unwrap();
        assert_eq!(keys.signing("s").unwrap().signer().unwrap().id(), next);
        let states: Vec<_> = keys.info("s").unwrap().keys.iter().map(|key| key.state).collect();
        assert_eq!(states, [KeyState::DecryptOnly, KeyState::Active]);
    }
}
