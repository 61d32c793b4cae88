//! Where healing meets the guarded call: agents that are off or set apart get no calls, and how calls
//! go is evidence.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Heal;
#[cfg(feature = "agent")]
use super::Shared;
#[cfg(feature = "agent")]
use crate::agent::AgentState;
#[cfg(feature = "agent")]
use crate::base::time::Moment;
use crate::port::{Admission, CallInfo, Guard};
#[cfg(feature = "agent")]
use crate::recovery::FeatureMode;
use crate::recovery::{Degradation, Evidence, Isolation};
use crate::{Class, Code, Error, Result};

/// The guard step, behind what healing has to say.
pub(in crate::kernel) struct Guarded {
    inner: Arc<dyn Guard>,
    degradation: Arc<Degradation>,
    isolation: Arc<Isolation>,
    watches: Arc<AtomicBool>,
}

impl Guarded {
    pub(in crate::kernel) fn new(inner: Arc<dyn Guard>, heal: &Heal) -> Self {
        Self {
            inner,
            degradation: Arc::clone(&heal.degradation),
            isolation: Arc::clone(&heal.isolation),
            watches: Arc::clone(&heal.watches),
        }
    }
}

impl Guard for Guarded {
    #[inline]
    fn admit(&self, call: &CallInfo<'_>) -> Result<Admission> {
        self.degradation.check(&call.agent.name)?;
        let admission = self.inner.admit(call)?;
        // Last, for it may take a place among the probes.
        self.isolation.may_call(&call.agent.name, call.now)?;
        Ok(admission)
    }

    fn settled(&self, call: &CallInfo<'_>, failure: Option<&Error>) {
        self.inner.settled(call, failure);
        // Without a policy only those that somebody has set apart are judged by their calls.
        let name = &call.agent.name;
        if !self.watches.load(Ordering::Relaxed) && !self.isolation.is_apart(name) {
            return;
        }
        match evidence(failure) {
            // A table that is full of suspects has room for no more; their quarantine makes some.
            Some(evidence) => drop(self.isolation.observe(name, evidence, call.now)),
            None => self.isolation.let_go(name),
        }
    }
}

impl Heal {
    /// The agent that does an agent's work at the present level; `None` when it does it itself.
    #[cfg(feature = "agent")]
    pub(in crate::kernel) fn stands_in(&self, agent: &str) -> Option<Arc<str>> {
        let mut found: Option<Arc<str>> = None;
        for _ in 0..LONGEST {
            match self.degradation.check(found.as_deref().unwrap_or(agent)) {
                Ok(FeatureMode::Fallback(next)) => found = Some(next),
                _ => break,
            }
        }
        found
    }

    /// Whether an agent gets the calls for its skills at the present level.
    #[cfg(feature = "agent")]
    pub(in crate::kernel) fn takes_calls(&self, agent: &str) -> bool {
        takes_calls(&self.degradation, agent)
    }

    /// Why none of these agents may be called, when that is so for each of them; the last one's reason.
    #[cfg(feature = "agent")]
    pub(in crate::kernel) fn refuses_all<'a>(
        &self,
        agents: impl Iterator<Item = &'a str>,
        now: Moment,
    ) -> Option<Error> {
        if self.isolation.is_quiet() && self.degradation.all_on() {
            return None;
        }
        let mut last = None;
        for agent in agents {
            let off = match self.degradation.check(agent) {
                Err(off) => Some(off),
                Ok(FeatureMode::Fallback(other)) => Some(elsewhere(agent, &other)),
                Ok(_) => None,
            };
            let apart = || (!self.isolation.is_open(agent, now)).then(|| quarantined(agent));
            last = Some(off.or_else(apart)?);
        }
        last
    }
}

#[cfg(feature = "agent")]
impl Shared {
    /// An agent's quarantine is its state too, as long as the isolation says so. Whoever changes what that
    /// says calls this afterwards, and looks again: the last one to come leaves the state right.
    pub(in crate::kernel) fn set_apart(&self, agent: &str, why: &str) {
        loop {
            let apart = self.heal.isolation.is_apart(agent);
            if let Some(entry) = self.agents.get(agent) {
                let (from, to) = match apart {
                    true => (AgentState::Ready, AgentState::Quarantined),
                    false => (AgentState::Quarantined, AgentState::Ready),
                };
                entry.turn_from(&[from], to, why.to_owned());
                self.tell_states(&entry);
            }
            if apart == self.heal.isolation.is_apart(agent) {
                return;
            }
        }
    }
}

/// Fallbacks that lead to others, at most. No policy has a circle, but one may take the place of another
/// between two looks.
#[cfg(feature = "agent")]
const LONGEST: usize = 16;

#[cfg(feature = "agent")]
pub(super) fn takes_calls(degradation: &Degradation, agent: &str) -> bool {
    !matches!(degradation.check(agent), Err(_) | Ok(FeatureMode::Fallback(_)))
}

#[cfg(feature = "agent")]
fn elsewhere(agent: &str, other: &str) -> Error {
    Error::new(Code::DEGRADED, "at the present level another agent does its work, and cannot now")
        .operation("kernel.call")
        .with("agent", agent)
        .with("fallback", other)
}

#[cfg(feature = "agent")]
fn quarantined(agent: &str) -> Error {
    Error::new(Code::QUARANTINED, "every agent with the skill is quarantined")
        .operation("kernel.call")
        .with("agent", agent)
}

/// What the end of a call says of its agent.
fn evidence(failure: Option<&Error>) -> Option<Evidence> {
    let Some(error) = failure else { return Some(Evidence::Success) };
    match error.code() {
        // The caller's doing, or the kernel's.
        Code::CANCELLED | Code::SAFE_STATE | Code::OVERLOADED | Code::NOT_RUNNING => None,
        Code::PANIC | Code::AGENT_EXITED => Some(Evidence::Crash),
        // It did answer, with what is mostly its caller's mistake.
        _ if error.class() == Class::Persistent => Some(Evidence::Success),
        _ => Some(Evidence::Failure),
    }
}
