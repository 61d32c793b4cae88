//! The decisions of playbooks: a state machine that takes the time and says what to do.

mod approval;
mod bounds;
mod trigger;
mod view;

pub(in crate::recovery::playbook) use view::Standing;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::condition::{EventTest, Tree, compile};
use super::policy::{Playbook, PlaybookPolicy};
use super::record::{EntryState, Kept, PlaybookEntry, Record, RefusedWhy};
use crate::Result;
use crate::base::payload::Payload;
use crate::base::time::{Moment, Timestamp};
use crate::event::Pattern;
use trigger::fill;

/// Both clocks, read together.
#[derive(Clone, Copy, Debug)]
pub(in crate::recovery::playbook) struct When {
    pub(in crate::recovery::playbook) now: Moment,
    pub(in crate::recovery::playbook) at: Timestamp,
}

/// An action that is to be run; the engine hears what came of it.
#[derive(Clone, Debug)]
pub(in crate::recovery::playbook) struct Order {
    pub(in crate::recovery::playbook) id: u64,
    pub(in crate::recovery::playbook) playbook: Arc<str>,
    pub(in crate::recovery::playbook) action: Arc<str>,
    pub(in crate::recovery::playbook) params: Payload,
    pub(in crate::recovery::playbook) trigger: Payload,
    pub(in crate::recovery::playbook) dry: bool,
}

/// What follows from an input.
#[derive(Debug, Default)]
pub(in crate::recovery::playbook) struct Effects {
    pub(in crate::recovery::playbook) orders: Vec<Order>,
    /// Entries that are new or changed.
    pub(in crate::recovery::playbook) notes: Vec<PlaybookEntry>,
}

/// Events of the engine's own, which set nothing off.
const OWN: &str = "recovery.playbook.";

#[derive(Debug)]
struct State {
    book: Playbook,
    name: Arc<str>,
    tree: Tree,
    tests: Vec<EventTest>,
    /// Which events hold, of a condition that must hold for a while.
    held: Vec<bool>,
    /// The last event that passed a test, of such a condition.
    event: Option<(Arc<str>, Payload)>,
    /// Since when such a condition has held.
    since: Option<Moment>,
    /// Whether a condition of signals alone held when it was last looked at.
    holds: bool,
    /// When its actions of the present window began.
    starts: VecDeque<Moment>,
    rests_until: Moment,
    under_way: Option<u64>,
    pending: Option<u64>,
}

/// See the module's documentation. Every method takes the time; none reads a clock.
#[derive(Debug)]
pub(in crate::recovery::playbook) struct Engine {
    policy: PlaybookPolicy,
    states: Vec<State>,
    signals: BTreeMap<String, (f64, Moment)>,
    /// When the actions of the present window began, of all playbooks.
    starts: VecDeque<Moment>,
    running: u32,
    record: Record,
}

impl Engine {
    pub(in crate::recovery::playbook) fn new(policy: PlaybookPolicy) -> Result<Self> {
        let mut engine = Self {
            policy: PlaybookPolicy::default(),
            states: Vec::new(),
            signals: BTreeMap::new(),
            starts: VecDeque::new(),
            running: 0,
            record: Record::default(),
        };
        engine.take(policy)?;
        Ok(engine)
    }

    fn take(&mut self, policy: PlaybookPolicy) -> Result<()> {
        policy.check()?;
        let states: Vec<_> = policy.playbooks.iter().map(State::new).collect::<Result<_>>()?;
        let mut before = std::mem::replace(&mut self.states, states);
        for state in &mut self.states {
            // What a playbook has done counts on under its new policy.
            if let Some(at) = before.iter().position(|old| old.name == state.name) {
                let old = before.swap_remove(at);
                state.starts = old.starts;
                state.rests_until = old.rests_until;
                (state.under_way, state.pending) = (old.under_way, old.pending);
            }
        }
        self.signals.retain(|name, _| self.states.iter().any(|state| state.tree.names(name)));
        self.policy = policy;
        Ok(())
    }

    pub(in crate::recovery::playbook) fn policy(&self) -> &PlaybookPolicy {
        &self.policy
    }

