//! What the threads of a process agent and its callers share, and what callers do with it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::calls::{Calls, Cancelled, Waiting};
use super::dialect::{Dialect, Said};
use super::exit::{ProcessExit, Tail};
use super::json_lines::JsonLines;
use super::log::Log;
use super::spec::ProcessSpec;
use crate::base::error::Fixed;
use crate::base::os::process::Leader;
use crate::base::ticket::Reply;
use crate::base::time::Moment;
use crate::base::wait::{Condvar, Mutex};
use crate::port::{AgentCard, AgentHost, Beat, Outcome, Task};
use crate::{Code, Error};

pub(super) struct Shared {
    pub(super) card: AgentCard,
    pub(super) spec: ProcessSpec,
    pub(super) dialect: Arc<dyn Dialect>,
    pub(super) log: Log,
    pub(super) host: OnceLock<AgentHost>,
    pub(super) next: AtomicU64,
    pub(super) state: Mutex<State>,
    /// There is something to write, or nothing ever again.
    pub(super) work: Condvar,
    /// Anything else changed: for the supervisor, and for those who wait for it.
    pub(super) change: Condvar,
}

pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) calls: Calls,
    /// Messages that go before any task. At most one cancellation a task that the process has, a
    /// `describe`, a `stop`, and what the dialect has to say, which is bounded where it is put in.
    pub(super) control: VecDeque<Said>,
    /// The process, until it is reaped.
    pub(super) leader: Option<Leader>,
    pub(super) exited: bool,
    /// The process was asked to stop: its input ends when `control` is written.
    pub(super) asked: bool,
    /// The process has ended: nothing is written any more.
    pub(super) closed: bool,
    /// When it is to be ended by signals.
    pub(super) ending: Option<Ending>,
    /// The agent is to stop by then.
    pub(super) stop: Option<Moment>,
    pub(super) breaches_in_a_row: u32,
    pub(super) tail: Tail,
    pub(super) described: Option<AgentCard>,
    pub(super) restarts: u64,
    pub(super) breaches: u64,
    pub(super) last_exit: Option<ProcessExit>,
    /// It was heard of since it was asked last whether it lives.
    pub(super) heard: bool,
    /// Who wants to know whether it lives.
    pub(super) beat: Option<Reply<Beat>>,
}

/// Where in its life the agent is.
pub(super) enum Phase {
    New,
    Starting,
    Ready,
    /// Between two processes.
    Pausing,
    Stopped,
    Failed(Error),
}

/// How a process is ended from here.
pub(super) struct Ending {
    pub(super) terminate: Moment,
    pub(super) kill: Moment,
    pub(super) reason: String,
}

thread_local! {
    /// The agent whose thread this is, by address.
    static OWNER: Cell<usize> = const { Cell::new(0) };
}

impl Shared {
    pub(super) fn new(card: AgentCard, spec: ProcessSpec) -> Self {
        let dialect = JsonLines::new(Arc::clone(&card.name));
        Self::speaking(card, spec, Arc::new(dialect))
    }

    pub(super) fn speaking(card: AgentCard, spec: ProcessSpec, dialect: Arc<dyn Dialect>) -> Self {
        let log = Log { agent: Arc::clone(&card.name), to: None, host: Arc::default() };
        Self {
            card,
            spec,
            dialect,
            log,
            host: OnceLock::new(),
            next: AtomicU64::new(1),
            state: Mutex::new(State {
                phase: Phase::New,
                calls: Calls::default(),
                control: VecDeque::new(),
                leader: None,
                exited: false,
                asked: false,
                closed: false,
                ending: None,
                stop: None,
                breaches_in_a_row: 0,
                tail: Tail::default(),
                described: None,
                restarts: 0,
                breaches: 0,
                last_exit: None,
                heard: false,
                beat: None,
            }),
            work: Condvar::new(),
            change: Condvar::new(),
        }
    }

