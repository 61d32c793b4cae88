//! Workers that do what a test says, and a check of everything that the tree says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::super::super::{Cause, ChildSpec, Kind, State, SupervisorSpec, Transition};
use super::super::{Action, Request, Token, Tree};
use crate::base::time::Moment;
use crate::port::{ChildExit, ChildStart, Generation};
use crate::{Code, Error, Result};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A tree, and the workers that it has asked for.
pub(super) struct World {
    pub(super) tree: Tree,
    pub(super) now: Moment,
    /// Workers whose start, stop or kill has not been answered.
    pub(super) starting: BTreeMap<Generation, Arc<str>>,
    pub(super) stopping: BTreeSet<Generation>,
    pub(super) killing: BTreeSet<Generation>,
    /// Workers that live, those that are stopping or being killed among them.
    pub(super) alive: BTreeMap<Generation, Arc<str>>,
    pub(super) dead: Vec<Generation>,
    pub(super) states: HashMap<Arc<str>, State>,
    pub(super) changes: Vec<Transition>,
    pub(super) up: Option<Result<()>>,
    pub(super) down: Option<Cause>,
    pub(super) answers: BTreeMap<Token, Result<()>>,
    /// Whether a supervisor was changed: what was counted before stays counted, whatever it is now.
    pub(super) changed: bool,
    last_start: Generation,
    last_token: Token,
}

impl World {
    pub(super) fn new(spec: SupervisorSpec) -> Self {
        Self {
            tree: Tree::new("main", spec, 1).unwrap(),
            now: Moment::ZERO,
            starting: BTreeMap::new(),
            stopping: BTreeSet::new(),
            killing: BTreeSet::new(),
            alive: BTreeMap::new(),
            dead: Vec::new(),
            states: HashMap::new(),
            changes: Vec::new(),
            up: None,
            down: None,
            answers: BTreeMap::new(),
            changed: false,
            last_start: Generation(0),
            last_token: 0,
        }
    }

    /// One that has started, and answers everything at once.
    pub(super) fn started(spec: SupervisorSpec) -> Self {
        let mut world = Self::new(spec);
        world.tree.start(world.now).unwrap();
        world.obey();
        assert_eq!(world.up.take(), Some(Ok(())));
        world.changes.clear();
        world
    }

    // ---- what happens ----

    pub(super) fn start_ends(
        &mut self,
        generation: Generation,
        result: Result<ChildStart>,
    ) -> bool {
        let path = self.starting.remove(&generation);
        let wanted = self.tree.started(generation, result.clone(), self.now);
        if wanted && result == Ok(ChildStart::Running) {
            self.alive.insert(generation, path.unwrap());
        } else {
            self.dead.push(generation);
        }
        self.hear();
        wanted
    }

    pub(super) fn exits(&mut self, generation: Generation, exit: ChildExit) {
        self.gone(generation);
        self.tree.exited(generation, exit, self.now);
        self.hear();
    }

    pub(super) fn kill_ends(&mut self, generation: Generation) {
        self.gone(generation);
        self.starting.remove(&generation);
        self.tree.killed(generation, self.now);
        self.hear();
    }

    fn gone(&mut self, generation: Generation) {
        self.alive.remove(&generation);
        self.stopping.remove(&generation);
        self.killing.remove(&generation);
        self.dead.push(generation);
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
        self.tree.tick(self.now);
        self.hear();
    }

    pub(super) fn ask(&mut self, request: Request) -> Token {
        self.last_token += 1;
        self.changed |= matches!(request, Request::Change { .. });
        self.tree.ask(self.last_token, request, self.now);
        self.hear();
        self.last_token
    }

    pub(super) fn stop(&mut self, deadline: Moment) {
        if matches!(self.tree.state(), State::Waiting | State::Stopped) {
            self.down = None;
        }
        self.tree.stop(deadline, self.now);
        self.hear();
    }

    /// Answers everything that is asked for, starts with success, until nothing is asked for any more.
    pub(super) fn obey(&mut self) {
        self.hear();
        loop {
            if let Some(generation) = self.killing.first().copied() {
                self.kill_ends(generation);
            } else if let Some(generation) = self.stopping.first().copied() {
                self.exits(generation, ChildExit::Shutdown);
            } else if let Some(generation) = self.starting.keys().next().copied() {
                self.start_ends(generation, Ok(ChildStart::Running));
            } else {
                return;
            }
        }
    }

    /// As `obey`, and lets the time pass until nothing is left to wait for.
    pub(super) fn settle(&mut self) {
        self.obey();
        while let Some(next) = self.tree.next_tick() {
            self.advance(next.since(self.now));
            self.obey();
        }
    }

    // ---- what the tree says ----

