//! What a file says of an agent: [`DeclaredAgent`].

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

#[cfg(feature = "a2a")]
use crate::agent::connect::a2a::{A2aAgent, A2aSpec};
#[cfg(all(unix, feature = "mcp"))]
use crate::agent::connect::mcp::{McpAgent, McpSpec, McpTransport};
#[cfg(feature = "openai")]
use crate::agent::connect::openai::{OpenAiAgent, OpenAiSpec};
#[cfg(unix)]
use crate::agent::connect::process::{ProcessAgent, ProcessSpec};
use crate::port::{Agent, AgentCard};
use crate::{Code, Error, Result};

/// An agent as a file declares it: one of `process`, `mcp`, `openai` and `a2a`, each in the form that the
/// operations `agent.add_process`, `agent.add_mcp` (its `spec`), `agent.add_openai` and `agent.add_a2a` take,
/// and for the first two a `card`, without which they are asked who they are.
///
/// ```toml
/// [process]
/// command = ["python3", "reviewer.py"]
/// start_timeout = "5s"
///
/// [card]
/// name = "reviewer"
/// skills = ["review"]
/// ```
///
/// In TOML a field `…_ms` is a duration, under its name without the suffix. A program runs in the
/// directory of the file, unless its `cwd` says otherwise; a `cwd` that is relative begins there.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DeclaredAgent {
    /// Who it is, where that is known: of a process or an MCP server.
    pub card: Option<AgentCard>,
    /// A program that speaks JSON lines.
    #[cfg(unix)]
    pub process: Option<ProcessSpec>,
    /// An MCP server.
    #[cfg(all(unix, feature = "mcp"))]
    pub mcp: Option<McpSpec>,
    /// A model behind an OpenAI-compatible endpoint.
    #[cfg(feature = "openai")]
    pub openai: Option<OpenAiSpec>,
    /// An agent of the A2A protocol.
    #[cfg(feature = "a2a")]
    pub a2a: Option<A2aSpec>,
}

impl DeclaredAgent {
    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Code::INVALID`].
    pub fn validate(&self) -> Result<()> {
        let kinds = self.kinds();
        let carded = kinds.iter().any(|kind| matches!(*kind, "process" | "mcp"));
        match kinds.as_slice() {
            [_] if self.card.is_none() || carded => {}
            [kind] => {
                return Err(invalid(format!("{kind:?} says itself who the agent is"))
                    .with("field", "card")
                    .advice("leave the card out"));
            }
            [] => {
                return Err(invalid("it does not say what the agent is".to_owned())
                    .advice(format!("add one of {}", known().join(", "))));
            }
            [first, second, ..] => {
                return Err(invalid(format!("it is both {first:?} and {second:?}"))
                    .with("field", second)
                    .advice("give each agent a file of its own"));
            }
        }
        #[cfg(unix)]
        if let Some(spec) = &self.process {
            within("process", spec.validate())?;
        }
        #[cfg(all(unix, feature = "mcp"))]
        if let Some(spec) = &self.mcp {
            within("mcp", spec.validate())?;
        }
        #[cfg(feature = "openai")]
        if let Some(spec) = &self.openai {
            within("openai", spec.validate())?;
        }
        #[cfg(feature = "a2a")]
        if let Some(spec) = &self.a2a {
            within("a2a", spec.validate())?;
        }
        Ok(())
    }

    /// The name that the agent will have, where the declaration says it.
    pub fn name(&self) -> Option<Arc<str>> {
        #[cfg(all(unix, feature = "mcp"))]
        if let Some(spec) = &self.mcp {
            return Some(Arc::from(&*spec.name));
        }
        #[cfg(feature = "openai")]
        if let Some(spec) = &self.openai {
            return Some(Arc::from(&*spec.name));
        }
        #[cfg(feature = "a2a")]
        if let Some(spec) = &self.a2a {
            return spec.name.as_deref().map(Arc::from);
        }
        self.card.as_ref().map(|card| Arc::clone(&card.name))
    }

    /// Makes the agent; `directory` is where its file is. May block, for as long as it takes to ask it who it
    /// is.
    ///
    /// # Errors
    /// As [`validate`](Self::validate), and what the connector says.
    #[cfg_attr(not(unix), allow(unused_variables, reason = "no programs there"))]
    pub fn make(&self, directory: &Path) -> Result<Arc<dyn Agent>> {
        self.validate()?;
        #[cfg(unix)]
        if let Some(spec) = &self.process {
            let spec = placed(spec.clone(), directory);
            return Ok(match &self.card {
                Some(card) => Arc::new(ProcessAgent::new(card.clone(), spec)),
                None => Arc::new(ProcessAgent::described(spec)?),
            });
        }
        #[cfg(all(unix, feature = "mcp"))]
        if let Some(spec) = &self.mcp {
            let mut spec = spec.clone();
            if let McpTransport::Stdio(process) = spec.transport {
                spec.transport = McpTransport::Stdio(placed(process, directory));
            }
            return Ok(match &self.card {
                Some(card) => Arc::new(McpAgent::new(spec, card.clone())?),
                None => Arc::new(McpAgent::connect(spec)?),
            });
        }
        #[cfg(feature = "openai")]
        if let Some(spec) = &self.openai {
            return Ok(Arc::new(OpenAiAgent::new(spec.clone())?));
        }
        #[cfg(feature = "a2a")]
        if let Some(spec) = &self.a2a {
            return Ok(Arc::new(A2aAgent::connect(spec.clone())?));
        }
        Err(invalid("it does not say what the agent is".to_owned()))
    }

    fn kinds(&self) -> Vec<&'static str> {
        let said: &[(&'static str, bool)] = &[
            #[cfg(unix)]
            ("process", self.process.is_some()),
            #[cfg(all(unix, feature = "mcp"))]
            ("mcp", self.mcp.is_some()),
            #[cfg(feature = "openai")]
            ("openai", self.openai.is_some()),
            #[cfg(feature = "a2a")]
            ("a2a", self.a2a.is_some()),
        ];
        said.iter().filter_map(|(kind, said)| said.then_some(*kind)).collect()
    }
}

/// What a connector has to say against its spec, with the path of the field.
fn within(field: &'static str, checked: Result<()>) -> Result<()> {
    checked.map_err(|error| {
        let key = error.context().find(|(key, _)| *key == "key");
        let path = key.map_or_else(|| field.to_owned(), |(_, key)| format!("{field}.{key}"));
        error.with("field", path)
    })
}

/// The kinds that are built in.
fn known() -> Vec<&'static str> {
    vec![
        #[cfg(unix)]
        "process",
        #[cfg(all(unix, feature = "mcp"))]
        "mcp",
        #[cfg(feature = "openai")]
        "openai",
        #[cfg(feature = "a2a")]
        "a2a",
    ]
}

#[cfg(unix)]
fn placed(mut spec: ProcessSpec, directory: &Path) -> ProcessSpec {
    spec.cwd = Some(match spec.cwd.take() {
        Some(cwd) => directory.join(cwd),
        None => directory.to_owned(),
    });
    spec
}

fn invalid(what: String) -> Error {
    Error::new(Code::INVALID, what).operation("agent.discover")
}
