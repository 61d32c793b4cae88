//! The allocator: decides, and learns from what comes of it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::adaptive;
use super::ask::Ask;
use super::classic;
use super::explain::{Decision, Explanation, Figures, Why};
use super::pending::{Decisions, EXPLAINED, Pending};
use super::policy::{RoutePolicy, Strategy};
use super::random::Random;
use super::scope::Scope;
use crate::Result;
use crate::base::id::mix;
use crate::base::time::Moment;

/// How a call that was decided upon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// With an outcome. Its quality, if the host judges it, comes as a reward.
    Succeeded,
    /// With an error that tells of the arm, its timeout included: a reward of 0.
    Failed,
    /// Otherwise, by cancellation as a rule: it tells nothing of the arm.
    Cancelled,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[must_use]
pub enum Report {
    /// It was learned.
    Learned,
    /// It was reported before: the first report counts, also that of a failure before a reward.
    Repeated,
    /// There is no such decision, it is too old, or its arm or scope has been forgotten.
    Unknown,
    /// A reward that is not from 0 to 1, or no number.
    Invalid,
}

/// Chooses among arms and learns which one is best for what. A state machine: it takes the time and a
/// seed, does no I/O, and with the same of both and the same calls it decides the same on every machine.
///
/// A reward may come late, never, twice (the first counts) or out of order. What is kept is bounded:
/// decisions, scopes, the arms of a scope, and the features of a task.
///
/// ```
/// use sutazai_core::agent::route::{Allocator, Arm, Ask, Ended, Report, RoutePolicy};
/// use sutazai_core::base::time::Moment;
///
/// let mut allocator = Allocator::new(RoutePolicy::default(), 7)?;
/// let arms = [Arm::new("small"), Arm::new("large")];
/// for minute in 0..200 {
///     let now = Moment::from_nanos(minute * 60_000_000_000);
///     let length = (minute % 10) as f64;
///     let ask = Ask { features: &[length], ..Ask::new("summarise", &arms) };
///     let decision = allocator.decide(now, &ask).unwrap();
///     // The small one is good at short texts, the large one at long texts.
///     let good = (decision.index == 0) == (length < 5.0);
///     allocator.settled(decision.number, now, Ended::Succeeded);
///     assert_eq!(allocator.reward(decision.number, if good { 1.0 } else { 0.2 }), Report::Learned);
/// }
/// let long = Ask { features: &[9.0], ..Ask::new("summarise", &arms) };
/// let decision = allocator.decide(Moment::ZERO, &long).unwrap();
/// let explanation = allocator.explain(decision.number).unwrap();
/// assert_eq!(explanation.chosen, "large");
/// assert!(explanation.arms[1].quality > explanation.arms[0].quality);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Allocator {
    policy: RoutePolicy,
    random: Random,
    scopes: Vec<Scope>,
    places: HashMap<Box<str>, u32>,
    /// Where the last ask's scope stands.
    last: u32,
    /// For scopes and arms.
    next_id: u64,
    decisions: Decisions,
    figures: Vec<Figures>,
}

impl Allocator {
    /// One that knows nothing yet.
    ///
    /// # Errors
    /// Those of [`RoutePolicy::check`].
    pub fn new(policy: RoutePolicy, seed: u64) -> Result<Self> {
        policy.check()?;
        Ok(Self {
            random: Random::new(mix(seed)),
            scopes: Vec::new(),
            places: HashMap::new(),
            last: 0,
            next_id: 0,
            decisions: Decisions::new(policy.max_pending),
            figures: Vec::new(),
            policy,
        })
    }

