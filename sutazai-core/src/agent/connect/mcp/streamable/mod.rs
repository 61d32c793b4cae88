//! MCP over HTTP: each message is a POST, answered with JSON or with a stream of events.

mod exchange;
mod params;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::http::{self, HttpCall, HttpClient};
use super::super::process::{Heard, Log, push_json, shortened};
use super::catalogue::Catalogue;
use super::era::{Era, Handshake, Step, add_meta};
use super::rpc::{self, Message, RpcError};
use super::spec::{McpHttp, McpSpec};
use super::{input, outcome, stdio};
use crate::base::runtime::{self, Runtime};
use crate::base::ticket::{self, Reply};
use crate::base::time::Moment;
use crate::base::wait;
use crate::observe::Level;
use crate::port::{AgentHost, Beat, Outcome, Task};
use crate::{Class, Code, Error, Result};
use exchange::{Posted, Reached, Speech};
use params::Mirrored;

/// How long the end of a call, or of a session, may take to tell.
const FAREWELL: Duration = Duration::from_secs(2);
/// What is shorter is no key: `1` or `en` may stand anywhere.
const SHORTEST_KEY: usize = 4;
/// How soon one who waits for another's session notices that nobody waits for it any more.
const SLICE: Duration = Duration::from_millis(20);

/// A server behind a URL.
pub(super) struct Streamable {
    pub(super) log: Log,
    agent: Arc<str>,
    http: McpHttp,
    client: HttpClient,
    probe_timeout: Duration,
    runtime: OnceLock<Arc<dyn Runtime>>,
    next: AtomicU64,
    era: Mutex<Option<Era>>,
    session: Mutex<Option<Arc<Session>>>,
    /// Whether somebody begins a session, so that there is one. No lock is held meanwhile.
    beginning: wait::Mutex<bool>,
    begun: wait::Condvar,
    stopped: AtomicBool,
}

/// What is known of the server, until that proves wrong.
struct Session {
    speech: Speech,
    found: Arc<Catalogue>,
    /// By skill.
    mirrored: BTreeMap<String, Vec<Mirrored>>,
}

/// The right to begin a session.
struct Turn<'s>(&'s Streamable);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.beginning.lock() = false;
        self.0.begun.notify_all();
    }
}

/// What became of a try of a call.
enum Tried {
    Over(Result<Outcome>),
    /// What was known of the server does not hold; it has done nothing.
    OutOfDate(Error),
}

impl Streamable {
    pub(super) fn new(agent: Arc<str>, spec: &McpSpec, http: McpHttp) -> Self {
        Self {
            log: Log { agent: Arc::clone(&agent), to: None, host: Arc::default() },
            agent,
            http,
            client: HttpClient::new(),
            probe_timeout: spec.probe_timeout,
            runtime: OnceLock::new(),
            next: AtomicU64::new(1),
            era: Mutex::new(spec.era),
            session: Mutex::new(None),
            beginning: wait::Mutex::new(false),
            begun: wait::Condvar::new(),
            stopped: AtomicBool::new(false),
        }
    }

    pub(super) fn hosted(&self, host: &AgentHost) {
        let _ = self.runtime.set(Arc::clone(&host.runtime));
        let _ = self.log.host.set(host.log.clone());
    }

    /// The present, as the kernel counts it.
    pub(super) fn now(&self) -> Moment {
        self.runtime.get().map_or_else(Moment::now, |runtime| runtime.now())
    }

    /// What the server offers, once that is known.
    pub(super) fn found(&self) -> Option<Arc<Catalogue>> {
        self.session.lock().as_ref().map(|session| Arc::clone(&session.found))
    }

    /// Reaches the server, unless it has been.
    pub(super) fn bring_up(&self) -> Result<()> {
        let call = HttpCall::within(self.http.start_timeout);
        let begun = runtime::block(|| self.session(&call)).and_then(|begun| begun);
        begun.map(drop).map_err(|error| {
            let error = self.scrubbed(error);
            if error.code() == Code::AGENT_START {
                return error;
            }
            let mut start = Error::new(Code::AGENT_START, "the MCP server could not be reached")
                .classed(error.class())
                .operation("agent.mcp")
                .with("agent", &self.agent);
            for (key, value) in error.context().filter(|(key, _)| *key != "agent") {
                start = start.with_key(key.to_owned(), value);
            }
            start.with("reason", error.message()).because(error)
        })
    }

