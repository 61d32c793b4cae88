//! `sutazai.toml`: a kernel, described.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::grammar::Grammar;
use super::section::Section;
use super::units;
use crate::base::nearest::nearest;
use crate::port::{RunMode, SkillCard};
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
    /// Templates that agents are made from, and pools of them: for the room `agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub create: Option<Section>,
    /// Guards, degradation, isolation, playbooks, the safe state: for the room `recovery`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub recovery: Option<Section>,
    /// Sources that agents are found in, by name: for the room `agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub discovery: Option<Section>,
    /// Who may log in and how, who may do what, keys, tokens, the audit log: for the room `security`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub security: Option<Section>,
    /// How often samples are taken, what is kept of them and where anomalies are looked for: for the room `monitor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub monitor: Option<Section>,
    /// Knobs that are tuned, pools that are scaled and what is divided, from the start: for the room `tune`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub tune: Option<Section>,
}

/// `[limits]`: bounds of the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(default)]
#[non_exhaustive]
pub struct Limits {
    /// Calls that may be under way at once, 1 to 10,000,000. Default 100,000.
    pub calls_in_flight: u32,
    /// Calls within calls, 1 to 1,000; 1 for none. Default 32.
    pub call_depth: u32,
    /// Blocking jobs that may wait for a thread, 1 to 10,000,000. Default 65,536.
    pub queue: u32,
    /// Threads for blocking jobs, at most, 1 to 4,096. Default: the runtime's (8 a core, at least 32).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_threads: Option<u32>,
    /// How long a call may take whose caller and agent do not say, 1 ms to 7 days. Default `"30s"`.
    #[serde(serialize_with = "units::serialize")]
    #[schemars(with = "String")]
    pub timeout: Duration,
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
    /// How long its tasks may take whose caller does not say, 1 ms to 7 days. Default: the kernel's.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "units::serialize_option")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,
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
    /// More of its skills, by their names: what they are for, the schemas of their inputs and outputs, and by
    /// what task it can be seen whether the agent has them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "about")]
    #[schemars(with = "Option<BTreeMap<String, SkillCard>>")]
    pub about: BTreeMap<String, SkillCard>,
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
            call_depth: 32,
            queue: 65_536,
            pool_threads: None,
            timeout: Duration::from_secs(30),
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

pub(super) const LARGEST: u64 = 4 << 20;
pub(super) const MEMORY: &str = ":memory:";

impl Manifest {
    /// Reads a manifest file of at most 4 MiB, and looks whether the directories and programs that
    /// it names are there. What its sections say that other rooms read is looked at when they do; for
    /// all at once see [`Grammar`].
    ///
    /// # Errors
    /// [`Code::MANIFEST_UNREADABLE`] with the file, when it cannot be read;
    /// [`Code::MANIFEST_INVALID`] as [`parse`](Self::parse).
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Grammar::new().read(path)
    }

    /// Reads a manifest from text. `name` stands for the file in errors, and relative paths are
    /// resolved against its directory; the file system is not touched.
    ///
    /// # Errors
    /// [`Code::MANIFEST_INVALID`] with the place of the first mistake; [`Error::problems`] has all
    /// of them, in the order of the text.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        Grammar::new().parse(name, text)
    }

    /// As [`parse`](Self::parse), with each mistake an error of its own (at most 100). Text that is
    /// not TOML has its mistakes of syntax only.
    ///
    /// # Errors
    /// At least one.
    pub fn check(name: &str, text: &str) -> Result<Self, Vec<Error>> {
        Grammar::new().check(name, text)
    }

    /// The JSON Schema of a manifest, for editors and documentation.
    pub fn schema() -> serde_json::Value {
        Grammar::new().schema()
    }
}

pub(super) fn joined(read: Result<Manifest, Vec<Error>>) -> Result<Manifest> {
    read.map_err(|errors| {
        Error::join(errors)
            .unwrap_or_else(|| Error::new(Code::INTERNAL, "no mistake and no manifest"))
    })
}

pub(super) fn bytes_of(path: &Path) -> Result<Vec<u8>> {
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
pub(super) fn near_file(path: &Path) -> Option<String> {
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

/// As it stands in a manifest: durations with their units.
fn about<S: serde::Serializer>(
    about: &BTreeMap<String, SkillCard>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let written = about.iter().map(|(skill, card)| {
        let mut written = serde_json::to_value(card).map_err(serde::ser::Error::custom)?;
        if let (Some(probe), Some(own)) = (written.get_mut("probe"), &card.probe)
            && let Some(probe) = probe.as_object_mut()
        {
            probe.remove("within_ms");
            probe.insert("within".to_owned(), units::show(own.within()).into());
        }
        Ok((skill, written))
    });
    written.collect::<Result<BTreeMap<_, _>, S::Error>>()?.serialize(serializer)
}

fn data_dir<S: serde::Serializer>(dir: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match dir {
        Some(dir) => dir.serialize(serializer),
        None => serializer.serialize_str(MEMORY),
    }
}