    /// Takes a task, or answers it with the reason why not.
    pub(super) fn submit(self: &Arc<Self>, task: Task, reply: Reply<Outcome>) {
        let input = match self.dialect.input(&task) {
            Ok(input) => input,
            Err(error) => {
                let _ = reply.fail(error);
                return;
            }
        };
        if self.dialect.task_length(&task, &input) > self.spec.max_line {
            let error = Error::new(Code::INVALID, "the input is longer than a line may be")
                .operation(self.dialect.operation())
                .with("agent", &self.card.name)
                .with("bytes", input.len())
                .with("max_line", self.spec.max_line)
                .advice("pass a path instead of the content, or raise max_line");
            let _ = reply.fail(error);
            return;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let weak = Arc::downgrade(self);
        reply.on_cancel(move || {
            if let Some(shared) = weak.upgrade() {
                shared.cancel(id);
            }
        });
        let refused = {
            let mut state = self.state.lock();
            match self.refusal(&state, input.len()) {
                Some(error) => Some((error, reply)),
                // Cancelled before it stood in the table, where the callback above finds it.
                None if reply.cancelled() => Some((crate::base::ticket::cancelled(), reply)),
                None => {
                    state.calls.add(id, Waiting { task, input, reply });
                    None
                }
            }
        };
        match refused {
            Some((error, reply)) => drop(reply.fail(error)),
            None => {
                self.work.notify_one();
            }
        }
    }

    fn refusal(&self, state: &State, bytes: usize) -> Option<Error> {
        match &state.phase {
            Phase::Failed(error) => return Some(error.clone()),
            Phase::New | Phase::Stopped => return Some(not_running()),
            _ if state.stop.is_some() => return Some(not_running()),
            Phase::Starting | Phase::Ready | Phase::Pausing => {}
        }
        let full = state.calls.waiting() >= self.spec.queue as usize
            || state.calls.bytes().saturating_add(bytes) > self.spec.queue_bytes;
        // An idle process takes a task even when none may wait.
        let idle = state.calls.waiting() == 0
            && matches!(state.phase, Phase::Ready)
            && state.calls.under_way() < self.in_flight();
        (full && !idle).then(|| {
            Error::new(Code::OVERLOADED, "too many tasks wait for the agent's process")
                .operation(self.dialect.operation())
                .with("agent", &self.card.name)
                .with("waiting", state.calls.waiting())
                .with("bytes", state.calls.bytes())
        })
    }

    fn cancel(&self, id: u64) {
        let cancelled = {
            let mut state = self.state.lock();
            let grace = self.spec.cancel_grace.or_else(|| self.dialect.hold());
            let give_up = grace.map(|grace| Moment::now() + grace);
            let cancelled = state.calls.cancel(id, give_up);
            if matches!(cancelled, Cancelled::Sent) && !state.closed && !state.asked {
                state.control.push_back(self.dialect.cancel(id));
            }
            cancelled
        };
        match cancelled {
            Cancelled::Waiting(reply) => drop(reply),
            Cancelled::Sent => {
                self.work.notify_one();
                self.change.notify_all();
            }
            Cancelled::Unknown => {}
        }
    }

    /// Tasks that the process holds at once, at most.
    pub(super) fn in_flight(&self) -> usize {
        self.spec.in_flight.min(self.card.concurrency.unwrap_or(u32::MAX)).max(1) as usize
    }

    /// Answers whether the process lives, or asks it.
    pub(super) fn beat(&self, reply: Reply<Beat>) {
        let before = {
            let mut state = self.state.lock();
            let heard = std::mem::take(&mut state.heard);
            let beat = match &state.phase {
                Phase::Failed(error) => Ok(Beat::Dead(error.clone())),
                Phase::New | Phase::Stopped => Err(not_running()),
                // It is being started again, and is not waited for longer than that may take.
                Phase::Starting | Phase::Pausing => Ok(Beat::Heard),
                Phase::Ready if state.exited || state.ending.is_some() => Ok(Beat::Heard),
                Phase::Ready if heard => Ok(Beat::Heard),
                Phase::Ready => match self.dialect.ping() {
                    // There is a process, and more cannot be known.
                    None => Ok(Beat::Alive),
                    Some(ping) => {
                        state.control.push_back(ping);
                        let before = state.beat.replace(reply);
                        drop(state);
                        self.work.notify_one();
                        drop(before);
                        return;
                    }
                },
            };
            (reply, beat)
        };
        let (reply, beat) = before;
        let _ = reply.answer(beat);
    }

    /// The process was heard of; `pong` where it said that it lives.
    pub(super) fn heard(&self, pong: bool) {
        let asked = {
            let mut state = self.state.lock();
            state.heard = true;
            state.beat.take()
        };
        if let Some(reply) = asked {
            let _ = reply.send(if pong { Beat::Alive } else { Beat::Heard });
        }
    }

    /// Ends a process that gives no sign of life; whether it is started again here.
    pub(super) fn revive(&self, why: &Error) -> bool {
        let ends = {
            let mut state = self.state.lock();
            let ends = matches!(state.phase, Phase::Ready) && state.stop.is_none();
            if ends {
                self.end(&mut state, why.message().to_owned(), std::time::Duration::ZERO);
            }
            ends
        };
        self.change.notify_all();
        ends
    }

    /// Tells the supervisor to end everything by `deadline`.
    pub(super) fn ask_to_stop(&self, deadline: Moment) {
        {
            let mut state = self.state.lock();
            state.stop = Some(state.stop.map_or(deadline, |before| before.min(deadline)));
        }
        self.change.notify_all();
    }

    /// Waits until `until` for the phase to be one of the last two, or what `enough` wants.
    pub(super) fn wait(&self, until: Moment, enough: impl Fn(&State) -> bool) {
        let mut state = self.state.lock();
        while !enough(&state) && !matches!(state.phase, Phase::Stopped | Phase::Failed(_)) {
            let left = until.since(Moment::now());
            if left.is_zero() {
                return;
            }
            (state, _) = self.change.wait_for(state, left);
        }
    }

    /// The present, as the kernel counts it.
    pub(super) fn now(&self) -> Moment {
        self.host.get().map_or_else(Moment::now, |host| host.runtime.now())
    }

    /// Marks the current thread as one of this agent's.
    pub(super) fn adopt_thread(self: &Arc<Self>) {
        OWNER.with(|owner| owner.set(Arc::as_ptr(self) as usize));
    }

    /// Whether the current thread is one of this agent's: it must not wait for the others.
    pub(super) fn owns_thread(self: &Arc<Self>) -> bool {
        OWNER.with(|owner| owner.get() == Arc::as_ptr(self) as usize)
    }
}

pub(super) fn not_running() -> Error {
    static NOT_RUNNING: Fixed =
        Fixed { code: Code::NOT_RUNNING, message: "the agent's process is not running" };
    Error::from(&NOT_RUNNING)
}
