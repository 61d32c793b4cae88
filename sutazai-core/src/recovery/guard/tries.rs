//! The decision after a failure: try again, when, or give up, and why.

use std::time::Duration;

use serde::Serialize;

use super::parts::Parts;
use crate::base::time::Moment;
use crate::recovery::chance::Chance;
use crate::recovery::retry::Backoff;
use crate::{Class, Code, Error};

/// The context key of an error that a guard has given up on. A guard further out does not try such a
/// call again: the one next to the failure has done what can be done, and layers that each retry would
/// multiply.
pub const GAVE_UP: &str = "gave_up";

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again after this long.
    Retry(Duration),
    /// Answer with the error.
    GiveUp(GaveUp),
}

/// Why a call is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GaveUp {
    /// The guard has no retry policy.
    NoRetry,
    /// The failure would only come again: it is not transient.
    NotTransient,
    /// A guard further in has given up already.
    GivenUpBelow,
    /// All tries were made.
    Attempts,
    /// The budget could not pay for it.
    Budget,
    /// The wait would end after the deadline.
    Deadline,
    /// The target asks for a wait that would end after the deadline.
    AskedToWaitTooLong,
    /// The guard itself no longer lets the call through.
    Rejected,
    /// Its caller has partial results already, and would get them again.
    Begun,
}

impl GaveUp {
    /// The word for it, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRetry => "no_retry",
            Self::NotTransient => "not_transient",
            Self::GivenUpBelow => "given_up_below",
            Self::Attempts => "attempts",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
            Self::AskedToWaitTooLong => "asked_to_wait_too_long",
            Self::Rejected => "rejected",
            Self::Begun => "begun",
        }
    }
}

/// What is known of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether trying again may help.
    pub class: Class,
    /// How long the target asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Whether a guard has given up on this failure, or on one that led to it.
fn given_up(error: &Error) -> bool {
    let mut next = Some(error);
    // Whoever wraps errors in a circle is not followed for ever.
    for _ in 0..MOST_CAUSES {
        let Some(error) = next else { return false };
        if error.context().any(|(key, _)| key == GAVE_UP) {
            return true;
        }
        next = cause(error);
    }
    false
}

/// The nearest of the library's errors that led to this one.
fn cause(error: &Error) -> Option<&Error> {
    let mut source = std::error::Error::source(error);
    for _ in 0..MOST_CAUSES {
        match source?.downcast_ref::<Error>() {
            Some(cause) => return Some(cause),
            None => source = source?.source(),
        }
    }
    None
}

/// Causes that are looked through, at most.
const MOST_CAUSES: usize = 32;

/// The tries of one call so far.
#[derive(Debug)]
pub(super) struct Tries {
    /// When the whole call is given up.
    pub(super) deadline: Moment,
    /// Tries begun.
    pub(super) made: u32,
    hinted: u32,
    backoff: Option<Backoff>,
}

impl Tries {
    /// The first try has begun.
    pub(super) fn first(deadline: Moment) -> Self {
        Self { deadline, made: 1, hinted: 0, backoff: None }
    }

    /// The decision after the last try failed. When it is to try again, the retry is paid for and
    /// counted.
    pub(super) fn next(
        &mut self,
        parts: &Parts,
        error: &Error,
        judged: Judgement,
        chance: &Chance,
        now: Moment,
    ) -> Next {
        let policy = parts.retry.load();
        let Some(policy) = &*policy else { return Next::GiveUp(GaveUp::NoRetry) };
        if judged.class != Class::Transient {
            return Next::GiveUp(GaveUp::NotTransient);
        }
        if given_up(error) {
            return Next::GiveUp(GaveUp::GivenUpBelow);
        }
        // A wait that the target has asked for says when it will work, which a backoff only guesses.
        let free = judged.retry_after.is_some()
            && self.deadline != Moment::FAR
            && self.hinted < policy.hinted;
        if !free && self.made.saturating_sub(self.hinted) >= policy.attempts {
            return Next::GiveUp(GaveUp::Attempts);
        }
        let step = self.backoff.get_or_insert_with(|| policy.backoff()).next(chance);
        let (wait, too_late) = match judged.retry_after {
            // A little beyond it, so that those who were told the same do not all come at once.
            Some(hint) => (hint + step.min(hint / 10), GaveUp::AskedToWaitTooLong),
            None => (step, GaveUp::Deadline),
        };
        if now + wait >= self.deadline {
            return Next::GiveUp(too_late);
        }
        let timed_out = matches!(error.code(), Code::DEADLINE_EXCEEDED | Code::TIMEOUT);
        if !parts.budget.spend(timed_out, now) {
            return Next::GiveUp(GaveUp::Budget);
        }
        self.hinted += u32::from(free);
        self.made += 1;
        Next::Retry(wait)
    }

    /// The error as the caller gets it: with the reason why nothing more was tried.
    pub(super) fn finish(&self, error: Error, why: GaveUp) -> Error {
        match why {
            // These say nothing that the error does not say itself.
            GaveUp::NoRetry | GaveUp::NotTransient if self.made == 1 => error,
            GaveUp::NoRetry | GaveUp::NotTransient => error.with("attempts", self.made),
            GaveUp::GivenUpBelow => error,
            _ => error.with("attempts", self.made).with(GAVE_UP, why.name()),
        }
    }
}
