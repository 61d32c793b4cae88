//! A child process as an agent: JSON lines on stdin and stdout.
//!
//! ```no_run
//! use std::sync::Arc;
//! use sutazai_core::agent::connect::process::{ProcessAgent, ProcessSpec};
//! use sutazai_core::base::runtime::Threads;
//! use sutazai_core::observe::{Log, system_clock};
//! use sutazai_core::port::{Agent, AgentCard, AgentHost};
//!
//! let card = AgentCard::new("reviewer", ["review"]);
//! let agent = ProcessAgent::new(card, ProcessSpec::new("python3").arg("reviewer.py"));
//! let log = Log::new(100, system_clock());
//! agent.start(&AgentHost::new(Arc::new(Threads::default()), log))?;
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
#![doc = include_str!("protocol.md")]
//!
//! # Life
//!
//! It is started by [`Agent::start`], which waits until it is ready, and started again when it dies,
//! as [`RestartPolicy`] says. Tasks that it had are answered with
//! [`Code::AGENT_EXITED`](crate::Code::AGENT_EXITED), with exit status, signal and the end of
//! stderr as context. Tasks that it did not have yet, and new ones, wait for the next process; when
//! too many wait they are refused with [`Code::OVERLOADED`](crate::Code::OVERLOADED). When it died
//! too often, every task is answered with the evidence of the last death.
//!
//! Where its host starts another one in its place ([`AgentHost::supervised`]) it is not started again here.
//!
//! Whatever it says is a sign of life. One that answers pings and goes silent for too long is ended, and what
//! follows is as when it had died; of one that does not, only its end is known, and that its tasks take
//! long.
//!
//! [`Agent::stop`] sends `stop` and closes stdin, gives three quarters of the time (and all but
//! [`ProcessSpec::kill_grace`]) to end, then sends SIGTERM to the process group, and at the deadline
//! SIGKILL. One that has no task has [`ProcessSpec::stop_grace`] before SIGTERM, and no longer than
//! [`ProcessSpec::kill_grace`] after it. Dropping the agent sends SIGKILL at once. However a process ends, what is
//! left of its process group is killed, and it is reaped.
//!
//! **Not covered.** A grandchild that made a session or process group of its own is not killed; it
//! holds up nothing here, even if it keeps the pipes open. Where the host ignores SIGCHLD or reaps
//! children that are not its own, exit statuses are unknown.
//!
//! # Threads
//!
//! From start to stop one agent has the thread `sutazai-p-sup`, and, while its process lives,
//! `sutazai-p-in`, `sutazai-p-out`, `sutazai-p-err` and `sutazai-p-exit`. Answers, and callbacks of
//! tickets, run on `sutazai-p-out`, and `sutazai-p-sup` when the process died. Handing in a task
//! never waits for the process.
//!
//! **Invariants.** Every task gets one answer. Nothing that the process does or does not do blocks a
//! caller, grows memory without bound, or takes down the host. No lock is held while a reply is
//! answered or dropped, or while the log is written.

mod calls;
mod dialect;
mod exit;
mod hear;
mod json_lines;
mod life;
mod lines;
mod log;
mod restart;
mod shared;
mod spec;
mod supervise;
mod wire;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

#[cfg(feature = "mcp")]
pub(super) use dialect::{Dialect, Heard, Said, push_json};
pub use exit::ProcessExit;
#[cfg(feature = "mcp")]
pub(super) use exit::shortened;
#[cfg(feature = "mcp")]
pub(super) use log::Log;
pub use spec::{ProcessSpec, RestartPolicy};

use crate::base::ticket::Reply;
use crate::base::time::Moment;
use crate::observe::Level;
use crate::port::{Agent, AgentCard, AgentHost, Beat, LivenessPolicy, Outcome, Task};
use crate::{Code, Error, Result};
use shared::{Phase, Shared};

/// An agent that is a child process. See the [module](self) for what happens to it.
pub struct ProcessAgent {
    shared: Arc<Shared>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

/// What a process agent is doing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct ProcessStatus {
    /// Where in its life it is.
    pub phase: ProcessPhase,
    /// The process id, while there is a process.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// Breaches of the protocol since the start.
    pub breaches: u64,
    /// Tasks that the process has.
    pub under_way: usize,
    /// Tasks that wait for it.
    pub waiting: usize,
    /// How the last process ended.
    pub last_exit: Option<ProcessExit>,
}

