//! Starting children, one after the other.

use std::sync::Arc;
use std::time::Duration;

use super::super::spec::Restart;
use super::super::state::{Cause, State};
use super::node::{AfterStart, AfterStop, Being, Job, Life, Message, Place, StartJob, Sup};
use super::timers::Due;
use super::{Action, KILL_WITHIN, Signal, Tree};
use crate::port::{ChildExit, ChildLife, ChildStart, Generation};
use crate::{Code, Error, Result};

impl Tree {
    /// Starts the children from a place on (OTP: `start_children/2`).
    pub(super) fn start_next(&mut self, supervisor: Generation, from: Place, then: AfterStart) {
        let Some(sup) = self.sups.get(&supervisor) else { return };
        match sup.children.next_from(from) {
            Some(place) => self.start_child(supervisor, place, then),
            None => {
                if matches!(then, AfterStart::Init) {
                    let started = Signal::Started(sup.owner, supervisor, Ok(ChildStart::Running));
                    self.signals.push_back(started);
                }
                self.idle(supervisor);
            }
        }
    }

    /// Starts one child (OTP: `do_start_child/2`).
    pub(super) fn start_child(&mut self, supervisor: Generation, place: Place, then: AfterStart) {
        let generation = self.new_generation();
        let cause = self.cause_of_start(supervisor, place, then);
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        let Some(entry) = sup.children.get_mut(place) else { return };
        entry.generation = Some(generation);
        let (path, spec) = (Arc::clone(&entry.path), Arc::clone(&entry.spec));
        let life = ChildLife::new(Arc::clone(&entry.id), Arc::clone(&path), generation);
        let life = match &spec.does {
            Some(does) => life.does(does.as_str()),
            None => life,
        };
        let above = sup.above + 1;
        let deadline = self.now + Duration::from_millis(spec.start_timeout_ms);
        let timer = match spec.supervisor {
            // Its children have deadlines.
            Some(_) => None,
            None => self.timers.set(deadline, Due::Job(supervisor)),
        };
        sup.job = Job::Start(StartJob { place, generation, timer, killing: false, then });
        let being = Being {
            owner: Some(supervisor),
            place,
            supervisor: spec.supervisor.is_some(),
            exit: None,
            killed: false,
        };
        self.beings.insert(generation, being);
        self.set(supervisor, place, State::Starting, cause);
        match &spec.supervisor {
            None => self.actions.push_back(Action::Start { life, spec, deadline }),
            Some(below) => {
                let below = Arc::new(below.clone());
                let sup = Sup::new(Arc::clone(&path), above, Some(supervisor), below, self.now);
                self.sups.insert(generation, sup);
                self.paths.insert(path, generation);
                self.signals.push_back(Signal::Init(generation));
            }
        }
    }

    /// A child has started, or has not. False when nobody waits for that.
    pub(super) fn on_started(
        &mut self,
        owner: Option<Generation>,
        generation: Generation,
        result: Result<ChildStart>,
    ) -> bool {
        let Some(supervisor) = owner else {
            let is_root = self.root.generation == Some(generation);
            if is_root {
                self.root_started(result);
            }
            return is_root;
        };
        let Some(sup) = self.sups.get_mut(&supervisor) else { return false };
        let Job::Start(job) = &sup.job else { return false };
        if job.generation != generation {
            return false;
        }
        if job.killing {
            // Too late; what did not fail waits for the end of the kill.
            if result.is_err() {
                self.start_overran(supervisor);
            }
            return false;
        }
        let (place, then) = (job.place, job.then);
        self.timers.clear(job.timer);
        match result {
            Ok(ChildStart::Running) => self.child_runs(supervisor, place, generation, then),
            Ok(ChildStart::Ignored) => {
                self.beings.remove(&generation);
                let temporary = match sup.children.get_mut(place) {
                    Some(entry) => {
                        entry.life = Life::None;
                        entry.spec.restart == Restart::Temporary
                    }
                    None => false,
                };
                let to = if temporary { State::Removed } else { State::Stopped };
                self.set(supervisor, place, to, Cause::Ignored);
            }
            Err(error) => {
                self.beings.remove(&generation);
                self.start_failed(supervisor, place, then, error);
                return true;
            }
        }
        match then {
            AfterStart::Init | AfterStart::Group { .. } => {
                self.start_next(supervisor, place + 1, then);
            }
            AfterStart::Alone => self.idle(supervisor),
            AfterStart::Answer { token, .. } => {
                self.actions.push_back(Action::Answer(token, Ok(())));
                self.idle(supervisor);
            }
        }
        true
    }

