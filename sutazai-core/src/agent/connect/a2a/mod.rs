//! An agent of the Agent2Agent protocol, versions 1.0 and 0.3, as an agent.
//!
//! ```no_run
//! use sutazai_core::agent::connect::a2a::{A2aAgent, A2aSpec, Refreshed};
//!
//! let agent = A2aAgent::connect(A2aSpec::new("https://agents.example.com/travel"))?;
//! match agent.refresh() {
//!     Refreshed::Changed(card) => println!("it can do {:?} now", card.skills),
//!     Refreshed::Gone(error) | Refreshed::Unreachable(error) => println!("{error}"),
//!     _ => {}
//! }
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! # The card
//!
//! [`A2aAgent::connect`] fetches it from the well-known places, below the URL first and then at its
//! root; [`A2aAgent::refresh`] asks again with the entity tag it came with. Its skills are the agent's.
//! The interface is the first that the card offers of the newest version spoken here: JSON-RPC or
//! HTTP+JSON, of 1.0 (`supportedInterfaces`) or 0.3 (`url`). Credentials go to the origin of the spec's
//! URL and those it names, and to no other that a card may lead to.
//!
//! # Input and output
//!
//! | input | what is sent |
//! |---|---|
//! | a string | a text part |
//! | bytes | a raw part |
//! | `{parts, task?, context?, metadata?}` | these parts, as 1.0 writes them, as an answer within a task or context |
//! | anything else | a data part |
//!
//! The output is what the task's artifacts hold, or else the message: a string where all of it is text,
//! the value where it is one data part, else `{parts}`. A task that was given in parts is answered with
//! `{parts, task, context}`. The skill that was asked for stands in the message's metadata as `skill`.
//!
//! Partial results: `{"status": {"state", "text"}}`, `{"artifact": {"id", "name", "parts", "append",
//! "last"}}`, and `{"gap": true, "task", "reason"}` where a stream broke off. Then the task is looked at
//! and subscribed to again, or polled where that is not possible, and looked at once more at its end,
//! so that the answer is whole whatever the reports missed.
//!
//! # How tasks end
//!
//! | state | answer |
//! |---|---|
//! | completed | the output |
//! | failed, rejected | [`Code::AGENT_FAILED`] with the agent's message |
//! | canceled | [`Code::CANCELLED`] |
//! | input-required, auth-required | [`Code::AGENT_FAILED`], persistent, with what the agent wants, `task` and `context` |
//! | anything after one of the first four | [`Code::AGENT_PROTOCOL`] |
//!
//! A stream that still speaks after the task's end is listened to for 100 ms. A task that is cancelled
//! here, or late, is cancelled there too, for which 2 s are given; what is cancelled before the agent
//! has named its task only loses its connection.
//!
//! Whether it lives it is asked for its card again, with the entity tag, or where the card was given for what is
//! at its URL; any answer will do.
//!
//! # Threads
//!
//! A task runs on a thread of the runtime's blocking pool until it is answered. [`A2aAgent::connect`]
//! and [`A2aAgent::refresh`] block for [`A2aSpec::card_timeout`] at most.

mod card;
mod discover;
mod model;
mod run;
mod spec;
mod story;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use base64::Engine as _;
use serde_json::{Map, Value, json};

pub use spec::{A2aBinding, A2aSpec};

use super::http::{self, HttpCall, HttpClient};
use crate::base::payload::Payload;
use crate::base::runtime;
use crate::base::ticket::Reply;
use crate::base::time::{Moment, Timestamp};
use crate::port::{Agent, AgentCard, AgentHost, Beat, LivenessPolicy, Outcome, Task};
use crate::{Code, Error, Result};
use card::PeerCard;
use discover::{Again, Found};
use run::Run;
use wire::{Told, Wire};

/// An agent of the A2A protocol. See the [module](self).
pub struct A2aAgent {
    spec: A2aSpec,
    client: HttpClient,
    found: ArcSwap<Found>,
    host: OnceLock<AgentHost>,
}

/// What asking for a card again gave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Refreshed {
    /// It is the same.
    Unchanged,
    /// It says something else. Tasks go where it says from now on; the registry knows the card that it was
    /// given.
    Changed(Box<AgentCard>),
    /// There is none any more.
    Gone(Error),
    /// It could not be had, or not be understood; the one before holds.
    Unreachable(Error),
}

impl A2aAgent {
    /// Fetches the agent's card. Blocks for [`A2aSpec::card_timeout`] at most, or not at all where the
    /// spec has the card.
    ///
    /// # Errors
    /// [`Code::INVALID`] as [`A2aSpec::validate`], or for a card that leads to an origin that may not have
    /// the credentials; [`Code::NOT_FOUND`] when there is no card; [`Code::IO`] and
    /// [`Code::DEADLINE_EXCEEDED`] when it cannot be had; [`Code::AGENT_PROTOCOL`] when it is none;
    /// [`Code::UNSUPPORTED`] when it offers nothing that is spoken here.
    pub fn connect(spec: A2aSpec) -> Result<Self> {
        spec.validate()?;
        let client = HttpClient::new();
        let found = Found::find(&client, &spec)?;
        Ok(Self { spec, client, found: ArcSwap::from_pointee(found), host: OnceLock::new() })
    }

