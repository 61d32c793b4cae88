//! A mailbox's bounds, and how it looks from outside, as plain data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::MessageId;
use crate::base::time::Timestamp;
use crate::port::Generation;
use crate::{Code, Error, Result};

/// The bounds of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct MailboxPolicy {
    /// Messages that wait or are in hand, at most; at least 1. Default 1,024.
    pub capacity: usize,
    /// What happens to a message for which there is no room. Default `refuse`.
    pub overflow: Overflow,
    /// A message that was in hand so often when its child came down is set aside; at least 1. Default 2.
    pub kills: u32,
    /// Messages that are set aside, at most; at least 1. The oldest makes room for another one.
    /// Default 1,024.
    pub poison_capacity: usize,
}

impl Default for MailboxPolicy {
    fn default() -> Self {
        Self { capacity: 1_024, overflow: Overflow::default(), kills: 2, poison_capacity: 1_024 }
    }
}

impl MailboxPolicy {
    /// Sets how many messages may wait or be in hand.
    #[must_use]
    pub fn capacity(self, capacity: usize) -> Self {
        Self { capacity, ..self }
    }

    /// Sets what happens to a message for which there is no room.
    #[must_use]
    pub fn overflow(self, overflow: Overflow) -> Self {
        Self { overflow, ..self }
    }

    /// Sets with which kill a message is set aside.
    #[must_use]
    pub fn kills(self, kills: u32) -> Self {
        Self { kills, ..self }
    }

    /// Sets how many messages may be set aside.
    #[must_use]
    pub fn poison_capacity(self, poison_capacity: usize) -> Self {
        Self { poison_capacity, ..self }
    }

    /// Whether the figures make sense. A [`Mailbox`](super::Mailbox) that is made directly takes what is
    /// below 1 as 1.
    ///
    /// # Errors
    /// [`Code::INVALID`] for each that does not, naming the field.
    pub fn check(&self) -> Result<()> {
        let least = [
            ("capacity", self.capacity),
            ("kills", usize::try_from(self.kills).unwrap_or(usize::MAX)),
            ("poison_capacity", self.poison_capacity),
        ];
        let wrong = least.into_iter().filter(|(_, value)| *value == 0).map(|(field, _)| {
            Error::new(Code::INVALID, "the mailbox's policy is not valid")
                .operation("supervise.mailbox")
                .with("field", field)
                .with("rule", "must be at least 1")
                .advice(format!("leave \"{field}\" out for the default"))
        });
        Error::join(wrong.collect()).map_or(Ok(()), Err)
    }
}

/// What happens to a message for which a mailbox has no room.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// It is not accepted.
    #[default]
    Refuse,
    /// The oldest that waits makes room; it is not accepted when all are in hand.
    DropOldest,
}

/// A message that took its child down too often, and was set aside.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Poison {
    /// Its number.
    pub id: MessageId,
    /// Each time it was in hand when its child came down, the first one first.
    pub kills: Vec<Kill>,
}

/// A child came down with a message in hand.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Kill {
    /// The path of the child.
    #[schemars(with = "String")]
    pub child: Arc<str>,
    /// Its life.
    pub generation: Generation,
    /// What it said when it came down.
    #[schemars(with = "serde_json::Value")]
    pub error: Error,
    /// When.
    pub at: Timestamp,
    /// How many messages it had in hand: with more than one, any of them may be the reason.
    pub in_hand: usize,
}

/// How many messages are where, and what became of the others since the mailbox was made.
///
/// `accepted + retried` is the sum of `waiting`, `in_hand`, `done`, `dropped` and `poisoned`; and
/// `poisoned` that of `set_aside`, `retried`, `discarded` and `forgotten`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct MailboxStatus {
    /// Messages that wait.
    pub waiting: usize,
    /// Messages that the child has in hand.
    pub in_hand: usize,
    /// Messages that are set aside.
    pub set_aside: usize,
    /// Messages that were accepted.
    pub accepted: u64,
    /// Messages that were not.
    pub refused: u64,
    /// Messages that were accepted and had to make room for others.
    pub dropped: u64,
    /// Deliveries: the same message again is another one.
    pub delivered: u64,
    /// Messages that the child was done with.
    pub done: u64,
    /// Messages that went back to their place.
    pub returned: u64,
    /// Messages that were set aside.
    pub poisoned: u64,
    /// Messages that were put back after they had been set aside.
    pub retried: u64,
    /// Messages that somebody discarded after they had been set aside.
    pub discarded: u64,
    /// Messages that had been set aside and had to make room for others.
    pub forgotten: u64,
}
