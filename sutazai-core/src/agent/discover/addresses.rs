//! Addresses of agents of the A2A protocol: [`A2aAddresses`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{side_by_side, text};
use crate::agent::connect::a2a::{A2aAgent, A2aSpec, Refreshed};
use crate::base::error::Location;
use crate::base::time::Moment;
use crate::port::{Agent, DiscoverySource, FoundAgent, Sighting};
use crate::{Class, Code, Error, Result};

/// Cards that are fetched side by side, at most.
const SIDE_BY_SIDE: usize = 8;

/// Which addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct A2aAddressesSpec {
    /// The agents, each where and how it is talked to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<A2aSpec>,
    /// A file with an address a line, read at each look. Empty lines and those that begin with `#` do not
    /// count. What is listed in `agents` as well is talked to as it says there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

impl A2aAddressesSpec {
    /// These addresses.
    pub fn new<S: Into<String>>(addresses: impl IntoIterator<Item = S>) -> Self {
        let agents = addresses.into_iter().map(A2aSpec::new).collect();
        Self { agents, file: None }
    }

    /// The addresses of a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { agents: Vec::new(), file: Some(path.into()) }
    }

    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn validate(&self) -> Result<()> {
        if self.agents.is_empty() && self.file.is_none() {
            return Err(Error::new(Code::INVALID, "agents or a file are needed")
                .operation("agent.source_add")
                .with("field", "agents"));
        }
        for (index, spec) in self.agents.iter().enumerate() {
            spec.validate().map_err(|error| error.with("field", format!("agents[{index}]")))?;
        }
        Ok(())
    }
}

/// Addresses of agents of the A2A protocol. Each look asks each of them for its card, with the entity tag that
/// it came with; eight at once.
pub struct A2aAddresses {
    name: String,
    spec: A2aAddressesSpec,
    known: Mutex<BTreeMap<String, Arc<A2aAgent>>>,
}

impl A2aAddresses {
    /// How often they are looked at unless somebody says.
    pub const EVERY: Duration = Duration::from_secs(30);

    /// These addresses.
    ///
    /// # Errors
    /// As [`A2aAddressesSpec::validate`].
    pub fn new(name: impl Into<String>, spec: A2aAddressesSpec) -> Result<Self> {
        spec.validate()?;
        Ok(Self { name: name.into(), spec, known: Mutex::default() })
    }

    /// What is listed, and what is wrong with those lines that are no addresses.
    fn listed(&self) -> Result<(BTreeMap<String, Listed>, Vec<FoundAgent>)> {
        let mut refused = Vec::new();
        let mut listed = BTreeMap::new();
        if let Some(path) = &self.spec.file {
            // It is read again at the next look if it is being written: addresses are short.
            let (text, _) = text::read(path)?;
            let text = text.ok_or_else(|| {
                Error::new(Code::IO, "the file changed while it was read")
                    .operation("agent.discover")
                    .with("path", path.display())
            })?;
            addresses(path, &text, &mut listed, &mut refused);
        }
        for spec in &self.spec.agents {
            let listed_here = Listed { spec: spec.clone(), origin: spec.url.clone() };
            listed.insert(spec.url.clone(), listed_here);
        }
        Ok((listed, refused))
    }

    fn ask(&self, listed: Listed) -> FoundAgent {
        let Listed { spec, origin } = listed;
        let url = spec.url.clone();
        let known = self.known.lock().get(&url).cloned();
        let sighting = match known.map(|agent| (agent.refresh(), agent)) {
            Some((Refreshed::Unchanged | Refreshed::Changed(_), agent)) => here(&url, &agent),
            Some((Refreshed::Gone(error), _)) => {
                self.known.lock().remove(&url);
                Err(gone(&url).because(error))
            }
            Some((Refreshed::Unreachable(error), _)) => Err(error),
            None => A2aAgent::connect(spec).map(Arc::new).and_then(|agent| {
                self.known.lock().insert(url.clone(), Arc::clone(&agent));
                here(&url, &agent)
            }),
        };
        match sighting {
            Ok((name, sighting)) => FoundAgent::new(url, origin, sighting).named(name),
            Err(error) => FoundAgent::new(url, origin, failed(error)),
        }
    }
}

struct Listed {
    spec: A2aSpec,
    origin: String,
}

fn here(url: &str, agent: &Arc<A2aAgent>) -> Result<(Arc<str>, Sighting)> {
    let fingerprint = format!("{url} {}", text::digest(&agent.said()));
    // The one that is asked for its card is not the one that does tasks: that one keeps what it was made of.
    let twin = agent.twin();
    let name = twin.card().name;
    let make = Box::new(move || Ok(Arc::new(twin) as Arc<dyn Agent>));
    Ok((name, Sighting::Here { fingerprint, make }))
}

fn failed(error: Error) -> Sighting {
    match error.code() {
        Code::NOT_FOUND => Sighting::Gone(error),
        _ if error.class() == Class::Transient => Sighting::Away(error),
        _ => Sighting::Refused(error),
    }
}

fn gone(url: &str) -> Error {
    Error::new(Code::NOT_FOUND, "no card of an A2A agent is there")
        .operation("agent.discover")
        .with("url", url)
}

fn addresses(
    path: &Path,
    text: &str,
    listed: &mut BTreeMap<String, Listed>,
    refused: &mut Vec<FoundAgent>,
) {
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let at = offset;
        offset += line.len();
        let url = line.trim();
        if url.is_empty() || url.starts_with('#') {
            continue;
        }
        let origin = format!("{}:{}", path.display(), number + 1);
        let spec = A2aSpec::new(url);
        match spec.validate() {
            Ok(()) => drop(listed.insert(url.to_owned(), Listed { spec, origin })),
            Err(error) => {
                let error = error.at(Location::in_text(path.to_string_lossy(), text, at));
                refused.push(FoundAgent::new(url, origin, Sighting::Refused(error)));
            }
        }
    }
}

impl DiscoverySource for A2aAddresses {
    fn name(&self) -> &str {
        &self.name
    }

    fn find(&self, _: Moment, sink: &mut dyn FnMut(FoundAgent)) -> Result<()> {
        let (listed, refused) = self.listed()?;
        self.known.lock().retain(|url, _| listed.contains_key(url));
        refused.into_iter().for_each(&mut *sink);
        let asked = listed.into_values().collect();
        side_by_side(asked, SIDE_BY_SIDE, |listed| self.ask(listed)).into_iter().for_each(sink);
        Ok(())
    }
}
