//! From TOML tables to a [`Manifest`]: which keys there are, and what each must look like.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::grammar::Grammar;
use super::manifest::{
    AgentEntry, AgentKind, LARGEST, Level, Limits, Log, MEMORY, Manifest, Restart, Terminal,
    near_file,
};
use super::read::{Mistakes, Table};
use super::section::Section;
use crate::base::reading::say::quoted;
use crate::port::{RunMode, SkillCard};
use crate::{Error, Result};

const MOST_AGENTS: usize = 10_000;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
const INSTANT: Duration = Duration::ZERO;
const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) fn read(
    grammar: &Grammar,
    name: &str,
    text: &str,
    look: bool,
) -> Result<Manifest, Vec<Error>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut mistakes = Mistakes::new(name, text);
    if text.len() as u64 > LARGEST {
        mistakes.add(0, "the text is longer than 4 MiB", None);
        return Err(mistakes.finish());
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        mistakes.add(at, error.message(), None);
    }
    if !errors.is_empty() {
        return Err(mistakes.finish());
    }
    let base = Path::new(name).parent().unwrap_or(Path::new(""));
    let mut root = Table::new(document.get_ref(), 0, &mut mistakes);
    let mut manifest = root_of(&mut root, &Base { directory: base, look });
    let create = root.section("create");
    let recovery = root.section("recovery");
    let discovery = root.section("discovery");
    let security = root.section("security");
    let monitor = root.section("monitor");
    let tune = root.section("tune");
    root.finish();
    manifest.create = create.map(|table| Section::new("create", name, text, table));
    manifest.recovery = recovery.map(|table| Section::new("recovery", name, text, table));
    manifest.discovery = discovery.map(|table| Section::new("discovery", name, text, table));
    manifest.security = security.map(|table| Section::new("security", name, text, table));
    manifest.monitor = monitor.map(|table| Section::new("monitor", name, text, table));
    manifest.tune = tune.map(|table| Section::new("tune", name, text, table));
    let sections = [
        &manifest.create,
        &manifest.recovery,
        &manifest.discovery,
        &manifest.security,
        &manifest.monitor,
        &manifest.tune,
    ];
    for section in sections.into_iter().flatten() {
        mistakes.join(grammar.mistakes(section));
    }
    let found = mistakes.finish();
    if found.is_empty() { Ok(manifest) } else { Err(found) }
}

/// What relative paths are relative to, and whether to look at the files.
struct Base<'b> {
    directory: &'b Path,
    look: bool,
}

fn root_of(table: &mut Table<'_, '_, '_>, base: &Base<'_>) -> Manifest {
    let data_dir = path(table, "data_dir").unwrap_or(".sutazai");
    let limits = table.table("limits", limits_of).unwrap_or_default();
    let log = table.table("log", |table| log_of(table, base)).unwrap_or_default();
    let mut names: HashSet<String> = HashSet::new();
    let mut count = 0;
    let agents = table.tables("agent", |table| {
        count += 1;
        if count == MOST_AGENTS + 1 {
            table.wrong("", format!("more than {MOST_AGENTS} agents"), None);
        }
        let agent = agent_of(table, base);
        if !agent.name.is_empty() && !names.insert(agent.name.clone()) {
            let message = format!("there is an agent {} already", quoted(&agent.name));
            table.wrong("name", message, Some("give each agent a name of its own".to_owned()));
        }
        agent
    });
    Manifest {
        data_dir: (data_dir != MEMORY).then(|| base.directory.join(data_dir)),
        limits,
        log,
        agents,
        create: None,
        recovery: None,
        discovery: None,
        security: None,
        monitor: None,
        tune: None,
    }
}

fn limits_of(table: &mut Table<'_, '_, '_>) -> Limits {
    let default = Limits::default();
    Limits {
        calls_in_flight: table
            .number("calls_in_flight", 1..=10_000_000)
            .unwrap_or(default.calls_in_flight),
        call_depth: table.number("call_depth", 1..=1000).unwrap_or(default.call_depth),
        queue: table.number("queue", 1..=10_000_000).unwrap_or(default.queue),
        pool_threads: table.number("pool_threads", 1..=4096),
        timeout: table.duration("timeout", MILLISECOND..=WEEK).unwrap_or(default.timeout),
        drain: table.duration("drain", INSTANT..=DAY).unwrap_or(default.drain),
    }
}

fn log_of(table: &mut Table<'_, '_, '_>, base: &Base<'_>) -> Log {
    let levels = [
        ("trace", Level::Trace),
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
        ("off", Level::Off),
    ];
    let terminals =
        [("auto", Terminal::Auto), ("always", Terminal::Always), ("never", Terminal::Never)];
    Log {
        level: table.choice("level", &levels).unwrap_or_default(),
        terminal: table.choice("terminal", &terminals).unwrap_or_default(),
        file: path(table, "file").map(|file| base.directory.join(file)),
    }
}

