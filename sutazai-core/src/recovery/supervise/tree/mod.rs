//! The state machine of a tree of supervisors: what is to be done next, given what happened and when.
//!
//! It calls nothing and reads no clock. Its answers stand in one queue of [`Action`]s, in order.
//!
//! Each supervisor works as an Erlang process does: what it is told waits in its inbox while it starts
//! or stops a child, and then comes in turn. Where OTP waits inside a function, here stands a `Job`
//! that says what is waited for and what follows. Functions name what they are in OTP's
//! `supervisor.erl`, which `tests/supervise_otp.rs` holds this to.

mod call;
mod node;
mod restart;
mod root;
mod start;
mod stop;
#[cfg(test)]
mod tests;
mod timers;
mod view;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use self::node::{Being, Place, Sup};
use self::root::Root;
use self::timers::{Due, Timers};
use super::check;
use super::spec::{ChildSpec, SupervisorSpec};
use super::state::{Cause, State, Transition};
use crate::base::random::SplitMix64;
use crate::base::time::Moment;
use crate::port::{ChildExit, ChildLife, ChildStart, Generation};
use crate::{Code, Error, Result};

/// What is killed counts as dead when its `kill` has returned, or after this time.
pub const KILL_WITHIN: Duration = Duration::from_secs(1);

/// The number by which an asker knows the answer to its [`Request`] again.
pub type Token = u64;

/// What is to be done, or made known.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Start a worker, and tell [`Tree::started`].
    Start {
        /// Which worker, and its new life.
        life: ChildLife,
        /// What it is specified as.
        spec: Arc<ChildSpec>,
        /// By when; then comes a `Kill`.
        deadline: Moment,
    },
    /// Ask a worker to stop, and tell [`Tree::exited`].
    Stop {
        /// The life to end.
        generation: Generation,
        /// By when; then comes a `Kill`. [`Moment::FAR`] for no bound.
        deadline: Moment,
    },
    /// Kill a worker, and tell [`Tree::killed`].
    Kill {
        /// The life to end.
        generation: Generation,
    },
    /// A child has changed its state.
    Changed(Transition),
    /// The start of the tree is over.
    Up(Result<()>),
    /// The tree has ended, and why. It can be started again.
    Down(Cause),
    /// The answer to a request.
    Answer(Token, Result<()>),
}

/// What a running tree can be asked for. Paths are identifiers with `>` between them, from the root's
/// name on.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields, tag = "request")]
pub enum Request {
    /// Adds a child behind the others, and starts it. It lasts until its supervisor is started anew,
    /// which begins with what its specification says.
    StartChild {
        /// The path of the supervisor.
        supervisor: String,
        /// The new child.
        spec: Box<ChildSpec>,
    },
    /// Stops a child. It is not started again by itself, but it may be with a restart of its siblings;
    /// a temporary one is forgotten. When its start had failed in a restart of several, and was to be tried
    /// again, those after it stay as they are, as in OTP.
    TerminateChild {
        /// The path of the child.
        path: String,
    },
    /// Starts a child that does not live. Does not count as a restart.
    RestartChild {
        /// The path of the child.
        path: String,
    },
    /// Forgets a child that does not live.
    DeleteChild {
        /// The path of the child.
        path: String,
    },
    /// Changes the strategy, intensity, period, automatic shutdown and backoff of a supervisor, from the
    /// next end of a child on, and also for when it is itself started anew. Restarts that were counted stay
    /// counted.
    Change {
        /// The path of the supervisor.
        supervisor: String,
        /// What it shall be. The children in it are not looked at: they come and go by the other
        /// requests.
        spec: Box<SupervisorSpec>,
    },
}

/// A tree of supervisors; see the [module](super) for what it promises.
pub struct Tree {
    root: Root,
    sups: HashMap<Generation, Sup>,
    paths: HashMap<Arc<str>, Generation>,
    beings: HashMap<Generation, Being>,
    last_generation: u64,
    timers: Timers,
    chance: SplitMix64,
    /// The latest time that was told.
    now: Moment,
    /// What supervisors have yet to hear of one another.
    signals: VecDeque<Signal>,
    actions: VecDeque<Action>,
}

enum Signal {
    /// A supervisor begins to start its children.
    Init(Generation),
    /// A child has started, or not.
    Started(Option<Generation>, Generation, Result<ChildStart>),
    /// A child has ended.
    Ended(Option<Generation>, Generation, ChildExit),
    /// A supervisor may have something in its inbox.
    Go(Generation),
}

impl Tree {
    /// A tree that has not started. `name` is the identifier of its root; pauses before restarts are
    /// drawn from `seed`.
    ///
    /// # Errors
    /// [`Code::INVALID`] for every mistake, as [`SupervisorSpec::check`] says.
    pub fn new(name: &str, spec: SupervisorSpec, seed: u64) -> Result<Self> {
        check::id(name)
            .map_err(|message| Error::new(Code::INVALID, message).operation("supervise.check"))?;
        spec.check()?;
        Ok(Self {
            root: Root::new(Arc::from(name), Arc::new(spec)),
            sups: HashMap::new(),
            paths: HashMap::new(),
            beings: HashMap::new(),
            last_generation: 0,
            timers: Timers::default(),
            chance: SplitMix64::new(seed),
            now: Moment::ZERO,
            signals: VecDeque::new(),
            actions: VecDeque::new(),
        })
    }

