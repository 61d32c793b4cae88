//! Programs that say who they are: [`Executables`].

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::settle::{Mark, Settling};
use super::{trust, unreadable};
use crate::agent::connect::process::{ProcessAgent, ProcessSpec};
use crate::base::time::Moment;
use crate::port::{Agent, DiscoverySource, FoundAgent, Sighting};
use crate::{Code, Error, Result};

/// Which programs, and how they are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ExecutablesSpec {
    /// A directory: its files that are executable, but for those whose names begin with a dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Programs one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// The arguments that each is given, when it is asked and when it works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables that are set for each, beside the host's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// How long one may take until it is ready, and then until it has said who it is, in milliseconds.
    /// Default 5,000.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
}

fn timeout_ms() -> u64 {
    5_000
}

impl ExecutablesSpec {
    /// The programs of a directory.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self {
            directory: Some(path.into()),
            files: Vec::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            timeout_ms: timeout_ms(),
        }
    }

    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn validate(&self) -> Result<()> {
        let bad = |field: &str, what: &'static str| {
            Err(Error::new(Code::INVALID, what).operation("agent.source_add").with("field", field))
        };
        if self.directory.is_none() && self.files.is_empty() {
            return bad("directory", "a directory or files are needed");
        }
        if self.timeout_ms == 0 {
            return bad("timeout_ms", "a program must be allowed some time");
        }
        Ok(())
    }
}

/// Programs, each of which is asked who it is when it is new or has changed, and not at each look.
pub struct Executables {
    name: String,
    spec: ExecutablesSpec,
    settle: Duration,
    settling: Mutex<Settling>,
}

impl Executables {
    /// How often they are looked at unless somebody says.
    pub const EVERY: Duration = Duration::from_secs(5);

    /// These programs.
    ///
    /// # Errors
    /// As [`ExecutablesSpec::validate`].
    pub fn new(name: impl Into<String>, spec: ExecutablesSpec, settle: Duration) -> Result<Self> {
        spec.validate()?;
        Ok(Self { name: name.into(), spec, settle, settling: Mutex::default() })
    }

    /// The programs, sorted: those that are listed, and those of the directory that are executable.
    fn programs(&self) -> Result<Vec<PathBuf>> {
        let mut programs = self.spec.files.clone();
        if let Some(directory) = &self.spec.directory {
            let unreadable = |error| unreadable(directory, error);
            for entry in std::fs::read_dir(directory).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                let path = entry.path();
                if !hidden && std::fs::metadata(&path).is_ok_and(|it| is_executable(&it)) {
                    programs.push(path);
                }
            }
        }
        programs.sort_unstable();
        programs.dedup();
        Ok(programs)
    }

    fn look(&self, path: &Path, now: Moment) -> Result<Sighting> {
        // What is looked at is what is run, wherever links lead.
        let real = std::fs::canonicalize(path).map_err(|error| unreadable(path, error))?;
        let metadata = std::fs::metadata(&real).map_err(|error| unreadable(path, error))?;
        let mark = Mark::of(&metadata);
        if !self.settling.lock().is_settled(path, mark, now, self.settle) {
            return Ok(Sighting::Unsettled);
        }
        if !is_executable(&metadata) {
            return Err(Error::new(Code::INVALID, "the file is not executable")
                .operation("agent.discover")
                .with("path", path.display())
                .advice("allow it to be run: chmod +x"));
        }
        trust::trusted(&real)?;
        if path != real {
            trust::trusted(path)?;
        }
        let program = real.to_string_lossy().into_owned();
        let fingerprint = format!("{program} {}", mark.text());
        let mut spec = ProcessSpec::new(program)
            .args(self.spec.args.iter().cloned())
            .start_timeout(Duration::from_millis(self.spec.timeout_ms));
        spec.env.clone_from(&self.spec.env);
        Ok(Sighting::Here {
            fingerprint,
            make: Box::new(move || {
                ProcessAgent::described(spec).map(|agent| Arc::new(agent) as Arc<dyn Agent>)
            }),
        })
    }
}

impl DiscoverySource for Executables {
    fn name(&self) -> &str {
        &self.name
    }

    fn find(&self, now: Moment, sink: &mut dyn FnMut(FoundAgent)) -> Result<()> {
        let programs = self.programs()?;
        for path in &programs {
            let sighting = match self.look(path, now) {
                Ok(sighting) => sighting,
                // It is no longer there, or was listed and is not there yet.
                Err(error) if error.code() == Code::NOT_FOUND => {
                    if !self.spec.files.contains(path) {
                        continue;
                    }
                    Sighting::Gone(error)
                }
                Err(error) => Sighting::Refused(error),
            };
            let shown = path.to_string_lossy().into_owned();
            sink(FoundAgent::new(shown.clone(), shown, sighting));
        }
        self.settling.lock().keep(|path| programs.iter().any(|program| program == path));
        Ok(())
    }
}

fn is_executable(metadata: &std::fs::Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}