    /// Chooses an arm; `None` when the ask excludes all of them ([`Ask::excludes`] says why). Costs time in
    /// proportion to the number of arms, and to the square of the number of features.
    pub fn decide(&mut self, now: Moment, ask: &Ask<'_>) -> Option<Decision> {
        let now = now.as_nanos();
        let at = self.scope(ask);
        let scope = self.scopes.get_mut(at as usize)?;
        self.figures.clear();
        for (position, arm) in ask.arms.iter().enumerate() {
            let slot = scope.place(position, arm, &mut self.next_id);
            let id = scope.arms.get(slot as usize).map_or(u64::MAX, |a| a.id);
            let excluded = ask.excludes(arm);
            self.figures.push(Figures { slot, id, excluded, ..Figures::default() });
        }
        scope.decisions += 1;
        scope.used_at = self.decisions.count();
        scope.forget(ask.arms.len());
        let (index, why) = if self.policy.strategy == Strategy::Adaptive {
            scope.see(ask.features);
            let (random, figures) = (&mut self.random, &mut self.figures);
            adaptive::choose(&self.policy, scope, ask, now, random, figures)?
        } else {
            let (strategy, figures) = (self.policy.strategy, &self.figures);
            (classic::choose(strategy, scope, ask, now, &mut self.random, figures)?, Why::Strategy)
        };
        let chosen = *self.figures.get(index)?;
        let (scope_id, decisions) = (scope.id, scope.decisions);
        scope.arm_mut(chosen.slot, chosen.id)?.chosen_at = decisions;
        let number = self.remember(now, ask, index, |pending| {
            pending.scope = at;
            pending.scope_id = scope_id;
            pending.why = why;
        });
        let explored = !matches!(why, Why::Best | Why::Strategy);
        Some(Decision { number, index, explored })
    }

    /// A call that was decided upon has ended, `now`; how long it took is counted from the decision. Without
    /// this an arm's pace is not learned, and the call counts as under way until it is forgotten.
    pub fn settled(&mut self, number: u64, now: Moment, ended: Ended) -> Report {
        let now = now.as_nanos();
        let Some(pending) = self.decisions.get_mut(number) else { return Report::Unknown };
        if pending.ended {
            return Report::Repeated;
        }
        pending.ended = true;
        let Some(scope) = of(&mut self.scopes, pending) else { return Report::Unknown };
        let (slot, id) = (pending.slot, pending.arm_id);
        let Some(arm) = scope.arm_mut(slot, id) else { return Report::Unknown };
        arm.owed.end(pending.begun);
        if ended == Ended::Cancelled {
            return Report::Learned;
        }
        let nanos = now.saturating_sub(pending.begun);
        arm.classic.took(nanos as f64, now);
        scope.took(slot, id, nanos, ended == Ended::Failed);
        if self.policy.strategy == Strategy::Adaptive && !pending.rewarded {
            if ended == Ended::Failed {
                pending.rewarded = true;
                scope.learn(slot, id, &pending.features, 0.0);
            } else {
                scope.succeeded(slot, id, &pending.features);
            }
        }
        Report::Learned
    }

    /// How good what came of a decision was, from 0 to 1. May come at any time, before the call has ended too.
    pub fn reward(&mut self, number: u64, reward: f64) -> Report {
        if !(0.0..=1.0).contains(&reward) {
            return Report::Invalid;
        }
        let Some(pending) = self.decisions.get_mut(number) else { return Report::Unknown };
        if pending.rewarded {
            return Report::Repeated;
        }
        pending.rewarded = true;
        let Some(scope) = of(&mut self.scopes, pending) else { return Report::Unknown };
        if scope.arm_mut(pending.slot, pending.arm_id).is_none() {
            return Report::Unknown;
        }
        if self.policy.strategy == Strategy::Adaptive {
            scope.reward(pending.slot, pending.arm_id, &pending.features, reward);
        }
        Report::Learned
    }

    /// Why a decision was made; `None` when it is too old or its scope has been forgotten. Made when it is
    /// asked for.
    pub fn explain(&self, number: u64) -> Option<Explanation> {
        let pending = self.decisions.get(number)?;
        let scope = self.scopes.get(pending.scope as usize).filter(|s| s.id == pending.scope_id)?;
        let key = |slot: u32, id: u64| {
            let arm = scope.arms.get(slot as usize).filter(|a| a.id == id);
            arm.map_or_else(String::new, |a| a.key.to_string())
        };
        Some(Explanation {
            number,
            scope: scope.name.to_string(),
            chosen: key(pending.slot, pending.arm_id),
            why: pending.why,
            arms: pending.figures.iter().map(|f| f.score(key(f.slot, f.id))).collect(),
            left_off: pending.left_off,
        })
    }

