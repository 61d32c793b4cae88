//! Rows of the agents that are reached over HTTP: models and agents of the A2A protocol.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::Operation;
#[cfg(feature = "a2a")]
use crate::agent::connect::a2a::{A2aAgent, A2aSpec};
#[cfg(feature = "openai")]
use crate::agent::connect::openai::{OpenAiAgent, OpenAiSpec};
use crate::port::Agent;
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        #[cfg(feature = "openai")]
        Operation::blocking(
            "agent.add_openai",
            "Registers a model behind an OpenAI-compatible endpoint as an agent, or another version of one; \
             connects with its first task.",
            &[Code::INVALID, Code::ALREADY_EXISTS, Code::NOT_RUNNING, Code::DRAINING],
            add_openai,
        ),
        #[cfg(feature = "a2a")]
        Operation::blocking(
            "agent.add_a2a",
            "Fetches the card of an agent of the A2A protocol and registers it, or another version of one.",
            &[
                Code::INVALID,
                Code::ALREADY_EXISTS,
                Code::NOT_FOUND,
                Code::UNSUPPORTED,
                Code::IO,
                Code::DEADLINE_EXCEEDED,
                Code::AGENT_FAILED,
                Code::AGENT_PROTOCOL,
                Code::NOT_RUNNING,
                Code::DRAINING,
            ],
            add_a2a,
        ),
    ]);
}

#[derive(Serialize, JsonSchema)]
struct Added {
    /// The name it is registered under.
    agent: Arc<str>,
}

fn add(surface: &Surface, agent: impl Agent, replace: bool) -> Result<Added> {
    let name = agent.card().name;
    if replace {
        surface.kernel().replace_agent(agent)?;
    } else {
        surface.kernel().add_agent(agent)?;
    }
    Ok(Added { agent: name })
}

#[cfg(feature = "openai")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddOpenAi {
    /// The endpoint, the model, and how it is asked.
    openai: OpenAiSpec,
    /// Whether it may take the place of another version of its name, which stands by then; else a name
    /// that is taken is an error.
    #[serde(default)]
    replace: bool,
}

#[cfg(feature = "openai")]
fn add_openai(surface: &Surface, request: AddOpenAi) -> Result<Added> {
    add(surface, OpenAiAgent::new(request.openai)?, request.replace)
}

#[cfg(feature = "a2a")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddA2a {
    /// Where the agent is found, and how it is talked to.
    a2a: A2aSpec,
    /// Whether it may take the place of another version of its name, which stands by then; else a name
    /// that is taken is an error.
    #[serde(default)]
    replace: bool,
}

#[cfg(feature = "a2a")]
fn add_a2a(surface: &Surface, request: AddA2a) -> Result<Added> {
    add(surface, A2aAgent::connect(request.a2a)?, request.replace)
}
