//! `[discovery]` of a manifest: where agents are found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::builder::Builder;
#[cfg(feature = "a2a")]
use crate::agent::discover::A2aAddressesSpec;
#[cfg(unix)]
use crate::agent::discover::ExecutablesSpec;
#[cfg(all(unix, feature = "mcp"))]
use crate::agent::discover::McpConfigFileSpec;
use crate::agent::discover::{DirectorySpec, DiscoveryPolicy, SourceSpec};
use crate::config::Section;
use crate::{Code, Error, Result};

/// The sources that agents are found in, by name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Discovery(BTreeMap<String, Entry>);

/// A source: one of its kinds, and how it is looked at. Paths that are relative begin at the manifest's
/// directory.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// A directory whose files each declare an agent.
    directory: Option<DirectorySpec>,
    /// A file in the form `mcpServers`.
    #[cfg(all(unix, feature = "mcp"))]
    mcp_config: Option<McpConfigFileSpec>,
    /// Addresses of agents of the A2A protocol.
    #[cfg(feature = "a2a")]
    a2a: Option<A2aAddressesSpec>,
    /// Programs that say who they are.
    #[cfg(unix)]
    executables: Option<ExecutablesSpec>,
    /// How often it is looked at, and how patient one is with what it says.
    policy: Option<DiscoveryPolicy>,
}

impl Entry {
    /// What it is, with its paths below `base`.
    fn spec(self, base: &Path) -> Result<(SourceSpec, DiscoveryPolicy)> {
        let within = |path: PathBuf| base.join(path);
        let kinds = [
            self.directory
                .map(|spec| SourceSpec::Directory(DirectorySpec { path: within(spec.path) })),
            #[cfg(all(unix, feature = "mcp"))]
            self.mcp_config
                .map(|spec| SourceSpec::McpConfig(McpConfigFileSpec { path: within(spec.path) })),
            #[cfg(feature = "a2a")]
            self.a2a.map(|spec| {
                SourceSpec::A2a(A2aAddressesSpec { file: spec.file.map(within), ..spec })
            }),
            #[cfg(unix)]
            self.executables.map(|spec| {
                let files = spec.files.into_iter().map(within).collect();
                let directory = spec.directory.map(within);
                SourceSpec::Executables(ExecutablesSpec { directory, files, ..spec })
            }),
        ];
        let policy = self.policy.unwrap_or_default();
        policy.validate().map_err(|error| error.with("part", "policy"))?;
        let mut kinds = kinds.into_iter().flatten();
        match (kinds.next(), kinds.next()) {
            (Some(spec), None) => {
                spec.validate()?;
                Ok((spec, policy))
            }
            _ => Err(Error::new(Code::INVALID, "a source is of one kind, and one only")
                .advice("give each source a table of its own")),
        }
    }
}

fn read(section: &Section) -> Result<Vec<(String, SourceSpec, DiscoveryPolicy)>, Vec<Error>> {
    let Discovery(entries) = section.read()?;
    let base = Path::new(section.file()).parent().unwrap_or(Path::new(""));
    let (mut sources, mut mistakes) = (Vec::new(), Vec::new());
    for (name, entry) in entries {
        match entry.spec(base) {
            Ok((spec, policy)) => sources.push((name, spec, policy)),
            Err(error) => mistakes.push(section.mistake(&[&name], &error)),
        }
    }
    if mistakes.is_empty() { Ok(sources) } else { Err(mistakes) }
}

/// What is wrong with the section.
pub(super) fn check(section: &Section) -> Vec<Error> {
    read(section).err().unwrap_or_default()
}

/// Takes what the section says over.
pub(super) fn take(mut builder: Builder, section: &Section) -> Builder {
    match read(section) {
        Ok(sources) => sources
            .into_iter()
            .fold(builder, |builder, (name, spec, policy)| builder.source_of(name, spec, policy)),
        Err(mistakes) => {
            builder.mistakes.extend(mistakes);
            builder
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Manifest;
    use crate::kernel::{Kernel, grammar};

    #[test]
    fn a_section_makes_sources() {
        let text = "[discovery.local]\ndirectory = { path = 'agents.d' }\n\
                    policy = { interval = '5s', away = '1m', jitter = 0.0 }\n";
        let manifest = Manifest::parse("/etc/fleet/sutazai.toml", text).unwrap();
        let sources = read(manifest.discovery.as_ref().unwrap()).unwrap();
        let (name, spec, policy) = &sources[0];
        let path = Path::new("/etc/fleet/agents.d").to_owned();
        assert_eq!((&**name, spec), ("local", &SourceSpec::Directory(DirectorySpec { path })));
        assert_eq!((policy.interval_ms, policy.away_ms), (Some(5_000), 60_000));
        let kernel = Kernel::builder().manifest(&manifest).build().unwrap();
        assert_eq!(kernel.sources()[0].interval_ms, 5_000);
    }

    #[test]
    fn mistakes_have_their_places() {
        let text = "[discovery.one]\n[discovery.two]\ndirectory = { paht = 'x' }\n";
        let found = grammar().check("m.toml", text).unwrap_err();
        assert_eq!(found[0].location().unwrap().line, 3);
        let text = "[discovery.one]\n[discovery.two]\ndirectory = { path = 'x' }\n\
                    policy = { jitter = 2.0 }\n";
        let found = grammar().check("m.toml", text).unwrap_err();
        let lines: Vec<u32> = found.iter().map(|error| error.location().unwrap().line).collect();
        assert_eq!(lines, [1, 4]);
    }
}
