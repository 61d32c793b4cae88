//! An MCP server as an agent: its tools are the agent's skills.
//!
//! ```no_run
//! use sutazai_core::agent::connect::mcp::{McpAgent, McpSpec};
//! use sutazai_core::agent::connect::process::ProcessSpec;
//! use sutazai_core::port::Agent;
//!
//! let time = McpAgent::connect(McpSpec::stdio("time", ProcessSpec::new("mcp-server-time")))?;
//! assert_eq!(time.card().skills, ["get_current_time", "convert_time"]);
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! # Two eras
//!
//! The revision 2026-07-28 of the Model Context Protocol knows no session: each request carries its
//! revision and the client's capabilities in `_meta`. The revisions before it, to 2025-11-25, begin with
//! `initialize`. Both are spoken. As the specification says, a server is asked `server/discover` first;
//! any error that is none of the new era's, no answer within [`McpSpec::probe_timeout`], or a process that
//! ends at the question, means the older one. A discovery that is answered late counts when `initialize`
//! is refused. Which era it was is remembered over restarts.
//!
//! # Calls
//!
//! A task is `tools/call`. Its input is the `arguments`, an object; `null` stands for an empty one. The
//! output is `structuredContent` where there is any; else, when all content is text, that text, several
//! parts joined by line breaks; else the array `content`; `null` when that is empty. `isError` and errors of
//! JSON-RPC are [`Code::AGENT_FAILED`], with the server's words as message; what breaks the protocol is
//! [`Code::AGENT_PROTOCOL`]. The context has `rpc` and `rpc_code` for whoever classifies it.
//!
//! Whether a server lives it is asked by `ping`, or by `server/discover` in the newer era; any answer will do,
//! and whatever else it says. A server that goes silent for longer than its
//! [`LivenessPolicy`] has it is ended and started again, where it is a program.
//!
//! Progress is passed on as `{progress, total?, message?}`. A call that is cancelled or past its deadline
//! is cancelled at the server. The protocol asks a server not to answer then, so its silence does not tell
//! whether it has stopped; the call keeps its place until it is answered after all, or for
//! [`McpSpec::cancel_hold`]. The server is not restarted for it. Of what a server may ask in turn, `ping` is
//! answered; sampling, elicitation and roots are not offered and refused, and a result that asks for
//! input ([`input_required`]) is an error that says what it asks for.
//!
//! # Life
//!
//! That of a [process agent](super::process), to which a server that is a program is handed over with
//! another dialect: the same threads, bounds, restarts and evidence. What a server writes to stdout that is
//! no message at all is logged and counted, and not held against it.
//!
//! # Over HTTP
//!
//! [`McpTransport::Http`] is the transport "streamable HTTP" of both eras, through
//! [`http`](super::http). A task runs on the thread that it is handed to, a worker of the pool, which lends
//! out its slot meanwhile; as many at once as [`McpHttp::in_flight`] says. In the newer era a cancelled
//! call is told by closing its connection, and arguments that a tool marks with `x-mcp-header` go into
//! headers as well; in the older one by `notifications/cancelled`. A session that is over (404, or 400 and
//! words about a session) is begun anew, once, and so is what the server says of itself when it proves out of
//! date. Not there: the streams that a server opens to tell of changes (a GET, `subscriptions/listen`),
//! taking up a stream that broke off (`Last-Event-ID`), the transport of 2024 (HTTP+SSE), OAuth; headers
//! may carry a token.
//!
//! # Why not rmcp
//!
//! The crate `rmcp` (3.11) speaks both eras, on tokio. What this module is judged by stands around the
//! protocol, and rmcp leaves it to its caller or decides it otherwise: process groups and reaping,
//! restarts with evidence, bounds on queues and on places, a discovery that kills the server or comes
//! late, cancelled calls that keep their place. With it there would be a second process machinery
//! beside the one that is here, a runtime, and some fifty crates more. The part of the protocol that
//! agents need is `era.rs` and `rpc.rs`.
//!
//! [`input_required`]: https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr
//!
//! **Invariants.** Those of [`process`](super::process). No message makes this side wait: the handshake is
//! a state machine, driven by lines and by one deadline.

mod catalogue;
mod config;
mod era;
mod outcome;
mod rpc;
mod spec;
mod stdio;
mod streamable;

use std::fmt;
use std::sync::{Arc, OnceLock};

pub use config::{McpConfig, McpServer};
pub use era::Era;
pub use spec::{McpHttp, McpSpec, McpTransport};

