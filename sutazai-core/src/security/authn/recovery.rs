//! Recovery codes: for the day on which the other factors are lost.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use super::names::{check_principal, is_principal};
use super::records::{Fate, Records};
use crate::base::time::Timestamp;
use crate::port::{AuthProvider, AuthStep, Credential, Session};
use crate::store::Store;
use crate::{Code, Error, Result};

/// How many codes somebody gets.
pub const CODES: usize = 10;
/// Crockford's base 32: no letter that is taken for a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of a code; five bits each.
const LENGTH: usize = 20;

/// The factor `recovery`: codes of 100 random bits, each good once. As long as they are, guessing one is
/// hopeless, and a plain SHA-256 of each is kept.
pub struct RecoveryCodes {
    records: Records<Record>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    /// SHA-256 of principal and code, in hexadecimal; those that are left.
    left: Vec<String>,
    made: Timestamp,
}

impl RecoveryCodes {
    /// The scheme: `recovery`.
    pub const SCHEME: &'static str = "recovery";

    /// Codes kept in this store.
    pub fn new(store: Store) -> Self {
        Self { records: Records::new(store, "security.recovery") }
    }

    /// Makes somebody's codes; those they had are gone. They are shown this once.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that cannot be, and what the store answers.
    pub fn make(&self, principal: &str, now: Timestamp) -> Result<Vec<String>> {
        const OPERATION: &str = "security.recovery_make";
        check_principal(principal, OPERATION)?;
        let random = SystemRandom::new();
        let mut codes = Vec::with_capacity(CODES);
        for _ in 0..CODES {
            let mut bytes = [0; LENGTH];
            random.fill(&mut bytes).map_err(|_| {
                Error::new(Code::IO, "the operating system gave no random bytes")
                    .operation(OPERATION)
            })?;
            let letter = |byte: &u8| ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'0');
            let letters: Vec<char> = bytes.iter().map(letter).map(char::from).collect();
            let groups: Vec<String> = letters.chunks(5).map(String::from_iter).collect();
            codes.push(groups.join("-"));
        }
        let left = codes.iter().map(|code| hash(principal, code)).collect();
        self.records.change(principal, now, |_| Ok((Fate::Put(Record { left, made: now }), ())))?;
        Ok(codes)
    }

    /// How many codes somebody has left.
    ///
    /// # Errors
    /// What the store answers.
    pub fn left(&self, principal: &str) -> Result<usize> {
        if !is_principal(principal) {
            return Ok(0);
        }
        Ok(self.records.get(principal)?.map_or(0, |record| record.left.len()))
    }

    /// Who has any, by name, after `after`.
    pub(in crate::security) fn names(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.records.keys(after, limit)
    }

    fn consume(&self, principal: &str, code: &str, now: Timestamp) -> Result<bool> {
        if !is_principal(principal) {
            return Ok(false);
        }
        let wanted = hash(principal, code);
        self.records.change(principal, now, |there| {
            let Some(mut record) = there else { return Ok((Fate::Keep, false)) };
            let before = record.left.len();
            record.left.retain(|hash| *hash != wanted);
            let good = record.left.len() < before;
            Ok((if good { Fate::Put(record) } else { Fate::Keep }, good))
        })
    }
}

/// Of the code as people copy it: case, hyphens and spaces do not matter, and `o`, `i`, `l` are digits.
fn hash(principal: &str, code: &str) -> String {
    let code = code.chars().filter(char::is_ascii_alphanumeric).map(|letter| {
        match letter.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            letter => letter,
        }
    });
    let mut text = format!("sutazai recovery\n{principal}\n");
    text.extend(code);
    super::api_key::hex(digest(&SHA256, text.as_bytes()).as_ref())
}

impl AuthProvider for RecoveryCodes {
    fn scheme(&self) -> &str {
        Self::SCHEME
    }

    fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<AuthStep> {
        let principal = credential.principal.as_deref().unwrap_or("");
        let code = std::str::from_utf8(&credential.secret).unwrap_or("");
        Ok(if self.consume(principal, code, now)? {
            AuthStep::Accepted(Session::new(principal, Self::SCHEME))
        } else {
            AuthStep::Refused("the recovery code is wrong or was used".to_owned())
        })
    }

    fn challenge(
        &self,
        principal: &str,
        _login: &str,
        _now: Timestamp,
    ) -> Result<Option<BTreeMap<String, String>>> {
        Ok((self.left(principal)? > 0).then(BTreeMap::new))
    }
}

impl std::fmt::Debug for RecoveryCodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecoveryCodes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_good_once_however_it_is_typed() {
        let codes = RecoveryCodes::new(Store::memory(&[]).unwrap());
        let now = Timestamp::EPOCH;
        let made = codes.make("ann", now).unwrap();
        assert_eq!((made.len(), codes.left("ann").unwrap()), (CODES, CODES));
        assert!(!codes.consume("bob", &made[0], now).unwrap(), "another one's");
        let typed = made[0].to_uppercase().replace('-', " ").replace('0', "O").replace('1', "l");
        assert!(codes.consume("ann", &typed, now).unwrap());
        assert!(!codes.consume("ann", &made[0], now).unwrap(), "used");
        assert!(!codes.consume("ann", "", now).unwrap());
        assert_eq!(codes.left("ann").unwrap(), CODES - 1);
        codes.make("ann", now).unwrap();
        assert!(!codes.consume("ann", &made[1], now).unwrap(), "made anew");
    }
}
