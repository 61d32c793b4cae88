//! What a source had, what it has now, and what follows: [`Inventory`].
//!
//! A state machine: it is told what a look at the source gave and hands out the steps that follow; it
//! looks at nothing, makes nothing, and takes the time as an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::policy::DiscoveryPolicy;
use super::view::{FoundView, ItemState};
use crate::base::time::Moment;
use crate::{Class, Code, Error};

/// The pause before the first of the looks, or tries, that follow a failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause before an agent that could not be made is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What a look said of an item: a [`Sighting`](crate::port::Sighting) without what makes the agent.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It is there, declared so.
    Here(String),
    /// It cannot be reached at present.
    Away(Error),
    /// Its declaration makes no agent.
    Refused(Error),
    /// It is listed, and its agent is no more.
    Gone(Error),
    /// It is just being written.
    Unsettled,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Step {
    /// The agent is removed.
    Drop {
        /// Its item.
        item: Arc<str>,
        /// Its name.
        agent: Arc<str>,
        /// Why.
        why: String,
    },
    /// The agent takes no tasks for the present.
    Away {
        /// Its item.
        item: Arc<str>,
        /// Its name.
        agent: Arc<str>,
        /// Why.
        error: Error,
    },
    /// The agent takes tasks again.
    Back {
        /// Its item.
        item: Arc<str>,
        /// Its name.
        agent: Arc<str>,
    },
    /// An agent is made and registered; [`Inventory::made`] is told how that went.
    Make {
        /// Its item.
        item: Arc<str>,
        /// What it is made of.
        fingerprint: String,
        /// The agent whose place it takes.
        replaces: Option<Arc<str>>,
    },
    /// Something is wrong with an item that was not wrong, or not in this way, before.
    Trouble {
        /// The item.
        item: Arc<str>,
        /// What is wrong.
        error: Error,
    },
}

/// The items of one source. What it does stands at the top of this file.
#[derive(Debug)]
pub struct Inventory {
    settle: Duration,
    away: Duration,
    away_looks: Option<u32>,
    interval: Duration,
    most: usize,
    items: BTreeMap<Arc<str>, Item>,
    /// Items of the last look that there was no room for.
    beyond: usize,
}

#[derive(Debug, Default)]
struct Item {
    origin: String,
    /// The agent that was made of it and is registered.
    made: Option<Made>,
    away: Option<Away>,
    /// Since when it has been missing, or said to be no more.
    absent: Option<Moment>,
    unsettled: bool,
    /// What could not be made.
    tried: Option<Tried>,
    /// Whose agent the host has removed: it is left alone until it is another one.
    released: Option<String>,
    trouble: Option<Error>,
}

#[derive(Clone, Debug)]
struct Made {
    agent: Arc<str>,
    fingerprint: String,
}

#[derive(Debug)]
struct Away {
    since: Moment,
    looks: u32,
    pause: Duration,
    next: Moment,
}

#[derive(Debug)]
struct Tried {
    fingerprint: String,
    pause: Duration,
    /// When it is tried again; only another fingerprint, or somebody who asks for it, without it.
    next: Option<Moment>,
}

impl Inventory {
    /// An empty one, of a source that is looked at every `interval`.
    pub fn new(policy: &DiscoveryPolicy, interval: Duration) -> Self {
        Self {
            settle: Duration::from_millis(policy.settle_ms),
            away: Duration::from_millis(policy.away_ms),
            away_looks: policy.away_looks,
            interval,
            most: policy.items,
            items: BTreeMap::new(),
            beyond: 0,
        }
    }

    /// Takes in what a look gave: each item with its origin, once. `insist` tries again what could not be
    /// made, whenever that was. Agents that go come first in what follows, then those whose state changes,
    /// then those that are made.
    pub fn looked(
        &mut self,
        now: Moment,
        seen: Vec<(Arc<str>, String, Seen)>,
        insist: bool,
    ) -> Vec<Step> {
        self.follow_renames(&seen);
        let mut steps = Vec::new();
        self.miss(now, &seen, &mut steps);
        self.beyond = 0;
        let mut makes = Vec::new();
        let mut known = BTreeSet::new();
        for (name, origin, seen) in seen {
            if !known.insert(Arc::clone(&name)) {
                continue;
            }
            if !self.items.contains_key(&name) && self.items.len() >= self.most {
                self.beyond += 1;
                continue;
            }
            let (settle, away) = (self.settle, self.patience());
            let item = self.items.entry(Arc::clone(&name)).or_default();
            item.origin = origin;
            item.unsettled = matches!(seen, Seen::Unsettled);
            if !matches!(seen, Seen::Gone(_)) {
                item.absent = None;
            }
            match seen {
                Seen::Unsettled => {}
                Seen::Here(fingerprint) => {
                    makes.extend(item.here(&name, now, fingerprint, insist, &mut steps));
                }
                Seen::Away(error) => item.away(&name, now, error, &away, &mut steps),
                // One that could not be reached before still cannot be used.
                Seen::Refused(error) if item.away.is_some() => {
                    item.away(&name, now, error, &away, &mut steps);
                }
                Seen::Refused(error) => item.trouble(&name, error, &mut steps),
                Seen::Gone(error) => item.gone(&name, now, settle, error, &mut steps),
            }
        }
        steps.sort_by_key(|step| match step {
            Step::Drop { .. } => 0,
            Step::Away { .. } | Step::Back { .. } => 1,
            Step::Make { .. } => 2,
            Step::Trouble { .. } => 3,
        });
        steps.extend(makes);
        steps
    }

