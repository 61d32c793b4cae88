//! The root: the supervisor that belongs to nobody.

use std::sync::Arc;

use super::super::spec::SupervisorSpec;
use super::super::state::{Cause, Kind, State, Transition};
use super::node::{Being, Blame, Message, Sup};
use super::timers::{Due, Key};
use super::{Action, KILL_WITHIN, Signal, Tree};
use crate::base::time::Moment;
use crate::port::{ChildStart, Generation};
use crate::{Class, Code, Error, Result};

pub(super) struct Root {
    pub(super) name: Arc<str>,
    pub(super) spec: Arc<SupervisorSpec>,
    pub(super) state: State,
    /// Its life, until it is down.
    pub(super) generation: Option<Generation>,
    /// Why it ends, once it does by itself.
    pub(super) ending: Option<Cause>,
    /// The child that leads to its end, once it ends by itself or does not start.
    pub(super) blame: Option<Blame>,
    /// Why it lives no longer, and the child that led to it.
    pub(super) over: Option<(Cause, Option<Blame>)>,
    /// Somebody asked for its end; by when.
    end: Option<Moment>,
    timer: Option<Key>,
    /// Everything is being killed.
    killing: bool,
    /// What is being killed, and not dead yet.
    waiting: Vec<Generation>,
}

impl Root {
    pub(super) fn new(name: Arc<str>, spec: Arc<SupervisorSpec>) -> Self {
        Self {
            name,
            spec,
            state: State::Waiting,
            generation: None,
            ending: None,
            blame: None,
            over: None,
            end: None,
            timer: None,
            killing: false,
            waiting: Vec::new(),
        }
    }
}

impl Tree {
    pub(super) fn begin_root(&mut self) -> Result<()> {
        if self.root.generation.is_some() {
            let ends = self.root.state == State::Stopping;
            return Err(Error::new(Code::INVALID, "the tree has not ended")
                .classed(if ends { Class::Transient } else { Class::Persistent })
                .operation("supervise.start")
                .with("supervisor", &self.root.name)
                .with("state", self.root.state.name())
                .advice("stop it first"));
        }
        let generation = self.new_generation();
        let name = Arc::clone(&self.root.name);
        let being = Being { owner: None, place: 0, supervisor: true, exit: None, killed: false };
        self.beings.insert(generation, being);
        self.paths.insert(Arc::clone(&name), generation);
        let spec = Arc::clone(&self.root.spec);
        self.sups.insert(generation, Sup::new(name, 0, None, spec, self.now));
        self.root.generation = Some(generation);
        self.root.ending = None;
        self.root.blame = None;
        self.root.over = None;
        self.root.end = None;
        self.root.killing = false;
        self.set_root(State::Starting, Cause::Asked);
        self.signals.push_back(Signal::Init(generation));
        Ok(())
    }

    pub(super) fn end_root(&mut self, deadline: Moment) {
        let Some(generation) = self.root.generation else {
            return self.actions.push_back(Action::Down(Cause::Asked));
        };
        let first = self.root.end.is_none();
        if first {
            self.tell(generation, Message::Shutdown);
        }
        if self.root.end.is_none_or(|end| deadline < end) {
            self.root.end = Some(deadline);
            if !self.root.killing {
                self.timers.clear(self.root.timer.take());
                self.root.timer = self.timers.set(deadline, Due::Root);
            }
        }
    }

    /// The deadline of the root's end has passed, or that of its kill.
    pub(super) fn root_overdue(&mut self) {
        let Some(generation) = self.root.generation else { return };
        if self.root.killing {
            for lost in std::mem::take(&mut self.root.waiting) {
                self.beings.remove(&lost);
            }
            return self.root_down(Cause::Killed);
        }
        self.root.killing = true;
        let mut waiting = Vec::new();
        self.kill(generation, None, &mut waiting);
        if waiting.is_empty() {
            return self.root_down(Cause::Killed);
        }
        self.root.waiting = waiting;
        self.root.timer = self.timers.set(self.now + KILL_WITHIN, Due::Root);
    }

    pub(super) fn root_started(&mut self, result: Result<ChildStart>) {
        match result {
            Ok(_) => {
                self.set_root(State::Running, Cause::Asked);
                self.actions.push_back(Action::Up(Ok(())));
            }
            Err(error) => {
                let asked = self.root.end.is_some();
                self.clear_root(Cause::StartFailed { error: error.clone() });
                self.actions.push_back(Action::Up(Err(error)));
                if asked {
                    self.actions.push_back(Action::Down(Cause::Asked));
                }
            }
        }
    }

    /// The root has ended, or something that was killed with it.
    pub(super) fn root_ended(&mut self, generation: Generation) {
        if self.root.killing {
            self.root.waiting.retain(|other| *other != generation);
            if self.root.waiting.is_empty() {
                self.root_down(Cause::Killed);
            }
        } else if self.root.generation == Some(generation) {
            let cause = self.root.ending.take().unwrap_or(Cause::Asked);
            self.root_down(cause);
        }
    }

    fn root_down(&mut self, cause: Cause) {
        let starting = self.root.state == State::Starting;
        self.clear_root(cause.clone());
        if starting {
            let error = Error::new(Code::CANCELLED, "stopped before everything had started");
            self.actions.push_back(Action::Up(Err(error.operation("supervise.start"))));
        }
        self.actions.push_back(Action::Down(cause));
    }

    fn clear_root(&mut self, cause: Cause) {
        if let Some(generation) = self.root.generation {
            self.beings.remove(&generation);
        }
        self.timers.clear(self.root.timer.take());
        let by_itself =
            matches!(cause, Cause::Intensity | Cause::AutoShutdown | Cause::StartFailed { .. });
        let blame = self.root.blame.take().filter(|_| by_itself);
        self.root.over = Some((cause.clone(), blame));
        self.set_root(State::Stopped, cause);
        self.root.generation = None;
    }

    pub(super) fn set_root(&mut self, to: State, cause: Cause) {
        let from = std::mem::replace(&mut self.root.state, to);
        self.actions.push_back(Action::Changed(Transition {
            path: Arc::clone(&self.root.name),
            kind: Kind::Supervisor,
            generation: self.root.generation,
            from,
            to,
            cause,
            at: self.now,
        }));
    }
}
