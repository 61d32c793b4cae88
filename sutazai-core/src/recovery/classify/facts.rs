//! What is known of a failure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Deserializer, de};

use super::{exit, io as system, rpc};
use crate::base::nearest::nearest;
use crate::{Class, Code};

/// What is known of a failure; all of it may be missing.
///
/// [`Facts::of`] reads them out of an [`Error`](crate::Error). A connector that knows more fills in
/// the fields itself, and JSON has the same names:
///
/// ```
/// use sutazai_core::recovery::Facts;
/// let facts = Facts {
///     http_status: Some(429),
///     provider_code: Some("rate_limit_exceeded".into()),
///     message: "Rate limit reached. Please try again in 20s.".into(),
///     ..Facts::default()
/// };
/// let same: Facts = serde_json::from_str(
///     r#"{"http_status": 429, "provider_code": "rate_limit_exceeded",
///         "message": "Rate limit reached. Please try again in 20s."}"#,
/// )?;
/// assert_eq!(facts.http_status, same.http_status);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Facts<'a> {
    /// The library's own code for it: in JSON its name or number.
    #[serde(deserialize_with = "code")]
    #[schemars(with = "Option<NumberOrName>")]
    pub code: Option<Code>,
    /// The class that the error itself declares. It decides when it differs from what the code
    /// stands for anyway, and is what remains when nothing else is known.
    pub class: Option<Class>,
    /// Code and class of the nearest of the library's errors that caused this one.
    #[serde(skip)]
    pub cause: Option<(Code, Class)>,
    /// What the error says.
    pub message: Cow<'a, str>,
    /// What the errors say that led to it, the nearest first.
    pub causes: Vec<Cow<'a, str>>,
    /// The error that led to it, when that is at hand; it and its own sources are read only if it
    /// comes to that.
    #[serde(skip)]
    pub source: Option<&'a (dyn std::error::Error + 'static)>,
    /// The status of the HTTP response.
    pub http_status: Option<u16>,
    /// Headers of the HTTP response; only those that say when, or whether, to try again are read.
    /// Names in any case.
    pub headers: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// The value of the header `Retry-After`, as it came.
    pub retry_after: Option<Cow<'a, str>>,
    /// The protocol that `rpc_code` belongs to.
    pub rpc: Option<Protocol>,
    /// The error code of a remote procedure call. For gRPC the status, in JSON also by name.
    #[serde(deserialize_with = "rpc_code")]
    #[schemars(with = "Option<NumberOrName>")]
    pub rpc_code: Option<i64>,
    /// The status that a process exited with.
    pub exit_status: Option<i32>,
    /// The signal that ended a process: in JSON its number or name.
    #[serde(deserialize_with = "signal")]
    #[schemars(with = "Option<NumberOrName>")]
    pub signal: Option<i32>,
    /// The last lines that a process wrote to its standard error.
    pub stderr: Option<Cow<'a, str>>,
    /// The error number of a system call, as Linux numbers them: in JSON also its name. What
    /// `getaddrinfo` answers is negative.
    #[serde(deserialize_with = "errno")]
    #[schemars(with = "Option<NumberOrName>")]
    pub errno: Option<i32>,
    /// The kind of an I/O error.
    #[serde(skip)]
    pub io: Option<io::ErrorKind>,
    /// The qualified name of an exception's type: `httpx.ConnectTimeout`.
    pub exception: Option<Cow<'a, str>>,
    /// The qualified names of the types that it derives from, nearest first.
    pub bases: Vec<Cow<'a, str>>,
    /// The kind of error as a provider's API names it: `rate_limit_error`.
    pub provider_type: Option<Cow<'a, str>>,
    /// The error code as a provider's API, or a platform, names it: `insufficient_quota`,
    /// `ThrottlingException`, `ECONNREFUSED`.
    pub provider_code: Option<Cow<'a, str>>,
    /// The SQLSTATE of a database's error.
    pub sqlstate: Option<Cow<'a, str>>,
}

impl<'a> Facts<'a> {
    /// Of a failure that is known by its text only.
    pub fn text(message: impl Into<Cow<'a, str>>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// The value of a header, whatever the case of its name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_ref())
    }
}

/// A protocol of remote procedure calls: the same number means different things in each.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Protocol {
    /// JSON-RPC 2.0, of which only the codes of the specification itself are known.
    JsonRpc,
    /// The Model Context Protocol.
    Mcp,
    /// The Agent2Agent protocol.
    #[serde(rename = "a2a")]
    A2a,
    /// gRPC; the codes are its statuses.
    Grpc,
}

impl Protocol {
    /// The protocol of this name: `json_rpc`, `mcp`, `a2a` or `grpc`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "json_rpc" => Some(Self::JsonRpc),
            "mcp" => Some(Self::Mcp),
            "a2a" => Some(Self::A2a),
            "grpc" => Some(Self::Grpc),
            _ => None,
        }
    }
}

/// A number, or the name that stands for one.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(untagged, expecting = "a number or a name")]
pub(super) enum NumberOrName {
    Number(i64),
    Name(String),
}

fn read<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    number: impl FnOnce(i64) -> Option<T>,
    name: impl FnOnce(&str) -> Option<T>,
    what: &'static str,
) -> Result<Option<T>, D::Error> {
    let (found, shown) = match Option::<NumberOrName>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(NumberOrName::Number(given)) => (number(given), given.to_string()),
        Some(NumberOrName::Name(given)) => (name(given.trim()), format!("{given:?}")),
    };
    found.map(Some).ok_or_else(|| de::Error::custom(format!("{shown} is not {what}")))
}

fn small(number: i64) -> Option<i32> {
    i32::try_from(number).ok()
}

fn signal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    read(deserializer, small, exit::signal_number, "a signal's number or name")
}

fn errno<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    read(deserializer, small, system::errno_number, "an error's number or name")
}

fn rpc_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let name = |name: &str| name.parse().ok().or_else(|| rpc::grpc_number(name));
    read(deserializer, Some, name, "a code, or the name of a gRPC status")
}

fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Code>, D::Error> {
    let number = |number: i64| u32::try_from(number).ok().and_then(Code::from_number);
    match Option::<NumberOrName>::deserialize(deserializer)? {
        None => Ok(None),
        Some(NumberOrName::Number(given)) => number(given)
            .map(Some)
            .ok_or_else(|| de::Error::custom(format!("no error has the code {given}"))),
        Some(NumberOrName::Name(given)) => code_named(&given).map(Some).ok_or_else(|| {
            let near = nearest(&given, Code::all().map(Code::name));
            let near = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
            de::Error::custom(format!("no error has the name {given:?}{near}"))
        }),
    }
}

/// The code of this name.
pub(super) fn code_named(name: &str) -> Option<Code> {
    Code::all().find(|code| code.name() == name)
}
