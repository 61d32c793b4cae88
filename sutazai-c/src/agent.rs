//! Agents written in C.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwapOption;
use sutazai_core::base::error::Fixed;
use sutazai_core::base::reading::from_json;
use sutazai_core::base::runtime::{Manual, Runtime};
use sutazai_core::base::ticket::Reply;
use sutazai_core::base::time::Moment;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{
    Agent, AgentCard, AgentHost, Beat, LivenessPolicy, Outcome, RunMode, Task,
};
use sutazai_core::{Code, Error, Result};

use crate::boundary::{borrow, fallible};
use crate::error::sutazai_error;
use crate::fork::Home;
use crate::kernel::sutazai_kernel;
use crate::reply::sutazai_reply;
use crate::table::{DropFn, Table, User, required, take_over};
use crate::task::sutazai_task;
use crate::text::text;

/// What an agent does. Callbacks must not throw, longjmp, or end their thread.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_agent_table {
    /// `sizeof(sutazai_agent_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after `stop` and when no `handle` runs any more, on any thread.
    /// Replies that `user` keeps are best freed here. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Does a task. `reply` is the agent's to free, here or later on any thread; `task` lives as
    /// long as `reply`. Runs on the kernel's pool, on the caller's thread for an agent whose card
    /// says `"run": "inline"` (which must not block); several tasks may run at once unless the card
    /// says `"concurrency": 1`. Required.
    pub handle: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            task: *const sutazai_task,
            reply: *mut sutazai_reply,
        ),
    >,
    /// Gets ready; called once before the first task, on a thread that may block. Answers NULL, or
    /// an error, which the library frees: the agent is not started then. May be NULL.
    pub start: Option<unsafe extern "C" fn(user: *mut c_void) -> *mut sutazai_error>,
    /// Lets go of what it holds; called once after the last task, on a thread that may block, for
    /// `left_ms` milliseconds at most. May be NULL.
    pub stop: Option<unsafe extern "C" fn(user: *mut c_void, left_ms: u64)>,
    /// Says whether it lives: one of SUTAZAI_BEAT_ALIVE, _UNREACHABLE, _DEAD and _NONE; asked now and then (the
    /// operation "agent.liveness_set" says when), on the kernel's pool, where it may block: not to return is no
    /// sign of life either. May be NULL: it cannot end but with its kernel.
    pub beat: Option<unsafe extern "C" fn(user: *mut c_void) -> u32>,
}

/// It lives.
pub const SUTAZAI_BEAT_ALIVE: u32 = 0;
/// It cannot be reached; it takes no tasks until it lives again.
pub const SUTAZAI_BEAT_UNREACHABLE: u32 = 1;
/// It has ended, and does not come back by itself.
pub const SUTAZAI_BEAT_DEAD: u32 = 2;
/// It gives no sign of life; neither does any number that is not listed here.
pub const SUTAZAI_BEAT_NONE: u32 = 3;

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_agent_table {
    const NAME: &'static str = "sutazai_agent_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

impl sutazai_agent_table {
    /// A table that is not filled in.
    pub(crate) fn empty() -> Self {
        Self {
            size: size_of::<Self>(),
            user: std::ptr::null_mut(),
            drop: None,
            handle: None,
            start: None,
            stop: None,
            beat: None,
        }
    }
}

/// Registers an agent; in a kernel that runs it is started here. `card` is JSON: `name`, `skills`
/// (an array), and optionally `version`, `description`, `run` (`"pool"` or `"inline"`),
/// `concurrency`, `timeout_ms`, `labels`, `cost`, `about` (more of its skills: schemas, and probes that the operation
/// "agent.probe" makes). The table is copied. Its `user` belongs to the library
/// from now on: `drop` is called once, also when this function fails (unless the table is NULL or
/// its `size` is not possible).
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for a card or table that is not valid, `SUTAZAI_BASE_ALREADY_EXISTS` for a
/// name that is taken, and what `start` answers.
///
/// # Safety
/// `kernel` is NULL or live; `card` is good for reading; `table` is NULL or as its `size` says, and
/// its callbacks do as they promise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_agent_add(
    kernel: *mut sutazai_kernel,
    card: *const c_char,
    card_len: usize,
    table: *const sutazai_agent_table,
) -> *mut sutazai_error {
    // SAFETY: the caller's promise.
    fallible(|| unsafe { register(kernel, card, card_len, table, |to, agent| to.add_agent(agent)) })
}

/// As sutazai_agent_add, or puts another version of an agent in charge of its name, as `version` on its card
/// says: it is started first, and takes over when it is ready. The version before finishes what it has and
/// stands by, started; the operation "agent.switch" puts it in charge again, and so does a checkpoint. Two
/// versions stand by, at most; the one that has for longest is stopped then.
///
/// # Errors
/// As sutazai_agent_add, of which `SUTAZAI_BASE_ALREADY_EXISTS` is for a version that the agent has already.
///
/// # Safety
/// As sutazai_agent_add.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_agent_replace(
    kernel: *mut sutazai_kernel,
    card: *const c_char,
    card_len: usize,
    table: *const sutazai_agent_table,
) -> *mut sutazai_error {
    // SAFETY: the caller's promise.
    fallible(|| unsafe {
        register(kernel, card, card_len, table, |to, agent| to.replace_agent(agent))
    })
}

