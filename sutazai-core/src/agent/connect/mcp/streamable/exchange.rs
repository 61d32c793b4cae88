//! One message that is posted, and what comes back.

use std::time::Duration;

use serde_json::Value;

use super::super::super::http::{HttpCall, HttpClient, HttpHead, HttpRequest, cut};
use super::super::era::Era;
use super::super::rpc::{self, Answer, Message};
use super::super::spec::McpHttp;
use crate::{Code, Error, Result};

/// How long the end of a stream is waited for after the answer.
const END: Duration = Duration::from_millis(10);
/// Bytes of a body in an error, at most.
const EXCERPT: usize = 500;

/// How messages are posted at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Speech {
    pub(super) era: Era,
    /// Empty before there is one.
    pub(super) revision: String,
    /// The session of the older era, where the server keeps one.
    pub(super) session: Option<String>,
}

/// A message, and what its headers say of it.
pub(super) struct Posted<'m> {
    pub(super) body: String,
    pub(super) method: &'m str,
    pub(super) tool: Option<&'m str>,
    pub(super) arguments: Vec<(String, String)>,
}

/// An answer as it came.
pub(super) struct Reached {
    pub(super) answer: Answer,
    pub(super) head: HttpHead,
}

/// No answer.
pub(super) enum Refusal {
    /// A status that is no success, and a body that is no message.
    Status(Box<HttpHead>, String),
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl<'m> Posted<'m> {
    pub(super) fn new(method: &'m str, body: String) -> Self {
        Self { body, method, tool: None, arguments: Vec::new() }
    }

    fn request(self, http: &McpHttp, speech: &Speech) -> Result<HttpRequest> {
        let mut request = HttpRequest::new("POST", &http.url)?
            .body("application/json", self.body.into_bytes())?
            .header("accept", "application/json, text/event-stream")?;
        for (name, value) in &http.headers {
            request = request.secret(name, "", value)?;
        }
        if !speech.revision.is_empty() {
            request = request.header("mcp-protocol-version", &speech.revision)?;
        }
        if let Some(session) = &speech.session {
            request = request.header("mcp-session-id", session)?;
        }
        if speech.era == Era::Modern {
            request = request.header("mcp-method", self.method)?;
            if let Some(tool) = self.tool {
                request = request.header("mcp-name", &super::params::encoded(tool))?;
            }
            for (name, value) in &self.arguments {
                request = request.header(name, value)?;
            }
        }
        Ok(request)
    }
}

/// Posts a request and reads until its answer. What comes before is handed to `heard`.
pub(super) fn ask(
    client: &HttpClient,
    http: &McpHttp,
    speech: &Speech,
    (id, posted): (u64, Posted<'_>),
    call: &HttpCall,
    heard: &mut dyn FnMut(Message),
) -> Result<Reached, Refusal> {
    let response = client.send(&posted.request(http, speech)?, call)?;
    let head = response.head().clone();
    let mut answer = None;
    let mut take = |text: &[u8]| {
        for message in rpc::parse(text).into_iter().flatten() {
            match message {
                Message::Answer(found) if found.id == Some(id) => {
                    answer.get_or_insert(found);
                }
                // A server that could not read the request cannot say which it was.
                Message::Answer(found) if found.id.is_none() && found.result.is_err() => {
                    answer.get_or_insert(found);
                }
                other => heard(other),
            }
        }
        answer.is_some()
    };
    if !head.is_success() {
        let (head, body) = response.refusal();
        take(body.as_bytes());
        return match answer {
            Some(answer) => Ok(Reached { answer, head }),
            None => Err(Refusal::Status(Box::new(head), body)),
        };
    }
    if head.content_type() == "text/event-stream" {
        let mut events = response.events(http.max_message);
        while let Some(event) = events.next() {
            if take(event?.data.as_bytes()) {
                // Its end, so that the connection can be used again; most come with the answer.
                events.hurry(END);
                let _ = events.next();
                break;
            }
        }
    } else {
        take(&response.bytes(http.max_message)?);
    }
    match answer {
        Some(answer) => Ok(Reached { answer, head }),
        None => Err(Refusal::Error(unanswered(&head))),
    }
}

/// Posts a message that is not answered.
pub(super) fn tell(
    client: &HttpClient,
    http: &McpHttp,
    speech: &Speech,
    posted: Posted<'_>,
    call: &HttpCall,
) -> Result<()> {
    let response = client.send(&posted.request(http, speech)?, call)?;
    response.success("agent.mcp").map(drop)
}

/// Ends a session of the older era.
pub(super) fn end(
    client: &HttpClient,
    http: &McpHttp,
    speech: &Speech,
    call: &HttpCall,
) -> Result<()> {
    let Some(session) = &speech.session else { return Ok(()) };
    let mut request = HttpRequest::new("DELETE", &http.url)?.header("mcp-session-id", session)?;
    request = request.header("mcp-protocol-version", &speech.revision)?;
    for (name, value) in &http.headers {
        request = request.secret(name, "", value)?;
    }
    client.send(&request, call).map(drop)
}

#[cold]
fn unanswered(head: &HttpHead) -> Error {
    let events = head.content_type() == "text/event-stream";
    let error = if events {
        Error::new(Code::IO, "the stream ended before the answer")
    } else {
        Error::new(Code::AGENT_PROTOCOL, "the response is not the answer of an MCP server")
            .with("content_type", cut(&head.content_type(), 100))
            .advice("see whether the URL is the one of its MCP endpoint")
    };
    head.describe(error.operation("agent.mcp"))
}

impl Refusal {
    /// Whether it says that the server does not know the newer era, rather than that it does not know or
    /// want this client, or cannot answer at the moment.
    pub(super) fn is_older(&self) -> bool {
        match self {
            Self::Status(head, _) => {
                let status = head.status();
                (400..500).contains(&status) && !is_personal(status)
            }
            Self::Error(error) => error.code() == Code::DEADLINE_EXCEEDED,
        }
    }

    /// Whether the session is over.
    pub(super) fn is_lost_session(&self) -> bool {
        match self {
            Self::Status(head, body) => lost_session(head.status(), body),
            Self::Error(_) => false,
        }
    }

    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Status(head, body) => {
                let error =
                    Error::new(Code::AGENT_FAILED, format!("HTTP status {}", head.status()))
                        .operation("agent.mcp")
                        .with("body", cut(body.trim(), EXCERPT));
                head.describe(error)
            }
            Self::Error(error) => error,
        }
    }
}

