//! Versions of an agent: one is in charge of the name, others stand by and may take over again.

use std::sync::Arc;

use super::entry::{AgentView, Entry, Why};
use super::state::AgentState;
use super::{Registry, Tables};
use crate::base::time::Moment;
use crate::port::Candidate as _;
use crate::{Code, Error, Result};

/// Versions of one agent that stand by, at most.
const MOST: usize = 2;

/// Why one that stood by takes tasks.
const IN_CHARGE: &str = "it was put in charge";

/// Another version is in charge now.
pub struct Switched {
    /// The one that was; it gets no new tasks, finishes those that it has, and stands by.
    pub before: Option<Arc<Entry>>,
    /// One that stood by for longest, and for which there is no room any more.
    pub out: Option<Arc<Entry>>,
}

/// What an entry was that has been taken out.
pub enum TakenOut {
    /// It was not there.
    Nothing,
    /// A version that stood by.
    Standby,
    /// The only version of its name.
    Last,
    /// The one in charge; this one stood by, and is in charge now.
    Next(Arc<Entry>),
}

impl Registry {
    /// Takes out an entry, and no other version of its name. Calls under way go on.
    pub fn take_out(&self, entry: &Arc<Entry>) -> TakenOut {
        self.tables.write().take_out(entry)
    }

    /// Whether there may be an entry of this name and version besides those there are.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] for a version that is in charge or stands by.
    pub fn is_new(&self, entry: &Entry) -> Result<()> {
        self.tables.read().is_new(entry)
    }

    /// Puts an entry in charge of its name, in the place of another one, if there is one.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] for a version that is in charge or stands by.
    pub fn put(&self, entry: &Arc<Entry>) -> Result<Switched> {
        let mut tables = self.tables.write();
        tables.is_new(entry)?;
        Ok(tables.switch(entry))
    }

    /// Puts a version in charge that stands by; `None` when it is in charge already.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for a name that is not registered, or a version that does not stand by.
    pub fn switch(&self, name: &str, version: &str) -> Result<Option<Switched>> {
        let mut tables = self.tables.write();
        if tables.by_name.get(name).is_some_and(|entry| entry.card().version == version) {
            return Ok(None);
        }
        let entry = tables.take_standby(name, version)?;
        Ok(Some(tables.switch(&entry)))
    }

    /// Takes out a version that stands by.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when none of this name and version stands by.
    pub fn retire(&self, name: &str, version: &str) -> Result<Arc<Entry>> {
        self.tables.write().take_standby(name, version)
    }

    /// Registers an entry that has been started.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] for a name that is taken.
    pub fn join(&self, entry: &Arc<Entry>) -> Result<()> {
        self.tables.write().put_new(entry)?;
        entry.turn_from(&[AgentState::Standby], AgentState::Ready, IN_CHARGE);
        Ok(())
    }

    /// Puts an entry, which has been started, in the place of the one that is in charge of its name, whatever its
    /// version; says whether that one was in charge. It gets no new tasks.
    pub fn exchange(&self, before: &Arc<Entry>, entry: &Arc<Entry>) -> bool {
        let mut tables = self.tables.write();
        if !tables.by_name.get(entry.name()).is_some_and(|it| Arc::ptr_eq(it, before)) {
            return false;
        }
        tables.take_skills(before);
        tables.put_in_charge(entry);
        let from = [AgentState::Ready, AgentState::Quarantined];
        before.turn_from(&from, AgentState::Standby, "another one has taken its place");
        entry.turn_from(&[AgentState::Standby], AgentState::Ready, IN_CHARGE);
        true
    }

    /// Whether an entry is in charge of its name.
    pub fn is_in_charge(&self, entry: &Arc<Entry>) -> bool {
        self.get(entry.name()).is_some_and(|it| Arc::ptr_eq(&it, entry))
    }

