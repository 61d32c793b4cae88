//! Stopping children, the last first; and killing whole branches.

use std::time::Duration;

use super::super::spec::{Restart, Shutdown};
use super::super::state::{Cause, State};
use super::node::{AfterStart, AfterStop, Job, Life, Message, Place, StopJob, Sup};
use super::timers::Due;
use super::{Action, KILL_WITHIN, Signal, Tree};
use crate::base::time::Moment;
use crate::port::{ChildExit, Generation};
use crate::{Code, Error};

impl Tree {
    /// Stops the children from a place on, but for one (OTP: `terminate_children/2`).
    pub(super) fn stop_all(
        &mut self,
        supervisor: Generation,
        from: Place,
        but: Option<Place>,
        then: AfterStop,
    ) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        let mut left = sup.children.places_from(from);
        left.retain(|place| Some(*place) != but);
        self.stop_these(supervisor, left, then);
    }

    pub(super) fn stop_these(&mut self, supervisor: Generation, left: Vec<Place>, then: AfterStop) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        sup.job = Job::Stop(StopJob {
            left,
            current: None,
            waiting: Vec::new(),
            timer: None,
            killing: false,
            then,
        });
        self.stop_next(supervisor);
    }

    fn stop_next(&mut self, supervisor: Generation) {
        loop {
            let Some(sup) = self.sups.get_mut(&supervisor) else { return };
            let Job::Stop(job) = &mut sup.job else { return };
            let Some(place) = job.left.pop() else { break };
            let Some(entry) = sup.children.get(place) else { continue };
            let Life::Alive(generation) = entry.life else {
                self.gone(supervisor, place, None);
                continue;
            };
            let how = entry.spec.how_to_stop();
            // One that has ended already is not asked; its exit is no longer of interest.
            if self.beings.get(&generation).is_none_or(|being| being.exit.is_some()) {
                self.beings.remove(&generation);
                self.gone(supervisor, place, None);
                continue;
            }
            job.current = Some(place);
            job.killing = false;
            let cause = self.cause_of_stop(supervisor);
            self.set(supervisor, place, State::Stopping, cause);
            let waits = match how {
                Shutdown::BrutalKill => self.kill_current(supervisor, generation),
                Shutdown::TimeoutMs(ms) => {
                    self.ask_to_stop(supervisor, generation, self.now + Duration::from_millis(ms))
                }
                Shutdown::Infinity => self.ask_to_stop(supervisor, generation, Moment::FAR),
            };
            if waits {
                return;
            }
            self.gone(supervisor, place, Some(Cause::Killed));
        }
        self.all_stopped(supervisor);
    }

    fn ask_to_stop(
        &mut self,
        supervisor: Generation,
        generation: Generation,
        deadline: Moment,
    ) -> bool {
        let timer = self.timers.set(deadline, Due::Job(supervisor));
        if let Some(Sup { job: Job::Stop(job), .. }) = self.sups.get_mut(&supervisor) {
            job.waiting = vec![generation];
            job.timer = timer;
        }
        if self.beings.get(&generation).is_some_and(|being| being.supervisor) {
            // It may have ended just now; that it has comes as a signal then.
            self.tell(generation, Message::Shutdown);
        } else {
            self.actions.push_back(Action::Stop { generation, deadline });
        }
        true
    }

    /// Kills what is being stopped; false when nothing is left to wait for.
    fn kill_current(&mut self, supervisor: Generation, generation: Generation) -> bool {
        let mut waiting = Vec::new();
        self.kill(generation, Some(supervisor), &mut waiting);
        let Some(Sup { job: Job::Stop(job), .. }) = self.sups.get_mut(&supervisor) else {
            return false;
        };
        job.killing = true;
        job.waiting = waiting;
        if job.waiting.is_empty() {
            return false;
        }
        job.timer = self.timers.set(self.now + KILL_WITHIN, Due::Job(supervisor));
        true
    }

    /// What a supervisor is at has taken too long.
    pub(super) fn job_overdue(&mut self, supervisor: Generation) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        let Job::Stop(job) = &mut sup.job else { return self.start_overdue(supervisor) };
        let Some(place) = job.current else { return };
        if job.killing {
            for lost in std::mem::take(&mut job.waiting) {
                self.beings.remove(&lost);
            }
        } else if let Some(Life::Alive(generation)) = sup.children.get(place).map(|e| e.life)
            && self.kill_current(supervisor, generation)
        {
            return;
        }
        self.gone(supervisor, place, Some(Cause::Killed));
        self.stop_next(supervisor);
    }

    /// A child, or something that is being killed with it, has ended.
    pub(super) fn on_ended(
        &mut self,
        owner: Option<Generation>,
        generation: Generation,
        exit: ChildExit,
    ) {
        let Some(supervisor) = owner else { return self.killed_or_root_ended(generation) };
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        match &mut sup.job {
            Job::Stop(job) if job.waiting.contains(&generation) => {
                self.beings.remove(&generation);
                job.waiting.retain(|other| *other != generation);
                let (killing, timer) = (job.killing, job.timer);
                let Some(place) = job.current else { return };
                if !job.waiting.is_empty() {
                    return;
                }
                self.timers.clear(timer);
                let cause = match exit {
                    _ if killing => Some(Cause::Killed),
                    ChildExit::Failed(error) => Some(Cause::StopFailed { error }),
                    ChildExit::Normal | ChildExit::Shutdown => None,
                };
                self.gone(supervisor, place, cause);
                self.stop_next(supervisor);
            }
            Job::Start(job) if job.generation == generation => {
                if job.killing {
                    self.start_overran(supervisor);
                } else if let Some(being) = self.beings.get_mut(&generation) {
                    being.exit.get_or_insert(exit);
                }
            }
            _ => {
                // Twice said is once said.
                if self.beings.get(&generation).is_some_and(|being| being.exit.is_none()) {
                    self.exited_alone(supervisor, generation, exit);
                }
            }
        }
    }

    fn killed_or_root_ended(&mut self, generation: Generation) {
        if self.root.generation != Some(generation) {
            self.beings.remove(&generation);
        }
        self.root_ended(generation);
    }

    /// A child that was to be stopped does not live any more (OTP: the rest of `terminate_children/2`, and
    /// `del_child/2`).
    fn gone(&mut self, supervisor: Generation, place: Place, cause: Option<Cause>) {
        let cause = cause.unwrap_or_else(|| self.cause_of_stop(supervisor));
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        let to = match &sup.job {
            Job::Stop(StopJob {
                then: AfterStop::Group { .. } | AfterStop::Pause { .. }, ..
            }) => State::Waiting,
            _ => State::Stopped,
        };
        let Some(entry) = sup.children.get_mut(place) else { return };
        entry.life = Life::None;
        self.timers.clear(entry.pause.take());
        if entry.spec.restart == Restart::Temporary {
            self.set(supervisor, place, State::Removed, cause);
        } else if !matches!(entry.state, State::Waiting | State::Stopped) {
            self.set(supervisor, place, to, cause);
        }
    }

    fn all_stopped(&mut self, supervisor: Generation) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        let Job::Stop(job) = std::mem::replace(&mut sup.job, Job::Idle) else { return };
        let owner = sup.owner;
        match job.then {
            AfterStop::Group { from, because } => {
                self.start_next(supervisor, from, AfterStart::Group { because });
            }
            AfterStop::Pause { place, until } => {
                self.pause(supervisor, place, until);
                self.idle(supervisor);
            }
            AfterStop::InitFailed(error) => {
                self.forget(supervisor);
                self.signals.push_back(Signal::Started(owner, supervisor, Err(error)));
            }
            AfterStop::End => {
                self.forget(supervisor);
                self.signals.push_back(Signal::Ended(owner, supervisor, ChildExit::Shutdown));
            }
            AfterStop::Answer(token) => {
                self.actions.push_back(Action::Answer(token, Ok(())));
                self.idle(supervisor);
            }
        }
    }

    /// A supervisor is no more; whoever still asks it for something hears so.
    fn forget(&mut self, supervisor: Generation) -> Option<Sup> {
        let sup = self.sups.remove(&supervisor)?;
        self.paths.remove(&sup.path);
        for message in &sup.inbox {
            if let Message::Call(token, _) = message {
                self.actions.push_back(Action::Answer(*token, Err(ended(&sup.path))));
            }
        }
        Some(sup)
    }

    /// Kills a worker, or everything below a supervisor and the supervisor: `waiting` receives the lives
    /// that are being killed, and `killer` will hear of their ends.
    pub(super) fn kill(
        &mut self,
        generation: Generation,
        killer: Option<Generation>,
        waiting: &mut Vec<Generation>,
    ) {
        let Some(being) = self.beings.get(&generation) else { return };
        if being.exit.is_some() {
            self.beings.remove(&generation);
        } else if being.supervisor {
            self.kill_supervisor(generation, killer, waiting);
        } else {
            self.kill_worker(generation, killer, waiting);
        }
    }

    fn kill_supervisor(
        &mut self,
        generation: Generation,
        killer: Option<Generation>,
        waiting: &mut Vec<Generation>,
    ) {
        self.beings.remove(&generation);
        let Some(sup) = self.forget(generation) else { return };
        let mut token = None;
        let mut current = None;
        match sup.job {
            Job::Idle => {}
            Job::Start(job) => {
                self.timers.clear(job.timer);
                if self.sups.contains_key(&job.generation) {
                    self.kill_supervisor(job.generation, killer, waiting);
                } else {
                    self.kill_worker(job.generation, killer, waiting);
                }
                if let AfterStart::Answer { token: asked, .. } = job.then {
                    token = Some(asked);
                }
            }
            Job::Stop(job) => {
                self.timers.clear(job.timer);
                if job.killing {
                    current = job.current;
                    for dying in job.waiting {
                        self.kill_worker(dying, killer, waiting);
                    }
                }
                if let AfterStop::Answer(asked) = job.then {
                    token = Some(asked);
                }
            }
        }
        if let Some(token) = token {
            self.actions.push_back(Action::Answer(token, Err(ended(&sup.path))));
        }
        for (place, entry) in sup.children.iter().rev() {
            self.timers.clear(entry.pause);
            if let Life::Alive(child) = entry.life
                && current != Some(place)
            {
                self.kill(child, killer, waiting);
            }
            if !matches!(entry.state, State::Waiting | State::Stopped) {
                self.actions.push_back(Action::Changed(entry.orphaned(self.now)));
            }
        }
    }

    fn kill_worker(
        &mut self,
        generation: Generation,
        killer: Option<Generation>,
        waiting: &mut Vec<Generation>,
    ) {
        let Some(being) = self.beings.get_mut(&generation) else { return };
        being.owner = killer;
        waiting.push(generation);
        if !std::mem::replace(&mut being.killed, true) {
            self.actions.push_back(Action::Kill { generation });
        }
    }

    fn cause_of_stop(&self, supervisor: Generation) -> Cause {
        let Some(Sup { job: Job::Stop(job), .. }) = self.sups.get(&supervisor) else {
            return Cause::Supervisor;
        };
        match job.then {
            AfterStop::Group { because: place, .. } | AfterStop::Pause { place, .. } => {
                self.sibling(supervisor, place)
            }
            AfterStop::InitFailed(_) | AfterStop::End => Cause::Supervisor,
            AfterStop::Answer(_) => Cause::Asked,
        }
    }
}

/// For those who ask a supervisor that is no more.
fn ended(path: &str) -> Error {
    Error::new(Code::NOT_RUNNING, "the supervisor has ended")
        .operation("supervise.ask")
        .with("supervisor", path)
}
