//! The agents of a kernel, by name and by skill.

mod entry;
mod state;
mod versions;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

pub use entry::{AgentView, Decided, Entry, Reservation, StateChange, Why};
pub use state::AgentState;
pub use versions::{Switched, TakenOut};

use crate::agent::probe;
use crate::port::{Agent, AgentCard, Candidate, Candidates};
use crate::{Code, Error, Result};

/// Agents by name and by skill. Cheap to clone; clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    tables: Arc<RwLock<Tables>>,
}

#[derive(Default)]
struct Tables {
    /// Those that are in charge of their names.
    by_name: HashMap<Arc<str>, Arc<Entry>>,
    /// Other versions of them, which may take over again; the one that was in charge last comes last.
    standby: HashMap<Arc<str>, Vec<Arc<Entry>>>,
    /// Shared, so that routing holds no lock: readers clone the `Arc`, and a change copies the list
    /// only while somebody reads it.
    by_skill: HashMap<Arc<str>, Arc<SkillList>>,
}

/// The agents with one skill, in order of registration.
#[derive(Clone, Default)]
pub struct SkillList(Vec<Arc<Entry>>);

/// The longest name of an agent or a skill, in bytes.
const LONGEST_NAME: usize = 128;

impl Registry {
    /// Adds an agent; it takes no task until it is up ([`is_up`](Self::is_up)).
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] for a name that is taken, [`Code::INVALID`] for a card that is not
    /// in order.
    pub fn add(&self, agent: Arc<dyn Agent>) -> Result<Arc<Entry>> {
        let entry = Self::entry(agent)?;
        self.put_new(&entry)?;
        Ok(entry)
    }

    /// As [`add`](Self::add), of an entry that has been made already.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] for a name that is taken.
    pub fn put_new(&self, entry: &Arc<Entry>) -> Result<()> {
        self.tables.write().put_new(entry)
    }

    /// An entry that is in no table yet.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a card that is not in order.
    pub fn entry(agent: Arc<dyn Agent>) -> Result<Arc<Entry>> {
        // The card is foreign code: asked before any lock is taken.
        let mut card = agent.card();
        check(&card)?;
        card.skills.dedup();
        Ok(Arc::new(Entry::new(card, agent)))
    }

    /// Takes an agent out, with the versions that stand by; the one in charge comes first. Calls under way
    /// go on.
    pub fn remove(&self, name: &str) -> Vec<Arc<Entry>> {
        let mut tables = self.tables.write();
        let Some(entry) = tables.by_name.remove(name) else { return Vec::new() };
        tables.take_skills(&entry);
        let standby = tables.standby.remove(name).unwrap_or_default();
        std::iter::once(entry).chain(standby).collect()
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

    /// The entry of this name and version, in charge or not.
    pub fn version(&self, name: &str, version: &str) -> Option<Arc<Entry>> {
        let tables = self.tables.read();
        let standby = tables.standby.get(name).into_iter().flatten();
        let mut all = tables.by_name.get(name).into_iter().chain(standby);
        all.find(|entry| entry.card().version == version).cloned()
    }

    /// Every agent and every version that stands by.
    pub fn everything(&self) -> Vec<Arc<Entry>> {
        let tables = self.tables.read();
        let standby = tables.standby.values().flatten();
        tables.by_name.values().chain(standby).cloned().collect()
    }

    /// An agent's versions, the one in charge first; nothing where there is no agent of this name.
    pub fn versions_of(&self, name: &str) -> Vec<Arc<Entry>> {
        let tables = self.tables.read();
        let Some(entry) = tables.by_name.get(name) else { return Vec::new() };
        let standby = tables.standby.get(name).into_iter().flatten();
        std::iter::once(entry).chain(standby).cloned().collect()
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

fn is_taken(name: &str) -> Error {
    Error::new(Code::ALREADY_EXISTS, "an agent of this name is registered")
        .with("agent", name)
        .advice("give it another name, remove the other one first, or replace it")
}

impl Tables {
    fn put_new(&mut self, entry: &Arc<Entry>) -> Result<()> {
        if self.by_name.contains_key(entry.name()) {
            return Err(is_taken(entry.name()));
        }
        self.put_in_charge(entry);
        Ok(())
    }

    /// Calls for its name and its skills are for this one. Another one of its name has been taken out.
    fn put_in_charge(&mut self, entry: &Arc<Entry>) {
        for skill in &entry.card().skills {
            let list = match self.by_skill.get_mut(skill.as_str()) {
                Some(list) => list,
                None => self.by_skill.entry(Arc::from(skill.as_str())).or_default(),
            };
            Arc::make_mut(list).0.push(Arc::clone(entry));
        }
        self.by_name.insert(Arc::clone(entry.name()), Arc::clone(entry));
    }

    fn take_skills(&mut self, entry: &Arc<Entry>) {
        for skill in &entry.card().skills {
            if let Some(list) = self.by_skill.get_mut(skill.as_str()) {
                Arc::make_mut(list).0.retain(|other| !Arc::ptr_eq(other, entry));
                if list.0.is_empty() {
                    self.by_skill.remove(skill.as_str());
                }
            }
        }
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
    let not_its_own = |skill: &&String| !card.skills.contains(*skill);
    if let Some(skill) = card.about.keys().find(not_its_own) {
        return Err(Error::new(
            Code::INVALID,
            "the card speaks of a skill that is not among its own",
        )
        .with("agent", &card.name)
        .with("skill", skill));
    }
    for (skill, about) in &card.about {
        if about.sensitivity > 100 {
            let what = "a skill's sensitivity is 0 to 100";
            return Err(Error::new(Code::INVALID, what)
                .with("agent", &card.name)
                .with("skill", skill));
        }
        if let Some(probe) = &about.probe {
            probe::check(probe)
                .map_err(|error| error.with("agent", &card.name).with("skill", skill))?;
        }
    }
    match card.skills.iter().find(|skill| !well_named(skill)) {
        Some(skill) => Err(bad("not a name for a skill", skill).with("agent", &card.name)),
        None if card.cost.is_some_and(|cost| !cost.is_finite() || cost < 0.0) => {
            Err(Error::new(Code::INVALID, "a cost is a number from 0").with("agent", &card.name))
        }
        None if card.concurrency == Some(0) => {
            Err(Error::new(Code::INVALID, "a concurrency of 0 takes no task at all")
                .with("agent", &card.name))
        }
        None => Ok(()),
    }
}

pub(crate) fn well_named(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | '.'))
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

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("agents", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ticket::Reply;
    use crate::port::{Outcome, SkillCard, Task};

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
        assert_eq!(registry.remove("a").len(), 1);
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
        let says = |skill| AgentCard::new("a", ["s"]).about(skill, SkillCard::new("it reads"));
        assert_eq!(code(says("t")), Some(Code::INVALID));
        assert_eq!(code(AgentCard::new("a", ["s"]).cost(f64::NAN)), Some(Code::INVALID));
        assert_eq!(code(says("s").cost(0.01)), None);
        registry.remove("a");
        assert_eq!(code(AgentCard::new("a", ["s"])), None);
        assert_eq!(code(AgentCard::new("a", ["s"])), Some(Code::ALREADY_EXISTS));
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let registry = Registry::default();
        let entry = add(&registry, AgentCard::new("a", ["s"]).concurrency(2)).unwrap();
        assert!(entry.reserve().is_none(), "not ready yet");
        for state in [AgentState::Starting, AgentState::Ready] {
            entry.turn(state, "test").unwrap();
        }
        let (one, _two) = (entry.reserve().unwrap(), entry.reserve().unwrap());
        assert!(!entry.available() && entry.reserve().is_none());
        drop(one);
        assert!(entry.available() && entry.reserve().is_some());
    }
}