    /// Does a task; blocks until it is done. On a worker of the pool its slot is lent out meanwhile.
    pub(super) fn handle(&self, task: &Task, reply: Reply<Outcome>) {
        let now = self.now();
        let call = HttpCall::of(&reply, task.deadline(), now, self.http.call_timeout);
        let done = runtime::block(|| self.run(task, &reply, &call)).and_then(|done| done);
        let done = done.map_err(|error| self.scrubbed(error));
        let _ = reply.answer(done);
    }

    /// Asks the server whether it lives; blocks until it is answered, for [`BEAT`](http::BEAT) at most.
    pub(super) fn beat(&self) -> Result<Beat> {
        let call = HttpCall::within(http::BEAT);
        let asked = runtime::block(|| self.ping(&call)).and_then(|asked| asked);
        http::beat(asked.map_err(|error| self.scrubbed(error)))
    }

    fn ping(&self, call: &HttpCall) -> Result<()> {
        let session = self.session(call)?;
        let Session { speech, .. } = &*session;
        let id = self.next_id();
        let (method, mut params) = (stdio::pinged(speech.era), json!({}));
        add_meta(&mut params, speech.era, &speech.revision);
        let posted = Posted::new(method, exchange::body(id, method, &params));
        let mut heard = |message| self.heard(message, id, None, speech, call);
        let answer =
            exchange::ask(&self.client, &self.http, speech, (id, posted), call, &mut heard);
        match answer {
            Ok(_) => Ok(()),
            // What there is to know of it is asked for anew by the next call.
            Err(refusal) if speech.session.is_some() && refusal.is_lost_session() => {
                self.forget(&session);
                Ok(())
            }
            Err(refusal) => Err(refusal.into_error()),
        }
    }

    /// Takes leave of the server.
    pub(super) fn stop(&self, within: Duration) {
        self.stopped.store(true, Ordering::Release);
        let session = self.session.lock().take();
        if let Some(session) = session {
            let call = HttpCall::within(within.min(FAREWELL));
            let ended =
                runtime::block(|| exchange::end(&self.client, &self.http, &session.speech, &call));
            if let Ok(Err(error)) | Err(error) = ended {
                self.log.write(Level::Debug, &format!("the session was not ended: {error}"));
            }
        }
    }

    fn run(&self, task: &Task, reply: &Reply<Outcome>, call: &HttpCall) -> Result<Outcome> {
        let input = input(task, &self.agent)?;
        let mut tries = 0;
        loop {
            let session = self.session(call)?;
            match self.once(task, &input, reply, call, &session) {
                Tried::Over(answer) => return answer,
                Tried::OutOfDate(error) if tries > 0 => return Err(error),
                Tried::OutOfDate(error) => {
                    self.log.write(Level::Info, &format!("begins anew: {error}"));
                    self.forget(&session);
                }
            }
            tries += 1;
        }
    }

