//! `sutazai.toml`: a kernel, described.

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use toml::de::DeTable;

use super::read::{Mistakes, Table, quoted};
use super::units;
use crate::base::error::{Location, Problems};
use crate::base::nearest::nearest;
use crate::port::RunMode;
use crate::{Code, Error, Result};

/// A kernel as its manifest describes it. Relative paths are resolved against the directory of the
/// manifest's file; everything left out has the default that stands with it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Manifest")]
#[non_exhaustive]
pub struct Manifest {
    /// Where the kernel keeps its state: a directory, or `":memory:"` for nowhere (`None`).
    /// Default `".sutazai"`.
    #[serde(serialize_with = "data_dir")]
    #[schemars(with = "Option<String>")]
    pub data_dir: Option<PathBuf>,
    /// Bounds.
    #[schemars(with = "Option<Limits>")]
    pub limits: Limits,
    /// Where log records go.
    #[schemars(with = "Option<Log>")]
    pub log: Log,
    /// The agents, each an `[[agent]]`; at most 10,000.
    #[serde(rename = "agent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<AgentEntry>>")]
    pub agents: Vec<AgentEntry>,
}

/// `[limits]`: bounds of the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(default)]
#[non_exhaustive]
pub struct Limits {
    /// Calls that may be under way at once, 1 to 10,000,000. Default 100,000.
    pub calls_in_flight: u32,
    /// Blocking jobs that may wait for a thread, 1 to 10,000,000. Default 65,536.
    pub queue: u32,
    /// Threads for blocking jobs, at most, 1 to 4,096. Default: the runtime's (8 a core, at least 32).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_threads: Option<u32>,
    /// The deadline of a call that names none, 1 ms to 7 days. Default `"30s"`.
    #[serde(serialize_with = "units::serialize")]
    #[schemars(with = "String")]
    pub deadline: Duration,
    /// How long a stopping kernel waits for calls in flight, 0 s to 1 day. Default `"10s"`.
    #[serde(serialize_with = "units::serialize")]
    #[schemars(with = "String")]
    pub drain: Duration,
}

/// `[log]`: where log records go.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(default)]
#[non_exhaustive]
pub struct Log {
    /// The least serious level that is kept. Default `"info"`.
    pub level: Level,
    /// Whether readable text goes to standard error. Default `"auto"`.
    pub terminal: Terminal,
    /// A file for JSON lines. Default: none beside the kernel's own log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// How serious a log record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps to find a defect.
    Debug,
    /// What operators want to know.
    #[default]
    Info,
    /// What may need attention.
    Warn,
    /// What failed.
    Error,
    /// Nothing is kept.
    Off,
}

/// Whether readable log text goes to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Terminal {
    /// When standard error is a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// One `[[agent]]`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AgentEntry {
    /// Unique: 1 to 128 letters, digits, `_`, `-`, `/`, `:` and `.`.
    pub name: String,
    /// What it is. Default `"process"`.
    #[schemars(with = "Option<AgentKind>")]
    pub kind: AgentKind,
    /// The program and its arguments. A program with a `/` in its name is a path relative to the
    /// manifest; another is looked up in `PATH`.
    pub command: Vec<String>,
    /// What it can do; at least one.
    pub skills: Vec<String>,
    /// One line on what it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(with = "Option<String>")]
    pub description: String,
    /// Where its calls run; a process is always on the pool. Default `"pool"`.
    #[schemars(with = "Option<RunMode>")]
    pub run: RunMode,
    /// Tasks at once, at most, 1 to 1,000,000. Default: no bound of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// The deadline of its tasks that name none, 1 ms to 7 days. Default: the kernel's.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "units::serialize_option")]
    #[schemars(with = "Option<String>")]
    pub deadline: Option<Duration>,
    /// Environment variables, added to the kernel's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub env: BTreeMap<String, String>,
    /// Its working directory. Default: the manifest's directory.
    #[schemars(with = "Option<String>")]
    pub cwd: PathBuf,
    /// The longest line it may write, 1 KiB to 1 GiB. Default `"1MiB"`.
    #[serde(serialize_with = "units::serialize_bytes")]
    #[schemars(with = "Option<String>")]
    pub max_line: u64,
    /// How long it has between being asked to stop and being killed, 0 s to 1 h. Default `"5s"`.
    #[serde(serialize_with = "units::serialize")]
    #[schemars(with = "Option<String>")]
    pub grace: Duration,
    /// When it is started again.
    #[schemars(with = "Option<Restart>")]
    pub restart: Restart,
    /// Free labels that policies and routers may read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub labels: BTreeMap<String, String>,
}

/// What an agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AgentKind {
    /// A process that speaks JSON lines on its standard input and output.
    #[default]
    Process,
}

