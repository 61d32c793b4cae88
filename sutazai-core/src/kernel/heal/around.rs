//! The route step: agents that are off or set apart are passed over, and one that is to be probed is offered.
//!
//! Whether an agent that failed works again is seen by calls that it gets. A router that has learnt how it did
//! would send it none for long; so a call that would be a probe, by the agent's breaker or the isolation, goes to
//! that agent. How many there are at once is up to those two, and the router decides all others.

use std::sync::Arc;

use super::Heal;
use super::admit::takes_calls;
use crate::base::time::Moment;
use crate::kernel::guards::Guards;
use crate::kernel::troubled::Troubled;
use crate::port::{AgentCard, CallEnd, Candidate, Candidates, Choice, Router, Task};
use crate::recovery::{Degradation, Isolation};

/// The route step, behind what healing has to say.
pub(in crate::kernel) struct Around {
    inner: Arc<dyn Router>,
    degradation: Arc<Degradation>,
    isolation: Arc<Isolation>,
    troubled: Arc<Troubled>,
}

impl Around {
    pub(super) fn new(inner: Arc<dyn Router>, heal: &Heal, guards: &Guards) -> Self {
        Self {
            inner,
            degradation: Arc::clone(&heal.degradation),
            isolation: Arc::clone(&heal.isolation),
            troubled: Arc::clone(guards.troubled()),
        }
    }

    /// Whether there is nothing to say.
    #[inline]
    fn is_quiet(&self) -> bool {
        self.isolation.is_quiet() && self.degradation.all_on() && self.troubled.is_empty()
    }

    /// What the router says of those that are open. One that is to be probed is the only one, so that the router
    /// knows of its call.
    fn among<T>(
        &self,
        candidates: &dyn Candidates,
        now: Moment,
        ask: impl Fn(&Open<'_>) -> Option<T>,
    ) -> Option<T> {
        let open = Open::new(candidates, self, now);
        let probed = open.probed(self, now).and_then(|index| ask(&open.only(index)));
        probed.or_else(|| ask(&open))
    }
}

impl Router for Around {
    #[inline]
    fn route(&self, task: &Task, candidates: &dyn Candidates, now: Moment) -> Option<usize> {
        if self.is_quiet() {
            return self.inner.route(task, candidates, now);
        }
        self.among(candidates, now, |open| self.inner.route(task, open, now))
    }

    #[inline]
    fn choose(&self, task: &Task, candidates: &dyn Candidates, now: Moment) -> Option<Choice> {
        if self.is_quiet() {
            return self.inner.choose(task, candidates, now);
        }
        self.among(candidates, now, |open| self.inner.choose(task, open, now))
    }

    fn settled(&self, decision: u64, now: Moment, end: CallEnd) {
        self.inner.settled(decision, now, end);
    }

    fn reward(&self, decision: u64, score: f64) -> bool {
        self.inner.reward(decision, score)
    }

    fn explain(&self, decision: u64) -> Option<serde_json::Value> {
        self.inner.explain(decision)
    }
}

/// The candidates, with those unavailable that are off or set apart.
struct Open<'a>(Vec<Option<One<'a>>>);

#[derive(Clone, Copy)]
struct One<'a> {
    candidate: &'a dyn Candidate,
    open: bool,
}

impl<'a> Open<'a> {
    fn new(candidates: &'a dyn Candidates, around: &Around, now: Moment) -> Self {
        let one = |candidate: &'a dyn Candidate| {
            let name = &candidate.card().name;
            let on = takes_calls(&around.degradation, name);
            One { candidate, open: on && around.isolation.is_open(name, now) }
        };
        Self((0..candidates.len()).map(|index| candidates.get(index).map(one)).collect())
    }

    /// One that a call would probe, and that can take it.
    fn probed(&self, around: &Around, now: Moment) -> Option<usize> {
        let would_probe = |one: &One<'_>| {
            let name = &one.candidate.card().name;
            around.isolation.would_probe(name, now) || around.troubled.would_probe(name, now)
        };
        let probed = |one: &One<'_>| one.available() && would_probe(one);
        self.0.iter().position(|one| one.as_ref().is_some_and(probed))
    }

    /// With this one available, and no other.
    fn only(&self, index: usize) -> Self {
        let mut all = self.0.clone();
        let others = all.iter_mut().enumerate().filter(|(other, _)| *other != index);
        others.filter_map(|(_, one)| one.as_mut()).for_each(|one| one.open = false);
        Self(all)
    }
}

impl Candidates for Open<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn get(&self, index: usize) -> Option<&dyn Candidate> {
        self.0.get(index)?.as_ref().map(|one| one as _)
    }
}

impl Candidate for One<'_> {
    fn card(&self) -> &AgentCard {
        self.candidate.card()
    }
    fn in_flight(&self) -> u32 {
        self.candidate.in_flight()
    }
    fn available(&self) -> bool {
        self.open && self.candidate.available()
    }
    fn expected_cost(&self, task: &Task, now: Moment) -> Option<f64> {
        self.candidate.expected_cost(task, now)
    }
}
