//! Long because: it is one state machine, whose transitions are read side by side.
//!
//! The state machine of a lifecycle: what is to be done next, given what happened and when.
//!
//! It calls nothing and reads no clock. Its answers stand in one queue of [`Event`]s, in order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::plan;
use super::state::{ComponentStatus, State, Transition};
use crate::base::time::Moment;
use crate::{Class, Code, Error, Result};

/// What is left when the deadline of everything has passed is still asked to stop, and has this long
/// each: enough for whatever only had to wait for its turn.
const LAST_GRACE: Duration = Duration::from_millis(100);

/// A component's number within its lifecycle; never given twice.
pub(super) type Number = u64;

/// What is to be done, or made known.
#[derive(Debug)]
pub(super) enum Event {
    /// Call `start` with this deadline, and tell `started`.
    Start(Number, Moment),
    /// Call `stop` with this deadline, and tell `stopped`.
    Stop(Number, Moment),
    /// Tell the observer.
    Changed(Transition),
    /// The start of everything is over.
    Up(Result<()>),
    /// The stop of everything is over.
    Down(Result<()>),
    /// The addition of one to a running lifecycle is over.
    Added(Number, Result<()>),
    /// One was taken out.
    Removed(Number, Result<()>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    New,
    Starting,
    Up,
    Stopping,
    Down,
}

pub(super) struct Progress {
    parts: BTreeMap<Number, Part>,
    names: HashMap<Arc<str>, Number>,
    phase: Phase,
    next: Number,
    active: usize,
    pending: usize,
    /// Whether `Up` was reported.
    answered: bool,
    problems: Vec<Error>,
    /// Everything is to be stopped by then.
    end: Moment,
    events: VecDeque<Event>,
}

struct Part {
    name: Arc<str>,
    needs: Vec<String>,
    needs_numbers: Vec<Number>,
    needed_by: Vec<Number>,
    within: Within,
    state: State,
    reason: Option<Error>,
    until: Moment,
    /// Added to a running lifecycle: its failure is its own.
    alone: bool,
    leaving: bool,
}

/// How long a component's start and stop may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Within {
    pub(super) start: Duration,
    pub(super) stop: Duration,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            parts: BTreeMap::new(),
            names: HashMap::new(),
            phase: Phase::New,
            next: 0,
            active: 0,
            pending: 0,
            answered: false,
            problems: Vec::new(),
            end: Moment::FAR,
            events: VecDeque::new(),
        }
    }

    /// Adds a component. Before the start it may need what is added later; afterwards what it needs
    /// has to be there, and it starts at once.
    pub(super) fn add(
        &mut self,
        name: &str,
        needs: Vec<String>,
        within: Within,
        now: Moment,
    ) -> Result<Number> {
        if self.names.contains_key(name) {
            return Err(Error::new(
                Code::ALREADY_EXISTS,
                format!("there is a component \"{name}\" already"),
            )
            .operation("lifecycle.add")
            .with("component", name));
        }
        let running = match self.phase {
            Phase::New | Phase::Down => false,
            Phase::Starting | Phase::Up => true,
            Phase::Stopping => return Err(not_running("lifecycle.add")),
        };
        let mut numbers = Vec::new();
        if running {
            for need in &needs {
                numbers.push(self.usable(name, need)?);
            }
        }
        let number = self.next;
        self.next += 1;
        let name: Arc<str> = Arc::from(name);
        self.names.insert(Arc::clone(&name), number);
        for need in &numbers {
            self.part_mut(*need, |part| part.needed_by.push(number));
        }
        self.parts.insert(
            number,
            Part {
                name,
                needs,
                needs_numbers: numbers,
                needed_by: Vec::new(),
                within,
                state: State::Waiting,
                reason: None,
                until: Moment::FAR,
                alone: running,
                leaving: false,
            },
        );
        self.pending += 1;
        if running {
            self.consider_start(number, now);
        }
        Ok(number)
    }

    /// The number of a component that one added now may need.
    fn usable(&self, name: &str, need: &str) -> Result<Number> {
        let Some(number) = self.names.get(need) else {
            return Err(plan::missing(name, need, self.names.keys().map(|name| &**name)));
        };
        match self.parts.get(number) {
            Some(part)
                if !part.leaving && (part.state.is_pending() || part.state == State::Running) =>
            {
                Ok(*number)
            }
            _ => Err(Error::new(
                Code::COMPONENT_MISSING,
                format!("the component \"{name}\" needs \"{need}\", which does not run"),
            )
            .operation("lifecycle.add")
            .with("component", name)),
        }
    }

    /// The order of starting; an error when the components do not fit together.
    pub(super) fn check(&self) -> Result<Vec<Number>> {
        let numbers: Vec<Number> = self.parts.keys().copied().collect();
        let parts: Vec<(&str, &[String])> =
            self.parts.values().map(|part| (&*part.name, &part.needs[..])).collect();
        Ok(plan::order(&parts)?.into_iter().map(|at| numbers[at]).collect())
    }

    /// Starts everything; [`Event::Up`] follows. What was stopped may be started again, unless a
    /// component still hangs in an earlier start or stop.
    pub(super) fn begin(&mut self, now: Moment) -> Result<()> {
        if !matches!(self.phase, Phase::New | Phase::Down) {
            return Err(not_running("lifecycle.start").advice("stop it first"));
        }
        let hangs = |part: &&Part| {
            part.state.is_active()
                || matches!(part.state, State::StartTimedOut | State::StopTimedOut)
        };
        if let Some(part) = self.parts.values().find(hangs) {
            return Err(not_running("lifecycle.start")
                .with("component", &part.name)
                .with("state", part.state.name()));
        }
        let order = self.check()?;
        self.answered = false;
        self.end = Moment::FAR;
        for number in &order {
            self.part_mut(*number, |part| {
                part.needed_by.clear();
                part.alone = false;
            });
            if self.state(*number) != Some(State::Waiting) {
                self.set(*number, State::Waiting, None, now);
            }
        }
        for number in &order {
            let Some(part) = self.parts.get(number) else { continue };
            let needs: Vec<Number> = part
                .needs
                .iter()
                .filter_map(|need| self.names.get(need.as_str()).copied())
                .collect();
            for need in &needs {
                self.part_mut(*need, |part| part.needed_by.push(*number));
            }
            self.part_mut(*number, |part| part.needs_numbers = needs);
        }
        self.phase = Phase::Starting;
        for number in order {
            self.consider_start(number, now);
        }
        self.check_up();
        Ok(())
    }

    /// Stops everything by `end`, but for the [`LAST_GRACE`]; [`Event::Down`] follows. An unfinished start ends as cancelled.
    pub(super) fn finish(&mut self, now: Moment, end: Moment) {
        self.end = self.end.min(end);
        if self.phase == Phase::Starting {
            self.problems.clear();
            self.answered = true;
            let error = Error::new(Code::CANCELLED, "stopped before everything had started");
            self.events.push_back(Event::Up(Err(error.operation("lifecycle.start"))));
        }
        let end = self.end.max(now + LAST_GRACE);
        for part in self.parts.values_mut().filter(|part| part.state.is_active()) {
            part.until = part.until.min(end);
        }
        if matches!(self.phase, Phase::New | Phase::Starting | Phase::Up) {
            self.unwind(now);
        } else if self.phase == Phase::Down {
            self.events.push_back(Event::Down(Ok(())));
        }
    }

    /// Takes one out, stopping it if it runs; [`Event::Removed`] follows.
    pub(super) fn remove(&mut self, name: &str, now: Moment) -> Result<Number> {
        let number = self.names.get(name).copied().ok_or_else(|| {
            Error::new(Code::NOT_FOUND, format!("there is no component \"{name}\""))
                .operation("lifecycle.remove")
        })?;
        if !matches!(self.phase, Phase::New | Phase::Up | Phase::Down) {
            return Err(not_running("lifecycle.remove"));
        }
        let users = self.users(number);
        if !users.is_empty() {
            return Err(Error::new(
                Code::INVALID,
                format!("\"{name}\" is needed by {}", users.join(", ")),
            )
            .operation("lifecycle.remove")
            .advice("remove those first"));
        }
        match self.state(number) {
            Some(State::Starting | State::Stopping | State::StartTimedOut) => {
                return Err(Error::new(
                    Code::INVALID,
                    format!("\"{name}\" is starting or stopping"),
                )
                .classed(Class::Transient)
                .operation("lifecycle.remove"));
            }
            Some(State::Running) => {
                self.part_mut(number, |part| part.leaving = true);
                self.consider_stop(number, now);
            }
            _ => {
                self.delete(number);
                self.events.push_back(Event::Removed(number, Ok(())));
            }
        }
        Ok(number)
    }

    /// `start` of a component returned.
    pub(super) fn started(&mut self, number: Number, result: Result<()>, now: Moment) {
        match (self.state(number), result) {
            (Some(State::Starting), Ok(())) => {
                self.set(number, State::Running, None, now);
                if self.phase == Phase::Stopping {
                    self.answer_added(number, Err(not_running("lifecycle.add")));
                    self.consider_stop(number, now);
                } else {
                    self.answer_added(number, Ok(()));
                    for user in self.links(number, |part| &part.needed_by) {
                        self.consider_start(user, now);
                    }
                    self.check_up();
                }
            }
            (Some(State::Starting), Err(cause)) => {
                self.failed_start(number, State::Failed, cause, now);
            }
            (Some(State::StartTimedOut), Ok(())) => {
                // Too late: nobody counts on it any more, and nobody else would stop it.
                self.stop_now(number, now);
            }
            (Some(State::StartTimedOut), Err(cause)) => {
                self.set(number, State::Failed, Some(cause), now);
            }
            // Gone, or answered twice.
            _ => {}
        }
    }

    /// `stop` of a component returned.
    pub(super) fn stopped(&mut self, number: Number, result: Result<()>, now: Moment) {
        match self.state(number) {
            Some(State::Stopping) => match result {
                Ok(()) => {
                    self.set(number, State::Stopped, None, now);
                    self.went_down(number, Ok(()), now);
                }
                Err(cause) => self.failed_stop(number, State::Failed, cause, now),
            },
            Some(State::StopTimedOut) => {
                let (to, reason) = match result {
                    Ok(()) => (State::Stopped, None),
                    Err(cause) => (State::Failed, Some(cause)),
                };
                self.set(number, to, reason, now);
            }
            _ => {}
        }
    }

    /// Gives up on what has overrun its deadline.
    pub(super) fn tick(&mut self, now: Moment) {
        let late: Vec<(Number, State)> = self
            .parts
            .iter()
            .filter(|(_, part)| part.until <= now)
            .map(|(number, part)| (*number, part.state))
            .collect();
        for (number, state) in late {
            // Giving up on an earlier one may have changed this one.
            if self.state(number) != Some(state) {
                continue;
            }
            match state {
                State::Starting => {
                    let cause = overrun("it did not start before its deadline");
                    self.failed_start(number, State::StartTimedOut, cause, now);
                }
                State::Stopping => {
                    let cause = overrun("it did not stop before its deadline");
                    self.failed_stop(number, State::StopTimedOut, cause, now);
                }
                _ => {}
            }
        }
    }

    /// What is next.
    pub(super) fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// All components, in the order they start in (the order added, where they do not fit together).
    pub(super) fn states(&self) -> Vec<ComponentStatus> {
        let order = self.check().unwrap_or_else(|_| self.parts.keys().copied().collect());
        let parts = order.iter().filter_map(|number| self.parts.get(number));
        parts
            .map(|part| ComponentStatus {
                name: part.name.to_string(),
                state: part.state,
                reason: part.reason.clone(),
                needs: part.needs.clone(),
            })
            .collect()
    }

    pub(super) fn state(&self, number: Number) -> Option<State> {
        self.parts.get(&number).map(|part| part.state)
    }

    fn consider_start(&mut self, number: Number, now: Moment) {
        let Some(part) = self.parts.get(&number) else { return };
        let ready = part.state == State::Waiting
            && matches!(self.phase, Phase::Starting | Phase::Up)
            && part.needs_numbers.iter().all(|need| self.state(*need) == Some(State::Running));
        if ready {
            let until = now + part.within.start;
            self.part_mut(number, |part| part.until = until);
            self.set(number, State::Starting, None, now);
            self.events.push_back(Event::Start(number, until));
        }
    }

    fn consider_stop(&mut self, number: Number, now: Moment) {
        let Some(part) = self.parts.get(&number) else { return };
        let wanted = self.phase == Phase::Stopping || part.leaving;
        let used =
            part.needed_by.iter().any(|user| self.state(*user).is_some_and(State::is_active));
        if wanted && !used && part.state == State::Running {
            self.stop_now(number, now);
        }
    }

    fn stop_now(&mut self, number: Number, now: Moment) {
        let Some(part) = self.parts.get(&number) else { return };
        let until = (now + part.within.stop).min(self.end.max(now + LAST_GRACE));
        self.part_mut(number, |part| part.until = until);
        self.set(number, State::Stopping, None, now);
        self.events.push_back(Event::Stop(number, until));
    }

    fn failed_start(&mut self, number: Number, to: State, cause: Error, now: Moment) {
        let error = self.worded(number, Code::COMPONENT_START, "failed to start", &cause);
        self.set(number, to, Some(cause), now);
        let alone = self.parts.get(&number).is_some_and(|part| part.alone);
        if alone && self.phase != Phase::Stopping {
            self.fail_users(number, now);
            self.answer_added(number, Err(error));
            self.check_up();
            return;
        }
        self.answer_added(number, Err(error.clone()));
        self.problems.push(error);
        if self.phase == Phase::Starting {
            self.unwind(now);
        } else {
            self.went_down(number, Ok(()), now);
        }
    }

    /// Whatever waits for one that will not run fails with it.
    fn fail_users(&mut self, number: Number, now: Moment) {
        let mut failed = vec![number];
        while let Some(number) = failed.pop() {
            let Some(name) = self.parts.get(&number).map(|part| Arc::clone(&part.name)) else {
                continue;
            };
            for user in self.links(number, |part| &part.needed_by) {
                if self.state(user) != Some(State::Waiting) {
                    continue;
                }
                let message = format!("it needs \"{name}\", which failed to start");
                let cause = Error::new(Code::COMPONENT_MISSING, message);
                let error = self.worded(user, Code::COMPONENT_START, "cannot start", &cause);
                self.set(user, State::Failed, Some(cause), now);
                self.answer_added(user, Err(error));
                failed.push(user);
            }
        }
    }

    fn failed_stop(&mut self, number: Number, to: State, cause: Error, now: Moment) {
        let error = self.worded(number, Code::COMPONENT_STOP, "failed to stop", &cause);
        self.set(number, to, Some(cause), now);
        if self.phase == Phase::Stopping {
            self.problems.push(error.clone());
        }
        self.went_down(number, Err(error), now);
    }

    fn unwind(&mut self, now: Moment) {
        self.phase = Phase::Stopping;
        let numbers: Vec<Number> = self.parts.keys().copied().collect();
        for number in &numbers {
            if self.state(*number) == Some(State::Waiting) {
                self.set(*number, State::Stopped, None, now);
                self.answer_added(*number, Err(not_running("lifecycle.add")));
            }
        }
        for number in numbers {
            self.consider_stop(number, now);
        }
        self.check_down();
    }

    fn went_down(&mut self, number: Number, result: Result<()>, now: Moment) {
        for need in self.links(number, |part| &part.needs_numbers) {
            self.consider_stop(need, now);
        }
        if self.parts.get(&number).is_some_and(|part| part.leaving) {
            self.delete(number);
            self.events.push_back(Event::Removed(number, result));
        }
        self.check_down();
    }

    fn check_up(&mut self) {
        if self.phase == Phase::Starting && self.pending == 0 {
            self.phase = Phase::Up;
            self.answered = true;
            self.events.push_back(Event::Up(Ok(())));
        }
    }

    fn check_down(&mut self) {
        if self.phase != Phase::Stopping || self.active > 0 {
            return;
        }
        self.phase = Phase::Down;
        let result = Error::join(std::mem::take(&mut self.problems)).map_or(Ok(()), Err);
        if std::mem::replace(&mut self.answered, true) {
            self.events.push_back(Event::Down(result));
        } else {
            // A failed start, unwound. Whoever asked for a stop meanwhile has that.
            self.events.push_back(Event::Up(result));
            self.events.push_back(Event::Down(Ok(())));
        }
    }

    fn answer_added(&mut self, number: Number, result: Result<()>) {
        if self.parts.get(&number).is_some_and(|part| part.alone) {
            self.events.push_back(Event::Added(number, result));
        }
    }

    fn worded(&self, number: Number, code: Code, what: &str, cause: &Error) -> Error {
        let name = self.parts.get(&number).map_or("?", |part| &part.name);
        Error::new(code, format!("the component \"{name}\" {what}"))
            .classed(cause.class())
            .with("component", name)
            .because(cause.clone())
    }

    fn users(&self, number: Number) -> Vec<String> {
        let users = self.links(number, |part| &part.needed_by).into_iter();
        let users = users.filter_map(|user| self.parts.get(&user));
        users
            .filter(|part| part.state.is_active() || part.state == State::Waiting)
            .map(|part| format!("\"{}\"", part.name))
            .collect()
    }

    fn delete(&mut self, number: Number) {
        let Some(part) = self.parts.remove(&number) else { return };
        self.names.remove(&part.name);
        self.active -= usize::from(part.state.is_active());
        self.pending -= usize::from(part.state.is_pending());
        for need in part.needs_numbers {
            self.part_mut(need, |part| part.needed_by.retain(|user| *user != number));
        }
    }

    fn set(&mut self, number: Number, to: State, reason: Option<Error>, now: Moment) {
        let Some(part) = self.parts.get_mut(&number) else { return };
        let from = std::mem::replace(&mut part.state, to);
        part.reason.clone_from(&reason);
        if !to.is_active() {
            part.until = Moment::FAR;
        }
        self.active = self.active + usize::from(to.is_active()) - usize::from(from.is_active());
        self.pending = self.pending + usize::from(to.is_pending()) - usize::from(from.is_pending());
        let component = Arc::clone(&part.name);
        self.events.push_back(Event::Changed(Transition { component, from, to, reason, at: now }));
    }

    fn links(&self, number: Number, of: impl FnOnce(&Part) -> &Vec<Number>) -> Vec<Number> {
        self.parts.get(&number).map_or_else(Vec::new, |part| of(part).clone())
    }

    fn part_mut(&mut self, number: Number, change: impl FnOnce(&mut Part)) {
        if let Some(part) = self.parts.get_mut(&number) {
            change(part);
        }
    }
}

fn not_running(operation: &'static str) -> Error {
    Error::new(Code::NOT_RUNNING, "the lifecycle is not in a phase for that").operation(operation)
}

fn overrun(message: &'static str) -> Error {
    Error::new(Code::DEADLINE_EXCEEDED, message)
}
