//! Which server, and the bounds of talking to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::process::ProcessSpec;
use crate::agent::connect::millis;
use super::catalogue::well_named;
use super::era::Era;
use crate::{Code, Error, Result};

/// A server, and how it is talked to.
///
/// ```
/// use sutazai_core::agent::connect::mcp::McpSpec;
/// use sutazai_core::agent::connect::process::ProcessSpec;
///
/// let spec = McpSpec::stdio("time", ProcessSpec::new("mcp-server-time").arg("--utc"));
/// let json = serde_json::to_string(&spec)?;
/// assert_eq!(serde_json::from_str::<McpSpec>(&json)?, spec);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct McpSpec {
    /// The agent's name: 1 to 128 letters, digits, `_`, `-`, `/`, `:` and `.`.
    pub name: String,
    /// Where the server is.
    pub transport: McpTransport,
    /// Which of the two protocols it speaks, if that is known; it is found out without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub era: Option<Era>,
    /// How long it may take to answer `server/discover` before it counts as one of the older era, which
    /// need not answer at all. Default 3 s.
    #[serde(default = "probe_timeout", with = "millis", rename = "probe_timeout_ms")]
    #[schemars(with = "u64")]
    pub probe_timeout: Duration,
    /// How long a cancelled call keeps its place when nothing more is heard of it: a server that has
    /// stopped working on it does not say so. Default 1 s. Where the process has a `cancel_grace`, that
    /// holds, and the server is started again after it.
    #[serde(default = "cancel_hold", with = "millis", rename = "cancel_hold_ms")]
    #[schemars(with = "u64")]
    pub cancel_hold: Duration,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum McpTransport {
    /// A program that is started, and spoken to through its stdin and stdout.
    Stdio(ProcessSpec),
}

impl McpSpec {
    /// A server that is a program.
    pub fn stdio(name: impl Into<String>, process: ProcessSpec) -> Self {
        Self::new(name.into(), McpTransport::Stdio(process))
    }

    fn new(name: String, transport: McpTransport) -> Self {
        Self {
            name,
            transport,
            era: None,
            probe_timeout: probe_timeout(),
            cancel_hold: cancel_hold(),
        }
    }

    /// Says which of the two protocols it speaks.
    #[must_use]
    pub fn era(mut self, era: Era) -> Self {
        self.era = Some(era);
        self
    }

    /// Sets how long it may take to answer `server/discover`.
    #[must_use]
    pub fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.probe_timeout = timeout;
        self
    }

    /// Sets how long a cancelled call keeps its place when nothing is heard of it.
    #[must_use]
    pub fn cancel_hold(mut self, hold: Duration) -> Self {
        self.cancel_hold = hold;
        self
    }

    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the key.
    pub fn validate(&self) -> Result<()> {
        if well_named(&self.name) != self.name {
            return Err(Error::new(Code::INVALID, "not a name for an agent")
                .operation("agent.mcp")
                .with("name", self.name.chars().take(128).collect::<String>())
                .advice("use 1 to 128 letters, digits, '_', '-', '/', ':' and '.'"));
        }
        match &self.transport {
            McpTransport::Stdio(process) => process.validate(),
        }
    }
}

fn probe_timeout() -> Duration {
    Duration::from_secs(3)
}

fn cancel_hold() -> Duration {
    Duration::from_secs(1)
}
