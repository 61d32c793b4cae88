//! The agents of a kernel, by name and by skill.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::RwLock;
use serde::Serialize;

use super::ledger::{AgentStats, Ledger};
use crate::base::runtime::Runtime;
use crate::base::time::Moment;
use crate::port::{Agent, AgentCard, Candidate, Candidates};
use crate::{Code, Error, Result};

/// Agents by name and by skill. Cheap to clone; clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    tables: Arc<RwLock<Tables>>,
}

#[derive(Default)]
struct Tables {
    by_name: HashMap<Arc<str>, Arc<Entry>>,
    /// Shared, so that routing holds no lock: readers clone the `Arc`, and a change copies the list
    /// only while somebody reads it.
    by_skill: HashMap<Arc<str>, Arc<SkillList>>,
}

/// The agents with one skill, in order of registration.
#[derive(Clone, Default)]
pub struct SkillList(Vec<Arc<Entry>>);

/// One registered agent.
pub struct Entry {
    card: AgentCard,
    /// Let go of when it is removed: it may hold replies, and they hold this entry.
    agent: ArcSwapOption<Arc<dyn Agent>>,
    /// How often it had been started again by then.
    restarts: AtomicU64,
    in_flight: AtomicU32,
    state: AtomicU8,
    ledger: Ledger,
}

/// Whether an agent takes tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// It is registered and has not been started.
    Registered,
    /// It is being started.
    Starting,
    /// It takes tasks.
    Ready,
    /// It finishes what it has and takes no more.
    Draining,
    /// It has been removed.
    Stopped,
}

const STATES: [AgentState; 5] = [
    AgentState::Registered,
    AgentState::Starting,
    AgentState::Ready,
    AgentState::Draining,
    AgentState::Stopped,
];

/// An agent as hosts see it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct AgentView {
    /// Its card.
    pub card: AgentCard,
    /// Whether it takes tasks.
    pub state: AgentState,
    /// Tasks under way.
    pub in_flight: u32,
    /// How often it had to be started again.
    pub restarts: u64,
    /// How its calls went.
    pub stats: AgentStats,
}

/// The longest name of an agent or a skill, in bytes.
const LONGEST_NAME: usize = 128;

impl Registry {
    /// Adds an agent; it takes no task until [`Entry::set_state`] says ready.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] for a name that is taken, [`Code::INVALID`] for a card that is not
    /// in order.
    pub fn add(&self, agent: Arc<dyn Agent>) -> Result<Arc<Entry>> {
        // The card is foreign code: asked before any lock is taken.
        let mut card = agent.card();
        check(&card)?;
        card.skills.dedup();
        let name = Arc::clone(&card.name);
        let entry = Arc::new(Entry {
            card,
            agent: ArcSwapOption::from_pointee(agent),
            restarts: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            state: AtomicU8::new(AgentState::Registered as u8),
            ledger: Ledger::default(),
        });
        let mut tables = self.tables.write();
        if tables.by_name.contains_key(&name) {
            drop(tables);
            return Err(Error::new(Code::ALREADY_EXISTS, "an agent of this name is registered")
                .with("agent", &name)
                .advice("give it another name, or remove the other one first"));
        }
        for skill in &entry.card.skills {
            let list = match tables.by_skill.get_mut(skill.as_str()) {
                Some(list) => list,
                None => tables.by_skill.entry(Arc::from(skill.as_str())).or_default(),
            };
            Arc::make_mut(list).0.push(Arc::clone(&entry));
        }
        tables.by_name.insert(name, Arc::clone(&entry));
        Ok(entry)
    }

    /// Takes an agent out; calls under way go on.
    pub fn remove(&self, name: &str) -> Option<Arc<Entry>> {
        let mut tables = self.tables.write();
        let entry = tables.by_name.remove(name)?;
        for skill in &entry.card.skills {
            if let Some(list) = tables.by_skill.get_mut(skill.as_str()) {
                Arc::make_mut(list).0.retain(|other| !Arc::ptr_eq(other, &entry));
                if list.0.is_empty() {
                    tables.by_skill.remove(skill.as_str());
                }
            }
        }
        Some(entry)
    }

    /// The agent of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.tables.read().by_name.get(name).cloned()
    }

    /// The agents with this skill; `None` when there are none.
    #[inline]
    pub fn with_skill(&self, skill: &str) -> Option<Arc<SkillList>> {
        self.tables.read().by_skill.get(skill).cloned()
    }

    /// Every skill that some agent has, sorted.
    pub fn skills(&self) -> Vec<Arc<str>> {
        let mut skills: Vec<_> = self.tables.read().by_skill.keys().cloned().collect();
        skills.sort_unstable();
        skills
    }

    /// Every agent, sorted by name.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<_> = self.tables.read().by_name.values().cloned().collect();
        all.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        all
    }

    /// How many agents there are.
    pub fn len(&self) -> usize {
        self.tables.read().by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn check(card: &AgentCard) -> Result<()> {
    let bad = |what: &'static str, name: &str| {
        Error::new(Code::INVALID, what)
            .with("name", name.chars().take(LONGEST_NAME).collect::<String>())
            .advice("use 1 to 128 letters, digits, '_', '-', '/', ':' and '.'")
    };
    if !well_named(&card.name) {
        return Err(bad("not a name for an agent", &card.name));
    }
    if card.skills.is_empty() {
        return Err(Error::new(Code::INVALID, "an agent needs at least one skill")
            .with("agent", &card.name));
    }
    match card.skills.iter().find(|skill| !well_named(skill)) {
        Some(skill) => Err(bad("not a name for a skill", skill).with("agent", &card.name)),
        None if card.concurrency == Some(0) => {
            Err(Error::new(Code::INVALID, "a concurrency of 0 takes no task at all")
                .with("agent", &card.name))
        }
        None => Ok(()),
    }
}