    /// What is known of each scope that has learned since `since` says so: by its name, with how much it has
    /// learned by now.
    pub(super) fn learned(&self, since: &HashMap<Box<str>, (u64, u64)>) -> Vec<Scope> {
        if self.policy.strategy != Strategy::Adaptive {
            return Vec::new();
        }
        let new = |scope: &&Scope| since.get(&scope.name) != Some(&scope.learned());
        self.scopes.iter().filter(new).cloned().collect()
    }

    /// Takes in what another process has learned of a scope; says whether it could: a scope that is known, and
    /// one for which there is no room, it does not.
    pub(super) fn recall(&mut self, mut scope: Scope) -> bool {
        let room = self.scopes.len() < self.policy.max_scopes as usize;
        if self.policy.strategy != Strategy::Adaptive
            || !room
            || self.places.contains_key(&scope.name)
            || !scope.revive(&mut self.next_id)
        {
            return false;
        }
        let at = u32::try_from(self.scopes.len()).unwrap_or(0);
        self.places.insert(scope.name.clone(), at);
        self.scopes.push(scope);
        true
    }

    /// How many scopes are remembered, and how many arms in all of them.
    pub fn known(&self) -> (usize, usize) {
        (self.scopes.len(), self.scopes.iter().map(Scope::known_arms).sum())
    }

    /// Keeps a decision for its end and reward, in the place of one that is too old.
    fn remember(
        &mut self,
        now: u64,
        ask: &Ask<'_>,
        index: usize,
        fill: impl FnOnce(&mut Pending),
    ) -> u64 {
        let chosen = self.figures.get(index).copied().unwrap_or_default();
        let (number, pending) = self.decisions.next();
        if !pending.ended {
            let (slot, id, begun) = (pending.slot, pending.arm_id, pending.begun);
            if let Some(arm) = of(&mut self.scopes, pending).and_then(|s| s.arm_mut(slot, id)) {
                arm.owed.end(begun);
            }
        }
        fill(pending);
        pending.number = number;
        pending.slot = chosen.slot;
        pending.arm_id = chosen.id;
        pending.begun = now;
        pending.ended = false;
        pending.rewarded = false;
        let used = ask.features.len().min(super::MAX_FEATURES);
        pending.features.clear();
        pending.features.extend_from_slice(ask.features.get(..used).unwrap_or(&[]));
        pending.figures.clear();
        let (first, rest) = self.figures.split_at(self.figures.len().min(EXPLAINED));
        pending.figures.extend_from_slice(first);
        pending.left_off = rest.len();
        if index >= EXPLAINED
            && let Some(last) = pending.figures.last_mut()
        {
            *last = chosen;
        }
        if let Some(arm) =
            of(&mut self.scopes, pending).and_then(|s| s.arm_mut(chosen.slot, chosen.id))
        {
            arm.owed.begin(now);
        }
        number
    }

    /// The place of the ask's scope, which is made where there is none.
    fn scope(&mut self, ask: &Ask<'_>) -> u32 {
        if self.scopes.get(self.last as usize).is_some_and(|s| *s.name == *ask.scope) {
            return self.last;
        }
        self.last = match self.places.get(ask.scope) {
            Some(&at) => at,
            None => self.add_scope(ask),
        };
        self.last
    }

    #[cold]
    fn add_scope(&mut self, ask: &Ask<'_>) -> u32 {
        let new = Scope::new(self.next_id, ask.scope, ask.features.len());
        self.next_id += 1;
        let at = if self.scopes.len() < self.policy.max_scopes as usize {
            self.scopes.push(new);
            self.scopes.len() - 1
        } else {
            let oldest = self.scopes.iter().enumerate().min_by_key(|(_, s)| (s.used_at, s.id));
            let at = oldest.map_or(0, |(at, _)| at);
            if let Some(place) = self.scopes.get_mut(at) {
                self.places.remove(&place.name);
                *place = new;
            }
            at
        };
        let at = u32::try_from(at).unwrap_or(0);
        self.places.insert(ask.scope.into(), at);
        at
    }
}

/// The scope of a decision, if it is remembered.
fn of<'a>(scopes: &'a mut [Scope], pending: &Pending) -> Option<&'a mut Scope> {
    scopes.get_mut(pending.scope as usize).filter(|s| s.id == pending.scope_id)
}