    /// Takes in how a [`Step::Make`] went: the agent's name, or why there is none. Says whether what is wrong
    /// was not wrong, or not in this way, before.
    pub fn made(
        &mut self,
        now: Moment,
        item: &str,
        fingerprint: String,
        made: Result<Arc<str>, Error>,
    ) -> bool {
        let Some(item) = self.items.get_mut(item) else { return false };
        match made {
            Ok(agent) => {
                item.made = Some(Made { agent, fingerprint });
                item.tried = None;
                item.released = None;
                item.trouble = None;
                false
            }
            Err(error) => {
                let pause = match &item.tried {
                    Some(tried) if tried.fingerprint == fingerprint => {
                        (tried.pause * 2).min(LONGEST_PAUSE)
                    }
                    _ => FIRST_PAUSE,
                };
                // A name that is taken may be free again; all else that lasts is in the declaration.
                let again =
                    error.class() == Class::Transient || error.code() == Code::ALREADY_EXISTS;
                let next = again.then(|| now + pause);
                item.tried = Some(Tried { fingerprint, pause, next });
                item.note(error)
            }
        }
    }

    /// The host has removed an item's agent, or registered another one in its place: it is let go of, and
    /// not made again until it is declared otherwise.
    pub fn released(&mut self, item: &str) {
        if let Some(item) = self.items.get_mut(item)
            && let Some(made) = item.made.take()
        {
            item.released = Some(made.fingerprint);
            item.away = None;
        }
    }

    /// The items whose agents are registered, with their agents.
    pub fn agents(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let made = |(name, item): (&Arc<str>, &Item)| {
            item.made.as_ref().map(|made| (Arc::clone(name), Arc::clone(&made.agent)))
        };
        self.items.iter().filter_map(made).collect()
    }

    /// When it should be looked at again before its interval is over.
    pub fn next_look(&self, now: Moment) -> Option<Moment> {
        let of = |item: &Item| {
            let settled = item.unsettled.then(|| now + self.settle);
            let absent = item.absent.map(|since| since + self.settle);
            let away = item.away.as_ref().map(|away| away.next);
            let tried = item.tried.as_ref().and_then(|tried| tried.next);
            // What is over and has changed nothing is awaited no further.
            [settled, absent, away, tried].into_iter().flatten().filter(|at| *at > now).min()
        };
        self.items.values().filter_map(of).min()
    }

    /// Items that are neither here nor there: they are being written, or are missing for the first time.
    pub fn unsettled(&self) -> Vec<Arc<str>> {
        let is = |item: &Item| item.unsettled || (item.absent.is_some() && item.made.is_some());
        let unsettled = self.items.iter().filter(|(_, item)| is(item));
        unsettled.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Items of the last look that there was no room for.
    pub fn beyond(&self) -> usize {
        self.beyond
    }

    /// The items as hosts see them, sorted.
    pub fn views(&self) -> Vec<FoundView> {
        let view = |(name, item): (&Arc<str>, &Item)| FoundView {
            item: Arc::clone(name),
            origin: item.origin.clone(),
            agent: item.made.as_ref().map(|made| Arc::clone(&made.agent)),
            state: item.state(),
            error: item.trouble.clone(),
        };
        self.items.iter().map(view).collect()
    }

    /// An item that is missing while a new one has its fingerprint goes by another name now.
    fn follow_renames(&mut self, seen: &[(Arc<str>, String, Seen)]) {
        let mut come = HashMap::new();
        for (name, _, seen) in seen {
            let unknown = self.items.get(name).is_none_or(|item| item.made.is_none());
            if let Seen::Here(fingerprint) = seen
                && unknown
            {
                come.entry(fingerprint.as_str()).or_insert(name);
            }
        }
        if come.is_empty() {
            return;
        }
        let there: BTreeSet<&str> = seen.iter().map(|(name, ..)| &**name).collect();
        let missing = |name: &Arc<str>| !there.contains(&**name);
        let mut moved = Vec::new();
        for (name, item) in self.items.iter().filter(|(name, _)| missing(name)) {
            if let Some(made) = &item.made
                && let Some(to) = come.remove(made.fingerprint.as_str())
            {
                moved.push((Arc::clone(name), Arc::clone(to)));
            }
        }
        for (from, to) in moved {
            if let Some(item) = self.items.remove(&from) {
                self.items.insert(to, item);
            }
        }
    }

    /// What is not there any more goes, once it has been missing for long enough.
    fn miss(&mut self, now: Moment, seen: &[(Arc<str>, String, Seen)], steps: &mut Vec<Step>) {
        let there: BTreeSet<&str> = seen.iter().map(|(name, ..)| &**name).collect();
        let settle = self.settle;
        self.items.retain(|name, item| {
            if there.contains(&**name) {
                return true;
            }
            item.unsettled = false;
            let since = *item.absent.get_or_insert(now);
            if now < since + settle {
                return true;
            }
            if let Some(Made { agent, .. }) = item.made.take() {
                let why = format!("{} is no longer there", item.origin);
                steps.push(Step::Drop { item: Arc::clone(name), agent, why });
            }
            false
        });
    }

    fn patience(&self) -> Patience {
        Patience { time: self.away, looks: self.away_looks, longest: self.interval }
    }
}

/// How long an agent may be unreachable.
struct Patience {
    time: Duration,
    looks: Option<u32>,
    /// The longest pause between two looks.
    longest: Duration,
}

impl Item {
    fn here(
        &mut self,
        name: &Arc<str>,
        now: Moment,
        fingerprint: String,
        insist: bool,
        steps: &mut Vec<Step>,
    ) -> Option<Step> {
        let was_away = self.away.take().is_some();
        if let Some(made) = &self.made {
            if was_away {
                let agent = Arc::clone(&made.agent);
                steps.push(Step::Back { item: Arc::clone(name), agent });
            }
            if made.fingerprint == fingerprint {
                self.tried = None;
                self.trouble = None;
                return None;
            }
        }
        if self.released.as_ref() == Some(&fingerprint) {
            self.trouble = None;
            return None;
        }
        if let Some(tried) = &self.tried
            && tried.fingerprint == fingerprint
            && !insist
            && !was_away
            && tried.next.is_none_or(|next| now < next)
        {
            return None;
        }
        let replaces = self.made.as_ref().map(|made| Arc::clone(&made.agent));
        Some(Step::Make { item: Arc::clone(name), fingerprint, replaces })
    }

