//! Where agents are found: sources that are looked at again and again, and what follows from what they
//! say.
//!
//! A source is a [`DiscoverySource`](crate::port::DiscoverySource): it says what is there at present. What has
//! come, changed, gone or gone away since the last time is worked out by an [`Inventory`]; the kernel looks at
//! the sources, and registers and removes agents as it says.
//!
//! ```
//! use sutazai_core::agent::discover::{DiscoveryPolicy, SourceSpec};
//! use sutazai_core::kernel::Kernel;
//!
//! let kernel = Kernel::builder().build()?;
//! kernel.start()?;
//! let directory = tempfile::tempdir().unwrap();
//! let spec: SourceSpec = serde_json::from_value(serde_json::json!({
//!     "directory": {"path": directory.path()}
//! })).unwrap();
//! kernel.add_source_of("local", spec, DiscoveryPolicy::default())?;
//! let looks = kernel.discover(None)?;
//! assert!(looks[0].added.is_empty() && looks[0].error.is_none());
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! # Sources that are built in
//!
//! | [`SourceSpec`] | what an item is | looked at every |
//! |---|---|---|
//! | `directory` | a file `*.toml` or `*.json` of a directory, a [`DeclaredAgent`] | 2 s |
//! | `mcp_config` | a server of a file in the form `mcpServers` | 2 s |
//! | `a2a` | an address of an agent of the A2A protocol, listed or on a line of a file | 30 s |
//! | `executables` | a program that answers `describe`, listed or in a directory | 5 s |
//!
//! Python adds its entry points. A program is asked who it is as a [process agent](crate::agent::connect::process)
//! is: it is started, says `ready`, and answers the message `describe` with its card, within
//! [`ExecutablesSpec::timeout_ms`] each; then it is ended.
//!
//! # What is found
//!
//! - What is new is made and registered. A name that is taken stays with who has it, and the clash is told.
//! - What is gone is removed, with [`DiscoveryPolicy::grace_ms`] for its tasks, once it has been missing for
//!   [`DiscoveryPolicy::settle_ms`] and in two looks.
//! - What cannot be reached is *unreachable*: it gets no tasks, is looked at again after 1 s, 2 s, … up to the
//!   interval, and takes tasks again when it is back. After [`DiscoveryPolicy::away_ms`] it is removed.
//! - What is declared otherwise than before is made anew and takes over: as another version, with the one
//!   before standing by, where its card has another version, else in its place. Tasks under way finish with
//!   the one that has them.
//! - What cannot be made spares the rest of its source. It is told once, and tried again after a pause that
//!   doubles if another try may work, or else when it is declared otherwise or somebody asks for it. The
//!   agent that was made of it before stays.
//! - An agent that the host itself has removed or replaced is left alone until it is declared otherwise.
//! - A source that cannot be looked at says nothing about its agents: they stay.
//!
//! # Who may say what is run
//!
//! Files that lead to programs being run (the first two kinds, and programs themselves) are refused where
//! others can write to them or their directory ([`Code::DENIED`](crate::Code::DENIED)): when anybody may, or
//! when they belong to a user who is neither this process's nor root. Nothing is run that is not executable.
//! Between this check and the start somebody who may write there can still change them; the check finds
//! mistakes of administration, it is no wall against the owner.
//!
//! **Invariants.** An inventory does no I/O, reads no clock, and makes nothing. One bad item does not keep
//! the others of its source from being found. No agent is added twice, and none is removed that was not
//! found here.

#[cfg(feature = "a2a")]
mod addresses;
mod change;
mod declared;
mod directory;
#[cfg(unix)]
mod executables;
mod inventory;
#[cfg(all(unix, feature = "mcp"))]
mod mcp_file;
mod parallel;
mod policy;
mod settle;
mod spec;
#[cfg(test)]
mod tests;
mod text;
mod trust;
mod view;

#[cfg(feature = "a2a")]
pub use addresses::{A2aAddresses, A2aAddressesSpec};
pub use change::{CardChange, VersionChange};
pub use declared::DeclaredAgent;
pub use directory::{DirectorySpec, ManifestDirectory, ReadToml};
#[cfg(unix)]
pub use executables::{Executables, ExecutablesSpec};
pub(crate) use inventory::same;
pub use inventory::{Inventory, Seen, Step};
#[cfg(all(unix, feature = "mcp"))]
pub use mcp_file::{McpConfigFile, McpConfigFileSpec};
pub(crate) use parallel::side_by_side;
pub use policy::DiscoveryPolicy;
pub use spec::SourceSpec;
pub use view::{FoundView, ItemState, Look, SourceView};

use std::path::Path;

use crate::{Code, Error};

/// A file or directory that cannot be read.
fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let (code, message) = match error.kind() {
        std::io::ErrorKind::NotFound => (Code::NOT_FOUND, "there is no such file or directory"),
        _ => (Code::IO, "it cannot be read"),
    };
    Error::new(code, message)
        .operation("agent.discover")
        .with("path", path.display())
        .because(error)
}
