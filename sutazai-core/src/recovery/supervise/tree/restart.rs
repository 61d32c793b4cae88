//! What a supervisor does with what it is told; above all, restarting.

use super::super::spec::{AutoShutdown, Restart, Strategy};
use super::super::state::{Cause, State};
use super::Tree;
use super::node::{AfterStart, AfterStop, Blame, Job, Life, Message, Place};
use super::timers::Due;
use crate::base::time::Moment;
use crate::port::{ChildExit, Generation};

impl Tree {
    /// The next message, if the supervisor has nothing else to do.
    pub(super) fn go_on(&mut self, supervisor: Generation) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        if !matches!(sup.job, Job::Idle) {
            return;
        }
        let Some(message) = sup.inbox.pop_front() else { return };
        match message {
            Message::Exit(generation, exit) => self.child_exited(supervisor, generation, exit),
            Message::Retry(id) => match sup.children.find(&id) {
                Some((place, entry)) if entry.life == Life::Restarting && entry.pause.is_none() => {
                    self.restart(supervisor, place);
                }
                // Somebody stopped it, or started it with others, meanwhile.
                _ => self.idle(supervisor),
            },
            Message::PauseOver(place, key) => match sup.children.get_mut(place) {
                Some(entry) if entry.pause == Some(key) => {
                    entry.pause = None;
                    self.restart_now(supervisor, place);
                }
                _ => self.idle(supervisor),
            },
            Message::Shutdown => {
                let asked = sup.owner.is_none();
                let cause = if asked { Cause::Asked } else { Cause::Supervisor };
                self.end(supervisor, cause);
            }
            Message::Call(token, request) => {
                sup.calls -= 1;
                self.on_call(supervisor, token, request);
            }
        }
    }

    /// (OTP: `restart_child/3`, `do_restart/3`.)
    fn child_exited(&mut self, supervisor: Generation, generation: Generation, exit: ChildExit) {
        let Some(being) = self.beings.remove(&generation) else { return self.idle(supervisor) };
        let place = being.place;
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        let Some(entry) = sup.children.get_mut(place) else { return self.idle(supervisor) };
        match entry.spec.restart {
            Restart::Permanent => self.restart(supervisor, place),
            Restart::Transient if !exit.is_orderly() => self.restart(supervisor, place),
            restart => {
                entry.life = Life::None;
                let significant = entry.spec.significant;
                let blame = entry.blame.clone();
                let to = match restart {
                    Restart::Temporary => State::Removed,
                    Restart::Permanent | Restart::Transient => State::Stopped,
                };
                self.set(supervisor, place, to, Cause::Exited(exit));
                if significant && self.is_over(supervisor) {
                    self.blame_on(supervisor, blame);
                    self.end(supervisor, Cause::AutoShutdown);
                } else {
                    self.idle(supervisor);
                }
            }
        }
    }

    /// Whether the end of a significant child is the end of its supervisor (OTP: `do_auto_shutdown/2`).
    fn is_over(&self, supervisor: Generation) -> bool {
        let Some(sup) = self.sups.get(&supervisor) else { return false };
        match sup.spec.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !sup
                .children
                .iter()
                .any(|(_, entry)| entry.spec.significant && entry.life != Life::None),
        }
    }

    /// Restarts a child, and with it whom the strategy says, unless there were too many restarts (OTP:
    /// `restart/2`).
    fn restart(&mut self, supervisor: Generation, place: Place) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        if !sup.intensity.add(self.now) {
            if let Some(entry) = sup.children.get_mut(place) {
                entry.life = Life::None;
            }
            self.set(supervisor, place, State::Stopped, Cause::Supervisor);
            let blame = self.blame(supervisor, place);
            self.blame_on(supervisor, blame);
            return self.end(supervisor, Cause::Intensity);
        }
        let Some(entry) = sup.children.get_mut(place) else { return self.idle(supervisor) };
        entry.restarts += 1;
        entry.row = entry.row.saturating_add(1);
        let pause = sup.spec.backoff.as_ref().map(|b| b.pause(entry.row, &mut self.chance));
        match pause {
            Some(pause) if !pause.is_zero() => {
                entry.life = Life::None;
                let until = self.now + pause;
                match self.first_concerned(supervisor, place) {
                    Some(from) => {
                        let then = AfterStop::Pause { place, until };
                        self.stop_all(supervisor, from, Some(place), then);
                    }
                    None => {
                        self.pause(supervisor, place, until);
                        self.idle(supervisor);
                    }
                }
            }
            _ => self.restart_now(supervisor, place),
        }
    }

    /// (OTP: `restart/3`, `restart_multiple_children/3`.)
    fn restart_now(&mut self, supervisor: Generation, place: Place) {
        let Some(from) = self.first_concerned(supervisor, place) else {
            return self.start_child(supervisor, place, AfterStart::Alone);
        };
        let sup = self.sups.get_mut(&supervisor);
        if let Some(entry) = sup.and_then(|sup| sup.children.get_mut(place)) {
            entry.life = Life::None;
        }
        let then = AfterStop::Group { from, because: place };
        self.stop_all(supervisor, from, Some(place), then);
    }

    /// The first of those that are restarted with the child at this place; none when it is alone.
    fn first_concerned(&self, supervisor: Generation, place: Place) -> Option<Place> {
        match self.sups.get(&supervisor)?.spec.strategy {
            Strategy::OneForOne => None,
            Strategy::RestForOne => Some(place),
            Strategy::OneForAll => Some(0),
        }
    }

    /// The restart of a child waits until then.
    pub(super) fn pause(&mut self, supervisor: Generation, place: Place, until: Moment) {
        let key = self.timers.set(until, Due::Pause(supervisor, place));
        let sup = self.sups.get_mut(&supervisor);
        if let Some(entry) = sup.and_then(|sup| sup.children.get_mut(place)) {
            entry.life = Life::Restarting;
            entry.pause = key;
        }
        self.set(supervisor, place, State::Restarting, Cause::Restart);
    }

    /// A child that has lived long enough begins with the first pause again.
    pub(super) fn calm(&mut self, supervisor: Generation, place: Place) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        let Some(entry) = sup.children.get_mut(place) else { return };
        let lived = self.now.since(entry.lives_since);
        if sup.spec.backoff.as_ref().is_some_and(|backoff| backoff.is_calm(lived)) {
            entry.row = 0;
        }
    }

    /// Who led to the last end of the child at this place.
    pub(super) fn blame(&self, supervisor: Generation, place: Place) -> Option<Blame> {
        self.sups.get(&supervisor)?.children.get(place)?.blame.clone()
    }

    /// Keeps who leads to the end of a supervisor, for whoever is above it.
    pub(super) fn blame_on(&mut self, supervisor: Generation, blame: Option<Blame>) {
        let Some(being) = self.beings.get(&supervisor) else { return };
        let (owner, place) = (being.owner, being.place);
        let Some(owner) = owner else { return self.root.blame = blame };
        let owner = self.sups.get_mut(&owner);
        if let Some(entry) = owner.and_then(|owner| owner.children.get_mut(place)) {
            entry.blame = blame;
        }
    }

    /// A supervisor ends: it stops its children, and then is no more.
    pub(super) fn end(&mut self, supervisor: Generation, cause: Cause) {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return };
        if sup.owner.is_none() {
            self.root.ending = Some(cause.clone());
        }
        // One that its owner stops has that state already.
        if !matches!(cause, Cause::Supervisor) {
            self.set_own(supervisor, State::Stopping, cause);
        }
        self.stop_all(supervisor, 0, None, AfterStop::End);
    }
}