    fn once(
        &self,
        task: &Task,
        input: &str,
        reply: &Reply<Outcome>,
        call: &HttpCall,
        session: &Session,
    ) -> Tried {
        let Some(tool) = session.found.tools.get(task.skill()) else {
            return Tried::Over(Err(stdio::no_tool(task, &self.agent)));
        };
        let id = self.next_id();
        let mut posted = Posted::new("tools/call", String::new());
        posted.tool = Some(&tool.name);
        if let Some(mirrored) = session.mirrored.get(task.skill()) {
            let arguments = serde_json::from_str(input).unwrap_or_default();
            posted.arguments = params::headers(mirrored, &arguments);
        }
        let name = Value::from(&*tool.name);
        posted.body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":{name},"arguments":"#
        );
        push_json(&mut posted.body, input);
        let meta = stdio::meta(id, task, &session.found);
        posted.body.push_str(&format!(r#","_meta":{meta}}}}}"#));
        let mut heard = |message| self.heard(message, id, Some(reply), &session.speech, call);
        let speech = &session.speech;
        let asked = (id, posted);
        match exchange::ask(&self.client, &self.http, speech, asked, call, &mut heard) {
            Ok(reached) => {
                let stale = reached.is_out_of_date(speech);
                let Reached { answer, head } = reached;
                let answer = outcome::of(&self.agent, answer)
                    .map_err(|error| if head.is_success() { error } else { head.describe(error) });
                match answer {
                    Err(error) if stale => Tried::OutOfDate(error),
                    answer => Tried::Over(answer),
                }
            }
            Err(refusal) if speech.session.is_some() && refusal.is_lost_session() => {
                Tried::OutOfDate(refusal.into_error())
            }
            Err(refusal) => {
                let error = refusal.into_error();
                let ended = call.cancelled() || error.code() == Code::DEADLINE_EXCEEDED;
                if ended && speech.era == Era::Legacy {
                    self.say_cancelled(id, speech);
                }
                Tried::Over(Err(error.with("agent", &self.agent)))
            }
        }
    }

    /// In the older era a connection that was closed says nothing; in the newer one it says this.
    fn say_cancelled(&self, id: u64, speech: &Speech) {
        let params = json!({"requestId": id, "reason": "nobody waits for the answer any more"});
        self.tell("notifications/cancelled", &params, speech, &HttpCall::within(FAREWELL));
    }

    fn tell(&self, method: &str, params: &Value, speech: &Speech, call: &HttpCall) {
        let body = rpc::notification(method, params).trim_end().to_owned();
        let told =
            exchange::tell(&self.client, &self.http, speech, Posted::new(method, body), call);
        if let Err(error) = told {
            self.log.write(Level::Debug, &format!("{method} was not taken: {error}"));
        }
    }

    /// What comes before an answer.
    fn heard(
        &self,
        message: Message,
        id: u64,
        reply: Option<&Reply<Outcome>>,
        speech: &Speech,
        call: &HttpCall,
    ) {
        match message {
            Message::Notification { method, params } => match method.as_str() {
                "notifications/progress" => {
                    let token = params.get("progressToken").and_then(rpc::number);
                    if let Some(reply) = reply.filter(|_| token == Some(id)) {
                        let _ = reply.progress(stdio::progress(&params).into());
                    }
                }
                "notifications/message" => {
                    if let Heard::Log { level, message } = stdio::logged(&params) {
                        self.log.write(level, &cleaned(&message, &self.keys()));
                    }
                }
                _ => {}
            },
            Message::Request { id, method } => {
                let body = rpc::answer_to(&id, &method).trim_end().to_owned();
                let posted = Posted::new(&method, body);
                // Bounded by the call: a server that does not take it holds up its own call only.
                let told = exchange::tell(&self.client, &self.http, speech, posted, call);
                if let Err(error) = told {
                    self.log.write(Level::Debug, &format!("an answer was not taken: {error}"));
                }
            }
            Message::Answer(answer) => {
                let message = format!("an answer to {:?}, which was not asked", answer.id);
                self.log.write(Level::Warn, &message);
            }
        }
    }

    /// An error in which the other side repeats no key.
    fn scrubbed(&self, error: Error) -> Error {
        let keys = self.keys();
        let holds = |text: &str| keys.iter().any(|key| text.contains(&**key));
        if !holds(error.message()) && !error.context().any(|(_, value)| holds(value)) {
            return error;
        }
        let made = Error::new(error.code(), cleaned(error.message(), &keys)).classed(error.class());
        let made = made.operation("agent.mcp");
        error
            .context()
            .fold(made, |made, (key, value)| made.with_key(key.to_owned(), cleaned(value, &keys)))
    }

    /// What must not be shown: the values of headers, and what stands in them behind a scheme.
    fn keys(&self) -> Vec<String> {
        let values = self.http.headers.values().filter_map(|value| value.reveal().ok());
        let mut keys = Vec::new();
        for value in values {
            let value = value.trim();
            keys.extend(value.split_once(' ').map(|(_, key)| key.trim().to_owned()));
            keys.push(value.to_owned());
        }
        keys.retain(|key| key.len() >= SHORTEST_KEY);
        keys.sort_unstable_by_key(|key| std::cmp::Reverse(key.len()));
        keys
    }

    fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn forget(&self, session: &Arc<Session>) {
        let mut current = self.session.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            *current = None;
        }
    }

    /// The present session, or a new one.
    fn session(&self, call: &HttpCall) -> Result<Arc<Session>> {
        let current = || self.session.lock().clone();
        if let Some(session) = current() {
            return Ok(session);
        }
        if self.stopped.load(Ordering::Acquire) {
            return Err(Error::new(Code::NOT_RUNNING, "the agent was stopped")
                .operation("agent.mcp")
                .with("agent", &self.agent));
        }
        let _turn = self.turn(call)?;
        if let Some(session) = current() {
            return Ok(session);
        }
        let session = Arc::new(self.begin(call)?);
        *self.session.lock() = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Waits until nobody else begins a session.
    fn turn(&self, call: &HttpCall) -> Result<Turn<'_>> {
        let mut beginning = self.beginning.lock();
        while *beginning {
            if call.cancelled() {
                return Err(ticket::cancelled());
            }
            let left = call.left().min(SLICE);
            if left.is_zero() {
                return Err(Error::new(
                    Code::DEADLINE_EXCEEDED,
                    "the server is still being reached",
                )
                .operation("agent.mcp")
                .with("agent", &self.agent));
            }
            (beginning, _) = self.begun.wait_for(beginning, left);
        }
        *beginning = true;
        Ok(Turn(self))
    }