/// # Safety
/// As [`sutazai_agent_add`].
unsafe fn register(
    kernel: *mut sutazai_kernel,
    card: *const c_char,
    card_len: usize,
    table: *const sutazai_agent_table,
    to: impl FnOnce(&Kernel, CAgent) -> Result<()>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let (table, user) = unsafe { take_over(table) }?;
    // SAFETY: the caller's promise.
    let kernel = unsafe { borrow(kernel) }?;
    // SAFETY: the caller's promise.
    let card = unsafe { text(card, card_len, "card") }?;
    to(&kernel.kernel, CAgent::new(Home::here(), card_of(card)?, &table, user)?)
}

/// Reads an agent's card.
///
/// # Errors
/// [`Code::INVALID`] for one that is not valid.
pub(crate) fn card_of(text: &str) -> Result<AgentCard> {
    from_json("agent.add", "card", text)
}

pub(crate) struct CAgent {
    home: Home,
    card: AgentCard,
    handle: unsafe extern "C" fn(*mut c_void, *const sutazai_task, *mut sutazai_reply),
    start: Option<unsafe extern "C" fn(*mut c_void) -> *mut sutazai_error>,
    stop: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    beat: Option<unsafe extern "C" fn(*mut c_void) -> u32>,
    /// Set by the start, which comes before the first task.
    runtime: OnceLock<Weak<dyn Runtime>>,
    /// Let go of by the stop, and not only when the agent is dropped: a reply that is kept in there
    /// holds the books of its call, and with them this agent.
    user: ArcSwapOption<User>,
}

impl CAgent {
    /// # Errors
    /// [`Code::INVALID`] for a table without what it must have.
    pub(crate) fn new(
        home: Home,
        card: AgentCard,
        table: &sutazai_agent_table,
        user: User,
    ) -> Result<Self> {
        Ok(Self {
            home,
            card,
            handle: required(table.handle, "handle")?,
            start: table.start,
            stop: table.stop,
            beat: table.beat,
            runtime: OnceLock::new(),
            user: ArcSwapOption::from_pointee(user),
        })
    }
}

impl Agent for CAgent {
    fn card(&self) -> AgentCard {
        self.card.clone()
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        let Some(user) = self.user.load_full() else {
            let _ = reply.fail(Error::from(&STOPPED));
            return;
        };
        let runtime = self.runtime.get().cloned().unwrap_or_else(nowhere);
        let task = sutazai_task::new(self.home, task, runtime);
        let (reply, task) = sutazai_reply::give(self.home, task, reply);
        // SAFETY: whoever registered the table promised that it may be called so.
        unsafe { (self.handle)(user.get(), task, reply) }
    }

    fn start(&self, host: &AgentHost) -> Result<()> {
        let _ = self.runtime.set(Arc::downgrade(&host.runtime));
        let (Some(start), Some(user)) = (self.start, self.user.load_full()) else { return Ok(()) };
        // SAFETY: whoever registered the table promised that it may be called so.
        let answer = unsafe { start(user.get()) };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(answer) }
    }

    fn stop(&self, deadline: Moment) {
        let Some(user) = self.user.swap(None) else { return };
        let Some(stop) = self.stop else { return };
        let runtime = self.runtime.get().and_then(Weak::upgrade);
        let left = runtime.map_or(0, |runtime| deadline.since(runtime.now()).as_millis());
        // SAFETY: whoever registered the table promised that it may be called so.
        unsafe { stop(user.get(), u64::try_from(left).unwrap_or(u64::MAX)) }
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        self.beat.map(|_| LivenessPolicy::default())
    }

    /// On the pool also for one whose tasks run inline, which says nothing of this callback.
    fn beat(&self, reply: Reply<Beat>) {
        let Some(beat) = self.beat else {
            drop(reply.send(Beat::Alive));
            return;
        };
        let Some(user) = self.user.load_full() else {
            drop(reply.fail(Error::from(&STOPPED)));
            return;
        };
        let name = Arc::clone(&self.card.name);
        let ask = move || {
            // SAFETY: whoever registered the table promised that it may be called so.
            let said = unsafe { beat(user.get()) };
            let about = |error: Error| error.operation("agent.beat").with("agent", &name);
            let _ = reply.answer(match said {
                SUTAZAI_BEAT_ALIVE => Ok(Beat::Alive),
                SUTAZAI_BEAT_UNREACHABLE => Ok(Beat::Unreachable(about(Error::from(&AWAY)))),
                SUTAZAI_BEAT_DEAD => Ok(Beat::Dead(about(Error::from(&ENDED)))),
                SUTAZAI_BEAT_NONE => Err(about(Error::from(&SILENT))),
                other => Err(about(Error::from(&SILENT)).with("beat", other)),
            });
        };
        let runtime = self.runtime.get().and_then(Weak::upgrade);
        match runtime.filter(|_| self.card.run == RunMode::Inline) {
            Some(runtime) => drop(runtime.spawn_blocking(Box::new(ask))),
            None => ask(),
        }
    }
}

static AWAY: Fixed = Fixed { code: Code::IO, message: "the agent says that it cannot be reached" };
static ENDED: Fixed =
    Fixed { code: Code::AGENT_EXITED, message: "the agent says that it has ended" };
static SILENT: Fixed =
    Fixed { code: Code::AGENT_FAILED, message: "the agent gives no sign of life" };

static STOPPED: Fixed = Fixed { code: Code::NOT_RUNNING, message: "the agent has been stopped" };

/// The runtime of an agent that has none.
fn nowhere() -> Weak<dyn Runtime> {
    Weak::<Manual>::new()
}
