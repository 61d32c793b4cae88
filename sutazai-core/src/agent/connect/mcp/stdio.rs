//! MCP over the pipes of a process: one message a line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::http::trace_parent;
use super::super::process::{Dialect, Heard, Said, push_json, shortened};
use super::catalogue::Catalogue;
use super::era::{Era, Handshake, Step, add_meta};
use super::rpc::{self, Answer, Broken, Message};
use super::{input, outcome};
use crate::base::time::Moment;
use crate::observe::Level;
use crate::port::Task;
use crate::{Code, Error, Result};

/// Beside input and skill, what a call has in bytes, at most.
const OVERHEAD: usize = 512;

/// Questions of this side that are open, at most, before pings without an answer are forgotten.
const UNANSWERED: usize = 64;

/// What is known of a server, and what was asked of it. Calls have even numbers, twice the task's; what
/// this side wants to know for itself has odd ones.
pub(super) struct Stdio {
    agent: Arc<str>,
    probe_timeout: Duration,
    hold: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// From before: of the spec, of an earlier process.
    era: Option<Era>,
    handshake: Option<Handshake>,
    /// What was asked in it and is not answered.
    asked: BTreeMap<u64, &'static str>,
    turn: u64,
    due: Option<Moment>,
    found: Option<Arc<Catalogue>>,
    /// This process has been ready.
    ready: bool,
    /// The tools changed while they were being listed.
    stale: bool,
}

impl Stdio {
    pub(super) fn new(
        agent: Arc<str>,
        era: Option<Era>,
        probe_timeout: Duration,
        hold: Duration,
    ) -> Self {
        let state = Mutex::new(State { era, ..State::default() });
        Self { agent, probe_timeout, hold, state }
    }

    /// What the server offers, once that is known.
    pub(super) fn found(&self) -> Option<Arc<Catalogue>> {
        self.state.lock().found.clone()
    }

    fn answered(&self, answer: Answer, now: Moment) -> Vec<Heard> {
        let id = match answer.id {
            Some(id) if id % 2 == 0 => {
                let answer = outcome::of(&self.agent, answer);
                return vec![Heard::Answer { id: id / 2, answer }];
            }
            other => other,
        };
        let mut state = self.state.lock();
        let asked = match id {
            Some(id) => state.asked.remove(&id),
            // A server that could not read what it was asked cannot say which it was.
            None if state.handshake.is_some() => state.asked.pop_last().map(|(_, method)| method),
            None => None,
        };
        let Some(method) = asked else {
            let said = match (&answer.result, id) {
                (Err(error), None) => {
                    let message = shortened(&error.message, 400);
                    return vec![warning(format!("it could not read a message: {message}"))];
                }
                (_, id) => format!("an answer to {id:?}, which was not asked"),
            };
            return vec![Heard::Breach(said)];
        };
        let mut heard = Vec::new();
        if let Some(version) = answer.version {
            heard.push(Heard::Breach(format!("JSON-RPC {version} and not 2.0")));
        }
        if state.ready && method == pinged(state.era.unwrap_or_default()) {
            // Also an error is an answer.
            heard.push(Heard::Pong);
            return heard;
        }
        let steps = state.handshake.as_mut().map(|h| h.answered(method, answer.result));
        self.step(&mut state, steps.unwrap_or_default(), now, &mut heard);
        heard
    }

    fn notified(&self, method: &str, params: &Value, now: Moment) -> Vec<Heard> {
        match method {
            "notifications/progress" => {
                let token = params.get("progressToken").and_then(rpc::number);
                match token.filter(|token| token % 2 == 0) {
                    // What works on goes on telling, also of what was cancelled and answered.
                    Some(token) => {
                        let (id, part) = (token / 2, progress(params));
                        vec![Heard::Progress { id, part, may_be_late: true }]
                    }
                    None => vec![Heard::Breach("progress of nothing that was asked".to_owned())],
                }
            }
            "notifications/message" => vec![logged(params)],
            "notifications/tools/list_changed" => {
                let mut heard = Vec::new();
                let mut state = self.state.lock();
                if state.handshake.is_some() {
                    state.stale = true;
                } else {
                    self.list_again(&mut state, now, &mut heard);
                }
                heard
            }
            _ => Vec::new(),
        }
    }

