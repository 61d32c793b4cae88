//! What makes agents, by name: for hosts that do not speak Rust.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::MakeAgent;
use crate::base::nearest::nearest;
use crate::kernel::Kernel;
use crate::port::Agent;
use crate::{Code, Error, Result};

/// A name has at most so many bytes.
const LONGEST_NAME: usize = 256;

/// Makes agents, one for each life.
pub trait AgentFactory: Send + Sync + 'static {
    /// Makes an agent, which is started afterwards. Called on a thread that may block.
    ///
    /// # Errors
    /// Anything; it counts as a start that failed.
    fn make(&self) -> Result<Arc<dyn Agent>>;
}

impl<F: Fn() -> Result<Arc<dyn Agent>> + Send + Sync + 'static> AgentFactory for F {
    fn make(&self) -> Result<Arc<dyn Agent>> {
        self()
    }
}

/// Factories by name.
#[derive(Default)]
pub(in crate::kernel) struct Factories(Mutex<BTreeMap<String, Arc<dyn AgentFactory>>>);

impl Factories {
    /// What makes agents by this name.
    fn named(&self, name: &str) -> Result<MakeAgent> {
        let factories = self.0.lock();
        let Some(factory) = factories.get(name).cloned() else {
            let error = Error::new(Code::NOT_FOUND, "no factory of this name is registered")
                .with("factory", name);
            return Err(match nearest(name, factories.keys().map(String::as_str)) {
                Some(near) => error.advice(format!("did you mean '{near}'?")),
                None => error.advice("register it first: add_agent_factory"),
            });
        };
        Ok(Arc::new(move || factory.make()))
    }
}

impl Kernel {
    /// Registers what makes agents by a name, for [`supervise_agent_of`](Self::supervise_agent_of) and the
    /// operation `agent.supervise`.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`]; [`Code::INVALID`] for a name that is empty or longer than 256 bytes.
    pub fn add_agent_factory(&self, name: &str, factory: Arc<dyn AgentFactory>) -> Result<()> {
        let operation = |error: Error| Err(error.operation("agent.factory").with("factory", name));
        if name.is_empty() || name.len() > LONGEST_NAME {
            return operation(Error::new(Code::INVALID, "a factory's name has 1 to 256 bytes"));
        }
        let mut factories = self.shared.factories.0.lock();
        if factories.contains_key(name) {
            drop(factories);
            return operation(Error::new(Code::ALREADY_EXISTS, "there is a factory of this name"));
        }
        factories.insert(name.to_owned(), factory);
        Ok(())
    }

    /// The names of the factories of agents, sorted.
    pub fn agent_factories(&self) -> Vec<String> {
        self.shared.factories.0.lock().keys().cloned().collect()
    }

    /// As [`supervise_agent`](Self::supervise_agent), with what is registered under this name.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for a name that is not registered; as
    /// [`supervise_agent`](Self::supervise_agent).
    pub fn supervise_agent_of(&self, factory: &str, spec: super::Supervision) -> Result<Arc<str>> {
        let make = self.shared.factories.named(factory);
        self.supervise_agent(spec, make.map_err(|error| error.operation("agent.supervise"))?)
    }
}
