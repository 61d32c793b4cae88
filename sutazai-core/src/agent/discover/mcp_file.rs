//! Configuration files of desktop clients: [`McpConfigFile`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::settle::{Mark, Settling};
use super::{text, trust, unreadable};
use crate::agent::connect::mcp::{McpAgent, McpConfig, McpSpec, well_named};
use crate::base::time::Moment;
use crate::port::{Agent, DiscoverySource, FoundAgent, Sighting};
use crate::{Error, Result};

/// Which file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct McpConfigFileSpec {
    /// The file, in the form `{"mcpServers": {…}}`.
    pub path: PathBuf,
}

/// A file in the form `mcpServers`: its servers that are not `disabled` become agents. One whose entry changes,
/// or a variable that stands in it, is reached anew, and so is one that has started again and offers other
/// tools than it did.
pub struct McpConfigFile {
    name: String,
    path: PathBuf,
    settle: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    settling: Settling,
    servers: BTreeMap<String, Known>,
    /// Counts the servers that were met, each with each of its entries: what stands in an entry is not shown.
    met: u64,
}

/// A server as it was met last.
struct Known {
    spec: McpSpec,
    number: u64,
    /// The agent that was made of it.
    agent: Arc<Mutex<Weak<McpAgent>>>,
}

impl McpConfigFile {
    /// How often one is looked at unless somebody says.
    pub const EVERY: Duration = Duration::from_secs(2);

    /// This file; it need not be there yet.
    pub fn new(name: impl Into<String>, spec: McpConfigFileSpec, settle: Duration) -> Self {
        Self { name: name.into(), path: spec.path, settle, state: Mutex::default() }
    }

    /// What the file says; nothing while it is being written.
    fn read(&self, now: Moment, state: &mut State) -> Result<Option<McpConfig>> {
        let metadata =
            std::fs::metadata(&self.path).map_err(|error| unreadable(&self.path, error))?;
        if !state.settling.is_settled(&self.path, Mark::of(&metadata), now, self.settle) {
            return Ok(None);
        }
        trust::trusted(&self.path)?;
        let (Some(text), _) = text::read(&self.path)? else { return Ok(None) };
        let config = McpConfig::parse(&text);
        config.map(Some).map_err(|error| error.with("path", self.path.display()))
    }

    fn refused(&self, error: Error) -> FoundAgent {
        let server = error.context().find(|(key, _)| *key == "server");
        let name = server.map_or_else(|| "?".to_owned(), |(_, name)| well_named(name));
        self.item(&name, Sighting::Refused(error.with("path", self.path.display())))
    }

    fn item(&self, name: &str, sighting: Sighting) -> FoundAgent {
        let origin = format!("{}: mcpServers.{name}", self.path.display());
        FoundAgent::new(name, origin, sighting)
    }

    fn server(&self, spec: McpSpec, state: &mut State) -> FoundAgent {
        let name = spec.name.clone();
        let before = state.servers.remove(&name).filter(|known| known.spec == spec);
        let known = before.filter(|known| !known.offers_others()).unwrap_or_else(|| {
            state.met += 1;
            Known { spec: spec.clone(), number: state.met, agent: Arc::default() }
        });
        let fingerprint = format!("{name} {}", known.number);
        let made = Arc::clone(&known.agent);
        state.servers.insert(name.clone(), known);
        let make = move || {
            let agent = Arc::new(McpAgent::connect(spec)?);
            *made.lock() = Arc::downgrade(&agent);
            Ok(agent as Arc<dyn Agent>)
        };
        let mut found = self.item(&name, Sighting::Here { fingerprint, make: Box::new(make) });
        found.agent = Some(Arc::from(name));
        found
    }
}

impl Known {
    /// Whether the server offers other tools now than when its agent was made.
    fn offers_others(&self) -> bool {
        let agent = self.agent.lock().upgrade();
        agent.is_some_and(|agent| agent.offers().is_some_and(|card| card != agent.card()))
    }
}

impl DiscoverySource for McpConfigFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn find(&self, now: Moment, sink: &mut dyn FnMut(FoundAgent)) -> Result<()> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut found = Vec::new();
        match self.read(now, state)? {
            Some(config) => {
                let servers: Vec<McpSpec> = config
                    .servers
                    .into_iter()
                    .filter(|server| !server.disabled)
                    .map(|server| server.spec)
                    .collect();
                state.servers.retain(|name, _| servers.iter().any(|spec| spec.name == *name));
                found.extend(servers.into_iter().map(|spec| self.server(spec, state)));
                found.extend(config.refused.into_iter().map(|error| self.refused(error)));
            }
            // What was there stays; one item stands for what is to come.
            None if state.servers.is_empty() => found.push(self.item("…", Sighting::Unsettled)),
            None => {
                let known = state.servers.keys();
                found.extend(known.map(|name| self.item(name, Sighting::Unsettled)));
            }
        }
        found.into_iter().for_each(sink);
        Ok(())
    }
}
