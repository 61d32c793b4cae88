//! The allocator as the route step of the guarded call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::allocator::{Allocator, Ended, Report};
use super::ask::{Arm, Ask};
use super::least_loaded::LeastLoaded;
use super::policy::{RoutePolicy, Strategy};
use super::random::hash;
use super::replay::{Input, OwnedAsk};
use crate::Result;
use crate::base::id::mix;
use crate::base::time::Moment;
use crate::port::{CallEnd, Candidates, Choice, Router, Task};

/// The [`Allocator`] as a kernel's router. Where a skill has one agent there is nothing to decide, and nothing
/// is learned; so it is under [`Strategy::LeastLoaded`], unless it is recorded.
///
/// An agent's share under [`Strategy::Weighted`] is its label `weight`, a whole number; 1 without it.
pub struct AdaptiveRouter {
    state: Mutex<State>,
    /// Whether it goes by load alone and keeps nothing.
    plain: AtomicBool,
    least_loaded: LeastLoaded,
}

struct State {
    allocator: Allocator,
    seed: u64,
    policy: RoutePolicy,
    record: Option<Record>,
    /// How much of each scope has been kept.
    kept: HashMap<Box<str>, (u64, u64)>,
}

/// How what was learned is kept.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept<S> {
    version: u32,
    scope: S,
}

/// Of [`Kept`]: what was kept by another one is not read.
const VERSION: u32 = 1;

/// What the allocator was told since it began.
struct Record {
    most: usize,
    log: Vec<Input>,
    /// Whether there was more than that.
    whole: bool,
}

/// What it takes to make all decisions again.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct RouteLog {
    /// The policy that it goes by.
    pub policy: RoutePolicy,
    /// The seed that it began with.
    pub seed: u64,
    /// What it was told, if that is recorded.
    pub log: Vec<Input>,
    /// Whether that is all that it was told.
    pub whole: bool,
}

impl AdaptiveRouter {
    /// One that knows nothing yet.
    ///
    /// # Errors
    /// Those of [`RoutePolicy::check`].
    pub fn new(policy: RoutePolicy, seed: u64) -> Result<Self> {
        let allocator = Allocator::new(policy.clone(), seed)?;
        Ok(Self {
            plain: AtomicBool::new(policy.strategy == Strategy::LeastLoaded),
            least_loaded: LeastLoaded::new(),
            state: Mutex::new(State {
                allocator,
                seed,
                policy,
                record: None,
                kept: HashMap::new(),
            }),
        })
    }

    /// Begins anew with another policy and seed: what was learned is forgotten. The first `record` things that
    /// it is told are kept, for [`log`](Self::log).
    ///
    /// # Errors
    /// Those of [`RoutePolicy::check`]; it goes on as before then.
    pub fn begin(&self, policy: RoutePolicy, seed: u64, record: usize) -> Result<()> {
        let allocator = Allocator::new(policy.clone(), seed)?;
        let plain = policy.strategy == Strategy::LeastLoaded && record == 0;
        let record = (record > 0).then(|| Record { most: record, log: Vec::new(), whole: true });
        let new = State { allocator, seed, policy, record, kept: HashMap::new() };
        let before = std::mem::replace(&mut *self.state.lock(), new);
        self.plain.store(plain, Ordering::Relaxed);
        drop(before);
        Ok(())
    }

    /// What it has learned since it was asked last: a text for each skill, by its name, for
    /// [`recall`](Self::recall).
    pub fn learned(&self) -> Vec<(String, serde_json::Value)> {
        let scopes = {
            let mut state = self.state.lock();
            let scopes = state.allocator.learned(&state.kept);
            let marks = scopes.iter().map(|scope| (scope.name.clone(), scope.learned()));
            state.kept.extend(marks);
            scopes
        };
        // Outside of the lock: calls wait for that.
        let kept = |scope: super::scope::Scope| {
            let value = serde_json::to_value(Kept { version: VERSION, scope: &scope }).ok()?;
            Some((scope.name.to_string(), value))
        };
        scopes.into_iter().filter_map(kept).collect()
    }