    /// Finds out what the server speaks and offers.
    fn begin(&self, call: &HttpCall) -> Result<Session> {
        let mut handshake = Handshake::new(*self.era.lock());
        let mut speech = Speech::default();
        let mut steps = VecDeque::from(handshake.begin());
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Ask { method, params } => {
                    let next = self.step(&mut handshake, &mut speech, method, params, call)?;
                    steps.extend(next);
                }
                Step::Tell { method } => {
                    handshake.revision().clone_into(&mut speech.revision);
                    self.tell(method, &Value::Null, &speech, call);
                }
                Step::Done(found) => return Ok(self.done(*found, speech)),
                Step::Impossible(why) => return Err(self.impossible(&why)),
            }
        }
        Err(self.impossible("it went silent"))
    }

    fn step(
        &self,
        handshake: &mut Handshake,
        speech: &mut Speech,
        method: &'static str,
        mut params: Value,
        call: &HttpCall,
    ) -> Result<Vec<Step>> {
        speech.era = handshake.era();
        handshake.revision().clone_into(&mut speech.revision);
        if method == "initialize" {
            // What it speaks is what is asked.
            speech.revision.clear();
            speech.session = None;
        }
        add_meta(&mut params, handshake.era(), handshake.revision());
        let probe = HttpCall::within(self.probe_timeout.min(call.left()));
        let within = if handshake.probes() { &probe } else { call };
        let id = self.next_id();
        let posted = Posted::new(method, exchange::body(id, method, &params));
        let mut heard = |message| self.heard(message, id, None, speech, within);
        let asked = (id, posted);
        let asked = exchange::ask(&self.client, &self.http, speech, asked, within, &mut heard);
        match asked {
            Ok(reached) if reached.is_turned_away() => {
                let error = match &reached.answer.result {
                    Err(error) => outcome::refused(error, &self.agent),
                    Ok(_) => outcome::broken("an error with a result", &self.agent),
                };
                Err(reached.describe(error))
            }
            Ok(reached) => {
                if method == "initialize" {
                    speech.session = reached.head.header("mcp-session-id").map(str::to_owned);
                }
                if let (Err(RpcError { code, message, .. }), false) =
                    (&reached.answer.result, method == "server/discover")
                {
                    let said = shortened(message, 400);
                    self.log.write(Level::Warn, &format!("{method} was refused: {said} ({code})"));
                }
                Ok(handshake.answered(method, reached.answer.result))
            }
            Err(refusal) if handshake.probes() && refusal.is_older() && !call.left().is_zero() => {
                Ok(handshake.silent())
            }
            Err(refusal) => Err(refusal.into_error().with("agent", &self.agent)),
        }
    }

    fn done(&self, mut found: Catalogue, speech: Speech) -> Session {
        *self.era.lock() = Some(found.era);
        let mut mirrored = BTreeMap::new();
        if found.era == Era::Modern {
            let mut unfit = Vec::new();
            for (skill, tool) in &found.tools {
                match tool.about.input.as_ref().map_or(Ok(Vec::new()), params::mirrored) {
                    Ok(marked) if marked.is_empty() => {}
                    Ok(marked) => drop(mirrored.insert(skill.clone(), marked)),
                    Err(why) => unfit.push((skill.clone(), why)),
                }
            }
            for (skill, why) in unfit {
                found.remarks.push(format!("the tool {skill:?} was left out: {why}"));
                found.tools.remove(&skill);
                found.order.retain(|other| *other != skill);
            }
        }
        for remark in &found.remarks {
            self.log.write(Level::Warn, remark);
        }
        Session { speech, found: Arc::new(found), mirrored }
    }

    fn impossible(&self, why: &str) -> Error {
        Error::new(Code::AGENT_START, "the MCP server cannot be talked to")
            .classed(Class::Persistent)
            .operation("agent.mcp")
            .with("agent", &self.agent)
            .with("reason", why)
    }
}

fn cleaned(text: &str, keys: &[String]) -> String {
    keys.iter().fold(text.to_owned(), |text, key| text.replace(&**key, "***"))
}