    /// Takes another policy; what waits for approval of a playbook that is gone expires.
    pub(in crate::recovery::playbook) fn change_policy(
        &mut self,
        policy: PlaybookPolicy,
        when: When,
    ) -> Result<Effects> {
        self.take(policy)?;
        let mut effects = Effects::default();
        let gone = |name: &str| !self.states.iter().any(|state| &*state.name == name);
        for kept in self.record.iter_mut() {
            let pending = matches!(kept.entry.state, EntryState::Pending { .. });
            if pending && gone(&kept.entry.playbook) {
                end(kept, EntryState::Expired, when, &mut effects);
            }
        }
        Ok(effects)
    }

    /// The patterns of all events that some condition speaks of.
    pub(in crate::recovery::playbook) fn patterns(&self) -> Vec<Pattern> {
        let mut patterns: Vec<Pattern> = Vec::new();
        for test in self.states.iter().flat_map(|state| &state.tests) {
            if !patterns.contains(&test.subject) {
                patterns.push(test.subject.clone());
            }
        }
        patterns
    }

    pub(in crate::recovery::playbook) fn event(
        &mut self,
        subject: &str,
        payload: &Payload,
        when: When,
    ) -> Effects {
        let mut effects = Effects::default();
        if subject.starts_with(OWN) {
            return effects;
        }
        let mut value: Option<Arc<Value>> = None;
        for index in 0..self.states.len() {
            let Some(state) = self.states.get_mut(index) else { break };
            if !state.book.enabled {
                continue;
            }
            let (mut passed, mut matched) = (vec![false; state.tests.len()], false);
            for (number, test) in state.tests.iter().enumerate() {
                if !test.subject.matches(subject) {
                    continue;
                }
                // Text is parsed when somebody asks, once.
                let value = value.get_or_insert_with(|| payload.value().unwrap_or_default());
                let passes = test.passes(value);
                matched = true;
                if let (Some(held), Some(now)) =
                    (state.held.get_mut(number), passed.get_mut(number))
                {
                    (*held, *now) = (passes, passes);
                }
            }
            if !matched {
                continue;
            }
            let event = Some((Arc::from(subject), payload.clone()));
            if state.book.for_ms > 0 {
                if passed.contains(&true) {
                    state.event = event;
                }
                self.sustain(index, when, &mut effects);
            } else if self.holds(index, &passed, when.now) {
                self.attempt(index, event, when, &mut effects);
            }
        }
        effects
    }

    /// Feeds a signal in; whether any condition speaks of it.
    pub(in crate::recovery::playbook) fn signal(
        &mut self,
        name: &str,
        value: f64,
        when: When,
    ) -> (bool, Effects) {
        let mut effects = Effects::default();
        let heard = self.states.iter().any(|state| state.tree.names(name));
        if heard {
            self.signals.insert(name.to_owned(), (value, when.now));
        }
        for index in 0..self.states.len() {
            if self.states.get(index).is_some_and(|s| s.book.enabled && s.tree.names(name)) {
                self.look(index, true, when, &mut effects);
            }
        }
        (heard, effects)
    }

    /// Does what is due by the time alone.
    pub(in crate::recovery::playbook) fn tick(&mut self, when: When) -> Effects {
        let mut effects = Effects::default();
        self.expire(when, &mut effects);
        for index in 0..self.states.len() {
            if self.states.get(index).is_some_and(|state| state.book.enabled) {
                self.look(index, false, when, &mut effects);
            }
        }
        effects
    }

    /// When [`tick`](Self::tick) may do something.
    pub(in crate::recovery::playbook) fn next_tick(&self) -> Option<Moment> {
        let due = self.states.iter().filter_map(|state| {
            if !state.book.enabled {
                None
            } else if state.book.for_ms > 0 {
                state.since.map(|since| since + Duration::from_millis(state.book.for_ms))
            } else if state.holds
                && state.under_way.is_none()
                && state.pending.is_none()
                && self.running < self.policy.concurrency
            {
                Some(self.free_at(state))
            } else {
                None
            }
        });
        due.chain(self.record.next_expiry()).min()
    }

