//! Refresh tokens: opaque, rotated at each use, and the whole family revoked when one is used twice
//! (RFC 9700, §4.14.2).
//!
//! A family is what came of one login. Of its current token only the SHA-256 is kept. Of the earlier ones
//! nothing is: a token carries its number in the family and a tag (HMAC-SHA-256 under a key of the
//! family's), which tells one that was issued once from one that was made up. So a family takes the same room
//! however often it is refreshed, and nobody who merely knows its name can have it revoked.

mod families;
mod record;

use std::time::Duration;

pub(super) use families::{Families, Judged};
pub(super) use record::Record;

use crate::{Code, Error, Result};

/// What refresh tokens begin with.
pub const REFRESH: &str = "rt.v1.";

/// How long refresh tokens live, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// The longest life of a family, from login on; 1 min to 400 days, default 30 days.
    pub absolute: Duration,
    /// The longest time between two uses; 1 min to `absolute`, default 7 days.
    pub idle: Duration,
    /// The most families of one subject; with one more the oldest ends. 1 to 1,000, default 16.
    pub per_subject: usize,
    /// The most families altogether; beyond it logins are refused. 1 to 10,000,000, default 100,000.
    pub families: usize,
    /// For so long after a token was used the same token is answered with the same successor once more, for clients
    /// that lost the answer; up to 60 s. Default 0, which is off: within that time a thief is answered
    /// as well. It does not outlive the process.
    pub grace: Duration,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        Self {
            absolute: Duration::from_secs(30 * 86_400),
            idle: Duration::from_secs(7 * 86_400),
            per_subject: 16,
            families: 100_000,
            grace: Duration::ZERO,
        }
    }
}

impl RefreshPolicy {
    pub(super) fn check(self) -> Result<Self> {
        const MINUTE: Duration = Duration::from_secs(60);
        const LONGEST: Duration = Duration::from_secs(400 * 86_400);
        let (field, problem) = if !(MINUTE..=LONGEST).contains(&self.absolute) {
            ("refresh.absolute", "refresh.absolute must be from 1 min to 400 days")
        } else if !(MINUTE..=self.absolute).contains(&self.idle) {
            ("refresh.idle", "refresh.idle must be from 1 min to refresh.absolute")
        } else if !(1..=1000).contains(&self.per_subject) {
            ("refresh.per_subject", "refresh.per_subject must be from 1 to 1,000")
        } else if !(1..=10_000_000).contains(&self.families) {
            ("refresh.families", "refresh.families must be from 1 to 10,000,000")
        } else if self.grace > MINUTE {
            ("refresh.grace", "refresh.grace must be at most 60 s")
        } else {
            return Ok(self);
        };
        Err(Error::new(Code::INVALID, problem)
            .operation("security.token.open")
            .with("field", field))
    }
}

/// The figures of the refresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct RefreshStatus {
    /// Families that are alive.
    pub families: u64,
    /// Rotations since the start.
    pub rotated: u64,
    /// Families revoked since the start because a token was used twice.
    pub reused: u64,
    /// Families ended since the start because their subject began more.
    pub crowded_out: u64,
}
