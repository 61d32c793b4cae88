//! The configuration files of desktop clients, in the form `mcpServers`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::super::http::Secret;
use super::super::process::ProcessSpec;
use super::catalogue::well_named;
use super::spec::{McpHttp, McpSpec};
use crate::base::reading;
use crate::{Code, Error, Result};

/// What a configuration file says.
///
/// ```
/// use sutazai_core::agent::connect::mcp::McpConfig;
/// let config = McpConfig::parse(r#"{"mcpServers": {
///     "time": {"command": "mcp-server-time", "args": ["--local-timezone", "${TZ:-UTC}"]},
///     "far": {"url": "https://example.com/mcp", "disabled": true}
/// }}"#)?;
/// let names: Vec<_> = config.servers.iter().map(|server| &*server.spec.name).collect();
/// assert_eq!(names, ["far", "time"]);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct McpConfig {
    /// The servers that can be used, by name.
    pub servers: Vec<McpServer>,
    /// What is wrong with those that cannot; the context `field` says which.
    pub refused: Vec<Error>,
}

/// A server of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct McpServer {
    /// The server. Its name is the one of the file, with `_` for what a name may not have.
    pub spec: McpSpec,
    /// Whether the file says not to use it.
    pub disabled: bool,
    /// Keys of the entry that mean nothing here.
    pub ignored: Vec<String>,
}

/// As clients write it. Other keys, here and in an entry, are theirs.
#[derive(Deserialize, schemars::JsonSchema)]
struct File {
    #[serde(rename = "mcpServers")]
    servers: BTreeMap<String, Entry>,
}

#[derive(Deserialize, schemars::JsonSchema)]
struct Entry {
    #[serde(rename = "type")]
    kind: Option<String>,
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    cwd: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    disabled: bool,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// What the type of a server may be here; without one it is what its other keys say.
const TYPES: [&str; 5] = ["", "stdio", "http", "streamable-http", "streamableHttp"];

impl McpConfig {
    /// Reads the text of a file. In `command`, `args`, `env`, `cwd`, `url` and `headers`, `${NAME}` and
    /// `${env:NAME}` stand for an environment variable of this process, and `${NAME:-text}` for the text
    /// where there is none.
    ///
    /// # Errors
    /// [`Code::INVALID`] with the place (not JSON) or the path (not the form) of the mistake. An entry
    /// that has the form and cannot be used is among [`refused`](Self::refused).
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_with(text, |name| std::env::var(name).ok())
    }

    /// As [`parse`](Self::parse), with variables from elsewhere.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let file: File = reading::from_json("agent.mcp_config", "MCP configuration", text)?;
        let mut config = Self::default();
        let mut names = BTreeSet::new();
        for (name, entry) in file.servers {
            match entry.into_server(&name, &variable) {
                Ok(server) if !names.insert(server.spec.name.clone()) => {
                    config.refused.push(mistake(&name, "", "another server has this name"));
                }
                Ok(server) => config.servers.push(server),
                Err(error) => config.refused.push(error),
            }
        }
        Ok(config)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is none; [`Code::IO`] when it cannot be read; as
    /// [`parse`](Self::parse).
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let (code, message) = match error.kind() {
                std::io::ErrorKind::NotFound => (Code::NOT_FOUND, "there is no such file"),
                _ => (Code::IO, "the file cannot be read"),
            };
            Error::new(code, message)
                .operation("agent.mcp_config")
                .with("path", path.display())
                .because(error)
        })?;
        Self::parse(&text).map_err(|error| error.with("path", path.display()))
    }

    /// The server of this name, as the file or this library writes it.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`], or why it cannot be used.
    pub fn server(&self, name: &str) -> Result<&McpServer> {
        let made = well_named(name);
        if let Some(server) = self.servers.iter().find(|server| server.spec.name == made) {
            return Ok(server);
        }
        let own =
            |error: &&Error| error.context().any(|(key, value)| key == "server" && value == name);
        match self.refused.iter().find(own) {
            Some(error) => Err(error.clone()),
            None => {
                Err(Error::new(Code::NOT_FOUND, "the configuration has no server of this name")
                    .operation("agent.mcp_config")
                    .with("server", name))
            }
        }
    }
}