    fn list_again(&self, state: &mut State, now: Moment, heard: &mut Vec<Heard>) {
        state.stale = false;
        let Some(found) = &state.found else { return };
        let (handshake, steps) = Handshake::list_again(found);
        state.handshake = Some(handshake);
        self.step(state, steps, now, heard);
    }

    /// Does what the handshake says.
    fn step(&self, state: &mut State, steps: Vec<Step>, now: Moment, heard: &mut Vec<Heard>) {
        for step in steps {
            match step {
                Step::Ask { method, mut params } => {
                    state.turn += 1;
                    let id = state.turn * 2 - 1;
                    if let Some(handshake) = &state.handshake {
                        add_meta(&mut params, handshake.era(), handshake.revision());
                    }
                    state.asked.insert(id, method);
                    heard.push(Heard::Say(rpc::request(id, method, &params).into()));
                }
                Step::Tell { method } => {
                    heard.push(Heard::Say(rpc::notification(method, &Value::Null).into()));
                }
                Step::Done(found) => self.done(state, *found, now, heard),
                Step::Impossible(why) if state.ready => {
                    state.handshake = None;
                    heard.push(warning(why));
                }
                Step::Impossible(why) => heard.push(Heard::Unusable(why)),
            }
        }
        let probes = !state.ready && state.handshake.as_ref().is_some_and(Handshake::probes);
        state.due = match state.due {
            _ if !probes => None,
            None => Some(now + self.probe_timeout),
            due => due,
        };
    }

    fn done(&self, state: &mut State, found: Catalogue, now: Moment, heard: &mut Vec<Heard>) {
        state.handshake = None;
        state.era = Some(found.era);
        heard.extend(found.remarks.iter().map(|remark| warning(remark.clone())));
        if let Some(before) = &state.found
            && before.order != found.order
        {
            let message = format!("its tools changed: {}", found.order.join(", "));
            heard.push(Heard::Log { level: Level::Info, message });
        }
        state.found = Some(Arc::new(found));
        if !state.ready {
            state.ready = true;
            heard.push(Heard::Ready);
        }
        if state.stale {
            self.list_again(state, now, heard);
        }
    }
}