    /// An entry that is in one of these states can do tasks now: it takes them when it is in charge, and
    /// stands by otherwise. Says whether it was in one of them.
    pub fn is_up(&self, entry: &Arc<Entry>, from: &[AgentState], why: impl Into<Why>) -> bool {
        let tables = self.tables.read();
        let in_charge = tables.by_name.get(entry.name()).is_some_and(|e| Arc::ptr_eq(e, entry));
        let next = if in_charge { AgentState::Ready } else { AgentState::Standby };
        entry.turn_from(from, next, why)
    }

    /// An agent as hosts see it.
    pub fn view(&self, entry: &Entry, now: Moment) -> AgentView {
        let standby = self.tables.read().versions(entry.name());
        AgentView { standby, ..entry.view(now) }
    }
}

impl Tables {
    fn is_new(&self, entry: &Entry) -> Result<()> {
        let version = &entry.card().version;
        let current = self.by_name.get(entry.name());
        let standby = self.standby.get(entry.name()).into_iter().flatten();
        if !current.into_iter().chain(standby).any(|other| other.card().version == *version) {
            return Ok(());
        }
        Err(Error::new(Code::ALREADY_EXISTS, "the agent has this version already")
            .with("agent", entry.name())
            .with("version", version)
            .advice("give each version its own on its card, or switch to the one that stands by"))
    }

    fn switch(&mut self, entry: &Arc<Entry>) -> Switched {
        let before = self.by_name.remove(entry.name());
        let mut out = None;
        if let Some(before) = &before {
            self.take_skills(before);
            // One that is not started yet, or cannot be reached, says so itself when it is or can.
            let from = [AgentState::Ready, AgentState::Quarantined];
            let version = &entry.card().version;
            let why = format!("version {version:?} took over");
            before.turn_from(&from, AgentState::Standby, why);
            let standby = self.standby.entry(Arc::clone(entry.name())).or_default();
            standby.push(Arc::clone(before));
            if standby.len() > MOST {
                out = Some(standby.remove(0));
            }
        }
        self.put_in_charge(entry);
        entry.turn_from(&[AgentState::Standby], AgentState::Ready, IN_CHARGE);
        Switched { before, out }
    }

    fn take_out(&mut self, entry: &Arc<Entry>) -> TakenOut {
        let name = entry.name();
        let is_it = |other: &Arc<Entry>| Arc::ptr_eq(other, entry);
        if !self.by_name.get(name).is_some_and(is_it) {
            let standby = self.standby.get_mut(name);
            let Some(standby) = standby.filter(|standby| standby.iter().any(is_it)) else {
                return TakenOut::Nothing;
            };
            standby.retain(|other| !is_it(other));
            if standby.is_empty() {
                self.standby.remove(name);
            }
            return TakenOut::Standby;
        }
        self.by_name.remove(name);
        self.take_skills(entry);
        let Some(next) = self.standby.get_mut(name).and_then(Vec::pop) else {
            return TakenOut::Last;
        };
        if self.standby.get(name).is_some_and(Vec::is_empty) {
            self.standby.remove(name);
        }
        self.put_in_charge(&next);
        next.turn_from(&[AgentState::Standby], AgentState::Ready, IN_CHARGE);
        TakenOut::Next(next)
    }

    fn take_standby(&mut self, name: &str, version: &str) -> Result<Arc<Entry>> {
        if let Some(standby) = self.standby.get_mut(name)
            && let Some(index) = standby.iter().position(|entry| entry.card().version == version)
        {
            let entry = standby.remove(index);
            if standby.is_empty() {
                self.standby.remove(name);
            }
            return Ok(entry);
        }
        if !self.by_name.contains_key(name) {
            return Err(Error::new(Code::NOT_FOUND, "no agent of this name is registered")
                .with("agent", name));
        }
        Err(Error::new(Code::NOT_FOUND, "no such version of the agent stands by")
            .with("agent", name)
            .with("version", version)
            .with("standby", self.versions(name).join(", "))
            .advice("replace the agent by one of that version"))
    }

