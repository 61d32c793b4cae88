//! Which guards calls go through: the policies that were set, and the guards that were made of them.
//!
//! A policy is set for all calls, for those of a skill, or for those to an agent. Its parts work in two places. Timeout, retry,
//! budget and hedge belong to the *call*: one guard a policy. Breaker, bulkhead, rate limit and the timeout of a try belong to
//! the *agent* that gets it: one guard an agent, of the policy that fits it best (its own, else its skill's, else that of all). So a
//! call whose agent fails may be tried again on another one, and an agent that fails is left alone whoever calls it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::Change;
pub(super) use super::guarded::check;
use super::guarded::{of_agent, of_call, valid};
use super::handle::Kernel;
use super::troubled::Troubled;
use crate::base::runtime::Runtime;
use crate::event::Bus;
use crate::port::AgentCard;
use crate::recovery::{Classifier, ClassifyPolicy, Guard};
use crate::recovery::{GuardPolicy, GuardStatus, SharedParts};
use crate::{Code, Error, Result};

/// Which calls a guard's policy is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// Held while policies are changed.
    changing: Mutex<()>,
    tables: RwLock<Tables>,
    parts: SharedParts,
    runtime: Arc<dyn Runtime>,
    bus: Bus,
    classifier: Arc<Classifier>,
    seed: u64,
    troubled: Arc<Troubled>,
}

#[derive(Default)]
struct Tables {
    policies: HashMap<CallsTo, InForce>,
    /// The guard of calls that have none of their skill's.
    all: Option<Guard>,
    /// The guards of calls, by skill.
    skills: HashMap<String, Guard>,
    /// The agents that were called, by name.
    agents: HashMap<Arc<str>, Known>,
}

/// A policy that was set.
struct InForce {
    policy: GuardPolicy,
    /// What the guards of agents are made like; it holds the parts that they share.
    agents: Guard,
}

/// An agent that was called.
struct Known {
    skills: Vec<String>,
    /// Tasks that it takes at once.
    most: Option<u32>,
    /// Its guard, if a policy has parts for it.
    guard: Option<Guard>,
}

impl Guards {
    pub(super) fn new(
        runtime: Arc<dyn Runtime>,
        bus: Bus,
        classifier: Arc<Classifier>,
        seed: u64,
    ) -> Self {
        Self {
            troubled: Arc::default(),
            any: AtomicBool::new(false),
            changing: Mutex::new(()),
            tables: RwLock::default(),
            parts: SharedParts::new(),
            runtime,
            bus,
            classifier,
            seed,
        }
    }

    /// The parts that guards share by name.
    pub(super) fn parts(&self) -> &SharedParts {
        &self.parts
    }

    /// The agents whose breakers are not closed.
    #[cfg(feature = "agent")]
    pub(super) fn troubled(&self) -> &Arc<Troubled> {
        &self.troubled
    }

    /// Whether calls go through any guard.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Puts a policy in force, or takes it away. Guards that stay keep their state.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid, that is for an agent and says what belongs to calls, or that
    /// disagrees with others about a part they share. What was in force stays.
    pub(super) fn set(&self, calls: CallsTo, policy: Option<GuardPolicy>) -> Result<()> {
        self.update(calls, |_| Ok(policy))
    }

