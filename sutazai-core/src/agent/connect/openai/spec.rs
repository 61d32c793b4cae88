//! Which endpoint, which model, and how it is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::connect::http::{HttpRequest, Secret};
use crate::agent::connect::millis;
use crate::{Code, Error, Result};

const COMPLETIONS: &str = "/chat/completions";

/// A model behind an OpenAI-compatible endpoint.
///
/// ```
/// use sutazai_core::agent::connect::openai::OpenAiSpec;
/// let spec: OpenAiSpec = serde_json::from_str(
///     r#"{"name": "writer", "base_url": "http://localhost:11434/v1", "model": "llama3.2",
///         "api_key": {"env": "OPENAI_API_KEY"}, "skills": ["write"]}"#,
/// )?;
/// assert!(spec.stream);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OpenAiSpec {
    /// The agent's name.
    pub name: String,
    /// The endpoint up to the version, as `https://api.openai.com/v1`; `/chat/completions` is added.
    pub base_url: String,
    /// The model, as the endpoint names it.
    pub model: String,
    /// What the agent says it can do. Default `["chat"]`.
    #[serde(default = "chat")]
    pub skills: Vec<String>,
    /// What it is for, one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The key, sent as `Authorization: Bearer …`. Without it no such header is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Secret>,
    /// Headers that are sent besides; their values are not shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// What the model is told first, where a task's messages do not begin with it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// How much chance there is in answers, 0 to 2; the endpoint's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Tokens of an answer, at most; the endpoint's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// What a million tokens cost that the model reads, in the host's unit of account.
    #[serde(default)]
    pub input_price: f64,
    /// What a million tokens cost that the model writes, in the host's unit of account.
    #[serde(default)]
    pub output_price: f64,
    /// How long a task may take. Default 120 s; the deadline of the task's caller holds where it is
    /// sooner.
    #[serde(default = "timeout", with = "millis", rename = "timeout_ms")]
    #[schemars(with = "u64")]
    pub timeout: Duration,
    /// Whether the answer comes in pieces. Default true.
    #[serde(default = "yes")]
    pub stream: bool,
    /// Tasks at once, at most; no bound without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

impl OpenAiSpec {
    /// A model at an endpoint; everything else as by default.
    pub fn new(
        name: impl Into<String>,
        base_url: impl Into<String>,
        model: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            base_url: base_url.into(),
            model: model.into(),
            skills: chat(),
            description: String::new(),
            api_key: None,
            headers: BTreeMap::new(),
            system: None,
            temperature: None,
            max_tokens: None,
            input_price: 0.0,
            output_price: 0.0,
            timeout: timeout(),
            stream: true,
            concurrency: None,
        }
    }

    /// Sets the key.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<Secret>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Sets what the agent says it can do.
    #[must_use]
    pub fn skills<S: Into<String>>(mut self, skills: impl IntoIterator<Item = S>) -> Self {
        self.skills = skills.into_iter().map(Into::into).collect();
        self
    }

    /// Sets a header that is sent besides.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Sets what the model is told first.
    #[must_use]
    pub fn system(mut self, prompt: impl Into<String>) -> Self {
        self.system = Some(prompt.into());
        self
    }

    /// Sets how much chance there is in answers, 0 to 2.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Bounds the tokens of an answer.
    #[must_use]
    pub fn max_tokens(mut self, most: u32) -> Self {
        self.max_tokens = Some(most);
        self
    }

    /// Sets what a million tokens cost that the model reads, and that it writes.
    #[must_use]
    pub fn prices(mut self, input: f64, output: f64) -> Self {
        (self.input_price, self.output_price) = (input, output);
        self
    }

    /// Sets how long a task may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets whether the answer comes in pieces.
    #[must_use]
    pub fn stream(mut self, stream: bool) -> Self {
        self.stream = stream;
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
        let bad = |key: &str, what: &'static str| {
            Err(Error::new(Code::INVALID, what).operation("agent.openai").with("key", key))
        };
        let mut headed = HttpRequest::get(&self.endpoint())?;
        for name in self.headers.keys() {
            headed = headed.header(name, "")?;
        }
        if self.model.is_empty() {
            return bad("model", "the model has no name");
        }
        if self.temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
            return bad("temperature", "the temperature must be 0 to 2");
        }
        if self.max_tokens == Some(0) {
            return bad("max_tokens", "an answer must be allowed at least one token");
        }
        let priced = |price: f64| price.is_finite() && price >= 0.0;
        if !priced(self.input_price) || !priced(self.output_price) {
            return bad("input_price", "a price must be a number, 0 or more");
        }
        if self.timeout.is_zero() {
            return bad("timeout_ms", "a task must be allowed some time");
        }
        Ok(())
    }

    /// Where completions are asked for.
    pub(super) fn endpoint(&self) -> String {
        format!("{}{COMPLETIONS}", self.base())
    }

    /// Where the list of its models is.
    pub(super) fn models(&self) -> String {
        format!("{}/models", self.base())
    }

    fn base(&self) -> &str {
        let base = self.base_url.trim_end_matches('/');
        base.strip_suffix(COMPLETIONS).unwrap_or(base)
    }
}

fn chat() -> Vec<String> {
    vec!["chat".to_owned()]
}
fn timeout() -> Duration {
    Duration::from_secs(120)
}
fn yes() -> bool {
    true
}
