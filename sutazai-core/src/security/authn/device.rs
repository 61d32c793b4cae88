//! Devices that somebody has logged in from: OWASP's device cookies.

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use super::api_key::hex;
use super::names::is_principal;
use super::records::{Fate, Records};
use crate::base::time::Timestamp;
use crate::store::Store;
use crate::{Code, Error, Result};

/// How many devices of one principal are known; of more the one that was away longest is forgotten.
pub const DEVICES: usize = 20;

/// Devices that a principal has logged in from.
///
/// At the end of a login the device gets a random token, and shows it the next time. It proves nothing about who
/// somebody is; it tells the owner's devices from those of strangers who guess in the owner's name, so
/// that slowing the strangers down does not lock out the owner. See OWASP, "Slow Down Online Guessing
/// Attacks with Device Cookies".
pub struct Devices {
    records: Records<Record>,
}

#[derive(Default, Serialize, Deserialize)]
struct Record {
    devices: Vec<Device>,
}

#[derive(Serialize, Deserialize)]
struct Device {
    /// SHA-256 of principal and token.
    hash: String,
    first: Timestamp,
    last: Timestamp,
}

impl Devices {
    /// Devices known in this store.
    pub fn new(store: Store) -> Self {
        Self { records: Records::new(store, "security.device") }
    }

    /// Whether the principal has logged in with this token before.
    ///
    /// # Errors
    /// What the store answers.
    pub fn knows(&self, principal: &str, token: &str) -> Result<bool> {
        if !is_principal(principal) {
            return Ok(false);
        }
        let wanted = hash(principal, token);
        let record = self.records.get(principal)?.unwrap_or_default();
        Ok(record.devices.iter().any(|device| device.hash == wanted))
    }

    /// Makes a device known that has just logged in: the token for it to show. One that was known keeps its
    /// own.
    ///
    /// # Errors
    /// What the store answers.
    pub fn seen(&self, principal: &str, token: Option<&str>, now: Timestamp) -> Result<String> {
        let shown = token.map(|token| (token.to_owned(), hash(principal, token)));
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| {
            Error::new(Code::IO, "the operating system gave no random bytes")
                .operation("security.login")
        })?;
        let fresh = hex(&bytes);
        self.records.change(principal, now, |there| {
            let mut record = there.unwrap_or_default();
            if let Some((token, hash)) = shown
                && let Some(known) = record.devices.iter_mut().find(|device| device.hash == hash)
            {
                known.last = now;
                return Ok((Fate::Put(record), token));
            }
            if record.devices.len() >= DEVICES {
                let oldest = record.devices.iter().map(|device| device.last).min();
                let at = record.devices.iter().position(|device| Some(device.last) == oldest);
                at.map(|at| record.devices.remove(at));
            }
            record.devices.push(Device { hash: hash(principal, &fresh), first: now, last: now });
            Ok((Fate::Put(record), fresh))
        })
    }

    /// How many of somebody's devices are known.
    ///
    /// # Errors
    /// What the store answers.
    pub fn count(&self, principal: &str) -> Result<usize> {
        if !is_principal(principal) {
            return Ok(0);
        }
        Ok(self.records.get(principal)?.map_or(0, |record| record.devices.len()))
    }

    /// Forgets all of somebody's devices; how many there were.
    ///
    /// # Errors
    /// What the store answers.
    pub fn forget(&self, principal: &str, now: Timestamp) -> Result<usize> {
        if !is_principal(principal) {
            return Ok(0);
        }
        self.records.change(principal, now, |record| {
            Ok((Fate::Delete, record.map_or(0, |record| record.devices.len())))
        })
    }
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Devices").finish_non_exhaustive()
    }
}

fn hash(principal: &str, token: &str) -> String {
    let text = format!("sutazai device\n{principal}\n{token}");
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_its_owners() {
        let devices = Devices::new(Store::memory(&[]).unwrap());
        let at = Timestamp::from_nanos;
        let token = devices.seen("ann", None, at(0)).unwrap();
        assert!(devices.knows("ann", &token).unwrap() && !devices.knows("bob", &token).unwrap());
        assert_eq!(devices.seen("ann", Some(&token), at(1)).unwrap(), token);
        assert_ne!(devices.seen("ann", Some("made up"), at(2)).unwrap(), "made up");
        for n in 0..DEVICES as i64 {
            devices.seen("ann", None, at(3 + n)).unwrap();
        }
        assert!(!devices.knows("ann", &token).unwrap(), "away longest");
        assert_eq!(devices.count("ann").unwrap(), DEVICES);
        assert_eq!(devices.forget("ann", at(99)).unwrap(), DEVICES);
        assert_eq!(devices.count("ann").unwrap(), 0);
    }
}
