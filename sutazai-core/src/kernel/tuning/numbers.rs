//! Numbers of trials and proposals: one that was asked under is not given again, by this process or, where there is a data directory, by a
//! later one, so that no late answer is taken for one to something else.

use parking_lot::Mutex;

use super::super::shared::Shared;
use crate::base::payload::Payload;
use crate::observe::Level;
use crate::store::Durability;

/// Where it is in the store.
const NAMESPACE: &str = "tune.numbers";
/// So many numbers are kept as given before they are: a process that dies gives none twice that was told.
const AHEAD: u64 = 64;

/// What is numbered.
#[derive(Clone, Copy)]
pub(super) enum Numbered {
    Trials,
    Proposals,
}

impl Numbered {
    fn key(self) -> &'static str {
        match self {
            Self::Trials => "trials",
            Self::Proposals => "proposals",
        }
    }
}

/// What was given.
#[derive(Default)]
pub(super) struct Numbers {
    trials: Mutex<Given>,
    proposals: Mutex<Given>,
}

#[derive(Clone, Copy, Default)]
struct Given {
    read: bool,
    last: u64,
    /// As it is kept.
    kept: u64,
}

impl Shared {
    /// The highest number that was given.
    pub(super) fn last_number(&self, of: Numbered) -> u64 {
        self.number(of, |last| last)
    }

    /// Numbers up to this one were given.
    pub(super) fn gave_number(&self, of: Numbered, number: u64) {
        self.number(of, |last| last.max(number));
    }

    /// The number of a new proposal for a size or for shares.
    pub(super) fn next_proposal(&self) -> u64 {
        self.number(Numbered::Proposals, |last| last.saturating_add(1))
    }

    /// The kernel stops: the next one goes on with the next number.
    pub(super) fn keep_numbers(&self) {
        for of in [Numbered::Trials, Numbered::Proposals] {
            let mut given = self.given(of).lock();
            if given.read && given.kept != given.last {
                given.kept = given.last;
                self.keep_number(of, given.kept);
            }
        }
    }

    fn given(&self, of: Numbered) -> &Mutex<Given> {
        match of {
            Numbered::Trials => &self.tuning.numbers.trials,
            Numbered::Proposals => &self.tuning.numbers.proposals,
        }
    }

    fn number(&self, of: Numbered, next: impl FnOnce(u64) -> u64) -> u64 {
        let mut given = self.given(of).lock();
        if !given.read {
            let kept = self.kept_number(of);
            *given = Given { read: true, last: kept, kept };
        }
        given.last = next(given.last);
        if given.last.saturating_add(AHEAD / 2) > given.kept {
            given.kept = given.last.saturating_add(AHEAD);
            self.keep_number(of, given.kept);
        }
        given.last
    }

    fn kept_number(&self, of: Numbered) -> u64 {
        if self.data_dir.is_none() {
            return 0;
        }
        let kept = self
            .store
            .get(NAMESPACE, of.key())
            .and_then(|kept| kept.map(|kept| kept.value.value()).transpose());
        match kept {
            Ok(kept) => kept.and_then(|kept| kept.as_u64()).unwrap_or(0),
            Err(error) => {
                let fields = [("of", of.key().to_owned()), ("error", format!("{error:#}"))];
                let what = "numbers begin anew: the last ones could not be read";
                self.kept.log().record(Level::Warn, "sutazai.tune", what, fields);
                0
            }
        }
    }

    fn keep_number(&self, of: Numbered, number: u64) {
        if self.data_dir.is_some() {
            let now = self.runtime.timestamp();
            let number = Payload::from(serde_json::Value::from(number));
            self.store.put(NAMESPACE, of.key(), &number, now, Durability::Process).detach();
        }
    }
}
