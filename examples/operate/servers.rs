//! MCP servers that are installed, found out by discovery: of a few that are known and only read, and of a client's
//! file. Each is asked for something; the one that knows files is asked about every file.

use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use sutazai_core::agent::discover::{DiscoveryPolicy, SourceSpec};
use sutazai_core::kernel::Kernel;
use sutazai_core::port::Task;
use sutazai_core::{Code, Error, Result};

use super::fleet::Member;
use super::options::Options;

/// The skill of a server that says something about a file.
const ABOUT_FILE: &str = "get_file_info";
/// Servers are looked for once.
const ONCE: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a server may take for its first answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What discovery has found.
#[derive(Debug, Default, Serialize)]
pub struct Discovered {
    /// The servers.
    pub servers: Vec<Server>,
    /// What could not be had, and why.
    pub missing: Vec<(String, String)>,
}

/// A server.
#[derive(Debug, Serialize)]
pub struct Server {
    /// What the kernel knows it by.
    pub agent: String,
    /// What it says of itself.
    pub version: String,
    /// How many tools it has.
    pub tools: usize,
    /// The tool that it was asked for first.
    pub asked: Option<String>,
    /// Its answer, or what became of the call.
    pub answer: Option<String>,
    /// How long it took for it.
    pub seconds: Option<f64>,
}

/// Known servers: their programs, and what they are started with.
fn known(root: &Path) -> Vec<(&'static str, &'static str, Vec<String>)> {
    let mut servers = vec![
        ("files", "mcp-server-filesystem", vec![root.display().to_string()]),
        ("time", "mcp-server-time", Vec::new()),
    ];
    if let Some(repository) = repository(root) {
        let args = vec!["--repository".to_owned(), repository.display().to_string()];
        servers.push(("git", "mcp-server-git", args));
    }
    servers
}

/// The working tree of git's that a directory is in.
fn repository(root: &Path) -> Option<&Path> {
    root.ancestors().find(|directory| directory.join(".git").exists())
}

/// What shows that a server works: a tool that only reads, and what it takes.
fn question(skills: &[String], root: &Path) -> Option<(&'static str, Value)> {
    let repository = repository(root).unwrap_or(root);
    let questions = [
        (ABOUT_FILE, json!({"path": root})),
        ("git_branch", json!({"repo_path": repository, "branch_type": "local"})),
        ("get_current_time", json!({"timezone": "UTC"})),
    ];
    questions.into_iter().find(|(tool, _)| skills.iter().any(|skill| skill == tool))
}

/// A program by its name: on the path, or among those that the tests of this repository have installed.
fn installed(program: &str) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers");
    let ours = [ours.join("venv-mcp/bin"), ours.join("node-mcp/node_modules/.bin")];
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(ours);
    directories.map(|directory| directory.join(program)).find(|program| program.is_file())
}

/// Finds the servers, registers them, and asks each for something. The member of the fleet is the one that knows
/// files, if there is one.
///
/// # Errors
/// When what is found out cannot be written down.
pub fn discover(
    kernel: &Kernel,
    options: &Options,
    root: &Path,
) -> Result<(Discovered, Option<Member>)> {
    let mut discovered = Discovered::default();
    if let Some(file) = &options.mcp_config {
        let found = look(kernel, "client", file, &mut discovered)?;
        ask_all(kernel, root, found, &mut discovered);
    }
    let servers: serde_json::Map<String, Value> = known(root)
        .into_iter()
        .filter_map(|(name, program, args)| {
            Some((name.to_owned(), json!({"command": installed(program)?, "args": args})))
        })
        .collect();
    if let (false, Some(directory)) = (servers.is_empty(), kernel.data_dir()) {
        let file = directory.join("operate-mcp.json");
        let text = serde_json::to_vec_pretty(&json!({"mcpServers": servers})).unwrap_or_default();
        std::fs::write(&file, text).map_err(|error| {
            Error::new(Code::IO, "cannot write down the servers that were found")
                .with("path", file.display())
                .because(error)
        })?;
        let found = look(kernel, "installed", &file, &mut discovered)?;
        ask_all(kernel, root, found, &mut discovered);
    }
    let knows_files = discovered
        .servers
        .iter()
        .find(|server| server.asked.as_deref() == Some(ABOUT_FILE) && server.answer.is_some());
    let member = knows_files.map(|server| Member::found(&server.agent, ABOUT_FILE));
    Ok((discovered, member))
}

/// Has the kernel look at a file of the form that clients have; the names of those it found.
fn look(
    kernel: &Kernel,
    source: &str,
    file: &Path,
    discovered: &mut Discovered,
) -> Result<Vec<String>> {
    let spec: SourceSpec = serde_json::from_value(json!({"mcp_config": {"path": file}}))
        .map_err(|error| Error::new(Code::INTERNAL, "not a source").because(error))?;
    kernel.add_source_of(source, spec, DiscoveryPolicy::default().every(ONCE))?;
    let mut found = Vec::new();
    for look in kernel.discover(Some(source))? {
        found.extend(look.added.iter().map(ToString::to_string));
        let failed = look.failed.into_iter().map(|it| (it.item.to_string(), it.error));
        for (item, error) in failed.chain(look.error.map(|error| (source.to_owned(), Some(error))))
        {
            let why =
                error.map_or_else(|| "it could not be had".to_owned(), |it| format!("{it:#}"));
            discovered.missing.push((item, why));
        }
    }
    Ok(found)
}

fn ask_all(kernel: &Kernel, root: &Path, found: Vec<String>, discovered: &mut Discovered) {
    let began = Instant::now();
    let calls = found.into_iter().filter_map(|agent| {
        let card = kernel.agent(&agent)?.card;
        let question = question(&card.skills, root);
        let ticket = question.clone().map(|(tool, input)| {
            kernel.call(Task::new(tool, input).to_agent(agent.as_str()).timeout(ANSWER))
        });
        Some((agent, card, question, ticket))
    });
    // All are asked before one is waited for.
    let calls: Vec<_> = calls.collect();
    for (agent, card, question, ticket) in calls {
        let answer = ticket.map(|mut ticket| ticket.wait());
        let seconds = answer.is_some().then(|| began.elapsed().as_secs_f64());
        let answer = answer.and_then(|answer| match answer {
            Ok(outcome) => Some(first_line(&outcome.output.to_string())),
            Err(error) => {
                discovered.missing.push((agent.clone(), format!("{error:#}")));
                None
            }
        });
        discovered.servers.push(Server {
            agent,
            version: card.version,
            tools: card.skills.len(),
            asked: question.map(|(tool, _)| tool.to_owned()),
            answer,
            seconds,
        });
    }
}

/// What is shown of an answer.
fn first_line(answer: &str) -> String {
    const MOST: usize = 80;
    let text: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
    let text = match &text {
        Value::String(text) => text.as_str(),
        _ => answer,
    };
    let shown = text.split_whitespace().collect::<Vec<_>>().join(" ");
    shown.chars().take(MOST).collect()
}