    /// Asks whether the agent's card has changed. Blocks for [`A2aSpec::card_timeout`] at most.
    pub fn refresh(&self) -> Refreshed {
        match self.found.load().again(&self.client, &self.spec) {
            Ok(Again::Unchanged) => Refreshed::Unchanged,
            Ok(Again::Changed(found)) => {
                let card = Box::new(found.peer.card.clone());
                self.found.store(Arc::from(found));
                Refreshed::Changed(card)
            }
            Err(error) if discover::is_absent(&error) => Refreshed::Gone(error),
            Err(error) => Refreshed::Unreachable(error),
        }
    }

    /// Another agent with the card that this one has now, which need not be fetched.
    pub(crate) fn twin(&self) -> Self {
        Self {
            spec: self.spec.clone(),
            client: HttpClient::new(),
            found: ArcSwap::new(self.found.load_full()),
            host: OnceLock::new(),
        }
    }

    /// What its card says now, as JSON.
    pub(crate) fn said(&self) -> String {
        self.found.load().peer.said.to_string()
    }

    fn run(&self, task: &Task, reply: &Reply<Outcome>) -> Result<Payload> {
        let found = self.found.load_full();
        let PeerCard { card, skills, streaming, interface, .. } = &found.peer;
        let (told, whole) = told(task, skills.get(task.skill()).map(String::as_str))?;
        let host = self.host.get();
        let now = host.map_or_else(Moment::now, |host| host.runtime.now());
        let call = HttpCall::of(reply, task.deadline(), now, self.spec.timeout);
        let wire = Wire::new(&self.client, &self.spec, interface, task);
        let log = host.map(|host| &host.log);
        Run::new(wire, call, reply, (&card.name, log), *streaming).go(&told, whole)
    }
}

impl Agent for A2aAgent {
    fn card(&self) -> AgentCard {
        self.found.load().peer.card.clone()
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        let answer = self.run(&task, &reply).map(Outcome::new);
        let _ = reply.answer(answer);
    }

    fn start(&self, host: &AgentHost) -> Result<()> {
        let _ = self.host.set(host.clone());
        Ok(())
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        Some(http::liveness())
    }

    fn beat(&self, reply: Reply<Beat>) {
        let found = self.found.load_full();
        let asked = runtime::block(|| found.is_there(&self.client, &self.spec));
        let _ = reply.answer(http::beat(asked.and_then(|asked| asked)));
    }
}

/// What a task tells the agent, and whether it is answered in parts.
fn told(task: &Task, skill: Option<&str>) -> Result<(Told, bool)> {
    let mut metadata = Map::new();
    metadata.insert("skill".to_owned(), skill.unwrap_or(task.skill()).into());
    let mut told = Told {
        message_id: message_id(task),
        parts: Vec::new(),
        task: None,
        context: None,
        metadata,
    };
    if let Some(bytes) = task.input().as_bytes() {
        let raw = base64::engine::general_purpose::STANDARD.encode(bytes);
        told.parts.push(json!({"raw": raw, "mediaType": "application/octet-stream"}));
        return Ok((told, false));
    }
    let input = task.input().value()?;
    match &*input {
        Value::String(text) => told.parts.push(json!({ "text": text })),
        Value::Object(fields) if fields.get("parts").is_some_and(Value::is_array) => {
            told.take(fields)?;
            return Ok((told, true));
        }
        other => told.parts.push(json!({"data": other, "mediaType": "application/json"})),
    }
    Ok((told, false))
}

impl Told {
    /// Takes what a task was given in parts.
    fn take(&mut self, fields: &Map<String, Value>) -> Result<()> {
        let bad = |key: &str, what: &'static str| {
            Err(Error::new(Code::INVALID, what).operation("agent.a2a").with("key", key))
        };
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("parts", Value::Array(parts)) if !parts.is_empty() => {
                    if !parts.iter().all(is_part) {
                        return bad(key, "a part has one of text, data, url and raw");
                    }
                    self.parts.clone_from(parts);
                }
                ("task", Value::String(task)) => self.task = Some(task.clone()),
                ("context", Value::String(context)) => self.context = Some(context.clone()),
                ("task" | "context", Value::Null) => {}
                ("metadata", Value::Object(more)) => self.metadata.extend(more.clone()),
                ("parts" | "task" | "context" | "metadata", _) => {
                    return bad(key, "a message's field does not have its form");
                }
                _ => return bad(key, "a message has parts, task, context and metadata"),
            }
        }
        Ok(())
    }
}

fn is_part(part: &Value) -> bool {
    ["text", "data", "url", "raw"].iter().filter(|kind| part.get(**kind).is_some()).count() == 1
}

/// Names a message so that the agent knows it again.
fn message_id(task: &Task) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let at = task.trace();
    if at.trace.0 != 0 {
        return format!("{}-{}", at.trace, at.span);
    }
    format!("{:x}-{:x}", Timestamp::now().as_nanos(), NEXT.fetch_add(1, Ordering::Relaxed))
}