    fn versions(&self, name: &str) -> Vec<String> {
        let standby = self.standby.get(name).into_iter().flatten();
        standby.map(|entry| entry.card().version.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent;
    use crate::port::{AgentCard, Candidates as _, Task};

    fn version(version: &str, skill: &str) -> Arc<Entry> {
        let card = AgentCard::new("a", [skill]).version(version);
        let agent = agent::from_fn(card, |task: &Task| Ok(task.input().clone()));
        let entry = Registry::entry(Arc::new(agent)).unwrap();
        for state in [AgentState::Starting, AgentState::Standby] {
            entry.turn(state, "test").unwrap();
        }
        entry
    }

    #[test]
    fn one_version_is_in_charge_and_two_stand_by() {
        let registry = Registry::default();
        let first = version("1", "s");
        assert!(registry.put(&first).unwrap().before.is_none());
        assert_eq!(first.state(), AgentState::Ready);
        let second = version("2", "t");
        let switched = registry.put(&second).unwrap();
        assert!(switched.before.is_some_and(|before| Arc::ptr_eq(&before, &first)));
        assert_eq!((first.state(), second.state()), (AgentState::Standby, AgentState::Ready));
        assert!(first.reserve().is_none() && second.reserve().is_some());
        assert!(registry.with_skill("s").is_none(), "its skills go with it");
        assert_eq!(registry.with_skill("t").unwrap().len(), 1);

        assert!(registry.switch("a", "2").unwrap().is_none(), "it is in charge already");
        assert!(registry.switch("a", "1").unwrap().is_some());
        assert!(first.reserve().is_some() && second.reserve().is_none());
        assert_eq!(registry.view(&first, Moment::ZERO).standby, ["2"]);

        assert!(registry.put(&version("3", "s")).unwrap().out.is_none());
        let out = registry.put(&version("4", "s")).unwrap().out;
        assert!(out.is_some_and(|out| Arc::ptr_eq(&out, &second)), "it stood by for longest");
        assert_eq!(registry.view(&registry.get("a").unwrap(), Moment::ZERO).standby, ["1", "3"]);
        assert_eq!(registry.everything().len(), 3);
        assert!(registry.retire("a", "1").is_ok() && registry.retire("a", "1").is_err());
        assert_eq!(registry.remove("a").len(), 2);
        assert!(registry.is_empty() && registry.everything().is_empty());
    }

    #[test]
    fn a_version_is_taken_out_alone() {
        let registry = Registry::default();
        let [first, second, third] = ["1", "2", "3"].map(|it| version(it, "s"));
        for entry in [&first, &second, &third] {
            registry.put(entry).unwrap();
        }
        assert!(matches!(registry.take_out(&first), TakenOut::Standby));
        assert!(matches!(registry.take_out(&first), TakenOut::Nothing));
        assert!(
            matches!(registry.take_out(&third), TakenOut::Next(next) if Arc::ptr_eq(&next, &second))
        );
        assert_eq!(second.state(), AgentState::Ready);
        assert_eq!(registry.with_skill("s").unwrap().len(), 1);
        assert!(matches!(registry.take_out(&second), TakenOut::Last));
        assert!(registry.is_empty() && registry.with_skill("s").is_none());
    }

    #[test]
    fn a_version_is_there_once() {
        let registry = Registry::default();
        registry.put(&version("1", "s")).unwrap();
        registry.put(&version("2", "s")).unwrap();
        for again in ["1", "2"] {
            let error = registry.put(&version(again, "s")).err().unwrap();
            assert_eq!(error.code(), Code::ALREADY_EXISTS);
        }
        for (name, version) in [("a", "3"), ("b", "1")] {
            let error = registry.switch(name, version).err().unwrap();
            assert_eq!(error.code(), Code::NOT_FOUND);
        }
    }
}