fn well_named(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | '.'))
}

impl Entry {
    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.card.name
    }

    /// Runs `f` with the agent itself; `None` once it has been let go of.
    #[inline]
    pub fn with_agent<R>(&self, f: impl FnOnce(&dyn Agent) -> R) -> Option<R> {
        self.agent.load().as_deref().map(|agent| f(&**agent))
    }

    /// Lets go of the agent: it has been stopped, and gets no more tasks.
    pub fn release(&self) {
        let agent = self.agent.swap(None);
        if let Some(agent) = &agent {
            self.restarts.store(agent.restarts(), Ordering::Relaxed);
        }
        drop(agent);
    }

    /// Whether it takes tasks.
    pub fn state(&self) -> AgentState {
        let state = usize::from(self.state.load(Ordering::Acquire));
        STATES.get(state).copied().unwrap_or(AgentState::Stopped)
    }

    /// Says whether it takes tasks.
    pub fn set_state(&self, state: AgentState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Moves it from one state to another, unless it is in a third.
    pub fn move_state(&self, from: AgentState, to: AgentState) -> bool {
        self.state
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Takes a place for one task, if it takes tasks and has one.
    #[inline]
    pub fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        let most = self.card.concurrency.unwrap_or(u32::MAX);
        if self.state.load(Ordering::Acquire) != AgentState::Ready as u8 {
            return None;
        }
        // Never more than there are, not even for a moment: a place that is free is not refused.
        let one_more = |tasks| (tasks < most).then_some(tasks + 1);
        self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Reservation(Arc::clone(self)))
    }

    /// What is kept of its calls.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Blocks until it has no task under way, or until `deadline`; does nothing on a thread that
    /// must not block.
    pub fn drain(&self, runtime: &dyn Runtime, deadline: Moment) {
        while self.in_flight.load(Ordering::Acquire) > 0
            && runtime.may_block()
            && runtime.now() < deadline
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// As hosts see it.
    pub fn view(&self) -> AgentView {
        AgentView {
            card: self.card.clone(),
            state: self.state(),
            in_flight: self.in_flight.load(Ordering::Acquire),
            restarts: self
                .with_agent(Agent::restarts)
                .unwrap_or_else(|| self.restarts.load(Ordering::Relaxed)),
            stats: self.ledger.stats(),
        }
    }
}

impl Candidate for Entry {
    fn card(&self) -> &AgentCard {
        &self.card
    }

    #[inline]
    fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    #[inline]
    fn available(&self) -> bool {
        self.state.load(Ordering::Acquire) == AgentState::Ready as u8
            && self.card.concurrency.is_none_or(|most| self.in_flight() < most)
    }
}

impl SkillList {
    /// The agent at `index`, in order of registration.
    pub fn entry(&self, index: usize) -> Option<&Arc<Entry>> {
        self.0.get(index)
    }
}

impl Candidates for SkillList {
    fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn get(&self, index: usize) -> Option<&dyn Candidate> {
        self.0.get(index).map(|entry| &**entry as _)
    }
}

/// A place for one task with an agent, given back when dropped.
pub struct Reservation(Arc<Entry>);

impl Reservation {
    /// The agent.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.0
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("agents", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ticket::Reply;
    use crate::port::{Outcome, Task};

    struct Plain(AgentCard);

    impl Agent for Plain {
        fn card(&self) -> AgentCard {
            self.0.clone()
        }
        fn handle(&self, task: Task, reply: Reply<Outcome>) {
            let _ = reply.send(task.input().clone().into());
        }
    }

    fn add(registry: &Registry, card: AgentCard) -> Result<Arc<Entry>> {
        registry.add(Arc::new(Plain(card)))
    }

    #[test]
    fn agents_are_found_by_name_and_skill() {
        let registry = Registry::default();
        add(&registry, AgentCard::new("a", ["read", "write"])).unwrap();
        add(&registry, AgentCard::new("b", ["read"])).unwrap();
        assert_eq!(registry.with_skill("read").unwrap().len(), 2);
        assert_eq!(registry.skills().len(), 2);
        assert!(registry.get("b").is_some());
        let list = registry.with_skill("read").unwrap();
        registry.remove("a").unwrap();
        assert_eq!(list.len(), 2, "a reader's list does not change under it");
        assert_eq!(registry.with_skill("read").unwrap().len(), 1);
        assert!(registry.with_skill("write").is_none());
    }

    #[test]
    fn cards_are_checked() {
        let registry = Registry::default();
        let code = |card| add(&registry, card).err().map(|e| e.code());
        assert_eq!(code(AgentCard::new("", ["s"])), Some(Code::INVALID));
        assert_eq!(code(AgentCard::new("a b", ["s"])), Some(Code::INVALID));
        assert_eq!(code(AgentCard::new("a", Vec::<String>::new())), Some(Code::INVALID));
        assert_eq!(code(AgentCard::new("a", [""])), Some(Code::INVALID));
        assert_eq!(code(AgentCard::new("a", ["s"]).concurrency(0)), Some(Code::INVALID));
        assert_eq!(code(AgentCard::new("a", ["s"])), None);
        assert_eq!(code(AgentCard::new("a", ["s"])), Some(Code::ALREADY_EXISTS));
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let registry = Registry::default();
        let entry = add(&registry, AgentCard::new("a", ["s"]).concurrency(2)).unwrap();
        assert!(entry.reserve().is_none(), "not ready yet");
        entry.set_state(AgentState::Ready);
        let (one, _two) = (entry.reserve().unwrap(), entry.reserve().unwrap());
        assert!(!entry.available() && entry.reserve().is_none());
        drop(one);
        assert!(entry.available() && entry.reserve().is_some());
    }
}