    /// As [`set`](Self::set), by the policy in force: nobody else's change comes in between.
    pub(super) fn update(
        &self,
        calls: CallsTo,
        change: impl FnOnce(Option<&GuardPolicy>) -> Result<Option<GuardPolicy>>,
    ) -> Result<()> {
        // Whoever waits in a bulkhead may be let in by this, and told so here: without the tables' lock.
        let _alone = self.changing.lock();
        let present = self.tables.read().policies.get(&calls).map(|had| had.policy.clone());
        let given =
            change(present.as_ref())?.map(|policy| self.prepare(&calls, policy)).transpose()?;
        let (gone, agents) = {
            let mut tables = self.tables.write();
            let gone = match given {
                Some((given, call)) => {
                    let gone = call.map(|call| tables.put(&calls, Some(call)));
                    tables.policies.insert(calls, given);
                    gone.flatten()
                }
                None => {
                    tables.policies.remove(&calls);
                    tables.put(&calls, None)
                }
            };
            self.any.store(!tables.policies.is_empty(), Ordering::Release);
            (gone, tables.guarded_agents())
        };
        drop(gone);
        // What fits an agent best may be another policy now. A guard that cannot take it, because it
        // shares other parts, is made anew when the agent is called next.
        for (agent, guard, policy) in agents {
            let share = guard.policy().share;
            let wanted = policy.filter(|policy| *policy != GuardPolicy::default());
            let takes =
                |policy: GuardPolicy| policy.share == share && guard.set_policy(policy).is_ok();
            if wanted.is_some_and(takes) {
                continue;
            }
            self.forget(&agent);
            // Those that wait in it for their place wait no more.
            let _ = guard.set_policy(GuardPolicy { share, ..GuardPolicy::default() });
        }
        self.parts.let_go();
        Ok(())
    }

    /// Makes what a policy needs, or changes what there is; nothing is changed by one that is not valid.
    fn prepare(&self, calls: &CallsTo, policy: GuardPolicy) -> Result<(InForce, Option<Guard>)> {
        valid(calls, &policy)?;
        let (had, call) = {
            let tables = self.tables.read();
            tables.agree(calls, &policy)?;
            let had = tables.policies.get(calls);
            let had = had.map(|had| (had.policy.share.clone(), had.agents.clone()));
            (had, tables.of(calls).cloned())
        };
        // The guards of agents are made when they are called. One is made here, so that what is wrong
        // with their parts is said now.
        let agents = match had {
            Some((share, agents)) if share == policy.share => {
                agents.set_policy(of_agent(&policy, None))?;
                agents
            }
            _ => self.make(&name(calls), of_agent(&policy, None))?,
        };
        let own = of_call(&policy);
        let call = match (calls, call) {
            (CallsTo::Agent(_), _) => None,
            (_, Some(guard)) if guard.policy().share == own.share => {
                guard.set_policy(own)?;
                None
            }
            (_, _) => Some(self.make(&name(calls), own)?),
        };
        Ok((InForce { policy, agents }, call))
    }

    /// The policies in force, sorted.
    pub(super) fn policies(&self) -> Vec<(CallsTo, GuardPolicy)> {
        let policies = &self.tables.read().policies;
        let each = policies.iter().map(|(calls, given)| (calls.clone(), given.policy.clone()));
        let mut all: Vec<_> = each.collect();
        all.sort_by_key(|(calls, _)| name(calls));
        all
    }

    /// The guard of a call, if it has one.
    pub(super) fn of_call(&self, skill: &str) -> Option<Guard> {
        let tables = self.tables.read();
        tables.skills.get(skill).or(tables.all.as_ref()).cloned()
    }

    /// The guard of an agent, if it has one; made when it is first asked for.
    pub(super) fn of_agent(&self, card: &AgentCard) -> Result<Option<Guard>> {
        if let Some(known) = self.tables.read().agents.get(&card.name) {
            return Ok(known.guard.clone());
        }
        let mut tables = self.tables.write();
        if let Some(known) = tables.agents.get(&card.name) {
            return Ok(known.guard.clone());
        }
        let policy = tables.best(&card.name, &card.skills);
        let policy = policy.map(|policy| of_agent(policy, card.concurrency));
        let policy = policy.filter(|policy| *policy != GuardPolicy::default());
        let guard = match policy {
            Some(policy) => {
                let shares = policy.share.breaker.is_some();
                let guard = self.make(&format!("agent:{}", card.name), policy)?;
                self.troubled.hear(&self.bus, (!shares).then_some(&card.name), &guard);
                Some(guard)
            }
            None => None,
        };
        let known =
            Known { skills: card.skills.clone(), most: card.concurrency, guard: guard.clone() };
        tables.agents.insert(Arc::clone(&card.name), known);
        Ok(guard)
    }

