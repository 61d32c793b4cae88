//! Which guards calls go through: the policies that were set, and the guards that were made of them.
//!
//! A policy is set for all calls, for those of a skill, or for those to an agent. Its parts work in two
//! places. Timeout, retry and budget belong to the *call*: one guard a policy. Breaker, bulkhead, rate
//! limit and the timeout of a try belong to the *agent* that gets it: one guard an agent, of the policy
//! that fits it best (its own, else its skill's, else that of all). So a call whose agent fails may be
//! tried again on another one, and an agent that fails is left alone whoever calls it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use serde::Serialize;

use crate::base::payload::Payload;
use crate::base::runtime::Runtime;
use crate::event::Bus;
use crate::recovery::{Change, Guard, GuardPolicy, GuardStatus, Share, SharedParts};
use crate::{Code, Error, Result};

/// Which calls a guard's policy is for.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CallsTo {
    /// All that have no policy of their own.
    All,
    /// Those of a skill.
    Skill(String),
    /// Those to an agent, as far as they concern the agent: its breaker, bulkhead and rate limit.
    Agent(String),
}

/// A guard as hosts see it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct GuardView {
    /// Which calls it is for: `all`, `skill:…`, or `agent:…`.
    pub calls: String,
    /// Its figures.
    pub status: GuardStatus,
}

/// The guards of a kernel.
pub(super) struct Guards {
    /// Whether there is any: a kernel without guards pays for one load.
    any: AtomicBool,
    tables: RwLock<Tables>,
    parts: SharedParts,
    runtime: Arc<dyn Runtime>,
    bus: Bus,
    seed: u64,
}

#[derive(Default)]
struct Tables {
    policies: HashMap<CallsTo, GuardPolicy>,
    /// The guard of calls that have none of their skill's.
    all: Option<Guard>,
    /// The guards of calls, by skill.
    skills: HashMap<String, Guard>,
    /// The guards of agents, by the agent's name.
    agents: HashMap<Arc<str>, Option<Guard>>,
}

impl Guards {
    pub(super) fn new(runtime: Arc<dyn Runtime>, bus: Bus, seed: u64) -> Self {
        Self {
            any: AtomicBool::new(false),
            tables: RwLock::default(),
            parts: SharedParts::new(),
            runtime,
            bus,
            seed,
        }
    }

    /// The parts that guards share by name.
    pub(super) fn parts(&self) -> &SharedParts {
        &self.parts
    }

    /// Whether calls go through any guard.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Puts a policy in force, or takes it away. Guards that stay keep their state.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid; what was in force stays.
    pub(super) fn set(&self, calls: CallsTo, policy: Option<GuardPolicy>) -> Result<()> {
        let mut tables = self.tables.write();
        match policy {
            None => {
                tables.policies.remove(&calls);
                tables.put(&calls, None);
            }
            Some(policy) => {
                policy.check()?;
                if policy.hedge.is_some() {
                    return Err(Error::new(
                        Code::UNSUPPORTED,
                        "the kernel's calls are not hedged; hedge with a guard around the call",
                    )
                    .operation("kernel.guard")
                    .with("calls", name(&calls)));
                }
                let of_call = of_call(&policy);
                match tables.of(&calls) {
                    Some(guard) => guard.set_policy(of_call)?,
                    None => {
                        let guard = self.make(&name(&calls), of_call)?;
                        tables.put(&calls, Some(guard));
                    }
                }
                tables.policies.insert(calls, policy);
            }
        }
        // What fits an agent best may be another policy now.
        let mut agents = std::mem::take(&mut tables.agents);
        agents.retain(|agent, guard| match (guard, tables.fitting(agent)) {
            (Some(guard), Some(policy)) => guard.set_policy(of_agent(policy)).is_ok(),
            _ => false,
        });
        tables.agents = agents;
        self.any.store(!tables.policies.is_empty(), Ordering::Release);
        Ok(())
    }

    /// The guard of a call, if it has one.
    pub(super) fn of_call(&self, skill: &str) -> Option<Guard> {
        let tables = self.tables.read();
        tables.skills.get(skill).or(tables.all.as_ref()).cloned()
    }

    /// The guard of an agent, if it has one; made when it is first asked for.
    pub(super) fn of_agent(&self, agent: &Arc<str>, skills: &[String]) -> Option<Guard> {
        if let Some(guard) = self.tables.read().agents.get(agent) {
            return guard.clone();
        }
        let mut tables = self.tables.write();
        if let Some(guard) = tables.agents.get(agent) {
            return guard.clone();
        }
        let policy = tables.best(agent, skills).map(of_agent);
        // The policy was checked when it was set; what guards share by name may still disagree.
        let guard = policy.filter(|policy| *policy != GuardPolicy::default()).and_then(|policy| {
            let guard = self.make(&format!("agent:{agent}"), policy).ok()?;
            self.announce(agent, &guard);
            Some(guard)
        });
        tables.agents.insert(Arc::clone(agent), guard.clone());
        guard
    }