use super::process::{ProcessAgent, ProcessPhase, ProcessStatus};
use crate::base::ticket::Reply;
use crate::base::time::Moment;
use crate::observe::Level;
use crate::port::{Agent, AgentCard, AgentHost, Beat, LivenessPolicy, Outcome, RunMode, Task};
use crate::{Code, Error, Result};
use catalogue::Catalogue;
pub(crate) use catalogue::well_named;
use stdio::Stdio;
use streamable::Streamable;

/// An agent that is an MCP server. See the [module](self) for what happens to it.
pub struct McpAgent {
    spec: McpSpec,
    card: OnceLock<AgentCard>,
    peer: Peer,
}

/// The way to the server.
enum Peer {
    Stdio { process: ProcessAgent, dialect: Arc<Stdio> },
    Http(Box<Streamable>),
}

/// What an MCP agent is doing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct McpStatus {
    /// Which protocol its server speaks, once that is known.
    pub era: Option<Era>,
    /// The revision that is spoken with it.
    pub revision: Option<String>,
    /// Its process, where it is one.
    pub process: Option<ProcessStatus>,
}

impl McpAgent {
    /// An agent that has its card from its server: starts or reaches it, finds out what it speaks, and asks
    /// for its tools. Blocks for as long as a start may take, twice where the server ends at the first
    /// question.
    ///
    /// # Errors
    /// As [`Agent::start`]; [`Code::AGENT_START`] too when the server has no tools.
    pub fn connect(spec: McpSpec) -> Result<Self> {
        let agent = Self::made(spec)?;
        agent.bring_up()?;
        let found = agent.found().unwrap_or_default();
        if found.tools.is_empty() {
            return Err(Error::new(Code::AGENT_START, "the MCP server has no tools")
                .operation("agent.mcp")
                .with("agent", &agent.spec.name)
                .with("server", &found.server)
                .advice("only tools become skills; see whether it needs arguments or settings"));
        }
        let _ = agent.card.set(agent.bounded(found.card(&agent.spec.name)));
        Ok(agent)
    }

    /// An agent with a card that was written or kept; the server is reached by the start. The card's name is
    /// the spec's.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the spec is not valid.
    pub fn new(spec: McpSpec, card: AgentCard) -> Result<Self> {
        let agent = Self::made(spec)?;
        let name = Arc::from(&*agent.spec.name);
        let _ = agent.card.set(agent.bounded(AgentCard { name, ..card }));
        Ok(agent)
    }

    fn made(spec: McpSpec) -> Result<Self> {
        spec.validate()?;
        let peer = match &spec.transport {
            McpTransport::Stdio(process) => {
                let known = AgentCard::new(&spec.name, ["tools"]);
                let name = Arc::clone(&known.name);
                let dialect = Stdio::new(name, spec.era, spec.probe_timeout, spec.cancel_hold);
                let dialect = Arc::new(dialect);
                let spoken = Arc::clone(&dialect);
                Peer::Stdio {
                    process: ProcessAgent::speaking(known, process.clone(), spoken),
                    dialect,
                }
            }
            McpTransport::Http(http) => {
                let name = Arc::from(&*spec.name);
                Peer::Http(Box::new(Streamable::new(name, &spec, http.clone())))
            }
        };
        Ok(Self { spec, card: OnceLock::new(), peer })
    }

    /// Hands the lines of its log to `f`; see [`ProcessAgent::on_log`]. Before the start only, and not of
    /// use to one that is connected.
    #[must_use]
    pub fn on_log(mut self, f: impl Fn(Level, &str) + Send + Sync + 'static) -> Self {
        self.peer = match self.peer {
            Peer::Stdio { process, dialect } => Peer::Stdio { process: process.on_log(f), dialect },
            Peer::Http(mut server) => {
                server.log.to = Some(Arc::new(f));
                Peer::Http(server)
            }
        };
        self
    }

    /// The card as it would be now: what the server offered when it was last asked. `None` until it has
    /// been reached.
    pub fn offers(&self) -> Option<AgentCard> {
        self.found().map(|found| self.bounded(found.card(&self.spec.name)))
    }

    /// The card with as many tasks at once as there may be threads for them, which are the pool's.
    fn bounded(&self, card: AgentCard) -> AgentCard {
        match &self.spec.transport {
            McpTransport::Http(http) => {
                let most = card.concurrency.unwrap_or(http.in_flight).min(http.in_flight);
                card.concurrency(most).run(RunMode::Pool)
            }
            McpTransport::Stdio(_) => card,
        }
    }

