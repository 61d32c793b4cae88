//! One family as it stands in the store, and the text of its tokens.

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::{Grant, fault, text};
use super::{REFRESH, RefreshPolicy};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

const FAMILY: usize = 16;
const SECRET: usize = 32;
const TAG: usize = 32;
/// Family, number, secret, tag.
const LENGTH: usize = FAMILY + 4 + SECRET + TAG;
const SIGNED: usize = FAMILY + 4 + SECRET;

/// A family.
#[derive(Clone, Serialize, Deserialize)]
pub(in super::super) struct Record {
    /// Its identifier, 128 random bits.
    pub family: String,
    pub grant: Grant,
    /// When it was begun, in nanoseconds, as the times below.
    pub created: i64,
    pub used: i64,
    /// The number of the current token.
    pub number: u32,
    /// SHA-256 of the current token's secret.
    hash: String,
    /// Makes the tags. Whoever reads it can have the family revoked, and cannot use it.
    tag_key: String,
}

/// A token that was presented.
pub(super) struct Presented {
    pub family: String,
    pub number: u32,
    bytes: Zeroizing<[u8; LENGTH]>,
}

/// What a presented token is to its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The one that is to be used.
    Current,
    /// One that was issued before.
    Earlier,
    /// None of its tokens.
    Stranger,
}

impl Record {
    /// A new family, with its first token.
    pub(super) fn begin(grant: &Grant, now: Timestamp) -> Result<(Self, Zeroizing<String>)> {
        let family = text::encode(*random::<FAMILY>()?);
        let mut record = Self {
            family,
            grant: grant.clone(),
            created: now.as_nanos(),
            used: now.as_nanos(),
            number: 0,
            hash: String::new(),
            tag_key: text::encode(*random::<32>()?),
        };
        let token = record.issue()?;
        Ok((record, token))
    }

    /// The same family with its next token.
    pub(super) fn next(&self, now: Timestamp) -> Result<(Self, Zeroizing<String>)> {
        let mut record = self.clone();
        record.used = now.as_nanos();
        record.number = record.number.checked_add(1).ok_or_else(fault::refresh)?;
        let token = record.issue()?;
        Ok((record, token))
    }

    fn issue(&mut self) -> Result<Zeroizing<String>> {
        let broken = || Error::new(Code::STORE_CORRUPT, "a family of refresh tokens is damaged");
        let family = text::decode(&self.family).ok_or_else(broken)?;
        let secret = random::<SECRET>()?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH));
        bytes.extend_from_slice(&family);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&*secret);
        let tag = hmac::sign(&self.key().ok_or_else(broken)?, &bytes);
        bytes.extend_from_slice(tag.as_ref());
        self.hash = text::encode(digest::digest(&digest::SHA256, &*secret));
        let mut token = Zeroizing::new(String::with_capacity(REFRESH.len() + LENGTH * 4 / 3 + 4));
        token.push_str(REFRESH);
        text::encode_to(&*bytes, &mut token);
        Ok(token)
    }

    fn key(&self) -> Option<hmac::Key> {
        Some(hmac::Key::new(hmac::HMAC_SHA256, &text::decode(&self.tag_key)?))
    }

    /// What this token is to the family. A number beyond the current one, with a tag that is right, is of a
    /// store that was set back: it is treated as one that was used.
    pub(super) fn standing(&self, presented: &Presented) -> Standing {
        let (signed, tag) = presented.bytes.split_at(SIGNED);
        let tagged = self.key().is_some_and(|key| hmac::verify(&key, signed, tag).is_ok());
        if !tagged || presented.family != self.family {
            return Standing::Stranger;
        }
        let secret = signed.get(FAMILY + 4..).unwrap_or_default();
        let hash = text::encode(digest::digest(&digest::SHA256, secret));
        if presented.number == self.number && hash == self.hash {
            Standing::Current
        } else {
            Standing::Earlier
        }
    }

    /// When it ends unless it is used before.
    pub(super) fn ends(&self, policy: &RefreshPolicy) -> Timestamp {
        let absolute = Timestamp::from_nanos(self.created) + policy.absolute;
        absolute.min(Timestamp::from_nanos(self.used) + policy.idle)
    }
}

impl Presented {
    /// Reads a token's text.
    pub(super) fn read(token: &str) -> Option<Self> {
        if token.len() > REFRESH.len() + 2 * LENGTH {
            return None;
        }
        let decoded = Zeroizing::new(text::decode(token.strip_prefix(REFRESH)?)?);
        let bytes: Zeroizing<[u8; LENGTH]> = Zeroizing::new(decoded.as_slice().try_into().ok()?);
        let (family, rest) = bytes.split_first_chunk::<FAMILY>()?;
        let number = u32::from_be_bytes(*rest.first_chunk()?);
        Some(Self { family: text::encode(family), number, bytes })
    }
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new()
        .fill(&mut *bytes)
        .map_err(|_| Error::new(Code::INTERNAL, "the system has no randomness to give"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_where_it_was_issued() {
        let now = Timestamp::from_nanos(1);
        let (record, first) = Record::begin(&Grant::new("alice"), now).unwrap();
        let read = |token: &str| Presented::read(token).unwrap();
        assert_eq!(record.standing(&read(&first)), Standing::Current);
        let (next, second) = record.next(now).unwrap();
        assert_eq!(next.standing(&read(&first)), Standing::Earlier);
        assert_eq!(next.standing(&read(&second)), Standing::Current);
        let (stranger, other) = Record::begin(&Grant::new("alice"), now).unwrap();
        assert_eq!(next.standing(&read(&other)), Standing::Stranger);
        assert_eq!(stranger.standing(&read(&second)), Standing::Stranger);
        // The record holds neither token.
        let kept = serde_json::to_string(&next).unwrap();
        assert!(!kept.contains(&second[REFRESH.len() + 28..REFRESH.len() + 60]));
    }

    #[test]
    fn no_byte_can_be_changed() {
        let (record, token) = Record::begin(&Grant::new("a"), Timestamp::from_nanos(1)).unwrap();
        for at in REFRESH.len()..token.len() {
            let mut other = token.to_string();
            let with = if &token[at..=at] == "A" { "B" } else { "A" };
            other.replace_range(at..=at, with);
            let standing = Presented::read(&other).map(|presented| record.standing(&presented));
            assert!(matches!(standing, None | Some(Standing::Stranger)), "{at}");
        }
    }
}
