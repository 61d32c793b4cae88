//! Directories whose files each declare an agent: [`ManifestDirectory`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::declared::DeclaredAgent;
use super::settle::{Mark, Settling};
use super::{text, trust, unreadable};
use crate::base::reading::from_json;
use crate::base::time::Moment;
use crate::port::{DiscoverySource, FoundAgent, Sighting};
use crate::{Code, Error, Result};

/// Reads a declaration written in TOML: the file's name and its text. The room `config` knows how.
pub type ReadToml = fn(&str, &str) -> Result<DeclaredAgent>;

/// Which directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DirectorySpec {
    /// The directory. Its files `*.toml` and `*.json` each declare one agent; those whose names begin with a
    /// dot do not count, nor do directories below it.
    pub path: PathBuf,
}

/// A directory whose files each declare an agent, as a [`DeclaredAgent`] in TOML or JSON.
///
/// A file counts once it has stayed as it is for the settling time, by its own time or between two looks; it
/// is read again when its time, length, mode or inode have changed.
pub struct ManifestDirectory {
    name: String,
    path: PathBuf,
    settle: Duration,
    toml: Option<ReadToml>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    settling: Settling,
    read: HashMap<PathBuf, Read>,
}

/// A file as it was read last.
#[derive(Clone)]
struct Read {
    mark: Mark,
    fingerprint: String,
    declared: Result<Arc<DeclaredAgent>>,
}

impl ManifestDirectory {
    /// How often one is looked at unless somebody says.
    pub const EVERY: Duration = Duration::from_secs(2);

    /// This directory; it need not be there yet.
    pub fn new(name: impl Into<String>, spec: DirectorySpec, settle: Duration) -> Self {
        let path = spec.path;
        Self { name: name.into(), path, settle, toml: None, state: Mutex::default() }
    }

    /// Reads TOML too, with this.
    #[must_use]
    pub fn toml(mut self, read: Option<ReadToml>) -> Self {
        self.toml = read;
        self
    }

    /// The files that declare agents, sorted.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let unreadable = |error| unreadable(&self.path, error);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let path = entry.path();
            let declares = path.extension().is_some_and(|end| end == "toml" || end == "json");
            if declares && !name.as_encoded_bytes().starts_with(b".") && path.is_file() {
                files.push(path);
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    fn look(&self, path: &Path, now: Moment, state: &mut State) -> Result<Sighted> {
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, error))?;
        let mark = Mark::of(&metadata);
        if let Some(read) = state.read.get(path)
            && read.mark == mark
        {
            return Ok(Sighted::Read(read.clone()));
        }
        if !state.settling.is_settled(path, mark, now, self.settle) {
            return Ok(Sighted::Unsettled);
        }
        let (Some(text), mark) = text::read(path)? else { return Ok(Sighted::Unsettled) };
        let declared = trust::trusted(path).and_then(|()| self.parse(path, &text)).map(Arc::new);
        let read = Read { mark, fingerprint: text::digest(&text), declared };
        state.read.insert(path.to_owned(), read.clone());
        Ok(Sighted::Read(read))
    }

    fn parse(&self, path: &Path, text: &str) -> Result<DeclaredAgent> {
        let shown = path.to_string_lossy();
        let declared = match (path.extension().is_some_and(|end| end == "toml"), self.toml) {
            (false, _) => from_json("agent.discover", "agent's declaration", text),
            (true, Some(read)) => read(&shown, text),
            (true, None) => Err(Error::new(Code::UNSUPPORTED, "TOML is not read in this build")
                .operation("agent.discover")
                .advice("declare the agent in JSON, or build with feature `config`")),
        };
        // In TOML mistakes have their places, with the file.
        let with_path = |error: Error| match error.location() {
            Some(at) if at.file == shown => error,
            _ => error.with("path", path.display()),
        };
        let declared: DeclaredAgent = declared.map_err(with_path)?;
        declared.validate().map_err(with_path)?;
        Ok(declared)
    }
}

enum Sighted {
    Read(Read),
    Unsettled,
}

impl DiscoverySource for ManifestDirectory {
    fn name(&self) -> &str {
        &self.name
    }

    fn find(&self, now: Moment, sink: &mut dyn FnMut(FoundAgent)) -> Result<()> {
        let files = self.files()?;
        let mut found = Vec::with_capacity(files.len());
        {
            let mut state = self.state.lock();
            for path in &files {
                found.push(match self.look(path, now, &mut state) {
                    // It went between the listing and the look.
                    Err(error) if error.code() == Code::NOT_FOUND => continue,
                    looked => (path, looked),
                });
            }
            state
                .settling
                .keep(|path| files.binary_search_by(|file| file.as_path().cmp(path)).is_ok());
            state.read.retain(|path, _| files.binary_search(path).is_ok());
        }
        for (path, looked) in found {
            let item = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            let origin = path.to_string_lossy().into_owned();
            sink(match looked {
                Err(error) => FoundAgent::new(item, origin, Sighting::Refused(error)),
                Ok(Sighted::Unsettled) => FoundAgent::new(item, origin, Sighting::Unsettled),
                Ok(Sighted::Read(Read { declared: Err(error), .. })) => {
                    FoundAgent::new(item, origin, Sighting::Refused(error))
                }
                Ok(Sighted::Read(Read { declared: Ok(declared), fingerprint, .. })) => {
                    let (directory, name) = (self.path.clone(), declared.name());
                    let made = move || declared.make(&directory);
                    let mut found = FoundAgent::here(item, origin, fingerprint, made);
                    found.agent = name;
                    found
                }
            });
        }
        Ok(())
    }
}