    /// Forgets an agent that was removed.
    pub(super) fn forget(&self, agent: &str) {
        let gone = self.tables.write().agents.remove(agent);
        // Calls under way still tell its breaker how they went, and that is nobody's any more.
        let own = gone.as_ref().and_then(|known| known.guard.as_ref());
        if let Some(guard) = own.filter(|guard| guard.policy().share.breaker.is_none()) {
            guard.on_breaker_change(Arc::new(|_: &str, _| {}));
        }
        self.troubled.works(agent);
        drop(gone);
    }

    /// The guard of this agent, if it has one and was called.
    pub(super) fn known(&self, agent: &str) -> Option<Guard> {
        self.tables.read().agents.get(agent)?.guard.clone()
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
                agents.filter_map(|(a, known)| Some((format!("agent:{a}"), known.guard.clone()?)));
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
            .classifier(&self.classifier)
            .seed(self.seed ^ seed_of(name))
            .build()
    }
}

/// What hosts say of the guards.
impl Kernel {
    /// The parts that its guards share by name.
    pub fn shared_parts(&self) -> &SharedParts {
        self.shared.guards.parts()
    }

    /// Puts a guard around calls from now on, in the place of the one that these had; `None` takes it
    /// away. Timeout, retry, budget and hedge are the call's; breaker, bulkhead, rate limit and the
    /// timeout of a try are each agent's own. An agent that its breaker leaves alone or that has no free
    /// place is passed over for another one with the skill; where all are full, the call waits in a
    /// queue, the more [urgent](crate::port::Task::priority) first. A second try beside one that is slow
    /// goes to another agent, if there is one.
    ///
    /// A call waits for one agent, and goes to another when that one is left alone or gone. Without a
    /// `timeout` of the policy or the task a guarded call has no bound of its own: each try has the
    /// agent's or the kernel's. One whose caller has partial results already is not tried again.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid, and for a limit that adapts whose `min` or `initial` is more than its agent, or the
    /// bulkhead itself, takes at once.
    pub fn guard(&self, calls: CallsTo, policy: impl Into<Option<GuardPolicy>>) -> Result<()> {
        let object = name(&calls);
        let change = Change::configuration("recovery.guard_set", &object);
        let policy: Option<GuardPolicy> = policy.into();
        let set = || {
            if let Some(policy) = &policy {
                check(&calls, policy)?;
                #[cfg(feature = "agent")]
                self.fits_agent(&calls, policy)?;
            }
            self.shared.guards.set(calls, policy)
        };
        self.shared.changes(change, set)
    }

    /// Says what the failures of guarded calls are, from now on: the host's rules, and when what keeps
    /// coming back from an agent is persistent. What was seen stays.
    ///
    /// # Errors
    /// [`Code::INVALID`] with the rule and the field; the present policy stays then.
    pub fn classification(&self, policy: ClassifyPolicy) -> Result<()> {
        let change = Change::configuration("recovery.classify_set_policy", "classification");
        self.shared.changes(change, || self.shared.judge.set_policy(policy))
    }

    /// What classifies the failures of guarded calls, by the host's rules and the built-in ones.
    pub fn classifier(&self) -> &Arc<Classifier> {
        self.shared.judge.classifier()
    }

    /// The guards of calls and of the agents that were called, sorted.
    pub fn guards(&self) -> Vec<GuardView> {
        self.shared.guards.all()
    }

    /// The policies in force, sorted by what they are for.
    pub fn guard_policies(&self) -> Vec<(CallsTo, GuardPolicy)> {
        self.shared.guards.policies()
    }

