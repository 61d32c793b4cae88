//! How the tree looks from outside.

use super::super::state::{Cause, ChildStatus, Counts, State, SupervisorStatus};
use super::Tree;
use super::node::{Blame, Entry, Life, Sup};
use crate::base::time::Moment;
use crate::port::Generation;

impl Tree {
    /// The state of the root: `waiting` before the start, `stopped` when the tree is down.
    pub fn state(&self) -> State {
        self.root.state
    }

    /// Why the tree lives no longer, with the child that led to it; none before its first end and while
    /// it lives.
    pub(crate) fn over(&self) -> Option<&(Cause, Option<Blame>)> {
        self.root.over.as_ref()
    }

    /// Whether a life is one of those that live, or are being started or stopped.
    pub(crate) fn has(&self, generation: Generation) -> bool {
        self.beings.contains_key(&generation)
    }

    /// The name of the root.
    pub fn name(&self) -> &str {
        &self.root.name
    }

    /// The root and everything below it; none while it does not live.
    pub fn status(&self, now: Moment) -> Option<SupervisorStatus> {
        self.look_at(self.root.generation?, now)
    }

    /// A supervisor by its path, and everything below it; none while it does not live.
    pub fn supervisor(&self, path: &str, now: Moment) -> Option<SupervisorStatus> {
        self.look_at(*self.paths.get(path)?, now)
    }

    /// The children of a supervisor, counted (OTP: `count_children/1`); none while it does not live.
    pub fn counts(&self, path: &str) -> Option<Counts> {
        self.sups.get(self.paths.get(path)?).map(|sup| self.count(sup))
    }

    fn look_at(&self, supervisor: Generation, now: Moment) -> Option<SupervisorStatus> {
        let sup = self.sups.get(&supervisor)?;
        Some(SupervisorStatus {
            strategy: sup.spec.strategy,
            intensity: sup.spec.intensity,
            period_ms: sup.spec.period_ms,
            recent_restarts: sup.intensity.count(now),
            auto_shutdown: sup.spec.auto_shutdown,
            counts: self.count(sup),
            children: sup.children.iter().map(|(_, entry)| self.child(entry, now)).collect(),
        })
    }

    fn child(&self, entry: &Entry, now: Moment) -> ChildStatus {
        let millis =
            |until: Moment| u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX);
        ChildStatus {
            id: entry.id.to_string(),
            path: entry.path.to_string(),
            kind: entry.kind(),
            state: entry.state,
            restart: entry.spec.restart,
            significant: entry.spec.significant,
            generation: entry.generation,
            restarts: entry.restarts,
            last_failure: entry.last_failure.clone(),
            pause_ms: entry.pause.map(|(until, _)| millis(until)),
            supervisor: entry.generation.and_then(|below| self.look_at(below, now)),
        }
    }

    fn count(&self, sup: &Sup) -> Counts {
        let mut counts = Counts::default();
        for (_, entry) in sup.children.iter() {
            counts.specs += 1;
            counts.supervisors += usize::from(entry.spec.supervisor.is_some());
            counts.workers += usize::from(entry.spec.supervisor.is_none());
            let alive =
                |life: &Generation| self.beings.get(life).is_some_and(|being| being.exit.is_none());
            counts.active += usize::from(matches!(&entry.life, Life::Alive(life) if alive(life)));
        }
        counts
    }
}