fn agent_of(table: &mut Table<'_, '_, '_>, base: &Base<'_>) -> AgentEntry {
    table.require("name", "\"…\"");
    table.require("command", "[\"program\", \"argument\"]");
    table.require("skills", "[\"…\"]");
    let name = table.text("name").unwrap_or_default();
    if table.has("name") && !is_name(name) {
        let advice = "use 1 to 128 letters, digits, \"_\", \"-\", \"/\", \":\" and \".\"";
        table.wrong("name", format!("{} is not a valid name", quoted(name)), Some(advice.into()));
    }
    let kind = table.choice("kind", &[("process", AgentKind::Process)]).unwrap_or_default();
    let run = table
        .choice("run", &[("pool", RunMode::Pool), ("inline", RunMode::Inline)])
        .unwrap_or_default();
    if run == RunMode::Inline {
        table.wrong("run", "a process cannot run inline", Some("leave \"run\" out".to_owned()));
    }
    let timeout = table.duration("timeout", MILLISECOND..=WEEK);
    let skills = skills_of(table);
    AgentEntry {
        name: name.to_owned(),
        kind,
        command: command_of(table, base),
        about: about_of(table, &skills),
        skills,
        description: table.text("description").unwrap_or_default().to_owned(),
        run,
        concurrency: table.number("concurrency", 1..=1_000_000),
        timeout,
        env: env_of(table),
        cwd: cwd_of(table, base),
        max_line: table.bytes("max_line", 1 << 10..=1 << 30).unwrap_or(1 << 20),
        grace: table.duration("grace", INSTANT..=HOUR).unwrap_or(5 * SECOND),
        restart: table.table("restart", restart_of).unwrap_or_default(),
        labels: table.map("labels").unwrap_or_default(),
    }
}

fn restart_of(table: &mut Table<'_, '_, '_>) -> Restart {
    let default = Restart::default();
    Restart {
        limit: table.number("limit", 0..=1000).unwrap_or(default.limit),
        within: table.duration("within", SECOND..=DAY).unwrap_or(default.within),
        backoff: table.duration("backoff", INSTANT..=HOUR).unwrap_or(default.backoff),
    }
}

fn command_of(table: &mut Table<'_, '_, '_>, base: &Base<'_>) -> Vec<String> {
    let Some(words) = table.texts("command") else { return Vec::new() };
    let mut command: Vec<String> = Vec::with_capacity(words.len());
    for (number, (word, at)) in words.into_iter().enumerate() {
        if word.contains('\0') || (number == 0 && word.is_empty()) {
            table.wrong_at(at, "a program or argument cannot be empty here or hold a NUL", None);
        } else if number == 0 && word.contains('/') {
            let program = base.directory.join(word);
            if base.look && !program.is_file() {
                table.wrong_at(
                    at,
                    format!("there is no program {}", quoted(word)),
                    near_file(&program),
                );
            }
            command.push(program.to_string_lossy().into_owned());
        } else {
            command.push(word.to_owned());
        }
    }
    command
}

fn skills_of(table: &mut Table<'_, '_, '_>) -> Vec<String> {
    let mut skills: Vec<String> = Vec::new();
    for (skill, at) in table.texts("skills").unwrap_or_default() {
        if !is_name(skill) {
            let advice = "use 1 to 128 letters, digits, \"_\", \"-\", \"/\", \":\" and \".\"";
            table.wrong_at(
                at,
                format!("{} is not a valid skill", quoted(skill)),
                Some(advice.into()),
            );
        } else if skills.iter().any(|other| other == skill) {
            table.wrong_at(at, format!("the skill {} is there already", quoted(skill)), None);
        } else {
            skills.push(skill.to_owned());
        }
    }
    skills
}

/// What is said of skills, each of which is among the agent's own.
fn about_of(table: &mut Table<'_, '_, '_>, skills: &[String]) -> BTreeMap<String, SkillCard> {
    let about: BTreeMap<String, SkillCard> = table.typed_as("about").unwrap_or_default();
    if let Some(skill) = about.keys().find(|skill| !skills.contains(skill)) {
        let message =
            format!("\"about\" speaks of {}, which is not among the skills", quoted(skill));
        table.wrong("about", message, Some(format!("the skills are {}", skills.join(", "))));
    }
    about
}

fn env_of(table: &mut Table<'_, '_, '_>) -> BTreeMap<String, String> {
    let env = table.map("env").unwrap_or_default();
    for (name, value) in &env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let message = format!("{} cannot be an environment variable", quoted(name));
            table.wrong(
                "env",
                message,
                Some("names hold no \"=\", and nothing holds a NUL".into()),
            );
        }
    }
    env
}

fn cwd_of(table: &mut Table<'_, '_, '_>, base: &Base<'_>) -> PathBuf {
    let Some(cwd) = path(table, "cwd") else {
        // A program cannot be started in the directory of no name.
        let here = base.directory.as_os_str().is_empty();
        return if here { PathBuf::from(".") } else { base.directory.to_owned() };
    };
    let directory = base.directory.join(cwd);
    if base.look && !directory.is_dir() {
        table.wrong("cwd", format!("there is no directory {}", quoted(cwd)), near_file(&directory));
    }
    directory
}

fn path<'a>(table: &mut Table<'a, '_, '_>, key: &'static str) -> Option<&'a str> {
    let text = table.text(key)?;
    if text.is_empty() || text.contains('\0') {
        table.wrong(key, format!("\"{key}\" is not a path"), None);
        return None;
    }
    Some(text)
}

fn is_name(text: &str) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | '.');
    (1..=128).contains(&text.len()) && text.chars().all(valid)
}
