//! What looks for findings in something.

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::Result;

/// Looks for findings of one kind.
pub trait Scanner: Send + Sync + 'static {
    /// A short name: `rustsec`, `secrets`, …
    fn name(&self) -> &str;

    /// Scans a target and hands each finding to `sink` until that breaks off. May block.
    ///
    /// # Errors
    /// When the target cannot be scanned; single unreadable parts are findings.
    fn scan(
        &self,
        target: &Target,
        progress: &dyn Progress,
        sink: &mut dyn FnMut(Finding) -> ControlFlow<()>,
    ) -> Result<()>;
}

/// What is scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A folder and everything below it.
    Directory(PathBuf),
    /// One file.
    File(PathBuf),
}

/// Hears how far a long piece of work is.
pub trait Progress: Send + Sync {
    /// `done` of `total` steps, if the total is known.
    fn progress(&self, done: u64, total: Option<u64>);
}

/// How bad a finding is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Look at it when there is time.
    Low,
    /// Plan it.
    Medium,
    /// Soon.
    High,
    /// Now.
    Critical,
}

/// Something that a scanner found.
#[derive(
    Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[non_exhaustive]
pub struct Finding {
    /// The rule or advisory, as its publisher names it.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// Where: a path, with line and column where there are any.
    pub place: String,
    /// What, in one line.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(
        rule: impl Into<String>,
        severity: Severity,
        place: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { rule: rule.into(), severity, place: place.into(), message: message.into() }
    }
}
