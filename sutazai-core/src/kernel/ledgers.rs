//! The ledgers of the kernel's agents: what calls add to them, and what is kept of them in the store.

use std::sync::Arc;
use std::time::Duration;

use super::handle::Kernel;
use super::shared::{Phase, Shared};
use crate::agent::create::Origin;
use crate::agent::{Entry, KeptLedger, SkillStats, Went};
use crate::base::payload::Payload;
use crate::base::time::Moment;
use crate::port::{Candidate as _, Outcome};
use crate::store::Durability;
use crate::{Code, Error, Result};

/// Where they are in the store: a ledger for each agent and version.
const NAMESPACE: &str = "agent.ledger";
/// How often what has changed is kept.
const EVERY: Duration = Duration::from_secs(10);

impl Kernel {
    /// How the calls for each skill of an agent went, in the order of its card. With a data directory that is
    /// kept: what has changed every ten seconds, and all of it when the agent or the kernel stops. What a killed
    /// process had not kept is lost, and decayed figures begin anew with each process.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is no agent of this name.
    pub fn skill_stats(&self, agent: &str) -> Result<Vec<SkillStats>> {
        Ok(self.shared.known(agent)?.skill_stats(self.shared.runtime.now()))
    }

    /// Says how good an answer of an agent was, for its ledger: `score` from 0 to 1, of a call for `skill`, or
    /// for any without it. It may be said late, or never.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is no agent of this name, it does not have the skill, or had no call;
    /// [`Code::INVALID`] for another score.
    pub fn score(&self, agent: &str, skill: Option<&str>, score: f64) -> Result<()> {
        let operation = |error: Error| error.operation("agent.score").with("agent", agent);
        let entry = self.shared.known(agent).map_err(operation)?;
        let index = match skill {
            Some(skill) => Some(entry.skill_index(skill).ok_or_else(|| {
                let error = Error::new(Code::NOT_FOUND, "the agent does not have the skill");
                operation(error).with("skill", skill)
            })?),
            None => None,
        };
        entry.ledger().score(index, score, self.shared.runtime.now()).map_err(operation)
    }
}

impl Shared {
    fn known(&self, agent: &str) -> Result<Arc<Entry>> {
        self.agents.get(agent).ok_or_else(|| self.no_agent_named(agent))
    }

    /// A call has its answer.
    #[inline]
    pub(super) fn note(
        &self,
        entry: &Entry,
        skill: &str,
        took: Duration,
        answer: &Result<Outcome>,
        now: Moment,
    ) {
        let skills = entry.card().skills.len();
        let went = Went {
            skill: if skills > 1 { entry.skill_index(skill) } else { None },
            took,
            failure: answer.as_ref().err(),
            usage: answer.as_ref().ok().and_then(|outcome| outcome.usage.as_deref()),
        };
        let series = || self.kept.of_agent(entry.name());
        entry.ledger().record(&went, skills, now, series);
        if let Some(origin) = entry.origin() {
            note_template(origin, &went, now);
        }
    }

    /// Adds what an earlier process kept of an agent that is registered now. Reads the store.
    pub(super) fn recall(&self, entry: &Entry) {
        if self.data_dir.is_none() {
            return;
        }
        let read = || -> Result<Option<KeptLedger>> {
            let found = self.store.get(NAMESPACE, &key(entry))?;
            found.map(|found| found.value.to()).transpose()
        };
        match read() {
            Ok(Some(kept)) => {
                let series = || self.kept.of_agent(entry.name());
                entry.ledger().recall(&kept, &entry.card().skills, series);
            }
            Ok(None) => {}
            // An agent works without its past.
            Err(error) => self.complain("an agent's ledger could not be read", entry, &error),
        }
    }

    /// Keeps what has changed in an agent's ledger.
    pub(super) fn keep(&self, entry: &Entry) {
        if self.data_dir.is_none() {
            return;
        }
        let Some(kept) = entry.ledger().to_keep(&entry.card().skills) else { return };
        let now = self.runtime.timestamp();
        let written = Payload::json(&kept).map(|value| {
            self.store.put(NAMESPACE, &key(entry), &value, now, Durability::Process).detach();
        });
        if let Err(error) = written {
            self.complain("an agent's ledger could not be kept", entry, &error);
        }
    }

    /// Keeps what has changed now and then, for as long as the kernel runs.
    pub(super) fn keep_ledgers(self: &Arc<Self>) {
        if self.data_dir.is_none() || self.phase() != Phase::Running {
            return;
        }
        let weak = Arc::downgrade(self);
        let job = Box::new(move || {
            let Some(shared) = weak.upgrade() else { return };
            let keeps = Arc::clone(&shared);
            // A timer must not wait for a queue; where there is no room, the next time does it.
            let _ = shared.runtime.spawn_blocking(Box::new(move || {
                keeps.agents.everything().iter().for_each(|entry| keeps.keep(entry));
                keeps.keep_routes();
            }));
            shared.keep_ledgers();
        });
        self.runtime.spawn_at(self.runtime.now() + EVERY, job);
    }

    fn complain(&self, what: &'static str, entry: &Entry, error: &Error) {
        let fields = [("agent", entry.name().to_string()), ("error", error.to_string())];
        self.kept.log().record(crate::observe::Level::Warn, "sutazai.agent", what, fields);
    }
}

/// A call of an agent that was made from a template counts for that too, unless it failed by its caller's fault.
fn note_template(origin: &Origin, went: &Went<'_>, now: Moment) {
    let by_caller = [Code::CANCELLED, Code::INVALID];
    if went.failure.is_none_or(|error| !by_caller.contains(&error.code())) {
        let cost = went.usage.map(|usage| usage.cost);
        origin.kept.record().called(went.failure.is_some(), went.took, cost, now);
    }
}

/// A name has no `@`.
fn key(entry: &Entry) -> String {
    match entry.card().version.as_str() {
        "" => entry.name().to_string(),
        version => format!("{}@{version}", entry.name()),
    }
}