/// Where in its life a process agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ProcessPhase {
    /// Not started yet.
    New,
    /// There is a process that is not ready yet.
    Starting,
    /// It takes tasks.
    Ready,
    /// It died, and is started again after a pause.
    Pausing,
    /// It was stopped.
    Stopped,
    /// It could not be started, or died too often.
    Failed,
}

impl ProcessAgent {
    /// An agent that has not started: no process, no thread.
    pub fn new(card: AgentCard, spec: ProcessSpec) -> Self {
        Self { shared: Arc::new(Shared::new(card, spec)), supervisor: Mutex::new(None) }
    }

    /// An agent that speaks another protocol.
    #[cfg(feature = "mcp")]
    pub(super) fn speaking(card: AgentCard, spec: ProcessSpec, dialect: Arc<dyn Dialect>) -> Self {
        let shared = Arc::new(Shared::speaking(card, spec, dialect));
        Self { shared, supervisor: Mutex::new(None) }
    }

    /// An agent that introduces itself: runs the program once, asks it to describe itself, and ends
    /// it. Blocks for up to twice [`ProcessSpec::start_timeout`].
    ///
    /// # Errors
    /// As [`Agent::start`]; [`Code::AGENT_PROTOCOL`] when it does not describe itself in time.
    pub fn described(spec: ProcessSpec) -> Result<Self> {
        let once = spec.clone().restart(RestartPolicy { most: 0, ..spec.restart });
        let probe = Self::new(AgentCard::new(spec.program(), ["describe"]), once);
        probe.launch()?;
        probe.shared.state.lock().control.push_back(wire::DESCRIBE.into());
        probe.shared.work.notify_all();
        let until = Moment::now() + spec.start_timeout;
        probe
            .shared
            .wait(until, |state| state.described.is_some() || !matches!(state.phase, Phase::Ready));
        let card = probe.shared.state.lock().described.take();
        probe.stop(Moment::now() + spec.kill_grace);
        match card {
            Some(card) => Ok(Self::new(card, spec)),
            None => Err(Error::new(Code::AGENT_PROTOCOL, "the agent did not describe itself")
                .operation("agent.process")
                .with("program", spec.program())
                .advice(
                    "it must answer a \"describe\" message with a \"card\", or be given a card",
                )),
        }
    }