    /// What it is doing.
    pub fn status(&self) -> McpStatus {
        let found = self.found();
        McpStatus {
            era: found.as_ref().map(|found| found.era),
            revision: found.map(|found| found.revision.clone()),
            process: match &self.peer {
                Peer::Stdio { process, .. } => Some(process.status()),
                Peer::Http(_) => None,
            },
        }
    }

    fn found(&self) -> Option<Arc<Catalogue>> {
        match &self.peer {
            Peer::Stdio { dialect, .. } => dialect.found(),
            Peer::Http(server) => server.found(),
        }
    }

    fn bring_up(&self) -> Result<()> {
        match &self.peer {
            Peer::Stdio { process, .. } => match process.status().phase {
                // One that died since waits to be started again, as in any other moment of its life.
                ProcessPhase::Starting | ProcessPhase::Ready | ProcessPhase::Pausing => Ok(()),
                _ => process.failure().map_or_else(|| process.launch(), Err),
            },
            Peer::Http(server) => server.bring_up(),
        }
    }
}

impl Agent for McpAgent {
    fn card(&self) -> AgentCard {
        let unknown = || AgentCard::new(&self.spec.name, ["tools"]);
        self.card.get().cloned().unwrap_or_else(unknown)
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        match &self.peer {
            Peer::Stdio { process, .. } => process.handle(task, reply),
            Peer::Http(server) => server.handle(&task, reply),
        }
    }

    /// Reaches the server, unless it has been, and waits until its tools are known.
    ///
    /// # Errors
    /// [`Code::AGENT_START`] when the server cannot be started, ends, does not answer in time, or speaks no
    /// revision that is spoken here; [`Code::ALREADY_EXISTS`] after a stop.
    fn start(&self, host: &AgentHost) -> Result<()> {
        match &self.peer {
            Peer::Stdio { process, .. } => process.hosted(host),
            Peer::Http(server) => server.hosted(host),
        }
        self.bring_up()?;
        let found = self.found().unwrap_or_default();
        let card = self.card();
        let missing: Vec<&str> = (card.skills.iter().map(String::as_str))
            .filter(|skill| !found.tools.contains_key(*skill))
            .collect();
        if !missing.is_empty() {
            let message = format!("its card has skills that its server has not: {missing:?}");
            match &self.peer {
                Peer::Stdio { process, .. } => process.log(Level::Warn, &message),
                Peer::Http(server) => server.log.write(Level::Warn, &message),
            }
        }
        Ok(())
    }

    fn stop(&self, deadline: Moment) {
        match &self.peer {
            Peer::Stdio { process, .. } => process.stop(deadline),
            Peer::Http(server) => server.stop(deadline.since(server.now())),
        }
    }

    fn restarts(&self) -> u64 {
        match &self.peer {
            Peer::Stdio { process, .. } => process.restarts(),
            Peer::Http(_) => 0,
        }
    }

    fn process(&self) -> Option<u32> {
        match &self.peer {
            Peer::Stdio { process, .. } => process.process(),
            Peer::Http(_) => None,
        }
    }

    fn offers(&self) -> Option<AgentCard> {
        Self::offers(self)
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        match &self.peer {
            Peer::Stdio { process, .. } => process.liveness(),
            Peer::Http(_) => Some(super::http::liveness()),
        }
    }

    fn beat(&self, reply: Reply<Beat>) {
        match &self.peer {
            Peer::Stdio { process, .. } => process.beat(reply),
            Peer::Http(server) => drop(reply.answer(server.beat())),
        }
    }

    fn revive(&self, why: &Error) -> bool {
        match &self.peer {
            Peer::Stdio { process, .. } => process.revive(why),
            Peer::Http(_) => false,
        }
    }
}

impl fmt::Debug for McpAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpAgent")
            .field("card", &self.card.get())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// A task's input as `arguments`: JSON text of an object.
fn input(task: &Task, agent: &str) -> Result<Arc<str>> {
    let payload = task.input();
    if payload.is_null() {
        return Ok(Arc::from("{}"));
    }
    let text = payload.to_text();
    // An object of bytes (`{"base64": …}`) would be one by accident.
    if payload.as_bytes().is_none() && text.trim_start().starts_with('{') {
        return Ok(text);
    }
    Err(Error::new(Code::INVALID, "the input of an MCP tool is a JSON object, or null")
        .operation("agent.mcp")
        .with("agent", agent)
        .with("skill", task.skill())
        .advice("name the arguments: {\"argument\": value}; the card has the schema of the input"))
}
