//! Rows of MCP servers: one becomes an agent, and what a configuration file says.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::Operation;
use crate::agent::connect::mcp::{McpAgent, McpConfig, McpServer, McpSpec, McpTransport};
use crate::port::{Agent as _, AgentCard};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "agent.add_mcp",
            "Registers an MCP server as an agent, or another version of one, whose skills are its tools, and \
             starts it when the kernel runs.",
            &[
                Code::INVALID,
                Code::ALREADY_EXISTS,
                Code::NOT_FOUND,
                Code::IO,
                Code::AGENT_START,
                Code::NOT_RUNNING,
                Code::DRAINING,
            ],
            add,
        ),
        Operation::blocking(
            "agent.mcp_config",
            "What an MCP configuration in the form of desktop clients (`mcpServers`) says; starts nothing.",
            &[Code::INVALID, Code::NOT_FOUND, Code::IO],
            config,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Add {
    /// The server and how it is talked to; this or `from`.
    spec: Option<McpSpec>,
    /// A server of a configuration; this or `spec`.
    from: Option<From>,
    /// Who it is; it is reached at once and asked itself without this. The name is the spec's.
    card: Option<AgentCard>,
    /// Whether it may take the place of another version of its name, which stands by then; else a name
    /// that is taken is an error.
    #[serde(default)]
    replace: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct From {
    /// The configuration's text; this or `path`.
    text: Option<String>,
    /// Its file; this or `text`.
    path: Option<PathBuf>,
    /// The server's name in it.
    server: String,
}

#[derive(Serialize, JsonSchema)]
struct Added {
    /// The name it is registered under.
    agent: Arc<str>,
    /// Its skills: the names of its tools.
    skills: Vec<String>,
}

fn add(surface: &Surface, request: Add) -> Result<Added> {
    let spec = match (request.spec, request.from) {
        (Some(spec), None) => spec,
        (None, Some(from)) => read(from.text, from.path)?.server(&from.server)?.spec.clone(),
        _ => return Err(one_of("spec", "from")),
    };
    let agent = match request.card {
        Some(card) => McpAgent::new(spec, card)?,
        None => McpAgent::connect(spec)?,
    };
    let card = agent.card();
    if request.replace {
        surface.kernel().replace_agent(agent)?;
    } else {
        surface.kernel().add_agent(agent)?;
    }
    Ok(Added { agent: card.name, skills: card.skills })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The text; this or `path`.
    text: Option<String>,
    /// The file; this or `text`.
    path: Option<PathBuf>,
}

#[derive(Serialize, JsonSchema)]
struct Configured {
    /// The servers that can be used, by name.
    servers: Vec<Listed>,
    /// What is wrong with those that cannot.
    #[schemars(with = "Vec<serde_json::Value>")]
    refused: Vec<Error>,
}

/// A server of a configuration. The values of variables and headers are not shown.
#[derive(Serialize, JsonSchema)]
struct Listed {
    /// Its name as an agent.
    name: String,
    /// The program and its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
    /// The directory that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<PathBuf>,
    /// The names of the environment variables that are set for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    /// Where it is, if it is no program.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The names of the headers that it is sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<String>,
    /// Whether the configuration says not to use it.
    disabled: bool,
    /// Keys of the entry that mean nothing here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<String>,
}

fn config(_: &Surface, request: Config) -> Result<Configured> {
    let config = read(request.text, request.path)?;
    let servers = config.servers.into_iter().map(Listed::new).collect();
    Ok(Configured { servers, refused: config.refused })
}

fn read(text: Option<String>, path: Option<PathBuf>) -> Result<McpConfig> {
    match (text, path) {
        (Some(text), None) => McpConfig::parse(&text),
        (None, Some(path)) => McpConfig::read(&path),
        _ => Err(one_of("text", "path")),
    }
}

impl Listed {
    fn new(server: McpServer) -> Self {
        let McpServer { spec, disabled, ignored, .. } = server;
        let mut listed = Self {
            name: spec.name,
            command: None,
            cwd: None,
            env: Vec::new(),
            url: None,
            headers: Vec::new(),
            disabled,
            ignored,
        };
        match spec.transport {
            McpTransport::Stdio(process) => {
                listed.command = Some(process.command);
                listed.cwd = process.cwd;
                listed.env = process.env.into_keys().collect();
            }
            McpTransport::Http(http) => {
                listed.url = Some(http.url);
                listed.headers = http.headers.into_keys().collect();
            }
        }
        listed
    }
}

fn one_of(one: &str, other: &str) -> Error {
    Error::new(Code::INVALID, format!("one of {one:?} and {other:?} is needed, and one only"))
        .operation("agent.mcp")
}
