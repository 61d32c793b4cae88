//! The decisions of degradation: a state machine that takes the time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::policy::DegradePolicy;
use super::{LevelChange, LevelWhy};
use crate::base::time::Moment;

/// See the module's documentation. Every method takes the time; none reads a clock.
#[derive(Debug)]
pub(super) struct Machine {
    policy: DegradePolicy,
    names: Vec<Arc<str>>,
    at: usize,
    forced: bool,
    /// What each signal that some rule names said last, and when.
    heard: BTreeMap<String, (f64, Moment)>,
    /// For each rule whether it asks for its level.
    asks: Vec<bool>,
    /// The lowest level that a rule asks for, and which rule; as of the latest decision.
    wanted: (usize, Option<usize>),
    /// Since when no rule has asked for the present level, or a lower one.
    calm: Option<Moment>,
    last: Option<(Moment, LevelChange)>,
    changes: u64,
}

impl Machine {
    pub(super) fn new(policy: DegradePolicy) -> Self {
        let mut machine = Self {
            policy: DegradePolicy::default(),
            names: Vec::new(),
            at: 0,
            forced: false,
            heard: BTreeMap::new(),
            asks: Vec::new(),
            wanted: (0, None),
            calm: None,
            last: None,
            changes: 0,
        };
        machine.take(policy);
        machine
    }

    fn take(&mut self, policy: DegradePolicy) {
        self.names = policy.levels.iter().map(|name| Arc::from(name.as_str())).collect();
        self.asks = vec![false; policy.rules.len()];
        self.heard.retain(|signal, _| policy.rules.iter().any(|rule| rule.signal == *signal));
        self.policy = policy;
    }

    pub(super) fn policy(&self) -> &DegradePolicy {
        &self.policy
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn level(&self) -> Arc<str> {
        self.name(self.at)
    }

    pub(super) fn is_forced(&self) -> bool {
        self.forced
    }

    pub(super) fn last(&self) -> Option<&(Moment, LevelChange)> {
        self.last.as_ref()
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// What the signals said last, those that have gone silent left out.
    pub(super) fn signals(&self, now: Moment) -> BTreeMap<String, f64> {
        let fresh = |heard: Moment| self.policy.silent().is_none_or(|d| now.since(heard) < d);
        let heard = self.heard.iter().filter(|(_, (_, when))| fresh(*when));
        heard.map(|(name, (value, _))| (name.clone(), *value)).collect()
    }

    /// Takes note of a signal; says whether any rule names it.
    pub(super) fn hear(&mut self, name: &str, value: f64, now: Moment) -> bool {
        if let Some(heard) = self.heard.get_mut(name) {
            *heard = (value, now);
            return true;
        }
        let named = self.policy.rules.iter().any(|rule| rule.signal == name);
        if named {
            self.heard.insert(name.to_owned(), (value, now));
        }
        named
    }

    /// Does what signals and time ask for.
    pub(super) fn decide(&mut self, now: Moment) -> Option<LevelChange> {
        self.wanted = self.ask(now);
        let (wanted, rule) = self.wanted;
        if wanted >= self.at {
            self.calm = None;
        } else {
            self.calm.get_or_insert(now);
        }
        if self.forced {
            return None;
        }
        if wanted > self.at {
            let rested = self
                .last
                .as_ref()
                .is_none_or(|(changed, _)| now.since(*changed) >= self.policy.down_dwell());
            let why = self.why(rule?)?;
            return rested.then(|| self.change(wanted, why, now));
        }
        if now.since(self.calm?) < self.policy.up_dwell() {
            return None;
        }
        let change = self.change(self.at - 1, LevelWhy::Recovered, now);
        self.calm = (wanted < self.at).then_some(now);
        Some(change)
    }

    /// Brings every rule up to date; the lowest level that one asks for, and the first that does.
    fn ask(&mut self, now: Moment) -> (usize, Option<usize>) {
        let silent = self.policy.silent();
        let mut wanted = (0, None);
        for (index, (rule, asks)) in self.policy.rules.iter().zip(&mut self.asks).enumerate() {
            *asks = match self.heard.get(&rule.signal) {
                Some((value, when)) if silent.is_none_or(|d| now.since(*when) < d) => {
                    rule.asks(*asks, *value)
                }
                _ => false,
            };
            let level = self.policy.position(&rule.level).unwrap_or(0);
            if *asks && level > wanted.0 {
                wanted = (level, Some(index));
            }
        }
        wanted
    }

    fn why(&self, rule: usize) -> Option<LevelWhy> {
        let rule = self.policy.rules.get(rule)?;
        let (value, _) = self.heard.get(&rule.signal)?;
        Some(LevelWhy::Rule {
            signal: rule.signal.clone(),
            value: *value,
            enter: rule.enter,
            leave: rule.leave,
        })
    }

    /// When the time alone may change something: a dwell time ends, or a signal counts as silent.
    pub(super) fn next_tick(&self) -> Option<Moment> {
        let silent = self.policy.silent();
        let falls_silent = self.policy.rules.iter().zip(&self.asks).filter(|(_, asks)| **asks);
        let falls_silent = falls_silent
            .filter_map(|(rule, _)| Some(self.heard.get(&rule.signal)?.1 + silent?))
            .min();
        let dwells = if self.forced {
            None
        } else if self.wanted.0 > self.at {
            self.last.as_ref().map(|(changed, _)| *changed + self.policy.down_dwell())
        } else {
            self.calm.map(|calm| calm + self.policy.up_dwell())
        };
        [falls_silent, dwells].into_iter().flatten().min()
    }

    /// Puts it at a level by hand, or gives it back to the rules.
    pub(super) fn force(
        &mut self,
        level: Option<usize>,
        by: &str,
        now: Moment,
    ) -> Option<LevelChange> {
        self.forced = level.is_some();
        match level {
            Some(level) if level != self.at => {
                self.calm = None;
                Some(self.change(level, LevelWhy::Forced { by: by.to_owned() }, now))
            }
            Some(_) => None,
            None => {
                // What the rules ask for has waited for long enough already; the dwell times count from
                // the last change as always, and recovery from here.
                self.calm = None;
                self.decide(now)
            }
        }
    }

    /// Takes another policy.
    pub(super) fn change_policy(
        &mut self,
        policy: DegradePolicy,
        now: Moment,
    ) -> Option<LevelChange> {
        let from = self.level();
        let at = policy.position(&from);
        self.take(policy);
        self.calm = None;
        self.at = at.unwrap_or(0);
        if at.is_some() {
            return self.decide(now);
        }
        self.forced = false;
        Some(self.note(LevelChange { from, to: self.level(), why: LevelWhy::Policy }, now))
    }

    fn change(&mut self, to: usize, why: LevelWhy, now: Moment) -> LevelChange {
        let from = self.level();
        self.at = to;
        self.note(LevelChange { from, to: self.level(), why }, now)
    }

    fn note(&mut self, change: LevelChange, now: Moment) -> LevelChange {
        self.changes += 1;
        self.last = Some((now, change.clone()));
        change
    }

    fn name(&self, at: usize) -> Arc<str> {
        self.names.get(at).cloned().unwrap_or_default()
    }
}