    /// The guard of an agent: to ask, or to force its breaker. `None` when there is no such agent, or no
    /// guard is for it.
    pub fn guard_of(&self, agent: &str) -> Option<Guard> {
        #[cfg(feature = "agent")]
        if let Some(entry) = self.shared.agents.get(agent) {
            // Made now, if it was not called yet.
            return self.shared.guard_of(&entry).ok().flatten();
        }
        self.shared.guards.known(agent)
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

    /// Puts the guard of calls in its place; gives back the one before.
    fn put(&mut self, calls: &CallsTo, guard: Option<Guard>) -> Option<Guard> {
        match (calls, guard) {
            (CallsTo::All, guard) => std::mem::replace(&mut self.all, guard),
            (CallsTo::Skill(skill), Some(guard)) => self.skills.insert(skill.clone(), guard),
            (CallsTo::Skill(skill), None) => self.skills.remove(skill),
            // What concerns an agent is in the agent's own guard.
            (CallsTo::Agent(_), _) => None,
        }
    }

    /// The agents that have guards, and the policies that these ought to have.
    fn guarded_agents(&mut self) -> Vec<(Arc<str>, Guard, Option<GuardPolicy>)> {
        // Those that had none may have one now: they are looked at when they are called next.
        self.agents.retain(|_, known| known.guard.is_some());
        let guarded = self.agents.iter().filter_map(|(agent, known)| {
            let policy = self.best(agent, &known.skills);
            let policy = policy.map(|policy| of_agent(policy, known.most));
            Some((Arc::clone(agent), known.guard.clone()?, policy))
        });
        guarded.collect()
    }

    fn best(&self, agent: &str, skills: &[String]) -> Option<&GuardPolicy> {
        let own = self.policies.get(&CallsTo::Agent(agent.to_owned()));
        let by_skill = || skills.iter().find_map(|s| self.policies.get(&CallsTo::Skill(s.clone())));
        let best = own.or_else(by_skill).or_else(|| self.policies.get(&CallsTo::All));
        best.map(|given| &given.policy)
    }

    /// Whether those that share a part say the same of it.
    fn agree(&self, calls: &CallsTo, policy: &GuardPolicy) -> Result<()> {
        for (other, given) in self.policies.iter().filter(|(other, _)| *other != calls) {
            let (ours, theirs) = (&policy.share, &given.policy.share);
            let shared = [
                disagree(&ours.budget, &theirs.budget, &policy.budget, &given.policy.budget),
                disagree(&ours.breaker, &theirs.breaker, &policy.breaker, &given.policy.breaker),
                disagree(
                    &ours.bulkhead,
                    &theirs.bulkhead,
                    &policy.bulkhead,
                    &given.policy.bulkhead,
                ),
                disagree(&ours.rate, &theirs.rate, &policy.rate, &given.policy.rate),
            ];
            if let Some(name) = shared.into_iter().flatten().next() {
                let what = "guards that share a part disagree about its policy";
                return Err(Error::new(Code::INVALID, what)
                    .operation("kernel.guard")
                    .with("guard", self::name(calls))
                    .with("other", self::name(other))
                    .with("shared", name)
                    .advice("give the policy in one of them only, or the same in all"));
            }
        }
        Ok(())
    }
}

/// The name under which two guards share a part that they say different things of.
fn disagree<'n, P: PartialEq + Default>(
    ours: &'n Option<String>,
    theirs: &Option<String>,
    our: &Option<P>,
    their: &Option<P>,
) -> Option<&'n str> {
    let (our, their) = (our.as_ref()?, their.as_ref()?);
    let plain = P::default();
    let differ = our != their && *our != plain && *their != plain;
    ours.as_deref().filter(|_| ours == theirs && differ)
}

/// Guards of one kernel are not to pause alike.
fn seed_of(name: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

pub(super) fn name(calls: &CallsTo) -> String {
    match calls {
        CallsTo::All => "all".to_owned(),
        CallsTo::Skill(skill) => format!("skill:{skill}"),
        CallsTo::Agent(agent) => format!("agent:{agent}"),
    }
}
