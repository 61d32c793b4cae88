//! How operations are asked for and answered, in each binding and version.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::card::Interface;
use super::model::{Event, Task, spoken_part};
use super::spec::A2aSpec;
use super::story::wrong;
use crate::agent::connect::http::{
    EventReader, HttpCall, HttpClient, HttpHead, HttpRequest, HttpResponse, cut, trace_parent,
};
use crate::port::failure as key;
use crate::{Class, Code, Error, Result};

/// Bytes of an answer or of an event, at most.
pub(super) const ANSWER: usize = 16 << 20;

/// A version of the protocol, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// 1.0, in both bindings.
    V1,
    /// 0.3 and 0.2 over JSON-RPC.
    V03,
    /// 0.3 over HTTP and JSON: its Protobuf form, which differs.
    Proto03,
}

/// An operation on a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnTask {
    Get,
    Cancel,
    Subscribe,
}

/// What a task is told first.
pub(super) struct Told {
    pub(super) message_id: String,
    /// As 1.0 has them.
    pub(super) parts: Vec<Value>,
    pub(super) task: Option<String>,
    pub(super) context: Option<String>,
    pub(super) metadata: Map<String, Value>,
}

/// Speaks to one agent.
pub(super) struct Wire<'a> {
    pub(super) client: &'a HttpClient,
    pub(super) spec: &'a A2aSpec,
    pub(super) interface: &'a Interface,
    pub(super) traceparent: Option<String>,
}

impl<'a> Wire<'a> {
    pub(super) fn new(
        client: &'a HttpClient,
        spec: &'a A2aSpec,
        interface: &'a Interface,
        task: &crate::port::Task,
    ) -> Self {
        Self { client, spec, interface, traceparent: trace_parent(task) }
    }

    /// Sends a message, and gives the answer or the stream of events.
    pub(super) fn send(&self, told: &Told, stream: bool, call: &HttpCall) -> Result<Answered> {
        let dialect = self.interface.dialect;
        let body = self.message(told);
        let (method, path) = match (dialect, stream) {
            (Dialect::V1, false) => ("SendMessage", "/message:send"),
            (Dialect::V1, true) => ("SendStreamingMessage", "/message:stream"),
            (_, false) => ("message/send", "/v1/message:send"),
            (_, true) => ("message/stream", "/v1/message:stream"),
        };
        let request = if self.interface.rpc {
            self.rpc(method, body)?
        } else {
            HttpRequest::post_json(&self.path(path), &body)?
        };
        self.exchange(request, stream, call)
    }

    /// Asks for a task as it stands, cancels it, or subscribes to what becomes of it.
    pub(super) fn on_task(&self, what: OnTask, task: &str, call: &HttpCall) -> Result<Answered> {
        let v1 = self.interface.dialect == Dialect::V1;
        let stream = what == OnTask::Subscribe;
        let request = if self.interface.rpc {
            let method = match (what, v1) {
                (OnTask::Get, true) => "GetTask",
                (OnTask::Cancel, true) => "CancelTask",
                (OnTask::Subscribe, true) => "SubscribeToTask",
                (OnTask::Get, false) => "tasks/get",
                (OnTask::Cancel, false) => "tasks/cancel",
                (OnTask::Subscribe, false) => "tasks/resubscribe",
            };
            self.rpc(method, self.with_tenant(json!({ "id": task })))?
        } else {
            let base = if v1 { "/tasks/" } else { "/v1/tasks/" };
            let at = format!("{base}{}", encoded(task));
            match what {
                OnTask::Get => HttpRequest::get(&self.path(&at))?,
                OnTask::Cancel => {
                    HttpRequest::post_json(&self.path(&format!("{at}:cancel")), &json!({}))?
                }
                OnTask::Subscribe => HttpRequest::get(&self.path(&format!("{at}:subscribe")))?,
            }
        };
        self.exchange(request, stream, call)
    }