    /// Hands the lines of its log (stderr at info, its `log` messages, what is noticed about it) to
    /// `f`; without it they go to the kernel's log with the target `sutazai.agent`. Called from
    /// the agent's own threads; must not wait for the agent. Before the start only; later it
    /// changes nothing.
    #[must_use]
    pub fn on_log(mut self, f: impl Fn(Level, &str) + Send + Sync + 'static) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.log.to = Some(Arc::new(f));
        }
        self
    }

    /// What it is doing.
    pub fn status(&self) -> ProcessStatus {
        let state = self.shared.state.lock();
        ProcessStatus {
            phase: match state.phase {
                Phase::New => ProcessPhase::New,
                Phase::Starting => ProcessPhase::Starting,
                Phase::Ready => ProcessPhase::Ready,
                Phase::Pausing => ProcessPhase::Pausing,
                Phase::Stopped => ProcessPhase::Stopped,
                Phase::Failed(_) => ProcessPhase::Failed,
            },
            pid: state.leader.map(|leader| leader.id()),
            restarts: state.restarts,
            breaches: state.breaches,
            under_way: state.calls.under_way(),
            waiting: state.calls.waiting(),
            last_exit: state.last_exit.clone(),
        }
    }

    /// Says what it may use of the kernel that it belongs to; the first time counts.
    pub(super) fn hosted(&self, host: &AgentHost) {
        let _ = self.shared.log.host.set(host.log.clone());
        let _ = self.shared.host.set(host.clone());
    }

    /// Why it could not be started, or is not started again.
    #[cfg(feature = "mcp")]
    pub(super) fn failure(&self) -> Option<Error> {
        match &self.shared.state.lock().phase {
            Phase::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// Writes a line to its log.
    #[cfg(feature = "mcp")]
    pub(super) fn log(&self, level: Level, line: &str) {
        self.shared.log.write(level, line);
    }

    /// Starts the process and waits until it is ready.
    pub(super) fn launch(&self) -> Result<()> {
        self.shared.spec.validate()?;
        {
            let mut state = self.shared.state.lock();
            if !matches!(state.phase, Phase::New) {
                return Err(Error::new(Code::ALREADY_EXISTS, "a process agent is started once")
                    .operation(self.shared.dialect.operation())
                    .with("agent", &self.shared.card.name)
                    .advice("make a new one from its card and spec"));
            }
            state.phase = Phase::Starting;
        }
        let shared = Arc::clone(&self.shared);
        let supervisor = std::thread::Builder::new()
            .name("sutazai-p-sup".to_owned())
            .spawn(move || supervise::run(&shared))
            .map_err(|error| {
                let error = Error::new(Code::AGENT_START, "cannot start a thread").because(error);
                self.shared.state.lock().phase = Phase::Failed(error.clone());
                error
            })?;
        *self.supervisor.lock() = Some(supervisor);
        self.shared.wait(Moment::FAR, |state| matches!(state.phase, Phase::Ready));
        let failure = match &self.shared.state.lock().phase {
            Phase::Failed(error) => Some(error.clone()),
            Phase::Stopped => Some(shared::not_running()),
            _ => None,
        };
        match failure {
            Some(error) => {
                self.join();
                Err(error)
            }
            None => Ok(()),
        }
    }

    fn join(&self) {
        let supervisor = self.supervisor.lock().take();
        if let Some(supervisor) = supervisor {
            let _ = supervisor.join();
        }
    }
}

/// Beyond the deadline of a stop: how long a process takes to end once it was killed.
const AFTER_KILL: Duration = Duration::from_secs(2);

impl Agent for ProcessAgent {
    fn card(&self) -> AgentCard {
        self.shared.card.clone()
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        self.shared.submit(task, reply);
    }

    /// Starts the process and waits until it is ready.
    ///
    /// # Errors
    /// [`Code::AGENT_START`] when it cannot be started, ends, or is not ready in time;
    /// [`Code::INVALID`] when the spec is not valid; [`Code::ALREADY_EXISTS`] the second time.
    fn start(&self, host: &AgentHost) -> Result<()> {
        self.hosted(host);
        self.launch()
    }

    fn stop(&self, deadline: Moment) {
        if matches!(self.shared.state.lock().phase, Phase::New) {
            self.shared.state.lock().phase = Phase::Stopped;
            return;
        }
        // Deadlines are the kernel's; processes live in real time.
        let left = deadline.since(self.shared.now());
        let deadline = Moment::now() + left;
        self.shared.ask_to_stop(deadline);
        if self.shared.owns_thread() {
            return;
        }
        self.shared.wait(deadline + AFTER_KILL, |_| false);
        if matches!(self.shared.state.lock().phase, Phase::Stopped | Phase::Failed(_)) {
            self.join();
        } else {
            let message = "the process did not end after SIGKILL; it is left to the system";
            self.shared.log.write(Level::Error, message);
        }
    }

    fn restarts(&self) -> u64 {
        self.shared.state.lock().restarts
    }

    fn process(&self) -> Option<u32> {
        self.shared.state.lock().leader.map(|leader| leader.id())
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        Some(LivenessPolicy::default())
    }

    fn beat(&self, reply: Reply<Beat>) {
        self.shared.beat(reply);
    }

    fn revive(&self, why: &Error) -> bool {
        self.shared.revive(why)
    }
}

impl Drop for ProcessAgent {
    fn drop(&mut self) {
        self.shared.ask_to_stop(Moment::ZERO);
        // At once, and not when the supervisor gets to it: this may be the host's last breath.
        let state = self.shared.state.lock();
        if let Some(leader) = state.leader {
            leader.kill();
        }
    }
}

impl std::fmt::Debug for ProcessAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessAgent")
            .field("card", &self.shared.card)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