    /// Looks at a condition for its signals' sake, or the time's.
    fn look(&mut self, index: usize, told: bool, when: When, effects: &mut Effects) {
        let Some(state) = self.states.get(index) else { return };
        if state.book.for_ms > 0 {
            return self.sustain(index, when, effects);
        }
        let holds = self.holds(index, &[], when.now);
        let ready = self.refusal(index, when.now).is_none();
        let Some(state) = self.states.get_mut(index) else { return };
        let begins = holds && !state.holds;
        state.holds = holds;
        // While it goes on holding it is taken up again whenever it may be; only its beginning is worth
        // an entry that says it may not.
        if holds && (ready || (told && begins)) {
            self.attempt(index, None, when, effects);
        }
    }

    /// Looks at a condition that must hold for a while.
    fn sustain(&mut self, index: usize, when: When, effects: &mut Effects) {
        let Some(state) = self.states.get(index) else { return };
        let holds = self.holds(index, &state.held, when.now);
        let Some(state) = self.states.get_mut(index) else { return };
        if !holds {
            state.since = None;
            return;
        }
        let since = *state.since.get_or_insert(when.now);
        if when.now.since(since) < Duration::from_millis(state.book.for_ms) {
            return;
        }
        // Its events have had their effect; signals that go on holding begin anew.
        let event = state.event.take();
        state.held.fill(false);
        state.since = None;
        self.attempt(index, event, when, effects);
        self.sustain_anew(index, when);
    }

    fn sustain_anew(&mut self, index: usize, when: When) {
        let Some(state) = self.states.get(index) else { return };
        let holds = self.holds(index, &state.held, when.now);
        if let Some(state) = self.states.get_mut(index) {
            state.since = holds.then_some(when.now);
        }
    }

    fn holds(&self, index: usize, events: &[bool], now: Moment) -> bool {
        let Some(state) = self.states.get(index) else { return false };
        state.tree.holds(events, &|name| self.says(name, now))
    }

    fn says(&self, signal: &str, now: Moment) -> Option<f64> {
        let (value, heard) = self.signals.get(signal)?;
        let silent = self.policy.silent_ms;
        (silent == 0 || now.since(*heard) < Duration::from_millis(silent)).then_some(*value)
    }

    /// Acts, has it approved first, or says why not.
    fn attempt(
        &mut self,
        index: usize,
        event: Option<(Arc<str>, Payload)>,
        when: When,
        effects: &mut Effects,
    ) {
        let refused = self.refusal(index, when.now);
        let Some(state) = self.states.get(index) else { return };
        let name = Arc::clone(&state.name);
        if let Some(why) = refused
            && let Some(last) = self.record.last_of(&name)
            && let EntryState::Refused { reason, times } = &mut last.entry.state
            && *reason == why
        {
            // As often as it happens, it is one line.
            *times += 1;
            return;
        }
        let dry = self.policy.dry_run || state.book.dry_run;
        let entry_state = match (refused, state.book.approval_ms) {
            (Some(reason), _) => EntryState::Refused { reason, times: 1 },
            (None, Some(ms)) if !dry => {
                EntryState::Pending { expires: when.at + Duration::from_millis(ms) }
            }
            (None, _) => EntryState::Running,
        };
        let expires = when.now + Duration::from_millis(state.book.approval_ms.unwrap_or(0));
        let (action, params) = (Arc::from(state.book.action.as_str()), state.book.params.clone());
        let trigger = self.trigger(index, event.as_ref(), when.now);
        let entry = PlaybookEntry {
            id: self.record.next_id(),
            playbook: name,
            action,
            params: fill(&params, event.as_ref()),
            dry_run: dry,
            trigger,
            at: when.at,
            escalation_of: None,
            by: None,
            ended: refused.map(|_| when.at),
            state: entry_state,
        };
        self.enter(index, Kept { entry, event, expires }, when, effects);
    }

