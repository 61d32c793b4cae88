//! What is answered: a completion, whole or put together from its pieces.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::Asked;
use super::refuse::Refusals;
use super::spec::OpenAiSpec;
use crate::agent::connect::http::{HttpHead, cut};
use crate::port::failure as key;
use crate::port::{Outcome, Usage};
use crate::{Class, Code, Error, Result};

/// Bytes of all pieces together, at most.
const MOST: usize = super::ANSWER;
/// Tools that one answer calls, at most.
const TOOLS: usize = 1024;

/// A completion, or a piece of one.
#[derive(Deserialize)]
pub(super) struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Tokens>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    /// Of a piece.
    delta: Option<Message>,
    /// Of a whole.
    message: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Value>,
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolPiece>>,
}

#[derive(Deserialize)]
struct ToolPiece {
    index: Option<usize>,
    id: Option<String>,
    function: Option<FunctionPiece>,
}

#[derive(Default, Deserialize)]
struct FunctionPiece {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// What the pieces so far make.
#[derive(Default)]
pub(super) struct Answer {
    content: Option<String>,
    refusal: String,
    tools: BTreeMap<usize, Tool>,
    finish_reason: Option<String>,
    tokens: Option<Tokens>,
    ended: bool,
    bytes: usize,
}

#[derive(Default)]
struct Tool {
    id: String,
    name: String,
    arguments: String,
}

impl Answer {
    /// Adds a piece, and gives the text that it adds.
    pub(super) fn add(
        &mut self,
        chunk: Chunk,
        head: &HttpHead,
        refusals: &Refusals,
    ) -> Result<String> {
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(refusals.of(head, &json!({ "error": error })));
        }
        if let Some(tokens) = chunk.usage {
            self.tokens = Some(tokens);
        }
        let mut text = String::new();
        for choice in chunk.choices.unwrap_or_default() {
            if choice.index != 0 {
                continue;
            }
            if let Some(message) = choice.delta.or(choice.message) {
                self.add_message(message, &mut text)?;
            }
            if let Some(reason) = choice.finish_reason {
                self.finish_reason = Some(reason);
            }
        }
        if let Some(before) = &mut self.content {
            before.push_str(&text);
        }
        Ok(text)
    }

    fn add_message(&mut self, message: Message, text: &mut String) -> Result<()> {
        if let Some(content) = message.content.filter(|content| !content.is_null()) {
            self.content.get_or_insert_default();
            text.push_str(&text_of(&content));
        }
        self.bytes += text.len();
        if let Some(refusal) = message.refusal {
            self.bytes += refusal.len();
            self.refusal.push_str(&refusal);
        }
        for piece in message.tool_calls.into_iter().flatten() {
            self.add_tool(piece)?;
        }
        if self.bytes > MOST {
            return Err(protocol("the answer is longer than allowed").with("bytes", MOST));
        }
        Ok(())
    }

    fn add_tool(&mut self, piece: ToolPiece) -> Result<()> {
        let FunctionPiece { name, arguments } = piece.function.unwrap_or_default();
        let (id, name) = (piece.id.unwrap_or_default(), name.unwrap_or_default());
        let last = self.tools.last_key_value().map(|(index, _)| *index);
        // Some leave the index out: what has a name or an id of its own is another call then.
        let index = piece.index.or_else(|| {
            let known = self.tools.iter().find(|(_, tool)| !id.is_empty() && tool.id == id);
            known.map(|(index, _)| *index).or(last.filter(|_| id.is_empty() && name.is_empty()))
        });
        let index = index.unwrap_or_else(|| last.map_or(0, |last| last.saturating_add(1)));
        if self.tools.len() >= TOOLS && !self.tools.contains_key(&index) {
            return Err(protocol("the answer calls more tools than allowed").with("tools", TOOLS));
        }
        let tool = self.tools.entry(index).or_default();
        // Text by the specification; some give the JSON itself.
        let arguments = match arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        self.bytes += id.len() + name.len() + arguments.len();
        if !id.is_empty() {
            tool.id = id;
        }
        tool.name.push_str(&name);
        tool.arguments.push_str(&arguments);
        Ok(())
    }

    /// The stream said that nothing comes any more.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether the model has said that it is done.
    pub(super) fn is_done(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Itself, unless its stream ended in the middle.
    pub(super) fn whole(self, head: &HttpHead) -> Result<Self> {
        if self.ended || self.is_done() {
            return Ok(self);
        }
        let error = Error::new(Code::IO, "the stream ended before the answer was whole")
            .operation("agent.openai")
            .with("bytes", self.bytes);
        Err(head.describe(error))
    }

    /// The outcome, in the form that was asked for.
    pub(super) fn outcome(self, asked: &Asked, spec: &OpenAiSpec) -> Result<Outcome> {
        let usage = self.tokens.as_ref().map(|tokens| {
            let (read, wrote) =
                (tokens.prompt_tokens.unwrap_or(0), tokens.completion_tokens.unwrap_or(0));
            let cost = read as f64 * spec.input_price + wrote as f64 * spec.output_price;
            Usage::new(read, wrote, cost / 1e6)
        });
        let outcome = if asked.plain { self.text()?.into() } else { self.object()?.into() };
        Ok(usage.into_iter().fold(outcome, Outcome::used))
    }

    fn text(self) -> Result<String> {
        let reason = self.finish_reason.unwrap_or_default();
        let failed = |what: String, code: &str| {
            let error = Error::new(Code::AGENT_FAILED, what).operation("agent.openai");
            Err(error.with(key::PROVIDER_CODE, code).classed(Class::Persistent))
        };
        if !self.refusal.is_empty() {
            return failed(format!("the model refused: {}", cut(&self.refusal, 500)), "refusal");
        }
        if reason == "content_filter" {
            return failed("the provider's filter stopped the answer".into(), "content_filter");
        }
        if !self.tools.is_empty() {
            return failed(
                "the model called a tool where a text was asked for".into(),
                "tool_calls",
            );
        }
        if self.content.is_none() && reason.is_empty() {
            return Err(protocol("the answer has no content"));
        }
        Ok(self.content.unwrap_or_default())
    }

    fn object(self) -> Result<Value> {
        if self.content.is_none()
            && self.tools.is_empty()
            && self.refusal.is_empty()
            && self.finish_reason.is_none()
        {
            return Err(protocol("the answer has no content"));
        }
        let tools: Vec<_> = self
            .tools
            .into_values()
            .map(|tool| {
                json!({"id": tool.id, "type": "function",
                    "function": {"name": tool.name, "arguments": tool.arguments}})
            })
            .collect();
        let mut object = json!({
            "content": self.content,
            "tool_calls": tools,
            "finish_reason": self.finish_reason,
        });
        if !self.refusal.is_empty()
            && let Some(fields) = object.as_object_mut()
        {
            fields.insert("refusal".to_owned(), self.refusal.into());
        }
        Ok(object)
    }
}

/// Text, or the text of an array of parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}

fn protocol(what: &'static str) -> Error {
    Error::new(Code::AGENT_PROTOCOL, what).operation("agent.openai")
}