    /// Starts the root and, in order, everything below it; [`Action::Up`] follows.
    ///
    /// # Errors
    /// [`Code::INVALID`] unless it has not started yet, or is down again; the state is in the context.
    pub fn start(&mut self, now: Moment) -> Result<()> {
        self.at(now);
        self.begin_root()?;
        self.settle();
        Ok(())
    }

    /// Ends everything, the last first; [`Action::Down`] follows. What still lives at `deadline` is
    /// killed.
    pub fn stop(&mut self, deadline: Moment, now: Moment) {
        self.at(now);
        self.end_root(deadline);
        self.settle();
    }

    /// The start of a worker is over. False when nobody waits for it any more: kill it, if it lives.
    pub fn started(
        &mut self,
        generation: Generation,
        result: Result<ChildStart>,
        now: Moment,
    ) -> bool {
        self.at(now);
        let owner = self.beings.get(&generation).map(|being| being.owner);
        let wanted = owner.is_some_and(|owner| self.on_started(owner, generation, result));
        self.settle();
        wanted
    }

    /// A worker has ended: by itself, or because it was asked to.
    pub fn exited(&mut self, generation: Generation, exit: ChildExit, now: Moment) {
        self.at(now);
        if let Some(being) = self.beings.get(&generation) {
            self.on_ended(being.owner, generation, exit);
        }
        self.settle();
    }

    /// The kill of a worker has returned.
    pub fn killed(&mut self, generation: Generation, now: Moment) {
        if self.beings.get(&generation).is_some_and(|being| being.killed) {
            self.exited(generation, ChildExit::Shutdown, now);
        }
    }

    /// Asks for something; [`Action::Answer`] with `token` follows.
    pub fn ask(&mut self, token: Token, request: Request, now: Moment) {
        self.at(now);
        self.on_request(token, request);
        self.settle();
    }

    /// Looks at the clock: deadlines, and the ends of pauses.
    pub fn tick(&mut self, now: Moment) {
        self.at(now);
        while let Some((key, due)) = self.timers.take(self.now) {
            match due {
                Due::Job(supervisor) => self.job_overdue(supervisor),
                Due::Pause(supervisor, place) => {
                    self.tell(supervisor, node::Message::PauseOver(place, key));
                }
                Due::Root => self.root_overdue(),
            }
            self.settle();
        }
    }

    /// What is next.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to [`tick`](Self::tick) at the latest.
    pub fn next_tick(&self) -> Option<Moment> {
        self.timers.next()
    }

    fn at(&mut self, now: Moment) {
        self.now = self.now.max(now);
    }

    /// Lets supervisors hear of one another until none has anything to do.
    fn settle(&mut self) {
        while let Some(signal) = self.signals.pop_front() {
            match signal {
                Signal::Init(supervisor) => {
                    self.start_next(supervisor, 0, node::AfterStart::Init);
                }
                Signal::Started(owner, generation, result) => {
                    self.on_started(owner, generation, result);
                }
                Signal::Ended(owner, generation, exit) => self.on_ended(owner, generation, exit),
                Signal::Go(supervisor) => self.go_on(supervisor),
            }
        }
    }

    /// Puts a message into a supervisor's inbox.
    fn tell(&mut self, supervisor: Generation, message: node::Message) {
        if let Some(sup) = self.sups.get_mut(&supervisor) {
            sup.inbox.push_back(message);
            self.signals.push_back(Signal::Go(supervisor));
        }
    }

    /// A supervisor is done with what it was at.
    fn idle(&mut self, supervisor: Generation) {
        if let Some(sup) = self.sups.get_mut(&supervisor) {
            sup.job = node::Job::Idle;
            self.signals.push_back(Signal::Go(supervisor));
        }
    }

    fn new_generation(&mut self) -> Generation {
        self.last_generation += 1;
        Generation(self.last_generation)
    }

    /// Changes the state of a child; one that is removed is forgotten.
    fn set(&mut self, supervisor: Generation, place: Place, to: State, cause: Cause) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        let Some(entry) = sup.children.get_mut(place) else { return };
        let from = std::mem::replace(&mut entry.state, to);
        let generation = match to {
            State::Waiting | State::Restarting | State::Stopped | State::Removed => {
                entry.generation.take()
            }
            State::Starting | State::Running | State::Stopping | State::Exited => entry.generation,
        };
        if cause.is_failure() {
            entry.last_failure = Some(cause.clone());
        }
        entry.note_end(to, &cause);
        self.actions.push_back(Action::Changed(Transition {
            path: Arc::clone(&entry.path),
            kind: entry.kind(),
            generation,
            from,
            to,
            cause,
            at: self.now,
        }));
        if to == State::Removed {
            sup.children.remove(place);
        }
    }

    /// Changes the state of a supervisor, as its owner keeps it.
    fn set_own(&mut self, supervisor: Generation, to: State, cause: Cause) {
        let Some(being) = self.beings.get(&supervisor) else { return };
        match being.owner {
            Some(owner) => self.set(owner, being.place, to, cause),
            None => self.set_root(to, cause),
        }
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree")
            .field("name", &self.root.name)
            .field("state", &self.root.state)
            .field("lives", &self.beings.len())
            .finish_non_exhaustive()
    }
}