impl Entry {
    fn into_server(
        self,
        name: &str,
        variable: &impl Fn(&str) -> Option<String>,
    ) -> Result<McpServer> {
        let full = |field: String, text: &str| {
            expanded(text, variable).map_err(|why| mistake(name, &field, &why))
        };
        let kind = self.kind.as_deref().unwrap_or_default();
        let made = well_named(name);
        let spec = match (kind, self.command, self.url) {
            ("sse", _, _) => {
                let what = "the transport of 2024 (HTTP+SSE) is not spoken here";
                return Err(mistake(name, "type", what)
                    .advice("see whether the server has an endpoint of the type \"http\""));
            }
            (other, _, _) if !TYPES.contains(&other) => {
                return Err(mistake(name, "type", "not a type of server")
                    .advice("use \"stdio\" or \"http\""));
            }
            (_, Some(_), Some(_)) => return Err(mistake(name, "", "both a command and a URL")),
            ("" | "stdio", Some(command), None) => {
                let mut process = ProcessSpec::new(full("command".to_owned(), &command)?);
                for (index, arg) in self.args.iter().enumerate() {
                    process = process.arg(full(format!("args[{index}]"), arg)?);
                }
                for (key, value) in self.env {
                    let value = full(format!("env.{key}"), &value)?;
                    process = process.env(key, value);
                }
                if let Some(directory) = &self.cwd {
                    process.cwd = Some(PathBuf::from(full("cwd".to_owned(), directory)?));
                }
                // Many are fetched by their launcher (npx, uvx) the first time.
                process = process.start_timeout(std::time::Duration::from_secs(60));
                McpSpec::stdio(made, process)
            }
            ("stdio", None, _) => return Err(mistake(name, "", "no command")),
            (_, None, Some(url)) => {
                let mut http = McpHttp::new(full("url".to_owned(), &url)?);
                for (key, value) in self.headers {
                    let value = full(format!("headers.{key}"), &value)?;
                    http = http.header(key, Secret::new(value));
                }
                McpSpec::http(made, http)
            }
            ("", None, None) => return Err(mistake(name, "", "neither a command nor a URL")),
            (_, _, None) => return Err(mistake(name, "", "no URL")),
        };
        spec.validate()
            .map_err(|error| error.with("field", path(name, "")).with("server", name))?;
        let ignored = self.rest.into_keys().collect();
        Ok(McpServer { spec, disabled: self.disabled, ignored })
    }
}

fn path(name: &str, field: &str) -> String {
    let dot = if field.is_empty() { "" } else { "." };
    format!("mcpServers.{name}{dot}{field}")
}

fn mistake(name: &str, field: &str, what: &str) -> Error {
    Error::new(Code::INVALID, what.to_owned())
        .operation("agent.mcp_config")
        .with("field", path(name, field))
        .with("server", name)
}

