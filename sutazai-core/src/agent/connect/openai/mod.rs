//! A model behind an OpenAI-compatible endpoint (chat completions) as an agent.
//!
//! ```no_run
//! use sutazai_core::agent::connect::http::Secret;
//! use sutazai_core::agent::connect::openai::{OpenAiAgent, OpenAiSpec};
//!
//! let spec = OpenAiSpec::new("writer", "https://api.openai.com/v1", "gpt-4o-mini")
//!     .api_key(Secret::env("OPENAI_API_KEY"))
//!     .skills(["write"])
//!     .prices(0.15, 0.60);
//! let agent = OpenAiAgent::new(spec)?;
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! # Input and output
//!
//! | input | what is asked | output |
//! |---|---|---|
//! | a string | one message of the user, after the system prompt | the answer's text |
//! | an array of messages | these messages | as for an object |
//! | an object with `messages` | these, with `tools`, `tool_choice`, `response_format`, `temperature` and whatever else the endpoint knows | `{content, tool_calls, finish_reason}` |
//!
//! `model`, `stream`, `stream_options` and an `n` other than 1 belong to the connector and are refused
//! in an input. An answer to a string that calls a tool, is filtered or is a refusal is an error; one
//! that ends because it is too long is given as far as it goes (`finish_reason: "length"` says so where
//! the input is an object).
//!
//! With [`OpenAiSpec::stream`] (the default) each piece of text is a partial result, a string; the
//! whole is the answer all the same. A stream that breaks off before the model said that it is done is
//! an error that may be tried again, never a shorter answer.
//!
//! Tokens and cost stand in [`Outcome::usage`] where the endpoint tells the tokens and the spec the
//! prices.
//!
//! # Errors
//!
//! What the provider says of an error becomes the error's message; its type, code, status, and the
//! headers that say when to try again stand in the context under the words of
//! [`port::failure`](crate::port::failure), so that the room `recovery` knows a rate limit from an
//! empty account. The API key and the values of the spec's headers are cut out of whatever is shown.
//!
//! Whether the endpoint lives it is asked by a GET of its list of models; any answer will do.
//!
//! # Threads
//!
//! A task runs on a thread of the runtime's blocking pool until it is answered. Cancelling it closes
//! its connection, and the thread is free at once.

mod answer;
mod ask;
mod refuse;
mod spec;

use std::sync::OnceLock;

pub use spec::OpenAiSpec;

use super::http::{self, HttpCall, HttpClient, HttpRequest, HttpResponse, trace_parent};
use crate::Result;
use crate::base::payload::Payload;
use crate::base::runtime;
use crate::base::ticket::Reply;
use crate::base::time::Moment;
use crate::port::{Agent, AgentCard, AgentHost, Beat, LivenessPolicy, Outcome, RunMode, Task};
use answer::Answer;
use ask::Asked;
use refuse::Refusals;

/// Bytes of an answer, at most.
const ANSWER: usize = 16 << 20;

/// A model as an agent. See the [module](self).
pub struct OpenAiAgent {
    spec: OpenAiSpec,
    client: HttpClient,
    host: OnceLock<AgentHost>,
}

impl OpenAiAgent {
    /// An agent that asks the endpoint of `spec`. Connects with the first task.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) as [`OpenAiSpec::validate`].
    pub fn new(spec: OpenAiSpec) -> Result<Self> {
        spec.validate()?;
        Ok(Self { spec, client: HttpClient::new(), host: OnceLock::new() })
    }

    fn now(&self) -> Moment {
        self.host.get().map_or_else(Moment::now, |host| host.runtime.now())
    }

    fn complete(&self, task: &Task, reply: &Reply<Outcome>) -> Result<Outcome> {
        let asked = Asked::of(task.input(), &self.spec)?;
        let refusals = Refusals::new(&self.spec)?;
        let request = self.request(task, &asked)?;
        let call = HttpCall::of(reply, task.deadline(), self.now(), self.spec.timeout);
        let response = self.client.send(&request, &call)?;
        let answer = self.read(response, &refusals, reply)?;
        refusals.scrubbed(answer.outcome(&asked, &self.spec))
    }

    fn request(&self, task: &Task, asked: &Asked) -> Result<HttpRequest> {
        let mut request = HttpRequest::post_json(&self.spec.endpoint(), &asked.body)?.header(
            "accept",
            if self.spec.stream { "text/event-stream" } else { "application/json" },
        )?;
        if let Some(parent) = trace_parent(task) {
            request = request.header("traceparent", &parent)?;
        }
        if let Some(key) = &self.spec.api_key {
            request = request.secret("authorization", "Bearer ", key)?;
        }
        for (name, value) in &self.spec.headers {
            request = request.secret(name, "", value)?;
        }
        Ok(request)
    }

    /// Asks for the list of models, which costs nothing; what it says does not matter.
    fn ask_for_models(&self) -> Result<()> {
        let mut request = HttpRequest::get(&self.spec.models())?;
        if let Some(key) = &self.spec.api_key {
            request = request.secret("authorization", "Bearer ", key)?;
        }
        for (name, value) in &self.spec.headers {
            request = request.secret(name, "", value)?;
        }
        self.client.send(&request, &HttpCall::within(http::BEAT)).map(drop)
    }

    fn read(
        &self,
        response: HttpResponse,
        refusals: &Refusals,
        reply: &Reply<Outcome>,
    ) -> Result<Answer> {
        let head = response.head().clone();
        if !head.is_success() {
            let (head, body) = response.refusal();
            return Err(refusals.of_body(&head, &body));
        }
        if head.content_type() != "text/event-stream" {
            let body = response.json(ANSWER)?;
            let mut answer = Answer::default();
            answer.add(body, &head, refusals)?;
            return Ok(answer);
        }
        let mut answer = Answer::default();
        for event in response.events(ANSWER) {
            let event = match event {
                Ok(event) => event,
                // What the model had to say was whole by then.
                Err(error) if answer.is_done() && error.code() == crate::Code::IO => break,
                Err(error) => return Err(error),
            };
            if event.data.trim() == "[DONE]" {
                answer.end();
                break;
            }
            let text = answer.add(refuse::chunk(&event.data, &head)?, &head, refusals)?;
            if !text.is_empty() {
                // Nobody who listens any more is no reason to stop reading: that comes as cancellation.
                let _ = reply.progress(Payload::from(text));
            }
        }
        answer.whole(&head)
    }
}

impl Agent for OpenAiAgent {
    fn card(&self) -> AgentCard {
        let spec = &self.spec;
        let mut card = AgentCard::new(&spec.name, spec.skills.iter().cloned())
            .run(RunMode::Pool)
            .description(spec.description.clone())
            .timeout(spec.timeout)
            .label("connector", "openai")
            .label("model", &spec.model);
        card.concurrency = spec.concurrency;
        card
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        let answer = self.complete(&task, &reply);
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
        let asked = runtime::block(|| self.ask_for_models()).and_then(|asked| asked);
        let _ = reply.answer(http::beat(asked));
    }
}