/// `restart`: how often an agent that died is started again.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(default)]
#[non_exhaustive]
pub struct Restart {
    /// Restarts within the time below, at most, 0 to 1,000. Default 5.
    pub limit: u32,
    /// The time in which restarts are counted, 1 s to 1 day. Default `"1m"`.
    #[serde(serialize_with = "units::serialize")]
    #[schemars(with = "String")]
    pub within: Duration,
    /// The wait before the first restart, which doubles with each, 0 s to 1 h. Default `"100ms"`.
    #[serde(serialize_with = "units::serialize")]
    #[schemars(with = "String")]
    pub backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_in_flight: 100_000,
            queue: 65_536,
            pool_threads: None,
            deadline: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

#[allow(
    clippy::derivable_impls,
    reason = "the defaults are decided here, side by side with the others'"
)]
impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info, terminal: Terminal::Auto, file: None }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self { limit: 5, within: Duration::from_secs(60), backoff: Duration::from_millis(100) }
    }
}

const LARGEST: u64 = 4 << 20;
const MOST_AGENTS: usize = 10_000;
const MEMORY: &str = ":memory:";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
const INSTANT: Duration = Duration::ZERO;
const MILLISECOND: Duration = Duration::from_millis(1);

impl Manifest {
    /// Reads a manifest file of at most 4 MiB, and looks whether the directories and programs that
    /// it names are there.
    ///
    /// # Errors
    /// [`Code::MANIFEST_UNREADABLE`] with the file, when it cannot be read;
    /// [`Code::MANIFEST_INVALID`] as [`parse`](Self::parse).
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.to_string_lossy();
        let bytes = bytes_of(path)?;
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let lossy = String::from_utf8_lossy(&bytes);
                return Err(Error::new(Code::MANIFEST_INVALID, "not UTF-8 text")
                    .operation("config.manifest")
                    .at(Location::in_text(name, &lossy, good.len()))
                    .advice("save the file as UTF-8"));
            }
        };
        joined(read(&name, text, true))
    }

    /// Reads a manifest from text. `name` stands for the file in errors, and relative paths are
    /// resolved against its directory; the file system is not touched.
    ///
    /// # Errors
    /// [`Code::MANIFEST_INVALID`] with the place of the first mistake; [`Error::problems`] has all
    /// of them, in the order of the text.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        joined(Self::check(name, text))
    }

    /// As [`parse`](Self::parse), with each mistake an error of its own (at most 100). Text that is
    /// not TOML has its mistakes of syntax only.
    ///
    /// # Errors
    /// At least one.
    pub fn check(name: &str, text: &str) -> Result<Self, Vec<Error>> {
        read(name, text, false)
    }

    /// The JSON Schema of a manifest, for editors and documentation.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

fn joined(read: Result<Manifest, Vec<Error>>) -> Result<Manifest> {
    read.map_err(|errors| {
        Problems::join(errors)
            .unwrap_or_else(|| Error::new(Code::INTERNAL, "no mistake and no manifest"))
    })
}

fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |message: String| {
        Error::new(Code::MANIFEST_UNREADABLE, message)
            .operation("config.manifest")
            .with("file", path.display())
    };
    let file = std::fs::File::open(path).map_err(|error| {
        let advice = near_file(path);
        let what = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file",
            std::io::ErrorKind::PermissionDenied => "the file may not be read",
            _ => "the file cannot be opened",
        };
        let unreadable = unreadable(what.to_owned()).because(error);
        match advice {
            Some(advice) => unreadable.advice(advice),
            None => unreadable,
        }
    })?;
    let kind =
        file.metadata().map_err(|e| unreadable("the file cannot be read".into()).because(e))?;
    if kind.is_dir() {
        let advice = format!("name the file in it: {}", path.join("sutazai.toml").display());
        return Err(unreadable("it is a directory, not a file".into()).advice(advice));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable("the file cannot be read".into()).because(e))?;
    if bytes.len() as u64 > LARGEST {
        return Err(unreadable("the file is larger than 4 MiB".into())
            .advice("a manifest is a short text; is this another file?"));
    }
    Ok(bytes)
}

/// A file beside `path` with a similar name.
fn near_file(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = std::fs::read_dir(directory)
        .ok()?
        .take(1000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let near = nearest(wanted, names.iter().map(String::as_str))?;
    Some(format!("did you mean \"{near}\"?"))
}

fn read(name: &str, text: &str, look: bool) -> Result<Manifest, Vec<Error>> {
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
    let manifest = root_of(&mut root, &Base { directory: base, look });
    root.finish();
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
    }
}

fn limits_of(table: &mut Table<'_, '_, '_>) -> Limits {
    let default = Limits::default();
    Limits {
        calls_in_flight: table
            .number("calls_in_flight", 1..=10_000_000)
            .unwrap_or(default.calls_in_flight),
        queue: table.number("queue", 1..=10_000_000).unwrap_or(default.queue),
        pool_threads: table.number("pool_threads", 1..=4096),
        deadline: table.duration("deadline", MILLISECOND..=WEEK).unwrap_or(default.deadline),
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
    let deadline = table.duration("deadline", MILLISECOND..=WEEK);
    AgentEntry {
        name: name.to_owned(),
        kind,
        command: command_of(table, base),
        skills: skills_of(table),
        description: table.text("description").unwrap_or_default().to_owned(),
        run,
        concurrency: table.number("concurrency", 1..=1_000_000),
        deadline,
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
    let Some(cwd) = path(table, "cwd") else { return base.directory.to_owned() };
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

fn data_dir<S: serde::Serializer>(dir: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match dir {
        Some(dir) => dir.serialize(serializer),
        None => serializer.serialize_str(MEMORY),
    }
}