    /// Takes in what another process has learned of a skill; says whether it could: what is not of this version,
    /// or makes no sense, and a skill that something is known of, it does not. Decisions that follow cannot be
    /// made again from a log.
    pub fn recall(&self, kept: &serde_json::Value) -> bool {
        let Ok(Kept { version: VERSION, scope }) = serde::Deserialize::deserialize(kept) else {
            return false;
        };
        let scope: super::scope::Scope = scope;
        let mut state = self.state.lock();
        if let Some(record) = &mut state.record {
            record.whole = false;
        }
        let (name, learned) = (scope.name.clone(), scope.learned());
        let recalled = state.allocator.recall(scope);
        if recalled {
            state.kept.insert(name, learned);
        }
        recalled
    }

    /// What it takes to make its decisions again, by [`replay`](super::replay()).
    pub fn log(&self) -> RouteLog {
        let state = self.state.lock();
        RouteLog {
            policy: state.policy.clone(),
            seed: state.seed,
            log: state.record.as_ref().map(|record| record.log.clone()).unwrap_or_default(),
            whole: state.record.as_ref().is_some_and(|record| record.whole),
        }
    }
}

impl State {
    fn note(&mut self, input: impl FnOnce() -> Input) {
        if let Some(record) = &mut self.record {
            record.whole &= record.log.len() < record.most;
            if record.whole {
                record.log.push(input());
            }
        }
    }
}

impl Router for AdaptiveRouter {
    fn route(&self, task: &Task, candidates: &dyn Candidates, now: Moment) -> Option<usize> {
        let Choice { index, decision } = self.choose(task, candidates, now)?;
        // Nobody will say what came of it.
        decision.inspect(|decision| self.settled(*decision, now, CallEnd::Cancelled));
        Some(index)
    }

    #[inline]
    fn choose(&self, task: &Task, candidates: &dyn Candidates, now: Moment) -> Option<Choice> {
        if candidates.len() <= 1 || self.plain.load(Ordering::Relaxed) {
            let affinity = task.given_terms().and_then(|terms| terms.affinity.as_deref());
            let index = match affinity {
                Some(key) => home(key, candidates),
                None => self.least_loaded.route(task, candidates, now),
            };
            return index.map(|index| Choice { index, decision: None });
        }
        self.decide(task, candidates, now)
    }

    fn settled(&self, decision: u64, now: Moment, end: CallEnd) {
        let ended = match end {
            CallEnd::Succeeded => Ended::Succeeded,
            CallEnd::Failed => Ended::Failed,
            CallEnd::Cancelled => Ended::Cancelled,
        };
        let mut state = self.state.lock();
        state.note(|| Input::Settled { now_ns: now.as_nanos(), number: decision, ended });
        let _ = state.allocator.settled(decision, now, ended);
    }

    fn reward(&self, decision: u64, score: f64) -> bool {
        let mut state = self.state.lock();
        let reward = score.is_finite().then_some(score);
        state.note(|| Input::Reward { number: decision, reward });
        state.allocator.reward(decision, score) == Report::Learned
    }

    fn explain(&self, decision: u64) -> Option<serde_json::Value> {
        let explanation = self.state.lock().allocator.explain(decision)?;
        serde_json::to_value(explanation).ok()
    }
}

/// Where an affinity key is at home among those that take calls, as the allocator has it.
fn home(affinity: &str, candidates: &dyn Candidates) -> Option<usize> {
    let key = hash(affinity);
    let each = (0..candidates.len()).filter_map(|at| Some((at, candidates.get(at)?)));
    each.filter(|(_, candidate)| candidate.available())
        .max_by_key(|(at, candidate)| {
            (mix(key ^ hash(&candidate.card().name)), std::cmp::Reverse(*at))
        })
        .map(|(at, _)| at)
}

