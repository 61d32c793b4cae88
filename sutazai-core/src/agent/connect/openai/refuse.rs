//! What an endpoint says when it refuses, as an error of the library's.

use serde_json::Value;

use super::answer::Chunk;
use super::spec::OpenAiSpec;
use crate::agent::connect::http::{HttpHead, cut};
use crate::port::failure as key;
use crate::{Code, Error, Result};

/// Bytes of a message, at most.
const MESSAGE: usize = 1000;

/// Makes errors of refusals, without what must not be shown.
pub(super) struct Refusals {
    secrets: Vec<String>,
}

impl Refusals {
    pub(super) fn new(spec: &OpenAiSpec) -> Result<Self> {
        let given = spec.api_key.iter().chain(spec.headers.values());
        let mut secrets = given.map(|s| s.reveal()).collect::<Result<Vec<_>>>()?;
        // What is shorter is no secret, and cutting it out would garble the text.
        secrets.retain(|secret| secret.trim().len() >= 6);
        Ok(Self { secrets })
    }

    /// Of an answer that is no success.
    pub(super) fn of_body(&self, head: &HttpHead, body: &str) -> Error {
        match serde_json::from_str::<Value>(body) {
            Ok(body) => self.of(head, &body),
            Err(_) => {
                let error = new(format!("the endpoint answered with status {}", head.status()));
                head.describe(error.with("body", cut(self.clean(body).trim(), MESSAGE)))
            }
        }
    }

    /// Of `{"error": {"message", "type", "code"}}` and what endpoints make of it.
    pub(super) fn of(&self, head: &HttpHead, body: &Value) -> Error {
        // Some wrap it in an array.
        let body = body.get(0).unwrap_or(body);
        let told = body.get("error").filter(|told| !told.is_null()).unwrap_or(body);
        let text = |value: Option<&Value>| match value? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let said = text(told.get("message"))
            .or_else(|| text(body.get("message")))
            .or_else(|| text(body.get("detail")))
            .or_else(|| text(Some(told)))
            .unwrap_or_else(|| format!("the endpoint answered with status {}", head.status()));
        let mut error = new(cut(&self.clean(&said), MESSAGE).to_owned());
        if let Some(kind) = text(told.get("type")) {
            error = error.with(key::PROVIDER_TYPE, cut(&self.clean(&kind), 200));
        }
        if let Some(code) = text(told.get("code")) {
            error = error.with(key::PROVIDER_CODE, cut(&self.clean(&code), 200));
        }
        if let Some(parameter) = text(told.get("param")) {
            error = error.with("param", cut(&self.clean(&parameter), 200));
        }
        head.describe(error)
    }

    fn clean(&self, text: &str) -> String {
        let secrets = self.secrets.iter().map(|secret| secret.trim());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// A message of the model's own that became an error may hold a key as well.
    pub(super) fn scrubbed<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            if self.secrets.iter().any(|secret| error.message().contains(secret.trim())) {
                Error::new(error.code(), self.clean(error.message())).classed(error.class())
            } else {
                error
            }
        })
    }
}

/// One event of a stream.
pub(super) fn chunk(data: &str, head: &HttpHead) -> Result<Chunk> {
    serde_json::from_str(data).map_err(|e| {
        let error =
            Error::new(Code::AGENT_PROTOCOL, "an event of the stream is not a completion's")
                .operation("agent.openai")
                .with("reason", e);
        head.describe(error)
    })
}

fn new(message: String) -> Error {
    Error::new(Code::AGENT_FAILED, message).operation("agent.openai")
}
