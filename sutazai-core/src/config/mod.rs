//! Configuration. Its first part: the manifest, `sutazai.toml`, which describes a kernel.
//!
//! # Invariants
//!
//! - Every mistake in a manifest is an error with file, line, column and the offending line; all
//!   mistakes of a file are reported together ([`Error::problems`](crate::Error::problems)).
//! - Nothing is silently ignored: an unknown key is a mistake.
//! - Reading a manifest changes nothing and starts nothing.
//!
//! ```
//! use sutazai_core::config::Manifest;
//! let manifest = Manifest::parse("fleet/sutazai.toml", r#"
//!     [limits]
//!     timeout = "30s"
//!
//!     [[agent]]
//!     name = "reviewer"
//!     skills = ["review"]
//!     command = ["python3", "reviewer.py"]
//! "#)?;
//! assert_eq!(manifest.agents[0].name, "reviewer");
//! assert_eq!(manifest.data_dir.unwrap().to_str(), Some("fleet/.sutazai"));
//!
//! let error = Manifest::parse("sutazai.toml", "[limit]\n").unwrap_err();
//! assert_eq!(error.location().unwrap().line, 1);
//! assert_eq!(error.remedy(), Some("did you mean \"limits\"?"));
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod document;
mod form;
mod grammar;
mod manifest;
mod read;
mod section;
mod shape;
#[cfg(test)]
mod tests;
mod units;

pub use document::document;
pub use grammar::Grammar;
pub use manifest::{AgentEntry, AgentKind, Level, Limits, Log, Manifest, Restart, Terminal};
pub use section::Section;