impl Reached {
    /// Whether the server does not know or want this client, or cannot answer at the moment.
    pub(super) fn is_turned_away(&self) -> bool {
        is_personal(self.head.status()) || self.head.status() >= 500
    }

    /// Whether what this side knows of the server no longer holds: its session is over, its tools want
    /// other headers, its revision is another.
    pub(super) fn is_out_of_date(&self, speech: &Speech) -> bool {
        let Err(error) = &self.answer.result else { return false };
        match error.code {
            -32020 | rpc::UNSUPPORTED_VERSION => true,
            _ => speech.session.is_some() && lost_session(self.head.status(), &error.message),
        }
    }

    /// What the status adds to an error.
    pub(super) fn describe(&self, error: Error) -> Error {
        if self.head.is_success() { error } else { self.head.describe(error) }
    }
}

/// 404 is what the specification says; some say 400, and that it was the session.
fn lost_session(status: u16, said: &str) -> bool {
    status == 404 || (status == 400 && said.to_ascii_lowercase().contains("session"))
}

fn is_personal(status: u16) -> bool {
    matches!(status, 401 | 403 | 407 | 408 | 429)
}

/// A request as it is posted.
pub(super) fn body(id: u64, method: &str, params: &Value) -> String {
    rpc::request(id, method, params).trim_end().to_owned()
}
