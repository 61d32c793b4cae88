//! What is answered: [`HttpResponse`].

use std::io::{self, Read};
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::BodyReader;
use ureq::http::HeaderMap;

use super::call::HttpCall;
use super::events::EventReader;
use super::failure;
use crate::base::time::Moment;
use crate::port::failure as key;
use crate::{Class, Code, Error, Result};

/// How much of the body of a refusal is read.
const REFUSAL: usize = 64 << 10;
/// How much of it stands in an error's context.
const EXCERPT: usize = 500;
/// Headers that go into an error's context, at most, and bytes of each.
const TOLD: usize = 24;
const VALUE: usize = 256;

/// Status and headers of an answer.
#[derive(Clone, Debug)]
pub struct HttpHead {
    status: u16,
    headers: HeaderMap,
    url: String,
}

/// An answer, of which the body is still to be read.
pub struct HttpResponse {
    head: HttpHead,
    body: Body,
}

pub(super) struct Body {
    reader: BodyReader<'static>,
    call: HttpCall,
    until: Option<Moment>,
}

impl Body {
    /// Reads for so long at most, whatever the call's deadline is.
    pub(super) fn hurry(&mut self, time: Duration) {
        self.until = Some(Moment::now() + time);
    }
}

impl HttpHead {
    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of a header, whatever the case of its name; nothing when it is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The type of the body in lower case, without parameters; empty where the answer does not say.
    pub fn content_type(&self) -> String {
        let given = self.header("content-type").unwrap_or_default();
        given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Puts into an error's context what tells failures apart: the URL, the status, and the headers
    /// that say when, or whether, to try again.
    #[must_use]
    pub fn describe(&self, error: Error) -> Error {
        let mut error = error.with("url", &self.url).with(key::HTTP_STATUS, self.status);
        if let Some(wait) = self.header("retry-after") {
            error = error.with(key::RETRY_AFTER, cut(wait, VALUE));
        }
        let told = self.headers.iter().filter(|(name, _)| says_when(name.as_str())).take(TOLD);
        for (name, value) in told {
            if let Ok(value) = value.to_str() {
                error = error.with_key(name.as_str().to_owned(), cut(value, VALUE));
            }
        }
        for name in ["x-request-id", "request-id"] {
            if let Some(id) = self.header(name) {
                error = error.with("request_id", cut(id, VALUE));
            }
        }
        // Nothing about the request will be different the next time.
        match self.status {
            401 | 404 | 405 | 406 | 410 | 411 | 414 | 415 | 501 | 505
                if self.header("x-should-retry").is_none()
                    && self.header("retry-after").is_none() =>
            {
                error.classed(Class::Persistent)
            }
            _ => error,
        }
    }
}

impl HttpResponse {
    pub(super) fn new(
        response: ureq::http::Response<ureq::Body>,
        url: String,
        call: &HttpCall,
    ) -> Self {
        let (parts, body) = response.into_parts();
        let head = HttpHead { status: parts.status.as_u16(), headers: parts.headers, url };
        Self { head, body: Body { reader: body.into_reader(), call: call.clone(), until: None } }
    }

    /// Status and headers.
    pub fn head(&self) -> &HttpHead {
        &self.head
    }

    /// Itself when its status says success, or an error with the beginning of its body.
    ///
    /// # Errors
    /// [`Code::AGENT_FAILED`], with what [`HttpHead::describe`] adds.
    pub fn success(self, operation: &'static str) -> Result<Self> {
        if self.head.is_success() {
            return Ok(self);
        }
        let (head, body) = self.refusal();
        let error = Error::new(Code::AGENT_FAILED, format!("HTTP status {}", head.status))
            .operation(operation)
            .with("body", cut(body.trim(), EXCERPT));
        Err(head.describe(error))
    }

    /// The head and the beginning of the body as text, as far as it can be had: for an answer that is
    /// no success.
    pub fn refusal(self) -> (HttpHead, String) {
        let Self { head, body } = self;
        let mut text = Vec::new();
        // What cannot be read of it is no news beside the status.
        let _ = body.take(REFUSAL as u64).read_to_end(&mut text);
        (head, String::from_utf8_lossy(&text).into_owned())
    }

    /// The body, of `most` bytes at most.
    ///
    /// # Errors
    /// [`Code::AGENT_PROTOCOL`] when it is longer; [`Code::IO`] when it breaks off;
    /// [`Code::DEADLINE_EXCEEDED`] and [`Code::CANCELLED`] when the call ends.
    pub fn bytes(self, most: usize) -> Result<Vec<u8>> {
        let url = self.head.url;
        let mut bytes = Vec::new();
        let beyond = (most as u64).saturating_add(1);
        self.body
            .take(beyond)
            .read_to_end(&mut bytes)
            .map_err(|error| failure::of_io(error, &url))?;
        if bytes.len() > most {
            return Err(Error::new(Code::AGENT_PROTOCOL, "the answer is longer than allowed")
                .operation("agent.http")
                .with("url", url)
                .with("bytes", most));
        }
        Ok(bytes)
    }

    /// The body as JSON, of `most` bytes at most.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes); [`Code::AGENT_PROTOCOL`] when it is not JSON of this shape.
    pub fn json<T: DeserializeOwned>(self, most: usize) -> Result<T> {
        let head = self.head.clone();
        let bytes = self.bytes(most)?;
        serde_json::from_slice(&bytes).map_err(|e| {
            let begins = String::from_utf8_lossy(bytes.get(..EXCERPT).unwrap_or(&bytes));
            Error::new(Code::AGENT_PROTOCOL, "the answer is not the JSON that was expected")
                .operation("agent.http")
                .with("url", &head.url)
                .with("content_type", head.content_type())
                .with("reason", e)
                .with("body", begins.trim())
        })
    }

    /// The body as server-sent events, of `most` bytes each at most.
    pub fn events(self, most: usize) -> EventReader {
        EventReader::new(self.body, most, self.head.url)
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { reader, call, until } = self;
        let read = call.enter(*until, || reader.read(buffer));
        // An end that cancellation brought about looks like any other.
        if call.cancelled() {
            return Err(failure::Ended::Cancelled.into_io());
        }
        read
    }
}

/// Whether a header says when, or whether, to try again.
fn says_when(name: &str) -> bool {
    const BEGIN: [&str; 4] =
        ["x-ratelimit-", "ratelimit-", "x-rate-limit-", "anthropic-ratelimit-"];
    const WHOLE: [&str; 4] =
        ["retry-after-ms", "x-ms-retry-after-ms", "grpc-retry-pushback-ms", "x-should-retry"];
    WHOLE.contains(&name) || BEGIN.iter().any(|begin| name.starts_with(begin))
}

/// The beginning of a text, of `most` bytes at most.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}
