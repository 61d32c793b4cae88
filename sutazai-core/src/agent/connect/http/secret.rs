//! [`Secret`]: a key that is used and never shown.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::{Code, Error, Result};

/// A key or token, or the environment variable that holds it: in JSON a string, or `{"env": "NAME"}`.
///
/// It is not shown: `Debug` says `***`, and as JSON one that was given outright is `"***"`.
///
/// ```
/// use sutazai_core::agent::connect::http::Secret;
/// let key: Secret = serde_json::from_str(r#"{"env": "OPENAI_API_KEY"}"#)?;
/// assert_eq!(key, Secret::env("OPENAI_API_KEY"));
/// assert_eq!(format!("{:?}", Secret::new("sk-1234")), "Secret(***)");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "Form")]
#[schemars(with = "Form")]
pub struct Secret(Kept);

#[derive(Clone, PartialEq, Eq)]
enum Kept {
    Outright(String),
    Env(String),
}

/// As it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a string, or {\"env\": \"NAME\"}")]
enum Form {
    /// The value itself.
    Outright(String),
    /// The environment variable that holds it.
    Env(FromEnv),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FromEnv {
    /// The variable's name.
    env: String,
}

impl Secret {
    /// This value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Kept::Outright(value.into()))
    }

    /// The value of an environment variable, read each time it is needed.
    pub fn env(name: impl Into<String>) -> Self {
        Self(Kept::Env(name.into()))
    }

    /// The value.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when the environment variable is not set or not UTF-8.
    pub fn reveal(&self) -> Result<String> {
        match &self.0 {
            Kept::Outright(value) => Ok(value.clone()),
            Kept::Env(name) => std::env::var(name).map_err(|_| {
                Error::new(Code::NOT_FOUND, "the environment variable of a secret is not set")
                    .operation("agent.http")
                    .with("variable", name)
                    .advice("set it where the host is started, or give the value itself")
            }),
        }
    }
}

impl From<Form> for Secret {
    fn from(form: Form) -> Self {
        match form {
            Form::Outright(value) => Self::new(value),
            Form::Env(FromEnv { env }) => Self::env(env),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Kept::Outright(_) => serializer.serialize_str("***"),
            Kept::Env(name) => FromEnv { env: name.clone() }.serialize(serializer),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kept::Outright(_) => f.write_str("Secret(***)"),
            Kept::Env(name) => write!(f, "Secret(env {name})"),
        }
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}
