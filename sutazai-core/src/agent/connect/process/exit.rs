//! How a process ended, as evidence for whoever has to find out why.

use std::collections::VecDeque;
use std::process::ExitStatus;

use crate::port::failure;
use crate::{Class, Code, Error};

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct ProcessExit {
    /// The status it exited with, unless a signal ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// The signal that ended it, by number and name: `9 (SIGKILL)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Why it was ended, when it was ended from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last lines that it wrote to stderr; at most 8 of at most 400 bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<String>,
}

impl ProcessExit {
    pub(super) fn new(
        status: Option<ExitStatus>,
        reason: Option<String>,
        stderr: Vec<String>,
    ) -> Self {
        let code = status.and_then(|s| s.code());
        let signal = status.filter(|s| s.code().is_none()).map(|s| {
            let text = s.to_string();
            text.strip_prefix("signal: ").map(str::to_owned).unwrap_or(text)
        });
        Self { status: code, signal, reason, stderr }
    }

    /// An error with all of this as context.
    pub(super) fn error(&self, code: Code, message: &'static str, agent: &str) -> Error {
        let mut error = Error::new(code, message).operation("agent.process").with("agent", agent);
        if let Some(status) = self.status {
            error = error.with(failure::EXIT_STATUS, status);
        }
        if let Some(signal) = &self.signal {
            error = error.with(failure::SIGNAL, signal);
        }
        if let Some(reason) = &self.reason {
            error = error.with("reason", reason);
        }
        if !self.stderr.is_empty() {
            error = error.with(failure::STDERR, self.stderr.join(" | "));
        }
        error
    }

    /// For the tasks that it had.
    pub(super) fn during_call(&self, agent: &str) -> Error {
        self.error(Code::AGENT_EXITED, "the agent's process ended during the call", agent)
    }

    /// For whoever starts another one in its place.
    pub(super) fn by_itself(&self, agent: &str) -> Error {
        self.error(Code::AGENT_EXITED, "the agent's process ended", agent)
    }

    /// For the tasks that come after it died too often.
    pub(super) fn too_often(&self, agent: &str) -> Error {
        let message = "the agent's process died too often and is not started again";
        self.error(Code::AGENT_EXITED, message, agent)
            .classed(Class::Persistent)
            .advice("see how it ended in the context; register the agent again to start over")
    }

    /// In one line, for logs.
    pub(super) fn summary(&self) -> String {
        let how = match (&self.status, &self.signal) {
            (Some(status), _) => format!("exit status {status}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "status unknown".to_owned(),
        };
        match &self.reason {
            Some(reason) => format!("{how}; {reason}"),
            None => how,
        }
    }
}

/// The last lines of something.
#[derive(Default)]
pub(super) struct Tail(VecDeque<String>);

const LINES: usize = 8;
const BYTES: usize = 400;

impl Tail {
    pub(super) fn push(&mut self, line: &str) {
        if self.0.len() >= LINES {
            self.0.pop_front();
        }
        self.0.push_back(shortened(line, BYTES).into_owned());
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.0.into()
    }
}

/// At most `most` bytes of a text, and `…` where it was cut.
pub(in crate::agent::connect) fn shortened(text: &str, most: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default()).into()
}