/// A text with its variables put in.
fn expanded(text: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        made.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            return Err("\"${\" without \"}\"".to_owned());
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let name = name.strip_prefix("env:").unwrap_or(name);
        let good = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            return Err(format!("\"${{{inside}}}\" is no environment variable"));
        }
        match (variable(name), default) {
            (Some(value), _) => made.push_str(&value),
            (None, Some(default)) => made.push_str(default),
            (None, None) => return Err(format!("the environment variable {name} is not set")),
        }
        rest = after;
    }
    made.push_str(rest);
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::connect::mcp::McpTransport;
    use proptest::prelude::*;

    fn variable(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/me".to_owned())
    }

    fn parse(text: &str) -> Result<McpConfig> {
        McpConfig::parse_with(text, variable)
    }

    #[test]
    fn a_file_of_a_desktop_client() {
        let config = parse(
            r#"{"globalShortcut": "", "mcpServers": {
                "my files": {"command": "npx", "args": ["-y", "server", "${HOME}/x"],
                    "env": {"A": "${env:HOME}", "B": "${NO:-b}"}, "cwd": "${HOME}", "alwaysAllow": []},
                "far": {"type": "http", "url": "https://h/mcp", "headers": {"Authorization": "Bearer ${HOME}"},
                    "disabled": true}}}"#,
        )
        .unwrap();
        assert!(config.refused.is_empty(), "{:?}", config.refused);
        let [far, files] = &config.servers[..] else { panic!("{config:?}") };
        assert!(far.disabled && !files.disabled);
        assert_eq!(
            (&*files.spec.name, &files.ignored[..]),
            ("my_files", &["alwaysAllow".to_owned()][..])
        );
        let McpTransport::Stdio(process) = &files.spec.transport else { panic!("{files:?}") };
        assert_eq!(process.command, ["npx", "-y", "server", "/home/me/x"]);
        assert_eq!((&*process.env["A"], &*process.env["B"]), ("/home/me", "b"));
        assert_eq!(process.cwd.as_deref(), Some(Path::new("/home/me")));
        let McpTransport::Http(http) = &far.spec.transport else { panic!("{far:?}") };
        assert_eq!(http.headers["Authorization"].reveal().unwrap(), "Bearer /home/me");
        assert!(!format!("{far:?}").contains("/home/me"));
        assert_eq!(config.server("my files").unwrap(), files);
        assert_eq!(config.server("x").unwrap_err().code(), Code::NOT_FOUND);
    }

    #[test]
    fn one_that_cannot_be_used_spares_the_others() {
        let config = parse(
            r#"{"mcpServers": {
                "a": {"command": "${MISSING}"}, "b": {}, "c": {"command": "x", "url": "http://h"},
                "d": {"type": "sse", "url": "http://h"}, "e": {"type": "magic"}, "f": {"url": "h"},
                "g": {"command": "x", "args": ["${input:key}"]}, "h": {"command": "x ${"},
                "i": {"command": ""}, "k l": {"command": "x"}, "k_l": {"command": "y"},
                "m": {"type": "http", "command": "x"}, "z": {"command": "x"}}}"#,
        )
        .unwrap();
        let names: Vec<_> = config.servers.iter().map(|server| &*server.spec.name).collect();
        assert_eq!(names, ["k_l", "z"]);
        let field =
            |error: &Error| error.context().find(|(key, _)| *key == "field").unwrap().1.to_owned();
        let fields: Vec<_> = config.refused.iter().map(field).collect();
        let expected = [
            "a.command",
            "b",
            "c",
            "d.type",
            "e.type",
            "f",
            "g.args[0]",
            "h.command",
            "i",
            "k_l",
            "m",
        ];
        assert_eq!(fields, expected.map(|field| format!("mcpServers.{field}")));
        let error = config.server("a").unwrap_err();
        assert_eq!(error.message(), "the environment variable MISSING is not set");
    }

    #[test]
    fn mistakes_have_their_place() {
        let error = parse("{\n  \"mcpServers\": {,}\n}").unwrap_err();
        assert_eq!(error.code(), Code::INVALID);
        let at = error.location().unwrap();
        assert_eq!((at.line, at.column), (2, 18), "{error}");
        let error = parse(r#"{"mcpServers": {"a": {"command": 7}}}"#).unwrap_err();
        assert_eq!(
            error.context().collect::<Vec<_>>(),
            [("field", "mcpServers.a.command")],
            "{error}"
        );
        let error = parse(r#"{"mcpServers": {"a": {"command": "x", "args": "y"}}}"#).unwrap_err();
        assert!(error.to_string().contains("mcpServers.a.args"), "{error}");
        assert_eq!(parse("{}").unwrap_err().code(), Code::INVALID);
        assert_eq!(McpConfig::read(Path::new("/no/file")).unwrap_err().code(), Code::NOT_FOUND);
    }

    proptest! {
        #[test]
        fn no_file_is_too_odd(text in ".{0,60}", value in "[${}a-zA-Z:\\-_]{0,20}") {
            let _ = parse(&text);
            let file = serde_json::json!({"mcpServers": {text: {"command": value, "args": [value]}}});
            let _ = parse(&file.to_string());
            if !value.contains("${") {
                prop_assert_eq!(expanded(&value, &variable), Ok(value));
            }
        }
    }
}