    /// Takes in what the tree says, and checks what can be checked of it.
    pub(super) fn hear(&mut self) {
        while let Some(action) = self.tree.poll() {
            match action {
                Action::Start { life, spec, deadline } => {
                    assert!(life.generation > self.last_start);
                    self.last_start = life.generation;
                    assert_eq!(deadline, self.now + Duration::from_millis(spec.start_timeout_ms));
                    let above = |path: &str| path.rsplit_once('>').unwrap().0.to_owned();
                    let siblings = self.starting.values().filter(|p| above(p) == above(&life.path));
                    assert_eq!(siblings.count(), 0, "two siblings start at once");
                    assert!(!self.alive.values().any(|path| *path == life.path), "{}", life.path);
                    self.starting.insert(life.generation, life.path);
                }
                Action::Stop { generation, deadline } => {
                    assert!(deadline >= self.now);
                    assert!(self.alive.contains_key(&generation), "a stop of what does not live");
                    assert!(self.stopping.insert(generation), "a second stop");
                }
                Action::Kill { generation } => {
                    let lives = self.alive.contains_key(&generation);
                    assert!(lives || self.starting.contains_key(&generation));
                    assert!(self.killing.insert(generation), "a second kill");
                }
                Action::Changed(change) => self.changed(change),
                Action::Up(result) => assert_eq!(self.up.replace(result), None),
                Action::Down(cause) => {
                    assert_eq!(self.down.replace(cause), None);
                    assert_eq!(self.tree.state(), State::Stopped);
                    // What was abandoned is none of the tree's business any more.
                    self.abandon();
                }
                Action::Answer(token, result) => {
                    assert!(self.answers.insert(token, result).is_none(), "a second answer");
                }
            }
        }
        self.look();
    }

    fn changed(&mut self, change: Transition) {
        let before = self.states.insert(Arc::clone(&change.path), change.to);
        let forgotten =
            matches!(before, None | Some(State::Waiting | State::Stopped | State::Removed));
        let fits = before == Some(change.from) || (change.from == State::Waiting && forgotten);
        assert!(fits, "{before:?}, then {change:?}");
        assert_eq!(change.at, self.now);
        if matches!(change.cause, Cause::Killed | Cause::StartFailed { .. }) {
            // Its kill has ended, or was given up.
            let path = &change.path;
            let dying: Vec<_> = self.killing.iter().copied().collect();
            for generation in dying {
                if self.path(generation).is_some_and(|p| p == path || below(p, path)) {
                    self.abandoned(generation);
                }
            }
        }
        self.changes.push(change);
    }

    fn path(&self, generation: Generation) -> Option<&Arc<str>> {
        self.alive.get(&generation).or_else(|| self.starting.get(&generation))
    }

    fn abandon(&mut self) {
        let lost: Vec<_> = self.alive.keys().chain(self.starting.keys()).copied().collect();
        for generation in lost {
            assert!(self.killing.contains(&generation), "left behind without a kill");
            self.abandoned(generation);
        }
    }

    pub(super) fn abandoned(&mut self, generation: Generation) {
        self.starting.remove(&generation);
        self.gone(generation);
    }

    /// The tree's own view fits with ours.
    fn look(&self) {
        let status = self.tree.status(self.now);
        let mut seen = BTreeMap::new();
        let mut left = Vec::from_iter(status);
        while let Some(supervisor) = left.pop() {
            let most = supervisor.intensity as usize + 1;
            assert!(self.changed || supervisor.recent_restarts <= most);
            for child in supervisor.children {
                if let Some(state) = self.states.get(child.path.as_str()) {
                    let waiting = child.state == State::Waiting;
                    assert!(*state == child.state || waiting, "{}", child.path);
                }
                if child.pause_ms.is_some() {
                    assert_eq!(child.state, State::Restarting);
                }
                left.extend(child.supervisor);
                let lives = matches!(child.state, State::Running | State::Stopping);
                if child.kind == Kind::Worker && lives {
                    seen.insert(child.generation.unwrap(), Arc::from(child.path));
                }
            }
        }
        for (generation, path) in &seen {
            assert_eq!(self.alive.get(generation), Some(path), "{generation}");
        }
        // What lives and is not seen is being killed with its supervisor.
        for (generation, path) in &self.alive {
            let dying = self.killing.contains(generation);
            assert!(seen.contains_key(generation) || dying, "{path} {generation}");
        }
    }

    // ---- for the tests ----

    pub(super) fn life(&self, path: &str) -> Generation {
        let found = self.alive.iter().chain(&self.starting).find(|(_, p)| &***p == path);
        *found.unwrap_or_else(|| panic!("{path} does not live")).0
    }

    pub(super) fn state(&self, path: &str) -> State {
        self.states[path]
    }

    /// The changes since the last time, in short.
    pub(super) fn story(&mut self) -> Vec<String> {
        let changes = std::mem::take(&mut self.changes);
        let short = |c: Transition| format!("{} {}", c.path.replace("main>", ""), c.to.name());
        changes.into_iter().map(short).collect()
    }

    /// Nothing is remembered of what has been.
    pub(super) fn assert_empty(&self) {
        let tree = &self.tree;
        assert_eq!((tree.beings.len(), tree.sups.len(), tree.paths.len()), (0, 0, 0));
        assert_eq!(tree.next_tick(), None);
        assert!(tree.signals.is_empty());
    }
}

fn below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('>'))
}

pub(super) fn failure() -> ChildExit {
    ChildExit::Failed(error())
}

pub(super) fn error() -> Error {
    Error::new(Code::IO, "on purpose")
}

pub(super) fn workers<const N: usize>(spec: SupervisorSpec, ids: [&str; N]) -> SupervisorSpec {
    ids.into_iter().fold(spec, |spec, id| spec.child(ChildSpec::worker(id)))
}
