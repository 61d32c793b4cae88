//! Authenticators as they are kept: a record for each principal, and who has which.

use ring::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::Credential;

use super::super::api_key::hex;
use super::super::records::{Fate, Records};
use crate::base::time::Timestamp;
use crate::store::Store;
use crate::{Code, Error, Result};

/// What an authenticator was registered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PasskeyKind {
    /// A passkey: it verifies its user, and is a first factor, which is enough alone, or a second one.
    Passkey,
    /// A security key: a second factor only.
    SecurityKey,
}

/// What is known of an authenticator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasskeyView {
    /// By what it is named here: of its credential's identifier, a hash.
    pub id: String,
    /// What its owner calls it.
    pub label: String,
    /// What it was registered as.
    pub kind: PasskeyKind,
    /// How often it has signed, as it says; 0 where it does not count.
    pub counter: u32,
    /// How it can be reached, as it says: `usb`, `nfc`, `ble`, `internal`, `hybrid`, ….
    pub transports: Vec<String>,
    /// Whether it may be on several devices.
    pub backup_eligible: bool,
    /// Whether it is.
    pub backed_up: bool,
    /// When it was registered.
    pub added: Timestamp,
    /// When it was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Timestamp>,
}

/// An authenticator.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) kind: PasskeyKind,
    pub(super) added: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<Timestamp>,
    pub(super) credential: Credential,
}

impl Kept {
    pub(super) fn view(&self) -> PasskeyView {
        let transports = serde_json::to_value(&self.credential.transports).ok();
        let transports = transports.and_then(|list| serde_json::from_value(list).ok());
        let mut transports: Vec<String> = transports.flatten().unwrap_or_default();
        transports.retain(|way| way != "unknown");
        PasskeyView {
            id: self.id.clone(),
            label: self.label.clone(),
            kind: self.kind,
            counter: self.credential.counter,
            transports,
            backup_eligible: self.credential.backup_eligible,
            backed_up: self.credential.backup_state,
            added: self.added,
            used: self.used,
        }
    }
}

/// All of one principal's.
#[derive(Serialize, Deserialize)]
pub(super) struct User {
    pub(super) keys: Vec<Kept>,
}

/// Whose an authenticator is. Where it is not among the owner's, nobody's: the owner's record is what counts.
#[derive(Serialize, Deserialize)]
struct Owner {
    principal: String,
}

/// The records.
pub(super) struct Shelf {
    pub(super) users: Records<User>,
    owners: Records<Owner>,
}

impl Shelf {
    pub(super) fn new(store: Store) -> Self {
        Self {
            users: Records::new(store.clone(), "security.webauthn"),
            owners: Records::new(store, "security.webauthn_owner"),
        }
    }

    pub(super) fn of(&self, principal: &str) -> Result<Vec<Kept>> {
        Ok(self.users.get(principal)?.map_or_else(Vec::new, |user| user.keys))
    }

    /// Whose it is.
    pub(super) fn owner(&self, id: &str) -> Result<Option<String>> {
        let Some(owner) = self.owners.get(id)? else { return Ok(None) };
        Ok(self.has(&owner.principal, id)?.then_some(owner.principal))
    }

    fn has(&self, principal: &str, id: &str) -> Result<bool> {
        Ok(self.of(principal)?.iter().any(|key| key.id == id))
    }

    /// Keeps a new one. First is written whose it is, then that they have it: what is cut short in between is
    /// nobody's.
    pub(super) fn add(
        &self,
        principal: &str,
        key: Kept,
        most: usize,
        now: Timestamp,
    ) -> Result<()> {
        const OPERATION: &str = "security.passkey_finish";
        let there_already = || {
            Error::new(Code::ALREADY_EXISTS, "the authenticator is registered already")
                .operation(OPERATION)
        };
        let id = key.id.clone();
        self.owners.change(&id, now, |owner| match owner {
            Some(owner) if self.has(&owner.principal, &id)? => Err(there_already()),
            _ => Ok((Fate::Put(Owner { principal: principal.to_owned() }), ())),
        })?;
        // Somebody else may have come in between.
        self.owners.change(&id, now, |owner| {
            if owner.is_none_or(|owner| owner.principal != principal) {
                return Err(there_already());
            }
            self.users.change(principal, now, |user| {
                let mut user = user.unwrap_or(User { keys: Vec::new() });
                if user.keys.iter().any(|one| one.id == key.id) {
                    return Err(there_already());
                }
                if user.keys.len() >= most {
                    return Err(Error::new(
                        Code::INVALID,
                        "they have as many authenticators as may be",
                    )
                    .operation(OPERATION)
                    .with("most", most)
                    .advice("remove one that is no longer used"));
                }
                user.keys.push(key);
                Ok((Fate::Put(user), ()))
            })?;
            Ok((Fate::Keep, ()))
        })
    }

    pub(super) fn rename(
        &self,
        principal: &str,
        id: &str,
        label: &str,
        now: Timestamp,
    ) -> Result<bool> {
        self.users.change(principal, now, |user| {
            let Some(mut user) = user else { return Ok((Fate::Keep, false)) };
            let Some(key) = user.keys.iter_mut().find(|key| key.id == id) else {
                return Ok((Fate::Keep, false));
            };
            label.clone_into(&mut key.label);
            Ok((Fate::Put(user), true))
        })
    }

    pub(super) fn remove(&self, principal: &str, id: &str, now: Timestamp) -> Result<bool> {
        let was = self.users.change(principal, now, |user| {
            let Some(mut user) = user else { return Ok((Fate::Keep, false)) };
            let before = user.keys.len();
            user.keys.retain(|key| key.id != id);
            let was = user.keys.len() < before;
            let fate = match (was, user.keys.is_empty()) {
                (false, _) => Fate::Keep,
                (true, true) => Fate::Delete,
                (true, false) => Fate::Put(user),
            };
            Ok((fate, was))
        })?;
        if was {
            self.owners.change(id, now, |owner| {
                let theirs = owner.is_some_and(|owner| owner.principal == principal);
                let gone = theirs && !self.has(principal, id)?;
                Ok((if gone { Fate::Delete } else { Fate::Keep }, ()))
            })?;
        }
        Ok(was)
    }
}

/// By what a credential is named here: half of the SHA-256 of its identifier, in hexadecimal.
pub(super) fn id(credential: &[u8]) -> String {
    let mut text = hex(digest(&SHA256, credential).as_ref());
    text.truncate(32);
    text
}