    fn child_runs(
        &mut self,
        supervisor: Generation,
        place: Place,
        generation: Generation,
        then: AfterStart,
    ) {
        let cause = self.cause_of_start(supervisor, place, then);
        let now = self.now;
        let sup = self.sups.get_mut(&supervisor);
        if let Some(entry) = sup.and_then(|sup| sup.children.get_mut(place)) {
            entry.life = Life::Alive(generation);
            entry.lives_since = now;
        }
        self.set(supervisor, place, State::Running, cause);
        // It may have ended before its start had returned.
        if let Some(exit) = self.beings.get_mut(&generation).and_then(|being| being.exit.take()) {
            self.exited_alone(supervisor, generation, exit);
        }
    }

    fn start_failed(
        &mut self,
        supervisor: Generation,
        place: Place,
        then: AfterStart,
        error: Error,
    ) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        let Some(entry) = sup.children.get_mut(place) else { return };
        let id = Arc::clone(&entry.id);
        let worded = worded(&entry.path, &error);
        let cause = Cause::StartFailed { error };
        match then {
            AfterStart::Init => {
                entry.life = Life::None;
                self.set(supervisor, place, State::Stopped, cause);
                let blame = self.blame(supervisor, place);
                self.blame_on(supervisor, blame);
                self.stop_all(supervisor, 0, None, AfterStop::InitFailed(worded));
            }
            AfterStart::Group { .. } | AfterStart::Alone => {
                entry.life = Life::Restarting;
                self.set(supervisor, place, State::Restarting, cause);
                // Through the inbox, so that what waits there comes first.
                self.tell(supervisor, Message::Retry(id));
                self.idle(supervisor);
            }
            AfterStart::Answer { token, new } => {
                let to = if new { State::Removed } else { State::Stopped };
                self.set(supervisor, place, to, cause);
                self.actions.push_back(Action::Answer(token, Err(worded)));
                self.idle(supervisor);
            }
        }
    }

    /// The deadline of a start has passed, or that of the kill which followed.
    pub(super) fn start_overdue(&mut self, supervisor: Generation) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        let Job::Start(job) = &mut sup.job else { return };
        if job.killing {
            return self.start_overran(supervisor);
        }
        job.killing = true;
        job.timer = self.timers.set(self.now + KILL_WITHIN, Due::Job(supervisor));
        let generation = job.generation;
        if let Some(being) = self.beings.get_mut(&generation) {
            being.killed = true;
            self.actions.push_back(Action::Kill { generation });
        }
    }

    /// A start that overran its deadline is over and done with.
    pub(super) fn start_overran(&mut self, supervisor: Generation) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        let Job::Start(job) = &sup.job else { return };
        let (place, then) = (job.place, job.then);
        self.timers.clear(job.timer);
        self.beings.remove(&job.generation);
        let error = Error::new(Code::DEADLINE_EXCEEDED, "it did not start before its deadline");
        self.start_failed(supervisor, place, then, error);
    }

    /// A child has ended while nobody waited for that.
    pub(super) fn exited_alone(
        &mut self,
        supervisor: Generation,
        generation: Generation,
        exit: ChildExit,
    ) {
        let Some(being) = self.beings.get_mut(&generation) else { return };
        being.exit = Some(exit.clone());
        let place = being.place;
        self.calm(supervisor, place);
        self.set(supervisor, place, State::Exited, Cause::Exited(exit.clone()));
        self.tell(supervisor, Message::Exit(generation, exit));
    }

    fn cause_of_start(&self, supervisor: Generation, place: Place, then: AfterStart) -> Cause {
        match then {
            AfterStart::Init => Cause::Supervisor,
            AfterStart::Alone => Cause::Restart,
            AfterStart::Group { because } if because == place => Cause::Restart,
            AfterStart::Group { because } => self.sibling(supervisor, because),
            AfterStart::Answer { .. } => Cause::Asked,
        }
    }

    /// Because of the sibling at this place.
    pub(super) fn sibling(&self, supervisor: Generation, place: Place) -> Cause {
        let sup = self.sups.get(&supervisor);
        match sup.and_then(|sup| sup.children.get(place)) {
            Some(entry) => Cause::Sibling { path: Arc::clone(&entry.path) },
            None => Cause::Supervisor,
        }
    }
}

fn worded(path: &str, cause: &Error) -> Error {
    Error::new(Code::CHILD_START, format!("the child \"{path}\" failed to start"))
        .classed(cause.class())
        .with("child", path)
        .because(cause.clone())
}
