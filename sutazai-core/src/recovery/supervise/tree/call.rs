//! Children that come and go while the tree runs.

use std::sync::Arc;

use super::super::spec::{ChildSpec, SupervisorSpec};
use super::super::state::State;
use super::node::{AfterStart, AfterStop, Life, Message};
use super::{Action, Request, Token, Tree};
use crate::port::Generation;
use crate::{Class, Code, Error, Result};

/// Requests that may wait for one supervisor.
const MAX_CALLS: usize = 1024;

impl Request {
    /// The path of the supervisor that it is for.
    pub(in super::super) fn supervisor(&self) -> Option<&str> {
        match self {
            Self::StartChild { supervisor, .. } | Self::Change { supervisor, .. } => {
                Some(supervisor)
            }
            Self::TerminateChild { path }
            | Self::RestartChild { path }
            | Self::DeleteChild { path } => path.rsplit_once('>').map(|(above, _)| above),
        }
    }
}

impl Tree {
    /// Finds the supervisor that a request is for, and puts it into its inbox.
    pub(super) fn on_request(&mut self, token: Token, request: Request) {
        let answer = match self.queue(token, request) {
            Ok(()) => return,
            Err(error) => Err(error.operation("supervise.ask")),
        };
        self.actions.push_back(Action::Answer(token, answer));
    }

    fn queue(&mut self, token: Token, request: Request) -> Result<()> {
        let Some(path) = request.supervisor() else {
            let message = "the root is started and stopped with everything below it";
            return Err(Error::new(Code::INVALID, message));
        };
        let Some(supervisor) = self.paths.get(path).copied() else {
            return Err(Error::new(Code::NOT_FOUND, "there is no such supervisor that lives")
                .with("supervisor", path));
        };
        let Some(sup) = self.sups.get_mut(&supervisor) else { return Ok(()) };
        if sup.calls >= MAX_CALLS {
            return Err(Error::new(Code::OVERLOADED, "too many requests wait for the supervisor")
                .with("supervisor", path));
        }
        sup.calls += 1;
        self.tell(supervisor, Message::Call(token, request));
        Ok(())
    }

    /// (OTP: `handle_call/3`.)
    pub(super) fn on_call(&mut self, supervisor: Generation, token: Token, request: Request) {
        let answer = match request {
            Request::StartChild { spec, .. } => self.add_child(supervisor, token, *spec),
            Request::Change { spec, .. } => self.change(supervisor, *spec),
            Request::TerminateChild { path } => {
                self.with_child(supervisor, &path, |tree, child| {
                    tree.stop_these(supervisor, vec![child.place], AfterStop::Answer(token));
                    Ok(false)
                })
            }
            Request::RestartChild { path } => self.with_child(supervisor, &path, |tree, child| {
                child.must_not_live()?;
                let then = AfterStart::Answer { token, new: false };
                tree.start_child(supervisor, child.place, then);
                Ok(false)
            }),
            Request::DeleteChild { path } => self.with_child(supervisor, &path, |tree, child| {
                child.must_not_live()?;
                let cause = super::Cause::Asked;
                tree.set(supervisor, child.place, State::Removed, cause);
                Ok(true)
            }),
        };
        let answer = match answer {
            Ok(false) => return,
            Ok(true) => Ok(()),
            Err(error) => Err(error.operation("supervise.ask")),
        };
        self.actions.push_back(Action::Answer(token, answer));
        self.idle(supervisor);
    }

    /// (OTP: `handle_start_child/2`.)
    fn add_child(&mut self, supervisor: Generation, token: Token, spec: ChildSpec) -> Result<bool> {
        let Some(sup) = self.sups.get_mut(&supervisor) else { return Ok(false) };
        spec.check(sup.spec.auto_shutdown, sup.above + 1)?;
        if let Some((_, entry)) = sup.children.find(&spec.id) {
            return Err(Error::new(Code::ALREADY_EXISTS, "there is a child of that name already")
                .with("child", &entry.path)
                .with("state", entry.state.name()));
        }
        let place = sup.children.add(&sup.path, Arc::new(spec), self.now);
        self.start_child(supervisor, place, AfterStart::Answer { token, new: true });
        Ok(false)
    }

    fn change(&mut self, supervisor: Generation, spec: SupervisorSpec) -> Result<bool> {
        SupervisorSpec { children: Vec::new(), ..spec.clone() }.check()?;
        let Some(sup) = self.sups.get_mut(&supervisor) else { return Ok(false) };
        for (_, entry) in sup.children.iter() {
            entry.spec.check(spec.auto_shutdown, sup.above + 1)?;
        }
        // Its start anew begins with the children that it began with.
        let spec = SupervisorSpec { children: sup.spec.children.clone(), ..spec };
        for child in &spec.children {
            child.check(spec.auto_shutdown, sup.above + 1)?;
        }
        let spec = Arc::new(spec);
        sup.spec = Arc::clone(&spec);
        sup.intensity.change(spec.intensity, spec.period());
        let place = self.beings.get(&supervisor).map(|being| (being.owner, being.place));
        match place {
            Some((Some(owner), place)) => {
                let owner = self.sups.get_mut(&owner);
                if let Some(entry) = owner.and_then(|owner| owner.children.get_mut(place)) {
                    let below = Some(SupervisorSpec::clone(&spec));
                    let child = ChildSpec { supervisor: below, ..ChildSpec::clone(&entry.spec) };
                    entry.spec = Arc::new(child);
                }
            }
            _ => self.root.spec = spec,
        }
        Ok(true)
    }

    fn with_child(
        &mut self,
        supervisor: Generation,
        path: &str,
        then: impl FnOnce(&mut Self, Found) -> Result<bool>,
    ) -> Result<bool> {
        let id = path.rsplit_once('>').map_or(path, |(_, id)| id);
        let found = self.sups.get(&supervisor).and_then(|sup| sup.children.find(id));
        let Some((place, entry)) = found else {
            return Err(Error::new(Code::NOT_FOUND, "there is no such child").with("child", path));
        };
        let found = Found { place, life: entry.life, path: Arc::clone(&entry.path) };
        then(self, found)
    }
}

/// The child that a request is about.
struct Found {
    place: super::Place,
    life: Life,
    path: Arc<str>,
}

impl Found {
    fn must_not_live(&self) -> Result<()> {
        let (state, class) = match self.life {
            Life::None => return Ok(()),
            Life::Alive(_) => (State::Running, Class::Persistent),
            Life::Restarting => (State::Restarting, Class::Transient),
        };
        Err(Error::new(Code::INVALID, "the child lives, or is about to")
            .classed(class)
            .with("child", &self.path)
            .with("state", state.name())
            .advice("terminate it first"))
    }
}