    fn message(&self, told: &Told) -> Value {
        let dialect = self.interface.dialect;
        let parts: Vec<_> = told.parts.iter().map(|part| spoken_part(part, dialect)).collect();
        let mut message = Map::new();
        let mut set = |name: &str, value: Value| drop(message.insert(name.to_owned(), value));
        set("messageId", told.message_id.as_str().into());
        set("role", if dialect == Dialect::V03 { "user" } else { "ROLE_USER" }.into());
        set(if dialect == Dialect::Proto03 { "content" } else { "parts" }, parts.into());
        if dialect == Dialect::V03 {
            set("kind", "message".into());
        }
        if let Some(task) = &told.task {
            set("taskId", task.as_str().into());
        }
        if let Some(context) = &told.context {
            set("contextId", context.as_str().into());
        }
        if !told.metadata.is_empty() {
            set("metadata", told.metadata.clone().into());
        }
        // The task's id is wanted at once: a task that nobody can name cannot be cancelled.
        let configuration = match dialect {
            Dialect::V1 => json!({"returnImmediately": true}),
            _ => json!({"blocking": false}),
        };
        self.with_tenant(json!({"message": message, "configuration": configuration}))
    }

    fn with_tenant(&self, mut params: Value) -> Value {
        if let (Some(tenant), Some(fields), true) =
            (&self.interface.tenant, params.as_object_mut(), self.interface.rpc)
        {
            fields.insert("tenant".to_owned(), tenant.as_str().into());
        }
        params
    }

    fn rpc(&self, method: &str, params: Value) -> Result<HttpRequest> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        HttpRequest::post_json(&self.interface.url, &body)
    }

    fn path(&self, path: &str) -> String {
        let tenant = self.interface.tenant.as_deref().map(encoded);
        let tenant = tenant.map(|tenant| format!("/{tenant}")).unwrap_or_default();
        format!("{}{tenant}{path}", self.interface.url)
    }

    fn exchange(&self, request: HttpRequest, stream: bool, call: &HttpCall) -> Result<Answered> {
        let accept = if stream { "text/event-stream" } else { "application/json" };
        let mut request = self.spec.signed(request.header("accept", accept)?)?;
        if self.interface.dialect == Dialect::V1 {
            request = request.header("a2a-version", &self.interface.version)?;
        }
        if let Some(parent) = &self.traceparent {
            request = request.header("traceparent", parent)?;
        }
        let response = self.client.send(&request, call)?;
        let head = response.head().clone();
        if !head.is_success() {
            let (head, body) = response.refusal();
            return Err(refused(&head, &body));
        }
        Ok(Answered { response, head, rpc: self.interface.rpc, dialect: self.interface.dialect })
    }
}

/// An answer whose body is still to be read.
pub(super) struct Answered {
    response: HttpResponse,
    head: HttpHead,
    rpc: bool,
    dialect: Dialect,
}

impl Answered {
    /// Whether it is a stream of events.
    pub(super) fn is_stream(&self) -> bool {
        self.head.content_type() == "text/event-stream"
    }

    /// Its one event.
    pub(super) fn event(self) -> Result<Event> {
        let (rpc, dialect, head) = (self.rpc, self.dialect, self.head);
        let body: Value = self.response.json(ANSWER)?;
        event(&body, rpc, dialect, &head)
    }

    /// The task that it is.
    pub(super) fn task(self) -> Result<Task> {
        match self.event()? {
            Event::Task(task) => Ok(task),
            _ => Err(wrong("the answer is no task")),
        }
    }

    /// Its events as they come.
    pub(super) fn events(self) -> Events {
        let Self { response, head, rpc, dialect } = self;
        Events { reader: response.events(ANSWER), head, rpc, dialect }
    }
}

/// The events of a stream.
pub(super) struct Events {
    reader: EventReader,
    head: HttpHead,
    rpc: bool,
    dialect: Dialect,
}

impl Events {
    /// Waits for further ones for so long at most.
    pub(super) fn hurry(&mut self, time: Duration) {
        self.reader.hurry(time);
    }
}