impl AdaptiveRouter {
    fn decide(&self, task: &Task, candidates: &dyn Candidates, now: Moment) -> Option<Choice> {
        let mut state = self.state.lock();
        let weighs = state.policy.strategy == Strategy::Weighted;
        let costs = state.policy.cost_price > 0.0;
        let each = (0..candidates.len()).filter_map(|index| candidates.get(index));
        let arms: Vec<Arm<'_>> = each
            .map(|candidate| {
                let card = candidate.card();
                let weight = || card.labels.get("weight")?.parse().ok();
                let cost = || candidate.expected_cost(task, now);
                Arm {
                    in_flight: candidate.in_flight(),
                    available: candidate.available(),
                    // The kernel has left out who costs too much.
                    cost: if costs { cost().unwrap_or(0.0) } else { 0.0 },
                    weight: if weighs { weight().unwrap_or(1) } else { 1 },
                    ..Arm::new(&card.name)
                }
            })
            .collect();
        let terms = task.given_terms();
        let ask = Ask {
            features: terms.map_or(&[], |terms| &terms.features),
            affinity: terms.and_then(|terms| terms.affinity.as_deref()),
            ..Ask::new(task.skill(), &arms)
        };
        state.note(|| Input::Decide { now_ns: now.as_nanos(), ask: OwnedAsk::from(&ask) });
        let decision = state.allocator.decide(now, &ask)?;
        Some(Choice { index: decision.index, decision: Some(decision.number) })
    }
}

impl std::fmt::Debug for AdaptiveRouter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.lock();
        f.debug_struct("AdaptiveRouter")
            .field("policy", &state.policy)
            .field("seed", &state.seed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay;
    use super::*;
    use crate::agent::{Registry, from_fn};
    use crate::port::AgentCard;

    #[test]
    fn what_it_was_told_leads_to_the_same_decisions_again() {
        let registry = Registry::default();
        for name in ["a", "b", "c"] {
            let card = AgentCard::new(name, ["s"]);
            let agent = from_fn(card, |task: &Task| Ok(task.input().clone()));
            let entry = registry.add(std::sync::Arc::new(agent)).unwrap();
            entry.turn(crate::agent::AgentState::Starting, "test").unwrap();
            entry.turn(crate::agent::AgentState::Ready, "test").unwrap();
        }
        let candidates = registry.with_skill("s").unwrap();
        let router = AdaptiveRouter::new(RoutePolicy::default(), 1).unwrap();
        router.begin(RoutePolicy::default(), 7, 1_000).unwrap();
        let mut chosen = Vec::new();
        for n in 0..100_u64 {
            let now = Moment::from_nanos(n * 1_000_000);
            let choice = router.choose(&Task::new("s", n), &*candidates, now).unwrap();
            let decision = choice.decision.unwrap();
            chosen.push(choice.index);
            router.settled(decision, now, CallEnd::Succeeded);
            let score = if choice.index == 1 { 0.9 } else { 0.1 };
            assert!(router.reward(decision, score));
        }
        let late = chosen.iter().skip(50).filter(|index| **index == 1).count();
        assert!(late > 40, "{chosen:?}");
        let log = router.log();
        assert!(log.whole);
        let lines: Vec<_> =
            log.log.iter().map(|input| serde_json::to_string(input).unwrap()).collect();
        let again = replay(log.policy, log.seed, lines.join("\n").as_bytes()).unwrap();
        let again: Vec<_> = again.into_iter().map(|it| it.unwrap().index).collect();
        assert_eq!(again, chosen);
        assert!(router.explain(99).unwrap()["arms"].as_array().unwrap().len() == 3);
        router.begin(RoutePolicy::default(), 7, 1).unwrap();
        for _ in 0..2 {
            router.route(&Task::new("s", 1_u32), &*candidates, Moment::ZERO).unwrap();
        }
        assert!(!router.log().whole);
    }
}