    /// Forgets an agent that was removed.
    pub(super) fn forget(&self, agent: &str) {
        let gone = self.tables.write().agents.remove(agent);
        drop(gone);
    }

    /// The guard of this agent, if it has one and was called.
    pub(super) fn known(&self, agent: &str) -> Option<Guard> {
        self.tables.read().agents.get(agent).cloned().flatten()
    }

    /// Every guard, sorted by what it is for.
    pub(super) fn all(&self) -> Vec<GuardView> {
        let guards: Vec<_> = {
            let tables = self.tables.read();
            let all = tables.all.iter().map(|guard| ("all".to_owned(), guard.clone()));
            let skills =
                tables.skills.iter().map(|(s, guard)| (format!("skill:{s}"), guard.clone()));
            let agents = tables.agents.iter();
            let agents =
                agents.filter_map(|(a, guard)| Some((format!("agent:{a}"), guard.clone()?)));
            all.chain(skills).chain(agents).collect()
        };
        let view = |(calls, guard): (String, Guard)| GuardView { calls, status: guard.status() };
        let mut all: Vec<_> = guards.into_iter().map(view).collect();
        all.sort_by(|a, b| a.calls.cmp(&b.calls));
        all
    }

    fn make(&self, name: &str, policy: GuardPolicy) -> Result<Guard> {
        Guard::builder(name, policy)
            .shared(&self.parts)
            .runtime(Arc::clone(&self.runtime))
            .seed(self.seed)
            .build()
    }

    /// Makes events of the changes of an agent's breaker.
    fn announce(&self, agent: &Arc<str>, guard: &Guard) {
        let Some(breaker) = guard.breaker() else { return };
        let (bus, agent) = (self.bus.clone(), Arc::clone(agent));
        breaker.on_change(Arc::new(move |breaker: &str, change: &Change| {
            let event = serde_json::json!({
                "agent": &*agent,
                "breaker": breaker,
                "from": change.from,
                "to": change.to,
                "why": change.why,
            });
            // The subject is well-formed.
            let _ =
                bus.publish("recovery.breaker.changed", Payload::json(&event).unwrap_or_default());
        }));
    }
}

impl Tables {
    /// The guard of calls, of a policy for these.
    fn of(&self, calls: &CallsTo) -> Option<&Guard> {
        match calls {
            CallsTo::All => self.all.as_ref(),
            CallsTo::Skill(skill) => self.skills.get(skill),
            CallsTo::Agent(_) => None,
        }
    }

    fn put(&mut self, calls: &CallsTo, guard: Option<Guard>) {
        match (calls, guard) {
            (CallsTo::All, guard) => self.all = guard,
            (CallsTo::Skill(skill), Some(guard)) => drop(self.skills.insert(skill.clone(), guard)),
            (CallsTo::Skill(skill), None) => drop(self.skills.remove(skill)),
            // What concerns an agent is in the agent's own guard.
            (CallsTo::Agent(_), _) => {}
        }
    }

    fn best(&self, agent: &str, skills: &[String]) -> Option<&GuardPolicy> {
        let own = self.policies.get(&CallsTo::Agent(agent.to_owned()));
        let by_skill = || skills.iter().find_map(|s| self.policies.get(&CallsTo::Skill(s.clone())));
        own.or_else(by_skill).or_else(|| self.policies.get(&CallsTo::All))
    }

    /// What fits an agent whose skills are not at hand: nothing when that could be a skill's policy.
    fn fitting(&self, agent: &str) -> Option<&GuardPolicy> {
        let own = self.policies.get(&CallsTo::Agent(agent.to_owned()));
        let skills = self.policies.keys().any(|calls| matches!(calls, CallsTo::Skill(_)));
        own.or_else(|| self.policies.get(&CallsTo::All).filter(|_| !skills))
    }
}

fn name(calls: &CallsTo) -> String {
    match calls {
        CallsTo::All => "all".to_owned(),
        CallsTo::Skill(skill) => format!("skill:{skill}"),
        CallsTo::Agent(agent) => format!("agent:{agent}"),
    }
}

/// The parts of a policy that belong to the call.
fn of_call(policy: &GuardPolicy) -> GuardPolicy {
    GuardPolicy {
        timeout_ms: policy.timeout_ms,
        retry: policy.retry.clone(),
        budget: policy.budget.clone(),
        share: Share { budget: policy.share.budget.clone(), ..Share::default() },
        ..GuardPolicy::default()
    }
}

/// The parts of a policy that belong to the agent.
fn of_agent(policy: &GuardPolicy) -> GuardPolicy {
    GuardPolicy {
        attempt_timeout_ms: policy.attempt_timeout_ms,
        breaker: policy.breaker.clone(),
        bulkhead: policy.bulkhead.clone(),
        rate: policy.rate.clone(),
        share: Share { budget: None, ..policy.share.clone() },
        ..GuardPolicy::default()
    }
}