    fn away(
        &mut self,
        name: &Arc<str>,
        now: Moment,
        error: Error,
        patience: &Patience,
        steps: &mut Vec<Step>,
    ) {
        let longest = patience.longest.max(FIRST_PAUSE);
        let Some(away) = &mut self.away else {
            let pause = FIRST_PAUSE;
            self.away = Some(Away { since: now, looks: 1, pause, next: now + pause });
            match &self.made {
                Some(made) => {
                    let agent = Arc::clone(&made.agent);
                    steps.push(Step::Away { item: Arc::clone(name), agent, error: error.clone() });
                    self.trouble = Some(error);
                }
                None => self.trouble(name, error, steps),
            }
            return;
        };
        away.looks = away.looks.saturating_add(1);
        if now >= away.next {
            away.pause = (away.pause * 2).min(longest);
        }
        away.next = now + away.pause;
        let gone_for = now.since(away.since);
        let too_often = patience.looks.is_some_and(|most| away.looks > most);
        if (gone_for >= patience.time || too_often)
            && let Some(Made { agent, .. }) = self.made.take()
        {
            let why = format!("it has been unreachable for {} s", gone_for.as_secs());
            steps.push(Step::Drop { item: Arc::clone(name), agent, why });
        }
        self.trouble(name, error, steps);
    }

    fn gone(
        &mut self,
        name: &Arc<str>,
        now: Moment,
        settle: Duration,
        error: Error,
        steps: &mut Vec<Step>,
    ) {
        let since = *self.absent.get_or_insert(now);
        if now < since + settle {
            return;
        }
        self.away = None;
        if let Some(Made { agent, .. }) = self.made.take() {
            let why = error.message().to_owned();
            steps.push(Step::Drop { item: Arc::clone(name), agent, why });
        }
        self.trouble(name, error, steps);
    }

    fn trouble(&mut self, name: &Arc<str>, error: Error, steps: &mut Vec<Step>) {
        if self.note(error.clone()) {
            steps.push(Step::Trouble { item: Arc::clone(name), error });
        }
    }

    /// Keeps what is wrong; says whether it is something else than before.
    fn note(&mut self, error: Error) -> bool {
        let new = self.trouble.as_ref().is_none_or(|before| !same(before, &error));
        self.trouble = Some(error);
        new
    }

    fn state(&self) -> ItemState {
        match (&self.made, &self.away) {
            (Some(_), Some(_)) => ItemState::Unreachable,
            (Some(_), None) => ItemState::Registered,
            (None, _) if self.released.is_some() => ItemState::Released,
            (None, _) if self.trouble.is_some() => ItemState::Failed,
            (None, _) => ItemState::Settling,
        }
    }
}

/// Whether two errors say the same. What they were about may differ from one time to the next: process ids,
/// what a program wrote.
pub(crate) fn same(one: &Error, other: &Error) -> bool {
    let (one, other) = (one.problems(), other.problems());
    let pair = |(a, b): (&Error, &Error)| {
        a.code() == b.code() && a.message() == b.message() && a.location() == b.location()
    };
    one.len() == other.len() && one.iter().zip(other).all(pair)
}
