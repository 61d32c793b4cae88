//! Which server, and the bounds of talking to it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::http::{HttpRequest, Secret};
use super::super::process::ProcessSpec;
use super::catalogue::well_named;
use super::era::Era;
use crate::agent::connect::millis;
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
    /// A URL that is posted to ("streamable HTTP").
    Http(McpHttp),
}

/// A server behind a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct McpHttp {
    /// Its endpoint.
    pub url: String,
    /// Headers of every request, such as `Authorization`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// How long it may take to be reached and to say what it offers. Default 30 s.
    #[serde(default = "start_timeout", with = "millis", rename = "start_timeout_ms")]
    #[schemars(with = "u64")]
    pub start_timeout: Duration,
    /// How long a call may take that has no deadline of its own, or a later one. Default 10 min.
    #[serde(default = "call_timeout", with = "millis", rename = "call_timeout_ms")]
    #[schemars(with = "u64")]
    pub call_timeout: Duration,
    /// Bytes of an answer, or of an event of a stream, at most. Default 8 MiB.
    #[serde(default = "max_message")]
    pub max_message: usize,
    /// Calls at once, at most; each has a thread while it waits. Default 16, at least 1.
    #[serde(default = "in_flight")]
    pub in_flight: u32,
}

impl McpHttp {
    /// The server with this endpoint.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: BTreeMap::new(),
            start_timeout: start_timeout(),
            call_timeout: call_timeout(),
            max_message: max_message(),
            in_flight: in_flight(),
        }
    }

    /// Sets a header of every request.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Code::INVALID`].
    pub fn validate(&self) -> Result<()> {
        let mut request = HttpRequest::new("POST", &self.url)?;
        for name in self.headers.keys() {
            request = request.header(name, "")?;
        }
        if self.in_flight == 0 {
            return Err(Error::new(Code::INVALID, "at least one call at once must be allowed")
                .operation("agent.mcp")
                .with("key", "in_flight"));
        }
        Ok(())
    }
}

impl McpSpec {
    /// A server that is a program.
    pub fn stdio(name: impl Into<String>, process: ProcessSpec) -> Self {
        Self::new(name.into(), McpTransport::Stdio(process))
    }

    /// A server behind a URL.
    pub fn http(name: impl Into<String>, http: McpHttp) -> Self {
        Self::new(name.into(), McpTransport::Http(http))
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
            McpTransport::Http(http) => http.validate(),
        }
    }
}

fn probe_timeout() -> Duration {
    Duration::from_secs(3)
}

fn cancel_hold() -> Duration {
    Duration::from_secs(1)
}

fn start_timeout() -> Duration {
    Duration::from_secs(30)
}

fn call_timeout() -> Duration {
    Duration::from_secs(600)
}

fn max_message() -> usize {
    8 << 20
}

fn in_flight() -> u32 {
    16
}