impl Dialect for Stdio {
    fn operation(&self) -> &'static str {
        "agent.mcp"
    }

    fn begin(&self, now: Moment) -> Vec<Said> {
        let mut heard = Vec::new();
        let mut state = self.state.lock();
        (state.ready, state.stale, state.due) = (false, false, None);
        state.asked.clear();
        let mut handshake = Handshake::new(state.era);
        let steps = handshake.begin();
        state.handshake = Some(handshake);
        self.step(&mut state, steps, now, &mut heard);
        let said = |heard| match heard {
            Heard::Say(line) => Some(line),
            _ => None,
        };
        heard.into_iter().filter_map(said).collect()
    }

    fn hear(&self, line: &[u8], now: Moment) -> Vec<Heard> {
        let mut all = Vec::new();
        for message in rpc::parse(line) {
            match message {
                Ok(Message::Answer(answer)) => all.extend(self.answered(answer, now)),
                Ok(Message::Request { id, method }) => {
                    // In the newer era a server must not ask; one that does all the same waits.
                    all.push(Heard::Say(rpc::answer_to(&id, &method).into()));
                }
                Ok(Message::Notification { method, params }) => {
                    all.extend(self.notified(&method, &params, now));
                }
                Err(Broken::Noise) => all.push(Heard::Noise("not a message, on stdout")),
                Err(Broken::Breach(what)) => all.push(Heard::Breach(what)),
            }
        }
        all
    }

    fn due(&self) -> Option<Moment> {
        self.state.lock().due
    }

    fn tick(&self, now: Moment) -> Vec<Heard> {
        let mut state = self.state.lock();
        state.due = None;
        let steps = state.handshake.as_mut().map(Handshake::silent).unwrap_or_default();
        let mut heard = Vec::new();
        self.step(&mut state, steps, now, &mut heard);
        heard
    }

    fn input(&self, task: &Task) -> Result<Arc<str>> {
        input(task, &self.agent)
    }

    fn task_length(&self, task: &Task, input: &str) -> usize {
        // A character of a name takes up to six bytes in JSON (\u0000).
        input.len().saturating_add(task.skill().len().saturating_mul(6)).saturating_add(OVERHEAD)
    }

    fn task(&self, id: u64, task: &Task, input: &str, _: Option<u64>) -> Result<Said> {
        let found = self.found();
        let tool = found.as_ref().and_then(|found| found.tools.get(task.skill()));
        let (Some(found), Some(tool)) = (&found, tool) else {
            return Err(no_tool(task, &self.agent));
        };
        let id = id.saturating_mul(2);
        let mut line = String::with_capacity(self.task_length(task, input));
        let name = Value::from(&*tool.name);
        // Writing into a string does not fail.
        let _ = write!(
            line,
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":{name},"arguments":"#
        );
        push_json(&mut line, input);
        let _ = writeln!(line, r#","_meta":{}}}}}"#, meta(id, task, found));
        Ok(line.into())
    }

    fn cancel(&self, id: u64) -> Said {
        let params = json!({
            "requestId": id.saturating_mul(2),
            "reason": "nobody waits for the answer any more",
        });
        rpc::notification("notifications/cancelled", &params).into()
    }

    /// `ping` in the older era; the newer one has none, and is asked what it asks of every server to
    /// answer.
    fn ping(&self) -> Option<Said> {
        let mut state = self.state.lock();
        let found = state.found.clone()?;
        let (method, mut params) = (pinged(found.era), json!({}));
        add_meta(&mut params, found.era, &found.revision);
        if state.asked.len() >= UNANSWERED {
            // What it never answers is not kept for ever.
            state.asked.retain(|_, asked| *asked != method);
        }
        state.turn += 1;
        let id = state.turn * 2 - 1;
        state.asked.insert(id, method);
        Some(rpc::request(id, method, &params).into())
    }

    fn stop(&self) -> Option<Said> {
        // The end of its input tells it.
        None
    }

    fn whose(&self, head: &[u8], tail: &[u8]) -> Option<u64> {
        rpc::whose(head, tail).filter(|id| id % 2 == 0).map(|id| id / 2)
    }

    fn again(&self) -> bool {
        let mut state = self.state.lock();
        let probed = state.handshake.as_ref().is_some_and(Handshake::probes);
        if probed && state.era.is_none() {
            state.era = Some(Era::Legacy);
            return true;
        }
        false
    }

    fn hold(&self) -> Option<Duration> {
        Some(self.hold)
    }

    fn advice(&self) -> &'static str {
        "it must speak MCP on stdin and stdout; its stderr and exit status are in the context"
    }
}

/// What a server is asked to see whether it lives.
pub(super) fn pinged(era: Era) -> &'static str {
    match era {
        Era::Legacy => "ping",
        Era::Modern => "server/discover",
    }
}

/// The `_meta` of a call.
pub(super) fn meta(token: u64, task: &Task, found: &Catalogue) -> Value {
    let mut params = json!({"_meta": {"progressToken": token}});
    add_meta(&mut params, found.era, &found.revision);
    let mut meta = params.get_mut("_meta").map(Value::take).unwrap_or_default();
    if let (Some(parent), Some(meta)) = (trace_parent(task), meta.as_object_mut()) {
        meta.insert("traceparent".to_owned(), parent.into());
    }
    meta
}

/// What a caller gets to see of a progress notification.
pub(super) fn progress(params: &Value) -> Value {
    let fields = ["progress", "total", "message"];
    let kept = fields.iter().filter_map(|key| Some(((*key).to_owned(), params.get(key)?.clone())));
    Value::Object(kept.collect())
}

/// The server has no such tool.
pub(super) fn no_tool(task: &Task, agent: &str) -> Error {
    Error::new(Code::NOT_FOUND, "the MCP server has no tool of this name")
        .operation("agent.mcp")
        .with("agent", agent)
        .with("skill", shortened(task.skill(), 128))
}

/// A `notifications/message`.
pub(super) fn logged(params: &Value) -> Heard {
    let level = match params.get("level").and_then(Value::as_str) {
        Some("debug") => Level::Debug,
        Some("warning") => Level::Warn,
        Some("error" | "critical" | "alert" | "emergency") => Level::Error,
        _ => Level::Info,
    };
    let data = match params.get("data") {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    Heard::Log { level, message: shortened(&data, 4096).into_owned() }
}

fn warning(message: String) -> Heard {
    Heard::Log { level: Level::Warn, message }
}

#[cfg(test)]
mod tests;