impl Iterator for Events {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        let data = loop {
            match self.reader.next()? {
                Ok(event) if event.data.trim().is_empty() => {}
                Ok(event) => break event.data,
                Err(error) => return Some(Err(error)),
            }
        };
        let body = serde_json::from_str(&data).map_err(|e| {
            self.head.describe(wrong("an event of the stream is not JSON").with("reason", e))
        });
        Some(body.and_then(|body| event(&body, self.rpc, self.dialect, &self.head)))
    }
}

fn event(body: &Value, rpc: bool, dialect: Dialect, head: &HttpHead) -> Result<Event> {
    if let Some(error) = body.get("error").filter(|error| error.is_object()) {
        return Err(head.describe(of_error(error, rpc)));
    }
    let result = if rpc { body.get("result") } else { Some(body) };
    let result = result.ok_or_else(|| head.describe(wrong("the answer has no result")))?;
    Event::parse(result, dialect)
        .map_err(|reason| head.describe(wrong("the answer is not A2A's").with("reason", reason)))
}

/// An answer that is no success.
fn refused(head: &HttpHead, body: &str) -> Error {
    let said: Option<Value> = serde_json::from_str(body).ok();
    let error = said.as_ref().and_then(|said| said.get("error")).filter(|error| error.is_object());
    if let Some(error) = error {
        let rpc = error.get("code").and_then(Value::as_i64).is_some_and(|code| code < 0);
        return head.describe(of_error(error, rpc));
    }
    let error =
        Error::new(Code::AGENT_FAILED, format!("the agent answered with status {}", head.status()))
            .operation("agent.a2a")
            .with("body", cut(body.trim(), 500));
    head.describe(error)
}

/// `{code, message, data}` of JSON-RPC, or `{code, status, message, details}` of the other binding.
fn of_error(error: &Value, rpc: bool) -> Error {
    let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
    let said = text(error, "message").filter(|said| !said.is_empty());
    let message = said.unwrap_or_else(|| "the agent answered with an error".to_owned());
    let mut made =
        Error::new(Code::AGENT_FAILED, cut(&message, 1000).to_owned()).operation("agent.a2a");
    let mut number = error.get("code").and_then(Value::as_i64).filter(|_| rpc);
    let details = error.get("details").or_else(|| error.get("data")).and_then(Value::as_array);
    let reason = details.into_iter().flatten().find_map(|detail| text(detail, "reason"));
    if let Some(reason) = &reason {
        number = number.or_else(|| number_of(reason));
        made = made.with(key::PROVIDER_CODE, cut(reason, 200));
    }
    if let Some(status) = text(error, "status") {
        made = made.with(key::PROVIDER_TYPE, cut(&status, 200));
    }
    let Some(number) = number else { return made };
    let made = made.with(key::RPC, "a2a").with(key::RPC_CODE, number);
    let for_good = matches!(number, -32700 | -32602..=-32600 | -32009..=-32001);
    if for_good { made.classed(Class::Persistent) } else { made }
}

/// The number that JSON-RPC has for what the other binding gives a reason for.
fn number_of(reason: &str) -> Option<i64> {
    Some(match reason {
        "TASK_NOT_FOUND" => -32001,
        "TASK_NOT_CANCELABLE" => -32002,
        "PUSH_NOTIFICATION_NOT_SUPPORTED" => -32003,
        "UNSUPPORTED_OPERATION" => -32004,
        "CONTENT_TYPE_NOT_SUPPORTED" => -32005,
        "INVALID_AGENT_RESPONSE" => -32006,
        "EXTENDED_AGENT_CARD_NOT_CONFIGURED" => -32007,
        "EXTENSION_SUPPORT_REQUIRED" => -32008,
        "VERSION_NOT_SUPPORTED" => -32009,
        _ => return None,
    })
}

/// A text as one segment of a path.
fn encoded(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}
