//! Where an agent is found, and how it is talked to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::connect::http::{HttpRequest, Secret};
use crate::agent::connect::millis;
use crate::{Code, Error, Result};

/// An agent of the A2A protocol.
///
/// ```
/// use sutazai_core::agent::connect::a2a::{A2aBinding, A2aSpec};
/// let spec: A2aSpec = serde_json::from_str(
///     r#"{"url": "https://agents.example.com/travel", "bearer": {"env": "TRAVEL_TOKEN"}}"#,
/// )?;
/// assert_eq!(spec.binding, A2aBinding::Auto);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct A2aSpec {
    /// Below which URL the card is found, at `/.well-known/agent-card.json` (or `agent.json`, as it was
    /// before 0.3), or the card's own URL, which ends in `.json`.
    pub url: String,
    /// The agent's name; the card's, made fit, without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the agent says it can do; the ids of the card's skills without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    /// A token, sent as `Authorization: Bearer …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Secret>,
    /// Headers that are sent besides; their values are not shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// Origins besides the URL's own (`https://api.example.com`) that may be given `bearer` and `headers`:
    /// the card says where the agent is, and could say anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// Which binding of the protocol is spoken.
    #[serde(default)]
    pub binding: A2aBinding,
    /// The card itself, where it is known already: it is not fetched then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Value>,
    /// How long a task may take. Default 300 s; the deadline of the task's caller holds where it is
    /// sooner.
    #[serde(default = "timeout", with = "millis", rename = "timeout_ms")]
    #[schemars(with = "u64")]
    pub timeout: Duration,
    /// How long fetching the card may take. Default 10 s.
    #[serde(default = "card_timeout", with = "millis", rename = "card_timeout_ms")]
    #[schemars(with = "u64")]
    pub card_timeout: Duration,
    /// Tasks at once, at most; no bound without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// A binding of the protocol to a transport.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum A2aBinding {
    /// The first of the card's that is known here; of the protocol's versions the newest.
    #[default]
    Auto,
    /// JSON-RPC 2.0 over HTTP.
    #[serde(rename = "jsonrpc")]
    JsonRpc,
    /// HTTP and JSON, a path for each operation.
    HttpJson,
}

impl A2aSpec {
    /// The agent below this URL; everything else as by default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: None,
            skills: Vec::new(),
            bearer: None,
            headers: BTreeMap::new(),
            origins: Vec::new(),
            binding: A2aBinding::Auto,
            card: None,
            timeout: timeout(),
            card_timeout: card_timeout(),
            concurrency: None,
        }
    }

    /// Sets the agent's name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets what the agent says it can do.
    #[must_use]
    pub fn skills<S: Into<String>>(mut self, skills: impl IntoIterator<Item = S>) -> Self {
        self.skills = skills.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the token.
    #[must_use]
    pub fn bearer(mut self, token: impl Into<Secret>) -> Self {
        self.bearer = Some(token.into());
        self
    }

    /// Sets a header that is sent besides.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Names another origin that may be given the token and the headers.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Sets the binding.
    #[must_use]
    pub fn binding(mut self, binding: A2aBinding) -> Self {
        self.binding = binding;
        self
    }

    /// Gives the card, which is not fetched then.
    #[must_use]
    pub fn card(mut self, card: Value) -> Self {
        self.card = Some(card);
        self
    }

    /// Sets how long a task may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long fetching the card may take.
    #[must_use]
    pub fn card_timeout(mut self, timeout: Duration) -> Self {
        self.card_timeout = timeout;
        self
    }

    /// Bounds the tasks at once.
    #[must_use]
    pub fn concurrency(mut self, most: u32) -> Self {
        self.concurrency = Some(most);
        self
    }

    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the key.
    pub fn validate(&self) -> Result<()> {
        let mut headed = HttpRequest::get(&self.url)?;
        for name in self.headers.keys() {
            headed = headed.header(name, "")?;
        }
        for origin in &self.origins {
            HttpRequest::get(origin)?;
        }
        if self.timeout.is_zero() || self.card_timeout.is_zero() {
            return Err(Error::new(Code::INVALID, "a task and a card must be allowed some time")
                .operation("agent.a2a")
                .with("key", "timeout_ms"));
        }
        Ok(())
    }

    /// With token and headers.
    pub(super) fn signed(&self, mut request: HttpRequest) -> Result<HttpRequest> {
        for (name, value) in &self.headers {
            request = request.secret(name, "", value)?;
        }
        match &self.bearer {
            Some(token) => request.secret("authorization", "Bearer ", token),
            None => Ok(request),
        }
    }

    /// Whether there is anything that must not go to just anybody.
    pub(super) fn has_secrets(&self) -> bool {
        self.bearer.is_some() || !self.headers.is_empty()
    }
}

fn timeout() -> Duration {
    Duration::from_secs(300)
}
fn card_timeout() -> Duration {
    Duration::from_secs(10)
}