    /// Writes an entry down, and begins what it says.
    fn enter(&mut self, index: usize, kept: Kept, when: When, effects: &mut Effects) {
        effects.notes.push(kept.entry.clone());
        match kept.entry.state {
            EntryState::Running => self.begin(index, &kept.entry, when, effects),
            EntryState::Pending { .. } => {
                if let Some(state) = self.states.get_mut(index) {
                    state.pending = Some(kept.entry.id);
                }
            }
            _ => {}
        }
        self.record.push(kept, self.policy.record);
    }

    fn begin(&mut self, index: usize, entry: &PlaybookEntry, when: When, effects: &mut Effects) {
        if let Some(state) = self.states.get_mut(index) {
            state.under_way = Some(entry.id);
            state.starts.push_back(when.now);
        }
        if !entry.dry_run {
            self.starts.push_back(when.now);
        }
        self.running += 1;
        effects.orders.push(Order {
            id: entry.id,
            playbook: Arc::clone(&entry.playbook),
            action: Arc::clone(&entry.action),
            params: entry.params.clone(),
            trigger: entry.trigger.clone(),
            dry: entry.dry_run,
        });
    }

    /// What came of an order.
    pub(in crate::recovery::playbook) fn finished(
        &mut self,
        id: u64,
        answer: Result<Payload>,
        when: When,
    ) -> Effects {
        let mut effects = Effects::default();
        let Some(kept) = self.record.get_mut(id) else { return effects };
        if kept.entry.state != EntryState::Running {
            return effects;
        }
        let failed = answer.is_err();
        let state = match answer {
            Ok(answer) => EntryState::Done { answer },
            Err(error) => EntryState::Failed { error: Payload::json(&error).unwrap_or_default() },
        };
        end(kept, state, when, &mut effects);
        let kept = kept.clone();
        self.running = self.running.saturating_sub(1);
        let Some(index) = self.position(&kept.entry.playbook) else { return effects };
        if let Some(state) = self.states.get_mut(index) {
            state.under_way = None;
            state.rests_until = when.now + Duration::from_millis(state.book.cooldown_ms);
        }
        if failed && kept.entry.escalation_of.is_none() {
            self.escalate(index, kept, when, &mut effects);
        }
        effects
    }

    fn escalate(&mut self, index: usize, failed: Kept, when: When, effects: &mut Effects) {
        let Some(escalation) = self.states.get(index).and_then(|s| s.book.escalate.clone()) else {
            return;
        };
        let dry = failed.entry.dry_run;
        // It is one action with the one that failed, so the cool-down is not in its way.
        let refused = if self.starts.len() >= self.policy.max_actions as usize && !dry {
            Some(RefusedWhy::OverallLimit)
        } else {
            (self.running >= self.policy.concurrency).then_some(RefusedWhy::Busy)
        };
        let entry = PlaybookEntry {
            id: self.record.next_id(),
            action: Arc::from(escalation.action.as_str()),
            params: fill(&escalation.params, failed.event.as_ref()),
            at: when.at,
            escalation_of: Some(failed.entry.id),
            by: None,
            ended: refused.map(|_| when.at),
            state: refused
                .map_or(EntryState::Running, |reason| EntryState::Refused { reason, times: 1 }),
            ..failed.entry
        };
        let kept = Kept { entry, event: failed.event, expires: Moment::FAR };
        self.enter(index, kept, when, effects);
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.states.iter().position(|state| &*state.name == name)
    }

    pub(in crate::recovery::playbook) fn record(&self, limit: usize) -> Vec<PlaybookEntry> {
        self.record.newest(limit)
    }
}

impl State {
    fn new(book: &Playbook) -> Result<Self> {
        let (tree, tests) = compile(&book.when)?;
        Ok(Self {
            name: Arc::from(book.name.as_str()),
            held: vec![false; tests.len()],
            tree,
            tests,
            book: book.clone(),
            event: None,
            since: None,
            holds: false,
            starts: VecDeque::new(),
            rests_until: Moment::ZERO,
            under_way: None,
            pending: None,
        })
    }
}

fn end(kept: &mut Kept, state: EntryState, when: When, effects: &mut Effects) {
    kept.entry.state = state;
    kept.entry.ended = Some(when.at);
    effects.notes.push(kept.entry.clone());
}
