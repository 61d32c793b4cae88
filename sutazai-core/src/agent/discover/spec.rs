//! Which of the built-in sources: [`SourceSpec`].

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(feature = "a2a")]
use super::addresses::{A2aAddresses, A2aAddressesSpec};
use super::directory::{DirectorySpec, ManifestDirectory, ReadToml};
#[cfg(unix)]
use super::executables::{Executables, ExecutablesSpec};
#[cfg(all(unix, feature = "mcp"))]
use super::mcp_file::{McpConfigFile, McpConfigFileSpec};
use super::policy::DiscoveryPolicy;
use crate::Result;
use crate::port::DiscoverySource;

/// One of the sources that are built in.
///
/// ```
/// use sutazai_core::agent::discover::SourceSpec;
/// let spec: SourceSpec = serde_json::from_str(r#"{"directory": {"path": "agents.d"}}"#)?;
/// assert!(matches!(spec, SourceSpec::Directory(_)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SourceSpec {
    /// A directory whose files each declare an agent, in TOML or JSON.
    Directory(DirectorySpec),
    /// A file in the form `mcpServers`, as desktop clients have it.
    #[cfg(all(unix, feature = "mcp"))]
    McpConfig(McpConfigFileSpec),
    /// Addresses of agents of the A2A protocol.
    #[cfg(feature = "a2a")]
    A2a(A2aAddressesSpec),
    /// Programs that speak JSON lines and say who they are.
    #[cfg(unix)]
    Executables(ExecutablesSpec),
}

impl SourceSpec {
    /// Makes the source. `toml` reads declarations in TOML; without it they are refused.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) when the spec is not in order.
    pub fn build(
        self,
        name: &str,
        policy: &DiscoveryPolicy,
        toml: Option<ReadToml>,
    ) -> Result<Arc<dyn DiscoverySource>> {
        let settle = Duration::from_millis(policy.settle_ms);
        Ok(match self {
            Self::Directory(spec) => {
                Arc::new(ManifestDirectory::new(name, spec, settle).toml(toml))
            }
            #[cfg(all(unix, feature = "mcp"))]
            Self::McpConfig(spec) => Arc::new(McpConfigFile::new(name, spec, settle)),
            #[cfg(feature = "a2a")]
            Self::A2a(spec) => Arc::new(A2aAddresses::new(name, spec)?),
            #[cfg(unix)]
            Self::Executables(spec) => Arc::new(Executables::new(name, spec, settle)?),
        })
    }

    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID), naming the field.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Directory(_) => Ok(()),
            #[cfg(all(unix, feature = "mcp"))]
            Self::McpConfig(_) => Ok(()),
            #[cfg(feature = "a2a")]
            Self::A2a(spec) => spec.validate(),
            #[cfg(unix)]
            Self::Executables(spec) => spec.validate(),
        }
    }

    /// How often it is looked at unless somebody says.
    pub fn every(&self) -> Duration {
        match self {
            Self::Directory(_) => ManifestDirectory::EVERY,
            #[cfg(all(unix, feature = "mcp"))]
            Self::McpConfig(_) => McpConfigFile::EVERY,
            #[cfg(feature = "a2a")]
            Self::A2a(_) => A2aAddresses::EVERY,
            #[cfg(unix)]
            Self::Executables(_) => Executables::EVERY,
        }
    }
}
